//! The smallest run that tests start from.

use std::collections::BTreeMap;

use crate::clock::{MILLISECOND, SECOND};
use crate::ports::{DeadLetters, Record};
use crate::units::{AutoSpan, Rate, Share, Span, TimeUnit};
use crate::workload::arrivals::{ArrivalKind, BurstCorrelation, Mmpp};
use crate::workload::sections::aggregator::AggregatorSection;
use crate::workload::sections::input::InputSection;
use crate::workload::sections::result_writer::ResultWriterSection;
use crate::workload::sections::supervisor::SupervisorSection;
use crate::workload::sections::workload::WorkloadSection;
use crate::workload::spec::{RunSpec, RunTopics};

/// Forgets malformed records.
#[derive(Clone, Copy, Debug)]
pub struct NoDeadLetters;

impl DeadLetters for NoDeadLetters {
    fn keep(&mut self, _record: Record<'_>, _reason: &'static str) {}
}

/// A small workload to start from: 2 producers, 3 partitions, 3 windows of 200 ms, 2,000 events/s.
pub fn small_spec(run_id: &str) -> RunSpec {
    RunSpec {
        run_id: run_id.to_owned(),
        run_tag: 0x5eed,
        workload: small_workload(),
        aggregator: AggregatorSection {
            count: 2,
            allowed_lateness: AutoSpan::Auto,
            max_open_windows: 16,
            idle_timeout: Span::default(),
            group: String::new(),
        },
        result_writer: ResultWriterSection { batch: 1000 },
        input: InputSection {
            max_malformed: Share(0.001),
            max_ahead: AutoSpan::Auto,
            event_time_unit: TimeUnit::Ns,
            produce_time_unit: TimeUnit::Ms,
            fields: BTreeMap::new(),
        },
        supervisor: SupervisorSection {
            heartbeat_timeout: Span::from_nanos(10 * SECOND),
            catch_up_timeout: Span::from_nanos(10 * SECOND),
            drain_timeout: Span::from_nanos(60 * SECOND),
        },
        topics: RunTopics {
            events: format!("{run_id}.events"),
            results: format!("{run_id}.results"),
            malformed: format!("{run_id}.events.malformed"),
            partitions: 3,
            replication: 1,
        },
        log_append_time: true,
    }
}

fn small_workload() -> WorkloadSection {
    WorkloadSection {
        name: "test".to_owned(),
        producers: 2,
        rate: Rate(2000.0),
        arrivals: ArrivalKind::Uniform,
        burst_correlation: BurstCorrelation::Independent,
        duration: Span::from_nanos(600 * MILLISECOND),
        warmup: Span::default(),
        window: Span::from_nanos(200 * MILLISECOND),
        campaigns: 10,
        ads_per_campaign: 10,
        zipf_exponent: 0.0,
        ad_types: ["image", "video"].map(String::from).to_vec(),
        event_types: ["view", "click", "purchase"].map(String::from).to_vec(),
        seed: 1,
        progress_records: true,
        progress_interval: Span::from_nanos(100 * MILLISECOND),
        send_delay_limit: Span::from_nanos(SECOND),
        send_delay_share: 0.5,
        check_schedule: true,
        least_judged: Span::default(),
        mmpp: Mmpp::default(),
    }
}

impl RunSpec {
    /// The same workload, but for what `change` does to it.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
