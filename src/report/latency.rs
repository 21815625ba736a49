//! One latency's figures, and its histogram as text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};
use serde::{Deserialize, Serialize};
use streamgauge_actors::{LatencyHistogram, LatencyKind};

/// One latency over the measured part of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LatencyFigures {
    /// Samples that are not negative: those that the figures are of.
    pub count: u64,
    /// Negative samples, in no figure.
    pub negative: u64,
    /// Arithmetic mean, milliseconds; like all figures `null` where every sample was negative.
    pub avg_ms: Option<f64>,
    /// Median.
    pub p50_ms: Option<f64>,
    /// 90 % of the samples do not exceed it.
    pub p90_ms: Option<f64>,
    /// 95 %.
    pub p95_ms: Option<f64>,
    /// 99 %.
    pub p99_ms: Option<f64>,
    /// 99.9 %.
    pub p999_ms: Option<f64>,
    /// The greatest.
    pub max_ms: Option<f64>,
    /// The finest step that a sample can show.
    #[cfg_attr(test, schemars(extend("exclusiveMinimum" = 0)))]
    pub resolution_ms: f64,
    /// The whole distribution, microseconds: an HDR histogram (V2 encoding, uncompressed) in
    /// base64.
    #[cfg_attr(test, schemars(length(min = 1), extend("contentEncoding" = "base64")))]
    pub histogram: String,
}

impl LatencyFigures {
    /// Of a histogram; `None` where nothing was measured.
    pub fn of(kind: LatencyKind, histogram: &LatencyHistogram) -> Option<Self> {
        if histogram.is_empty() {
            return None;
        }
        Some(Self {
            count: histogram.count(),
            negative: histogram.negative(),
            avg_ms: histogram.mean_ms(),
            p50_ms: histogram.quantile_ms(0.5),
            p90_ms: histogram.quantile_ms(0.9),
            p95_ms: histogram.quantile_ms(0.95),
            p99_ms: histogram.quantile_ms(0.99),
            p999_ms: histogram.quantile_ms(0.999),
            max_ms: histogram.max_ms(),
            resolution_ms: kind.resolution_ms(),
            histogram: BASE64.encode(histogram.to_hdr_v2()),
        })
    }

    /// Of all samples of several runs together: their histograms are merged, for percentiles cannot
    /// be averaged. `None` where nothing was measured.
    ///
    /// # Errors
    /// When a stored histogram cannot be read.
    pub fn merged<'a>(runs: impl IntoIterator<Item = &'a Self>) -> anyhow::Result<Option<Self>> {
        let mut whole: Option<(Histogram<u64>, u64, f64)> = None;
        for run in runs {
            let histogram = run.decode_histogram()?;
            let (merged, negative, resolution_ms) =
                whole.get_or_insert((Histogram::new(histogram.sigfig())?, 0, run.resolution_ms));
            merged
                .add(histogram)
                .map_err(|error| anyhow::anyhow!("histograms that cannot be merged: {error}"))?;
            *negative += run.negative;
            *resolution_ms = resolution_ms.max(run.resolution_ms);
        }
        let Some((histogram, negative, resolution_ms)) = whole else { return Ok(None) };
        let in_ms = |micros: f64| (!histogram.is_empty()).then_some(micros / 1000.0);
        let quantile_ms = |quantile: f64| in_ms(histogram.value_at_quantile(quantile) as f64);
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(&histogram, &mut bytes)
            .map_err(|error| anyhow::anyhow!("a histogram that cannot be written: {error}"))?;
        Ok(Some(Self {
            count: histogram.len(),
            negative,
            avg_ms: in_ms(histogram.mean()),
            p50_ms: quantile_ms(0.5),
            p90_ms: quantile_ms(0.9),
            p95_ms: quantile_ms(0.95),
            p99_ms: quantile_ms(0.99),
            p999_ms: quantile_ms(0.999),
            max_ms: in_ms(histogram.max() as f64),
            resolution_ms,
            histogram: BASE64.encode(bytes),
        }))
    }

    /// The histogram, of microseconds.
    ///
    /// # Errors
    /// When the text is no HDR histogram in base64.
    pub fn decode_histogram(&self) -> anyhow::Result<Histogram<u64>> {
        let bytes = BASE64.decode(&self.histogram)?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| anyhow::anyhow!("not an HDR histogram: {error}"))
    }
}
