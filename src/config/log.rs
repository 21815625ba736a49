//! `[log]`: what is logged.

use serde::{Deserialize, Serialize};
use streamgauge_actors::Checks;

/// `[log]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogSection {
    /// A level, or directives as in `RUST_LOG`.
    pub level: String,
    /// How a line is written.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text.
    Human,
    /// One JSON object a line.
    Json,
}

impl LogSection {
    /// Checks what types alone cannot.
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.must(!self.level.trim().is_empty(), "log.level", "must not be empty, as `info`");
    }
}
