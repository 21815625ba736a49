//! Flags that several commands take. Each stands for a setting, and is one more layer over the
//! others.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Assignment, Layers};
use crate::report;

use super::broker::BrokerFlags;
use super::session::Session;

/// Declares a group of flags, each a setting given as text: the settings' own parser judges it,
/// wherever it came from.
macro_rules! setting_flags {
    ($(#[$group:meta])* $name:ident, $heading:literal: $(
        $(#[$about:meta])* $field:ident = $flag:literal $value:literal -> $key:literal;
    )*) => {
        $(#[$group])*
        #[derive(Args, Default)]
        #[allow(clippy::doc_markdown, reason = "help texts are shown as they are")]
        #[command(next_help_heading = $heading)]
        pub(super) struct $name {
            $($(#[$about])* #[arg(long = $flag, value_name = $value, allow_hyphen_values = true)]
            pub(super) $field: Option<String>,)*
        }

        impl $name {
            /// The settings that the given flags stand for.
            pub(super) fn assignments(&self) -> Vec<Assignment> {
                let mut assignments = Vec::new();
                $(if let Some(value) = &self.$field {
                    assignments.push(Assignment {
                        origin: concat!("flag --", $flag).to_owned(),
                        key: $key.to_owned(),
                        value: value.clone(),
                    });
                })*
                assignments
            }
        }
    };
}

setting_flags! {
    /// The events topic by name.
    EventsTopicFlag, "Topics":
    /// Events topic to use as it is
    events_topic = "events-topic" "TOPIC" -> "topics.events";
}

setting_flags! {
    /// The results topic by name.
    ResultsTopicFlag, "Topics":
    /// Results topic to use as it is
    results_topic = "results-topic" "TOPIC" -> "topics.results";
}

setting_flags! {
    /// The shape of topics that are made.
    TopicShapeFlags, "Topics":
    /// Partitions of the events topic
    partitions = "partitions" "N" -> "topics.partitions";
    /// Replicas of each partition
    replication = "replication" "N" -> "topics.replication";
}

setting_flags! {
    /// What is produced.
    WorkloadFlags, "Workload":
    /// Producers
    producers = "producers" "N" -> "workload.producers";
    /// Events per second over all producers, as 50k/s
    rate = "rate" "RATE" -> "workload.rate";
    /// Arrival process: uniform, poisson, poisson_normalized, mmpp, mmpp_windowed, max
    arrivals = "arrivals" "KIND" -> "workload.arrivals";
    /// Length of the measured part, as 60s
    duration = "duration" "TIME" -> "workload.duration";
    /// Campaigns
    campaigns = "campaigns" "N" -> "workload.campaigns";
    /// Ads of each campaign
    ads_per_campaign = "ads-per-campaign" "N" -> "workload.ads_per_campaign";
    /// Everything random derives from it
    seed = "seed" "N" -> "workload.seed";
}

setting_flags! {
    /// How long before measuring.
    WarmupFlag, "Workload":
    /// Length of the warm-up before it, rounded up to whole windows
    warmup = "warmup" "TIME" -> "workload.warmup";
}

setting_flags! {
    /// The windows.
    WindowFlag, "Workload":
    /// Length of a window, as 10s
    window = "window" "TIME" -> "workload.window";
}

setting_flags! {
    /// How events are aggregated.
    AggregatorFlags, "Aggregation":
    /// Aggregators; 0: one per partition, at most one per core
    aggregators = "aggregators" "N" -> "aggregator.count";
    /// How far events may run behind a partition's watermark
    allowed_lateness = "allowed-lateness" "TIME" -> "aggregator.allowed_lateness";
}

/// `--keep-topics`
#[derive(Args)]
pub(super) struct KeepTopicsFlag {
    /// Keep the topics made for this run
    #[arg(long, help_heading = "Topics")]
    keep_topics: bool,
}

impl KeepTopicsFlag {
    /// The setting, if the flag is given.
    pub(super) fn assignments(&self) -> Vec<Assignment> {
        let keep = Assignment {
            origin: "flag --keep-topics".to_owned(),
            key: "topics.keep".to_owned(),
            value: "true".to_owned(),
        };
        if self.keep_topics { vec![keep] } else { Vec::new() }
    }
}

/// `--threshold`
#[derive(Args)]
#[allow(clippy::doc_markdown, reason = "help texts are shown as they are")]
pub(super) struct ThresholdFlag {
    /// What the report must satisfy (else exit code 99), as "latency.result_latency.p99_ms < 50";
    /// repeatable, on top of thresholds.expressions
    #[arg(long = "threshold", value_name = "EXPRESSION", help_heading = "Reports")]
    thresholds: Vec<String>,
}

impl ThresholdFlag {
    /// The layers with these thresholds on top of those that are set.
    pub(super) fn over(&self, mut layers: Layers) -> Layers {
        layers.thresholds.clone_from(&self.thresholds);
        layers
    }
}

/// Everything that a whole run takes.
#[derive(Args)]
pub(super) struct RunFlags {
    #[command(flatten)]
    broker: BrokerFlags,
    #[command(flatten)]
    events: EventsTopicFlag,
    #[command(flatten)]
    results: ResultsTopicFlag,
    #[command(flatten)]
    shape: TopicShapeFlags,
    #[command(flatten)]
    keep: KeepTopicsFlag,
    #[command(flatten)]
    load: WorkloadFlags,
    #[command(flatten)]
    warmup: WarmupFlag,
    #[command(flatten)]
    window: WindowFlag,
    #[command(flatten)]
    aggregator: AggregatorFlags,
    #[command(flatten)]
    threshold: ThresholdFlag,
}

impl RunFlags {
    /// The layers with these flags on top.
    pub(super) fn layers(&self, session: &Session, workload: Option<&str>) -> Layers {
        self.threshold.over(session.layers(workload, self.settings()))
    }

    /// Thresholds on top of those that are set.
    pub(super) fn threshold(&self) -> &ThresholdFlag {
        &self.threshold
    }

    /// The settings that the given flags stand for.
    pub(super) fn settings(&self) -> Vec<Assignment> {
        [
            self.broker.settings(),
            self.events.assignments(),
            self.results.assignments(),
            self.shape.assignments(),
            self.keep.assignments(),
            self.load.assignments(),
            self.warmup.assignments(),
            self.window.assignments(),
            self.aggregator.assignments(),
        ]
        .concat()
    }
}

/// `--report`
#[derive(Args)]
pub(super) struct ReportFlag {
    /// Write the report to a file, its form by its extension; repeatable
    #[arg(
        long = "report",
        value_name = "FILE",
        value_parser = report_file,
        help_heading = "Reports"
    )]
    pub(super) reports: Vec<PathBuf>,
}

/// A report's file, refused before the run rather than after it.
fn report_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    report::Format::from_path(&path).map_err(|error| error.to_string())?;
    in_a_folder(path)
}

/// Refuses a file in a folder that is not there.
pub(super) fn in_a_folder(path: PathBuf) -> Result<PathBuf, String> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(format!("there is no folder `{}`: create it first", folder.display()))
        }
        _ => Ok(path),
    }
}
