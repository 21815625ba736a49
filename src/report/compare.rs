//! Two reports compared: whether the candidate is better, worse, or not significantly different
//! from the base.
//!
//! - [`alike`]: whether both had the same work to do; [`allowance`]: in what they may differ;
//!   [`meaning`]: names that changed their meaning
//! - [`series`]: the figures that are compared, one value a second or a window; [`ends`]: where
//!   latencies begin and end
//! - [`welch`]: the test; [`regression`]: what got worse
//! - [`words`]: the comparison for people
//!
//! Only runs of the same work are compared, unless forced. Every metric is tested on its values
//! by second (or window) of the measured part; the chances are adjusted for the number of metrics,
//! so that comparing many is no way to find something.

pub mod alike;
pub mod allowance;
mod comparison;
pub mod ends;
pub mod meaning;
pub mod regression;
pub mod series;
pub mod welch;
pub mod words;

use serde::Serialize;
use streamgauge_actors::Verdict;

use self::alike::Likeness;
pub use self::alike::{Difference, setting_differences};
pub use self::allowance::Allowance;
pub(crate) use self::comparison::OTHER_TARGET;
pub use self::comparison::{
    AuditRow, ComparedRun, Comparison, InformationRow, MetricRow, MetricVerdict,
};
use self::ends::Ends;
use self::meaning::CHANGED_MEANINGS;
pub use self::regression::Regression;
pub use self::series::Better;
use self::series::metrics;
pub(crate) use self::series::{Metric, Per, latency_step};
use self::welch::{ALPHA, MIN_INDEPENDENT, MIN_SAMPLES, Sample, Untestable, holm, welch};
use super::Report;

/// Share of its target from which on a paced run meets it: what it was asked for is no merit, nor
/// is a little less a defect.
const ON_TARGET_SHARE: f64 = 0.99;

/// Two runs whose figures cannot be compared as they are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unlike {
    /// Every setting that differs and was not named.
    pub differences: Vec<Difference>,
    /// What else makes their figures mean different things, a sentence each.
    pub mixed: Vec<String>,
}

impl std::fmt::Display for Unlike {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.differences.is_empty() {
            "the figures of the two runs say nothing of each other:"
        } else {
            "the two runs had different work to do, so that their figures say nothing of each \
             other:"
        })?;
        self.differences.iter().try_for_each(|difference| write!(f, "\n  {difference}"))?;
        self.mixed.iter().try_for_each(|sentence| write!(f, "\n  {sentence}"))
    }
}

impl std::error::Error for Unlike {}

/// Compares two runs.
///
/// # Errors
/// [`Unlike`] where they differ in more than is allowed.
pub fn compare(
    base: &Report,
    candidate: &Report,
    allowance: &Allowance,
) -> Result<Comparison, Unlike> {
    let likeness = Likeness::of(base, candidate, allowance);
    if !likeness.is_alike() && !allowance.is_forced() {
        return Err(Unlike { differences: likeness.differences, mixed: likeness.mixed });
    }
    let circumstances = alike::circumstances(base, candidate);
    let mut comparison = Comparison {
        conclusion: String::new(),
        warnings: warnings(base, candidate, &likeness, &circumstances),
        base: ComparedRun::of(base),
        candidate: ComparedRun::of(candidate),
        differences: likeness.differences,
        across: likeness.across,
        circumstances,
        alpha: ALPHA,
        metrics: tested(base, candidate),
        information: vec![cpu(base, candidate)],
        audit: wrong_counts(base, candidate),
    };
    comparison.conclusion = words::conclusion(&comparison);
    Ok(comparison)
}

impl Comparison {
    /// Whether both runs passed: the figures of any other are no result.
    pub fn both_passed(&self) -> bool {
        [&self.base, &self.candidate].iter().all(|side| side.verdict == Verdict::Pass)
    }
}

impl ComparedRun {
    fn of(report: &Report) -> Self {
        Self {
            run_id: report.run_id.clone(),
            workload: report.workload.clone(),
            broker: format!("{} {}", report.broker.kind, report.broker.version).trim().to_owned(),
            started_at: report.started_at.clone(),
            verdict: report.verdict,
            reason: report.reasons.first().cloned().unwrap_or_default(),
        }
    }
}

impl InformationRow {
    /// Whether the two differ by no more than the step in which they are measured.
    pub(crate) fn is_within_resolution(&self) -> bool {
        self.base
            .zip(self.candidate)
            .is_some_and(|(base, candidate)| is_within(candidate - base, self.resolution))
    }
}

