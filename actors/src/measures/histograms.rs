//! Latency histograms: HDR, in microseconds, mergeable. Nothing is clamped or dropped: negative
//! samples have a counter.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};

use crate::clock::Nanos;

/// One latency's samples: an HDR histogram of microseconds (three significant digits) and a count
/// of negative ones.
///
/// Equal samples in a row cost one comparison: they are recorded together.
#[derive(Clone, Debug)]
pub struct LatencyHistogram {
    histogram: Histogram<u64>,
    negative: u64,
    run_value: u64,
    run_count: u64,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        // Auto-resizing, so that nothing is ever out of range.
        let histogram = Histogram::new(3).expect("three significant digits are legal");
        Self { histogram, negative: 0, run_value: 0, run_count: 0 }
    }
}

impl LatencyHistogram {
    /// Records a sample of `latency` nanoseconds.
    #[inline]
    pub fn record(&mut self, latency: Nanos) {
        if latency < 0 {
            self.negative += 1;
            return;
        }
        let micros = latency as u64 / 1000;
        if micros == self.run_value {
            self.run_count += 1;
        } else {
            self.flush();
            self.run_value = micros;
            self.run_count = 1;
        }
    }

    fn flush(&mut self) {
        if self.run_count > 0 {
            self.histogram
                .record_n(self.run_value, self.run_count)
                .expect("the histogram grows by itself");
            self.run_count = 0;
        }
    }

    /// Adds another histogram's samples.
    pub fn merge(&mut self, other: &LatencyHistogram) {
        self.flush();
        self.histogram.add(&other.histogram).expect("the histogram grows by itself");
        if other.run_count > 0 {
            self.histogram
                .record_n(other.run_value, other.run_count)
                .expect("the histogram grows by itself");
        }
        self.negative += other.negative;
    }

    /// Takes what was recorded, leaving the histogram empty (and its memory in place).
    pub fn take(&mut self) -> LatencyHistogram {
        self.flush();
        let taken = self.clone();
        self.histogram.reset();
        self.negative = 0;
        taken
    }

    /// Samples that are not negative.
    pub fn count(&self) -> u64 {
        self.histogram.len() + self.run_count
    }

    /// Negative samples.
    pub fn negative(&self) -> u64 {
        self.negative
    }

    /// Whether no sample at all was recorded.
    pub fn is_empty(&self) -> bool {
        self.count() == 0 && self.negative == 0
    }

    /// Arithmetic mean in milliseconds; `None` without samples.
    pub fn mean_ms(&self) -> Option<f64> {
        let whole = self.flushed();
        (!whole.is_empty()).then(|| whole.mean() / 1000.0)
    }

    /// Greatest sample in milliseconds (to three digits); `None` without samples.
    pub fn max_ms(&self) -> Option<f64> {
        let whole = self.flushed();
        (!whole.is_empty()).then(|| whole.max() as f64 / 1000.0)
    }

    /// The value in milliseconds that `quantile` (0..=1) of the samples do not exceed; `None`
    /// without samples.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let whole = self.flushed();
        (!whole.is_empty()).then(|| whole.value_at_quantile(quantile) as f64 / 1000.0)
    }

    /// Iterates over (value in microseconds, count) of every bucket that holds samples.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        self.flushed()
            .iter_recorded()
            .map(|b| (b.value_iterated_to(), b.count_at_value()))
            .collect()
    }

    /// The HDR V2 encoding (uncompressed), of microseconds.
    pub fn to_hdr_v2(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(&self.flushed(), &mut bytes)
            .expect("writing to memory does not fail");
        bytes
    }

    fn flushed(&self) -> std::borrow::Cow<'_, Histogram<u64>> {
        if self.run_count == 0 {
            return std::borrow::Cow::Borrowed(&self.histogram);
        }
        let mut copy = self.clone();
        copy.flush();
        std::borrow::Cow::Owned(copy.histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_samples_are_counted_apart() {
        let mut histogram = LatencyHistogram::default();
        histogram.record(-1);
        histogram.record(5_000_000);
        assert_eq!((histogram.negative(), histogram.count()), (1, 1));
        assert_eq!(
            histogram.quantile_ms(0.5),
            Some(5.003),
            "the bucket's upper edge, to three digits"
        );
    }

    #[test]
    fn nothing_measured_is_none_and_never_zero() {
        let histogram = LatencyHistogram::default();
        assert!(histogram.is_empty());
        assert_eq!(
            (histogram.mean_ms(), histogram.max_ms(), histogram.quantile_ms(0.99)),
            (None, None, None)
        );
    }

    #[test]
    fn a_zero_sample_counts() {
        let mut histogram = LatencyHistogram::default();
        histogram.record(0);
        histogram.record(999);
        assert_eq!((histogram.count(), histogram.max_ms()), (2, Some(0.0)));
    }

    #[test]
    fn merging_equals_recording_together() {
        let samples = [0, 1_000, 1_500, 2_000_000, 2_000_000, 7_000_000_000, -3];
        let mut together = LatencyHistogram::default();
        let (mut left, mut right) = (LatencyHistogram::default(), LatencyHistogram::default());
        for (i, &sample) in samples.iter().enumerate() {
            together.record(sample);
            if i % 2 == 0 { left.record(sample) } else { right.record(sample) }
        }
        let mut merged = left.take();
        assert!(left.is_empty());
        merged.merge(&right);
        assert_eq!(merged.buckets(), together.buckets());
        assert_eq!(merged.negative(), together.negative());
    }
}
