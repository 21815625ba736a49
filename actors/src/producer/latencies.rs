//! What producers measure.

use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::LatencyKind;

/// The latencies that producers measure.
#[derive(Default)]
pub(super) struct PublishLatencies {
    pub(super) delay: LatencyHistogram,
    pub(super) latency: LatencyHistogram,
}

impl PublishLatencies {
    /// The samples since the last call.
    pub(super) fn take(&mut self) -> Vec<(LatencyKind, LatencyHistogram)> {
        vec![
            (LatencyKind::PublishDelay, self.delay.take()),
            (LatencyKind::PublishLatency, self.latency.take()),
        ]
    }
}