/// Processor time per event.
fn cpu(base: &Report, candidate: &Report) -> InformationRow {
    let step = |report: &Report| report.cpu_resolution_us_per_event().unwrap_or(0.0);
    let [first, second] = [base, candidate].map(|report| report.resources.cpu_us_per_event);
    InformationRow {
        metric: "resources.cpu_us_per_event".to_owned(),
        base: first,
        candidate: second,
        relative_change: first.zip(second).and_then(|(first, second)| share(first, second)),
        resolution: step(base).max(step(candidate)),
    }
}

/// Whether a difference is no more than a step. (Decimal fractions that differ by just a step may
/// differ by a little more as binary ones.)
fn is_within(difference: f64, step: f64) -> bool {
    difference.abs() <= step * (1.0 + 1e-9)
}

/// How far `candidate` is from `base`, as a share of it; `None` where that is 0.
fn share(base: f64, candidate: f64) -> Option<f64> {
    Some((candidate - base) / base).filter(|share| share.is_finite())
}

fn warnings(
    base: &Report,
    candidate: &Report,
    likeness: &Likeness,
    circumstances: &[Difference],
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (side, report) in [("base", base), ("candidate", candidate)] {
        if report.verdict != Verdict::Pass {
            let verdict = super::tables::verdict(report.verdict);
            let reason = report.reasons.first().map_or("", String::as_str);
            warnings.push(format!(
                "the {side} is no result: {verdict}: {reason}. Its figures prove nothing"
            ));
        }
    }
    if !likeness.differences.is_empty() {
        let keys: Vec<&str> =
            likeness.differences.iter().map(|difference| difference.key.as_str()).collect();
        warnings.push(format!(
            "the workloads are unlike, and the comparison was forced: {}",
            keys.join(", ")
        ));
    }
    warnings.extend(likeness.mixed.iter().map(|each| format!("the comparison was forced: {each}")));
    let machine: Vec<String> = circumstances
        .iter()
        .filter(|each| each.key.starts_with("host."))
        .map(ToString::to_string)
        .collect();
    if !machine.is_empty() {
        let machine = machine.join("; ");
        warnings.push(format!(
            "the machines differ, which alone may explain any difference: {machine}"
        ));
    }
    if base.run_id == candidate.run_id {
        warnings.push("both reports are of the same run".to_owned());
    }
    warnings
}

/// All metrics, the chances adjusted for their number.
fn tested(base: &Report, candidate: &Report) -> Vec<MetricRow> {
    let targets = [base.throughput.target_per_second, candidate.throughput.target_per_second];
    let versions = [base.schema_version, candidate.schema_version];
    let pairs = metrics(base).into_iter().zip(metrics(candidate));
    let mut rows: Vec<MetricRow> = pairs
        .filter(|(base, candidate)| !base.values.is_empty() || !candidate.values.is_empty())
        .map(|(base, candidate)| {
            let mut row = MetricRow::test(&base, &candidate);
            let mut meanings = meaning::between(&CHANGED_MEANINGS, versions);
            if meanings.any(|changed| changed.path == row.metric) {
                row.refuse(OTHER_MEANING);
            } else if row.better == Better::Higher && are_unlike(targets) {
                row.leave_untested(OTHER_TARGET);
            }
            row
        })
        .collect();
    conclude(rows.iter_mut().map(|row| (row, targets)).collect());
    rows
}

/// Whether two rates were asked for, and not the same.
pub(crate) fn are_unlike(targets: [Option<f64>; 2]) -> bool {
    targets.iter().all(Option::is_some) && targets[0] != targets[1]
}

/// Adjusts the chances of all tests for their number, and says what is to be said of each. Beside
/// each: what rate was asked for, on both sides.
pub(crate) fn conclude(rows: Vec<(&mut MetricRow, [Option<f64>; 2])>) {
    let (tested, others): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|(row, _)| row.test.is_some());
    let chances: Vec<f64> =
        tested.iter().filter_map(|(row, _)| row.test.map(|test| test.p_value)).collect();
    for ((row, targets), p) in tested.into_iter().zip(holm(&chances)) {
        row.p_adjusted = Some(p);
        row.conclude(targets);
    }
    for (row, targets) in others.into_iter().filter(|(row, _)| row.reason == Some(CONSTANT)) {
        row.conclude(targets);
    }
}

