//! What a run is: the resolved workload, in plain numbers, as every stage gets it.

use crate::clock::Nanos;
use crate::workload::arrivals::{ArrivalKind, BurstCorrelation};
use crate::workload::frame::WindowFrame;
use crate::workload::mode::Mode;

/// A run's resolved workload. Times and lengths are nanoseconds.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// Names topics, results and reports; unique.
    pub run_id: String,
    /// 48 bits that mark this run's events (see `stream/event.rs`).
    pub run_tag: u64,
    /// The preset or file that the workload came from.
    pub workload: String,
    /// Everything random derives from it.
    pub seed: u64,
    /// Producers, at least 1.
    pub producers: u32,
    /// Aggregators, at least 1; at most one per partition is of use.
    pub aggregators: u32,
    /// Partitions of the events topic.
    pub partitions: u32,
    /// Replicas of the topics.
    pub replication: u16,
    /// Events per second over all producers.
    pub rate: f64,
    /// The arrival process.
    pub arrivals: ArrivalKind,
    /// Whether the producers burst together.
    pub burst_correlation: BurstCorrelation,
    /// Length of the measured part.
    pub duration_ns: Nanos,
    /// Length of the warm-up: whole windows.
    pub warmup_ns: Nanos,
    /// Length of a tumbling window.
    pub window_ns: Nanos,
    /// Campaigns; ids are `1..=campaigns`.
    pub campaigns: u32,
    /// Ads of each campaign.
    pub ads_per_campaign: u32,
    /// Exponent of the Zipf distribution over campaigns; `None`: uniform.
    pub zipf_exponent: Option<f64>,
    /// Values that `ad_type` is drawn from.
    pub ad_types: Vec<String>,
    /// Values that `event_type` is drawn from.
    pub event_types: Vec<String>,
    /// How far events may run behind a partition's watermark.
    pub allowed_lateness_ns: Nanos,
    /// Longest silence of a producer on a partition before it writes a progress record.
    pub progress_interval_ns: Nanos,
    /// Whether progress records are written at all.
    pub progress_records: bool,
    /// Windows that a partition may be ahead of the slowest one before its reader pauses.
    pub max_open_windows: u32,
    /// Results handed to the client per turn, at most.
    pub result_batch: u32,
    /// The events topic.
    pub events_topic: String,
    /// The results topic.
    pub results_topic: String,
    /// Where records of the events topic that are no readable events are kept.
    pub malformed_topic: String,
    /// Whether the broker's log stamps a result's insertion time; where not, its latency ends at
    /// the acknowledgement.
    pub log_append_time: bool,
    /// Delay of sending past which an event counts as late sent.
    pub send_delay_limit_ns: Nanos,
    /// Share of events sent late past which the run is generator-limited or broker-limited.
    pub send_delay_share: f64,
    /// A stage silent for longer has frozen.
    pub heartbeat_timeout_ns: Nanos,
    /// Time allowed for draining before the run fails.
    pub drain_timeout_ns: Nanos,
}

impl RunSpec {
    /// The length of the whole schedule: warm-up and measured part.
    pub fn schedule_ns(&self) -> Nanos {
        self.warmup_ns.saturating_add(self.duration_ns)
    }

    /// How the run's windows lie in time. A foreign topic's windows are aligned on
    /// `base_event_time_ns`, and none of them is warm-up or cut short.
    pub fn frame(&self, base_ns: Nanos, base_event_time_ns: Option<Nanos>) -> WindowFrame {
        match base_event_time_ns {
            Some(base) => WindowFrame::unscheduled(base, self.window_ns),
            None => WindowFrame {
                base_ns,
                window_ns: self.window_ns,
                measure_from_ns: base_ns.saturating_add(self.warmup_ns),
                end_ns: base_ns.saturating_add(self.schedule_ns()),
                scheduled: true,
            },
        }
    }

    /// Events per second that a run of this mode is asked for; `None` where others send, or where
    /// events go out as fast as they can.
    pub fn target(&self, mode: Mode) -> Option<f64> {
        (mode.produces() && self.arrivals != ArrivalKind::Max).then_some(self.rate)
    }

    /// Events per second of one producer.
    pub fn rate_per_producer(&self) -> f64 {
        self.rate / f64::from(self.producers)
    }
}
