//! The report of a run: what was measured, the verdict on it, and everything needed to make the run
//! again.
//!
//! [`Report`] is the JSON document of `schemas/report.schema.json`; every other form is rendered
//! from it, so that a stored report can be shown in any of them.
//!
//! - [`from_outcome`]: from what the pipeline hands over to the document
//! - [`latency`]: one latency's figures and its histogram
//! - [`next_step`]: the command to try next
//! - [`resources`], [`host`]: what the program itself used, and on what machine
//! - [`terminal`], [`markdown`], [`html`], [`csv`], [`hdr`]: the other forms; [`tables`],
//!   [`numbers`]: what the first three share
//! - [`thresholds`]: what a report must satisfy; [`truth_file`]: what was acknowledged, in a file
//! - [`compare`]: two reports compared
//! - [`format`]: which form a file gets, and how it is written

pub mod compare;
pub mod csv;
pub mod format;
pub mod from_outcome;
pub mod hdr;
pub mod host;
pub mod html;
pub mod latency;
pub mod markdown;
pub mod next_step;
pub mod numbers;
pub mod resources;
#[cfg(test)]
pub(crate) mod schema;
pub mod tables;
pub mod terminal;
mod thresholds;
pub mod truth_file;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use streamgauge_actors::{
    AuditTotals, Cause, Finding, Grade, Nanos, PerLatency, RunState, Second, StageCounters,
    Sustained, Verdict, WindowAudit,
};

pub use self::format::Format;
pub use self::from_outcome::{rfc3339, rfc3339_of_ms};
pub use self::host::Host;
pub use self::latency::LatencyFigures;
pub use self::resources::{ResourceMeter, Resources};

use crate::broker;
use crate::config::Threshold;

/// The version of the report's schema; it grows when a key changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 2;

/// The JSON Schema of a report.
pub const SCHEMA: &str = include_str!("../schemas/report.schema.json");

/// What a report says besides what the pipeline measured.
#[derive(Clone, Debug)]
pub struct ReportContext {
    /// The resolved configuration, secrets redacted.
    pub config: Value,
    /// The command line that makes this run again.
    pub rerun: String,
    /// When the process started, on the run's clock (`drain` counts from it).
    pub process_started_ns: Nanos,
    /// What the program itself used; `cpu_us_per_event` is filled in by [`Report::new`].
    pub resources: Resources,
    /// The machine.
    pub host: Host,
    /// What was running.
    pub versions: Versions,
    /// What the report must satisfy.
    pub thresholds: Vec<Threshold>,
    /// What the process ends with where a signal stopped the run and nothing was wrong until then;
    /// `None`: no signal did.
    pub stopped_by_signal: Option<u8>,
}

/// The report of one run: the JSON document that `schemas/report.schema.json` describes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    #[cfg_attr(test, schemars(extend("const" = SCHEMA_VERSION)))]
    pub schema_version: u32,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, the gravest first; never empty.
    #[cfg_attr(test, schemars(length(min = 1), inner(length(min = 1))))]
    pub reasons: Vec<String>,
    /// The cause of each reason, in their order; empty in a report of an older program.
    #[serde(default)]
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub causes: Vec<Cause>,
    /// The exit code that goes with it, as in [`Grade::TABLE`]; 130 or 143 where a signal stopped
    /// the run and nothing was wrong until then.
    #[cfg_attr(test, schemars(extend("enum" = [0, 1, 4, 5, 99, 130, 143])))]
    pub exit_code: u8,
    /// The command to try next.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub next: String,
    /// What a reader must know about single figures: why one is `null`, or is not quite what its
    /// name says.
    pub notes: Vec<String>,
    /// The run's unique name.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub run_id: String,
    /// Which stages ran.
    pub mode: ModeName,
    /// The preset or file that the workload came from.
    pub workload: String,
    /// Everything random derives from it.
    pub seed: u64,
    /// The broker.
    pub broker: BrokerReport,
    /// The topics used.
    pub topics: Topics,
    /// When preparations started (RFC 3339, UTC).
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    pub started_at: String,
    /// When the last stage was done (RFC 3339, UTC).
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    pub finished_at: String,
    /// Length of the warm-up before the measured part, seconds.
    pub warmup_s: f64,
    /// Length of the measured part as it was played, seconds; where others filled the topic, the
    /// whole run.
    pub duration_s: f64,
    /// How the run ended.
    pub ending: EndingReport,
    /// The pipeline's last generation.
    pub generation: u16,
    /// How far the wall clock moved against the monotonic one during the run, milliseconds.
    pub wall_step_ms: f64,
    /// Counts of events, warm-up included.
    pub events: StageCounters,
    /// Events per second of the measured part.
    pub throughput: Throughput,
    /// Whether the run kept up with its schedule; `not_tested` in a report of an older program.
    #[serde(default)]
    pub sustained: Sustained,
    /// Changes of the rate while the run was under way, in order.
    #[serde(default)]
    pub rate_changes: Vec<RateChangeRow>,
    /// The audit; `null` where nothing was audited.
    pub audit: Option<AuditTotals>,
    /// The thresholds, in the order of the settings.
    pub thresholds: Vec<ThresholdRow>,
    /// Draining a topic (`aggregate` only).
    pub drain: Option<Drain>,
    /// The latencies of the measured part.
    pub latency: PerLatency<LatencyFigures>,
    /// Every audited window, in order.
    pub windows: Vec<WindowAudit>,
    /// What is wrong, located (bounded; the audit's sums count all).
    pub findings: Vec<Finding>,
    /// One row a second.
    pub series: Vec<Second>,
    /// What the program itself used.
    pub resources: Resources,
    /// Faults injected on purpose.
    #[cfg_attr(test, schemars(with = "Vec<serde_json::Map<String, Value>>"))]
    pub faults: Vec<Value>,
    /// The resolved configuration, secrets redacted.
    #[cfg_attr(test, schemars(with = "serde_json::Map<String, Value>"))]
    pub config: Value,
    /// What was running.
    pub versions: Versions,
    /// The machine.
    pub host: Host,
    /// The command line that makes this run again.
    pub rerun: String,
}