impl MetricRow {
    /// The row, its chance not yet adjusted.
    pub(crate) fn test(base: &Metric, candidate: &Metric) -> Self {
        let (first, second) = (base.sample(), candidate.sample());
        let all_ends: Vec<Ends> = base.ends.iter().chain(&candidate.ends).copied().collect();
        let means = first.zip(second).map(|(first, second)| (first.mean, second.mean));
        let mut row = Self {
            metric: base.name.clone(),
            per: base.per,
            better: base.better,
            base: first,
            candidate: second,
            difference: means.map(|(first, second)| second - first),
            relative_change: means.and_then(|(first, second)| share(first, second)),
            resolution: base.resolution.max(candidate.resolution),
            test: None,
            p_adjusted: None,
            finding: MetricVerdict::Untested,
            reason: None,
        };
        let Some((first, second)) = first.zip(second) else {
            row.reason = Some(if first.is_none() {
                "not measured in the base"
            } else {
                "not measured in the candidate"
            });
            return row;
        };
        if let Some(reason) = Ends::apart(&all_ends) {
            row.refuse(reason);
            return row;
        }
        // (Two single runs that agree say nothing, as two that differ do.)
        if base.values == candidate.values && (base.per != Per::Run || base.values.len() > 1) {
            row.finding = MetricVerdict::NoDifference;
            row.reason = Some("the same values");
            return row;
        }
        match welch(&first, &second) {
            Ok(test) => row.test = Some(test),
            Err(Untestable::SameConstant) => {
                row.finding = MetricVerdict::NoDifference;
                row.reason = Some("constant and equal");
            }
            Err(Untestable::DifferentConstants) => row.reason = Some(CONSTANT),
            Err(Untestable::TooFew) => {
                row.reason = Some(if base.per == Per::Run { TOO_FEW_RUNS } else { TOO_FEW });
            }
        }
        row
    }

    /// Takes the test back: there is nothing to be concluded from it.
    pub(crate) fn leave_untested(&mut self, reason: &'static str) {
        (self.test, self.finding, self.reason) = (None, MetricVerdict::Untested, Some(reason));
    }

    /// The same, where not even a tendency is to be read from the values.
    pub(crate) fn refuse(&mut self, reason: &'static str) {
        self.leave_untested(reason);
        (self.difference, self.relative_change) = (None, None);
    }

    /// What is to be said, now that the adjusted chance is known. (Constants have none: the step in
    /// which they are measured is all that there is to doubt.)
    fn conclude(&mut self, targets: [Option<f64>; 2]) {
        let (Some(base), Some(candidate)) = (self.base, self.candidate) else { return };
        if self.p_adjusted.is_some_and(|p_adjusted| p_adjusted >= ALPHA) {
            self.finding = MetricVerdict::NoDifference;
            return;
        }
        if is_within(candidate.mean - base.mean, self.resolution) {
            (self.finding, self.reason) = (MetricVerdict::NoDifference, Some(WITHIN_A_STEP));
            return;
        }
        if self.better == Better::Higher
            && let [Some(first), Some(second)] = targets
            && base.mean >= first * ON_TARGET_SHARE
            && candidate.mean >= second * ON_TARGET_SHARE
        {
            self.finding = MetricVerdict::OnTarget;
            self.reason = Some("both met their target");
            return;
        }
        let gained = match self.better {
            Better::Higher => candidate.mean > base.mean,
            Better::Lower => candidate.mean < base.mean,
        };
        self.finding = if gained { MetricVerdict::Better } else { MetricVerdict::Worse };
    }
}

/// Stands where neither side varies, and they differ.
const CONSTANT: &str = "constant in both, and different";

/// Stands where a difference is no more than a step of the resolution.
const WITHIN_A_STEP: &str = "apart by no more than the step in which it is measured";

/// Stands where a name means something else in the other report.
const OTHER_MEANING: &str = "its meaning changed between the reports' schema versions";

/// Stands where [`MIN_SAMPLES`] are not reached.
const TOO_FEW: &str = "fewer than 4 values";
const _: () = assert!(MIN_SAMPLES == 4, "TOO_FEW names it");

/// Stands where [`MIN_INDEPENDENT`] are not reached.
const TOO_FEW_RUNS: &str = "a single run tells nothing of chance";
const _: () = assert!(MIN_INDEPENDENT == 2, "TOO_FEW_RUNS names it");

/// The audit's counts, and those beside it, that are greater in the candidate.
fn wrong_counts(base: &Report, candidate: &Report) -> Vec<AuditRow> {
    let of = |report: &Report| -> Option<[(&'static str, u64); 8]> {
        let audit = report.audit.as_ref()?;
        Some([
            ("windows_incorrect", audit.windows.saturating_sub(audit.windows_exact)),
            ("audit.results_missing", audit.results_missing),
            ("audit.results_duplicated", audit.results_duplicated),
            ("audit.events_missing", audit.events_missing),
            ("audit.events_extra", audit.events_extra),
            ("audit.events_lost", audit.events_lost),
            ("audit.events_duplicated", audit.events_duplicated),
            ("audit.events_reordered", audit.events_reordered),
        ])
    };
    let before = of(base);
    let Some(now) = of(candidate) else { return Vec::new() };
    now.into_iter()
        .enumerate()
        .map(|(at, (count, candidate))| AuditRow {
            count,
            base: before.map(|before| before[at].1),
            candidate,
        })
        .filter(|row| row.candidate > row.base.unwrap_or(0))
        .collect()
}
