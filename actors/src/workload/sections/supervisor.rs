//! `[supervisor]`: when a run is given up.

use serde::{Deserialize, Serialize};

use crate::checks::Checks;
use crate::units::Span;

/// `[supervisor]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SupervisorSection {
    /// A stage silent for longer has frozen.
    pub heartbeat_timeout: Span,
    /// How long producers may go on sending what is overdue at the schedule's end.
    pub catch_up_timeout: Span,
    /// How long a drain may go without any progress.
    pub drain_timeout: Span,
}

impl SupervisorSection {
    /// Checks what types alone cannot.
    pub fn check(&self, checks: &mut Checks) {
        checks.must(
            self.heartbeat_timeout.as_millis() >= 1000,
            "supervisor.heartbeat_timeout",
            "must be at least `1s`: a stage reports about once a second",
        );
        checks.must(
            !self.drain_timeout.is_zero(),
            "supervisor.drain_timeout",
            "must be above 0, as `60s`",
        );
    }
}
