//! What got worse from one run to the next: what a gate fails on.

use serde::Serialize;
use streamgauge_actors::Verdict;

use super::comparison::{AuditRow, Comparison, MetricVerdict, OTHER_TARGET};
use super::series::Better;
use super::words;
use crate::report::tables;

/// Something that got worse.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Regression {
    /// The base passed, the candidate did not.
    Verdict {
        /// The candidate's verdict.
        verdict: Verdict,
        /// Why.
        reason: String,
    },
    /// A count of the audit is wrong, or more so.
    Audit(AuditRow),
    /// A metric is significantly worse, by more than the limit.
    Metric {
        /// Which.
        metric: String,
        /// By which share; `null`: the base's mean is 0.
        relative_change: Option<f64>,
        /// The chance of that by accident; `null`: both are constant.
        p_adjusted: Option<f64>,
    },
}

impl Comparison {
    /// What got worse: the verdict, counts of the audit, and every metric that is significantly
    /// worse by more than `limit_share` of the base's mean (0.05: five in a hundred).
    pub fn regressions(&self, limit_share: f64) -> Vec<Regression> {
        let mut found = Vec::new();
        if self.base.verdict == Verdict::Pass && self.candidate.verdict != Verdict::Pass {
            let (verdict, reason) = (self.candidate.verdict, self.candidate.reason.clone());
            found.push(Regression::Verdict { verdict, reason });
        }
        found.extend(self.audit.iter().cloned().map(Regression::Audit));
        let worse = self.metrics.iter().filter(|row| row.finding == MetricVerdict::Worse);
        // Without a share (the base's mean is 0) any significant worsening is beyond every limit.
        let beyond =
            worse.filter(|row| row.relative_change.is_none_or(|change| change.abs() > limit_share));
        found.extend(beyond.map(|row| Regression::Metric {
            metric: row.metric.clone(),
            relative_change: row.relative_change,
            p_adjusted: row.p_adjusted,
        }));
        found
    }
}

impl Comparison {
    /// Metrics that look worse by more than `limit_share` and could not be tested, so that no gate
    /// is closed by them; with the share, if there is one.
    pub fn ungated(&self, limit_share: f64) -> impl Iterator<Item = (&str, Option<f64>)> {
        let untested = self.metrics.iter().filter(|row| row.finding == MetricVerdict::Untested);
        untested.filter_map(move |row| {
            let difference = row.difference?;
            let is_worse = match row.better {
                Better::Lower => difference > row.resolution,
                Better::Higher => -difference > row.resolution,
            };
            let is_beyond = row.relative_change.is_none_or(|change| change.abs() > limit_share);
            (is_worse && is_beyond && row.reason != Some(OTHER_TARGET))
                .then_some((row.metric.as_str(), row.relative_change))
        })
    }
}

impl std::fmt::Display for Regression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Verdict { verdict, reason } => {
                write!(
                    f,
                    "the verdict: the base passed, the candidate did not ({}: {reason})",
                    tables::verdict(*verdict)
                )
            }
            Self::Audit(AuditRow { count, base, candidate }) => {
                let before = base.map_or_else(|| "not audited".to_owned(), |base| base.to_string());
                write!(f, "{count}: {candidate}, in the base {before}")
            }
            Self::Metric { metric, relative_change, p_adjusted } => {
                let change = words::percent(*relative_change);
                write!(f, "{metric}: {change}, {}", words::certainty(*p_adjusted))
            }
        }
    }
}
