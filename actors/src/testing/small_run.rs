//! The smallest run that tests start from.

use crate::clock::{MILLISECOND, SECOND};
use crate::ports::{DeadLetters, Record};
use crate::workload::arrivals::{ArrivalKind, BurstCorrelation, Mmpp};
use crate::workload::spec::RunSpec;

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
        workload: "test".to_owned(),
        seed: 1,
        producers: 2,
        aggregators: 2,
        partitions: 3,
        replication: 1,
        rate: 2000.0,
        arrivals: ArrivalKind::Uniform,
        burst_correlation: BurstCorrelation::Independent,
        mmpp: Mmpp::default(),
        duration_ns: 600 * MILLISECOND,
        warmup_ns: 0,
        window_ns: 200 * MILLISECOND,
        campaigns: 10,
        ads_per_campaign: 10,
        zipf_exponent: None,
        ad_types: ["image", "video"].map(String::from).to_vec(),
        event_types: ["view", "click", "purchase"].map(String::from).to_vec(),
        allowed_lateness_ns: 0,
        progress_interval_ns: 100 * MILLISECOND,
        progress_records: true,
        max_open_windows: 16,
        result_batch: 1000,
        events_topic: format!("{run_id}.events"),
        results_topic: format!("{run_id}.results"),
        log_append_time: true,
        malformed_topic: format!("{run_id}.events.malformed"),
        send_delay_limit_ns: SECOND,
        send_delay_share: 0.5,
        heartbeat_timeout_ns: 10 * SECOND,
        drain_timeout_ns: 60 * SECOND,
    }
}
