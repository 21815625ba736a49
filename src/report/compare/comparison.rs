//! What a comparison of two reports says.

use serde::Serialize;
use streamgauge_actors::Verdict;

use super::alike::Difference;
use super::series::{Better, Per};
use super::welch::{Sample, Test};

/// Stands where different rates were asked for.
pub(crate) const OTHER_TARGET: &str = "another rate was asked for";

/// A comparison of two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The conclusion, in words.
    pub conclusion: String,
    /// What a reader must know before the figures, the gravest first: a verdict that is no pass,
    /// unlike workloads, different machines.
    pub warnings: Vec<String>,
    /// The run compared with.
    pub base: ComparedRun,
    /// The run compared.
    pub candidate: ComparedRun,
    /// Settings that differ and were not named; empty unless the comparison was forced.
    pub differences: Vec<Difference>,
    /// Settings that differ and were named: the runs are compared across them.
    pub across: Vec<Difference>,
    /// What else differs: broker, versions, machine, seed, and the settings of unlike clients.
    pub circumstances: Vec<Difference>,
    /// The chance of a false alarm that is put up with, over all metrics together.
    pub alpha: f64,
    /// Every metric that either run has.
    pub metrics: Vec<MetricRow>,
    /// Figures without a test.
    pub information: Vec<InformationRow>,
    /// Counts of the audit that are greater than in the base.
    pub audit: Vec<AuditRow>,
}

/// One of the two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ComparedRun {
    /// Its name.
    pub run_id: String,
    /// Its workload's name.
    pub workload: String,
    /// Broker and version.
    pub broker: String,
    /// When it started.
    pub started_at: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

/// What is to be said of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MetricVerdict {
    /// Significantly better.
    Better,
    /// Significantly worse.
    Worse,
    /// No significant difference.
    NoDifference,
    /// A rate that was asked for, and met by both.
    OnTarget,
    /// It cannot be tested.
    Untested,
}

/// One metric of both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MetricRow {
    /// Its name: `publish_latency.p99_ms`.
    pub metric: String,
    /// What one value stands for.
    pub per: Per,
    /// Which direction is good.
    pub better: Better,
    /// The base's values, summed up; `null`: none.
    pub base: Option<Sample>,
    /// The candidate's.
    pub candidate: Option<Sample>,
    /// Candidate's mean less base's.
    pub difference: Option<f64>,
    /// The difference as a share of the base's mean; `null` where that is 0.
    pub relative_change: Option<f64>,
    /// The step in which the values are measured: no difference up to it is significant.
    pub resolution: f64,
    /// The test, with the 95 % confidence interval of the difference; `null`: see `reason`.
    pub test: Option<Test>,
    /// The chance of such a difference by accident, adjusted for the number of metrics (Holm).
    pub p_adjusted: Option<f64>,
    /// What is to be said.
    pub finding: MetricVerdict,
    /// Why there is no test, or why its difference counts for nothing.
    pub reason: Option<&'static str>,
}

/// A figure of both runs that is one number a run, so that nothing can be tested.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InformationRow {
    /// Its name.
    pub metric: String,
    /// The base's.
    pub base: Option<f64>,
    /// The candidate's.
    pub candidate: Option<f64>,
    /// Candidate over base, less 1.
    pub relative_change: Option<f64>,
    /// The step in which it is measured, the coarser one of both runs.
    pub resolution: f64,
}

/// A count of the audit that is worse than in the base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// Its key in the report: `audit.events_lost`.
    pub count: &'static str,
    /// The base's; `null`: it was not audited.
    pub base: Option<u64>,
    /// The candidate's.
    pub candidate: u64,
}
