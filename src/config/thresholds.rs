//! `[thresholds]`: what a run must satisfy.

use serde::{Deserialize, Serialize};
use streamgauge_actors::Checks;

use super::threshold::Threshold;

/// The setting that holds them.
pub(super) const EXPRESSIONS: &str = "thresholds.expressions";

/// `[thresholds]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ThresholdsSection {
    /// What a run's report must satisfy, as `latency.result_latency.p99_ms < 50`.
    pub expressions: Vec<String>,
}

impl ThresholdsSection {
    /// Checks what types alone cannot.
    pub(super) fn check(&self, checks: &mut Checks) {
        for expression in &self.expressions {
            if let Err(message) = Threshold::parse(expression) {
                checks.must(false, EXPRESSIONS, refusal(&message));
            }
        }
    }
}

/// What follows the key where an expression is refused.
pub(super) fn refusal(message: &str) -> String {
    format!("has an expression that cannot be read: {message}")
}