/// Which stages a run had: the actors' `Mode` without what it was told to follow, which is in the
/// configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ModeName {
    /// All five.
    Run,
    /// The producers alone.
    Produce,
    /// Aggregators and result writer.
    Aggregate,
    /// The latency actor alone.
    Latency,
}

/// The broker: the actors' `BrokerDescription`. It is a type of its own because a report has the
/// sentences of what the broker lacks, and not the capabilities that they are of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BrokerReport {
    /// `embedded`, `kafka`, `redpanda` or `fluvio`.
    pub kind: String,
    /// Its version, or `unknown`.
    pub version: String,
    /// The delivery guarantee of results: exactly once, effectively once, at least once.
    pub guarantee: String,
    /// Whether a record's insertion time is the log's own.
    pub log_append_time: bool,
    /// What it cannot do that others can, and what that means for the figures: a sentence each.
    #[serde(default)]
    pub limitations: Vec<String>,
}

/// The topics used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Topics {
    /// The events topic.
    pub events: String,
    /// The results topic.
    pub results: String,
}

/// How a run ended: the actors' `Ending` in flat form. It is a type of its own because every key is
/// always there, `null` where it does not apply, and because the kind of a failure is not told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EndingReport {
    /// Played to its end, stopped on request, or failed.
    #[cfg_attr(test, schemars(with = "String"))]
    #[cfg_attr(test, schemars(extend("enum" = ["completed", "stopped", "failed"])))]
    pub how: RunState,
    /// Whether everything sent was still aggregated; `null` unless it was stopped.
    pub drained: Option<bool>,
    /// The stage that failed.
    pub stage: Option<String>,
    /// Why it failed.
    pub cause: Option<String>,
}

/// Events per second of the measured part; `null` where the run has no such rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Throughput {
    /// As asked for: where the rate was changed, its mean over the measured part; `null` with
    /// arrivals `max`, and where others filled the topic.
    pub target_per_second: Option<f64>,
    /// Acknowledged by the broker. (Handed to the client, in a report of schema version 1.)
    pub produced_per_second: Option<f64>,
    /// Handed to the client, acknowledged or not.
    #[serde(default)]
    pub handed_over_per_second: Option<f64>,
    /// Taken by the aggregators.
    pub consumed_per_second: Option<f64>,
}

/// A change of the rate while the run was under way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RateChangeRow {
    /// When it took effect, seconds since the run's base.
    pub at_s: f64,
    /// Events per second over all producers, from then on.
    pub events_per_second: f64,
}

/// A threshold, and whether the run satisfied it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ThresholdRow {
    /// As it was written.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub expression: String,
    /// The value at its path; `null` where nothing was measured, which satisfies no threshold.
    pub observed: Option<f64>,
    /// Whether it holds.
    pub passed: bool,
}

/// How fast a topic was drained: from the start of the process to the last acknowledged result of a
/// window that the log itself closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Drain {
    /// Events in those windows.
    pub events: u64,
    /// Seconds; `null`: no such window.
    pub seconds: Option<f64>,
    /// Events per second; `null`: no such window.
    pub per_second: Option<f64>,
}

/// What was running; `null`: not built in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Versions {
    /// This program.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub streamgauge: String,
    /// The Kafka client.
    pub librdkafka: Option<String>,
    /// The Fluvio client.
    pub fluvio: Option<String>,
}

impl Versions {
    /// This program, with clients of these versions.
    pub fn new(librdkafka: Option<String>, fluvio: Option<String>) -> Self {
        Self { streamgauge: env!("CARGO_PKG_VERSION").to_owned(), librdkafka, fluvio }
    }

    /// This program, with the clients that it was built with.
    pub fn of_program() -> Self {
        let client = |name| broker::client_versions().find(|(known, _)| *known == name)?.1;
        Self::new(client("librdkafka"), client("fluvio"))
    }

    /// The clients' libraries, with their versions.
    pub fn clients(&self) -> [(&'static str, Option<&str>); 2] {
        [("librdkafka", self.librdkafka.as_deref()), ("fluvio", self.fluvio.as_deref())]
    }
}

impl Report {
    /// How grave its verdict is.
    pub fn grade(&self) -> Grade {
        Grade::of(self.verdict, self.exit_code)
    }

    /// The report as indented JSON, with a line end (`-o json`).
    ///
    /// # Errors
    /// None that a report made by this program can cause.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// The report as one line of JSON, with a line end (`-o ndjson`).
    ///
    /// # Errors
    /// None that a report made by this program can cause.
    pub fn to_ndjson(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|text| text + "\n")
    }

    /// Reads a report as [`Self::to_json`] or [`Self::to_ndjson`] wrote it.
    ///
    /// # Errors
    /// When the text is not such a report, with where it is not; or when a newer program wrote it.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            schema_version: u32,
        }
        let Head { schema_version } = serde_json::from_str(text)?;
        if schema_version > SCHEMA_VERSION {
            return Err(serde_json::Error::custom(format!(
                "its schema version is {schema_version}, and streamgauge {} reads up to \
                 {SCHEMA_VERSION}: use a newer one",
                env!("CARGO_PKG_VERSION")
            )));
        }
        serde_json::from_str(text)
    }
}
