//! Prometheus histograms, filled a second at a time from the stages' HDR histograms.

use prometheus::proto::{Bucket, Histogram};
use streamgauge_actors::LatencyHistogram;

/// Upper edges in seconds: 24, evenly spaced on a logarithmic scale from 50 µs to 60 s.
pub const EDGES_S: [f64; 24] = [
    0.000_05, 0.000_092, 0.000_169, 0.000_31, 0.000_57, 0.001_05, 0.001_93, 0.003_54, 0.006_51,
    0.012, 0.022, 0.040_4, 0.074_3, 0.137, 0.251, 0.461, 0.847, 1.56, 2.86, 5.26, 9.67, 17.8, 32.6,
    60.0,
];

/// How many samples lie in each bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Per edge, and beyond the last one.
    counts: [u64; EDGES_S.len() + 1],
    sum_s: f64,
    /// Samples below 0, in no bucket.
    pub negative: u64,
}

impl Buckets {
    /// Adds a histogram's samples, each at the value that HDR keeps for it (three significant
    /// digits).
    pub fn add(&mut self, samples: &LatencyHistogram) {
        for (micros, count) in samples.buckets() {
            let seconds = micros as f64 / 1e6;
            self.counts[EDGES_S.partition_point(|&edge| edge < seconds)] += count;
            self.sum_s += seconds * count as f64;
        }
        self.negative += samples.negative();
    }

    /// As Prometheus takes it.
    pub fn to_proto(&self) -> Histogram {
        let mut histogram = Histogram::default();
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(EDGES_S.len());
        for (&edge, &count) in EDGES_S.iter().zip(&self.counts) {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(edge);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(self.counts.iter().sum());
        histogram.set_sample_sum(self.sum_s);
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_evenly_spaced_on_a_logarithmic_scale() {
        let step = (60.0_f64 / 50e-6).powf(1.0 / 23.0);
        for (i, &edge) in EDGES_S.iter().enumerate() {
            let exact = 50e-6 * step.powi(i as i32);
            assert!((edge / exact - 1.0).abs() < 0.01, "{i}: {edge} is not {exact}");
        }
    }

    #[test]
    fn every_sample_is_in_one_bucket() {
        let mut samples = LatencyHistogram::default();
        for ns in [0, 50_000, 51_000, 7_000_000, 61_000_000_000, -5] {
            samples.record(ns);
        }
        let mut buckets = Buckets::default();
        buckets.add(&samples);
        buckets.add(&samples);
        let proto = buckets.to_proto();
        assert_eq!((proto.get_sample_count(), buckets.negative), (10, 2));
        let cumulative: Vec<u64> =
            proto.get_bucket().iter().map(Bucket::cumulative_count).collect();
        assert_eq!((cumulative[0], cumulative[1], cumulative[8], cumulative[9]), (4, 6, 6, 8));
        assert_eq!(cumulative.last(), Some(&8), "what is beyond the last edge is in +Inf alone");
    }
}
