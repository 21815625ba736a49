//! What a run is: the resolved workload, as every stage gets it.

use crate::clock::Nanos;
use crate::workload::arrivals::{ArrivalKind, Arrivals, Bursts};
use crate::workload::frame::WindowFrame;
use crate::workload::mode::Mode;
use crate::workload::sections::aggregator::AggregatorSection;
use crate::workload::sections::input::InputSection;
use crate::workload::sections::result_writer::ResultWriterSection;
use crate::workload::sections::supervisor::SupervisorSection;
use crate::workload::sections::workload::WorkloadSection;

/// A run's resolved workload: the sections of the settings that it is made of, and what is its own.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// Names topics, results and reports; unique.
    pub run_id: String,
    /// 48 bits that mark this run's events (see `event.rs`).
    pub run_tag: u64,
    /// What is produced; here the warm-up is whole windows.
    pub workload: WorkloadSection,
    /// How it is aggregated; here `count` is at least 1.
    pub aggregator: AggregatorSection,
    /// How results are written.
    pub result_writer: ResultWriterSection,
    /// What records of others may look like.
    pub input: InputSection,
    /// When the run is given up.
    pub supervisor: SupervisorSection,
    /// Its topics.
    pub topics: RunTopics,
    /// Whether the broker's log stamps a result's insertion time; where not, its latency ends at
    /// the acknowledgement.
    pub log_append_time: bool,
}

/// The topics of a run.
#[derive(Clone, Debug)]
pub struct RunTopics {
    /// The events topic.
    pub events: String,
    /// The results topic.
    pub results: String,
    /// Where records of the events topic that are no readable events are kept.
    pub malformed: String,
    /// Partitions of the events topic.
    pub partitions: u32,
    /// Replicas of the topics.
    pub replication: u16,
}

impl RunSpec {
    /// The length of the whole schedule: warm-up and measured part.
    pub fn schedule_ns(&self) -> Nanos {
        self.workload.warmup.as_nanos().saturating_add(self.workload.duration.as_nanos())
    }

    /// How the run's windows lie in time. A foreign topic's windows are aligned on
    /// `base_event_time_ns`, and none of them is warm-up or cut short.
    pub fn frame(&self, base_ns: Nanos, base_event_time_ns: Option<Nanos>) -> WindowFrame {
        let window_ns = self.workload.window.as_nanos();
        match base_event_time_ns {
            Some(base) => WindowFrame::unscheduled(base, window_ns),
            None => WindowFrame {
                base_ns,
                window_ns,
                measure_from_ns: base_ns.saturating_add(self.workload.warmup.as_nanos()),
                end_ns: base_ns.saturating_add(self.schedule_ns()),
                scheduled: true,
            },
        }
    }

    /// The bursts of `mmpp` and `mmpp_windowed`.
    fn bursts(&self) -> Bursts {
        let WorkloadSection { mmpp, burst_correlation, .. } = self.workload;
        Bursts { states: mmpp, correlation: burst_correlation }
    }

    /// Events per second that a run of this mode is asked for; `None` where others send, or where
    /// events go out as fast as they can.
    pub fn target(&self, mode: Mode) -> Option<f64> {
        let is_paced = mode.produces() && self.workload.arrivals != ArrivalKind::Max;
        is_paced.then_some(self.workload.rate.0)
    }

    /// The arrivals of one producer, from 0.
    pub fn arrivals(&self, producer: u32) -> Arrivals {
        let workload = &self.workload;
        Arrivals::new(
            workload.arrivals,
            self.rate_per_producer(),
            workload.seed,
            producer,
            workload.producers,
            self.bursts(),
        )
    }

    /// Events per second of one producer.
    pub fn rate_per_producer(&self) -> f64 {
        self.workload.rate.0 / f64::from(self.workload.producers)
    }
}
