//! `[history]`: how long runs are kept.

use serde::{Deserialize, Serialize};
use streamgauge_actors::{Bytes, Checks, Span};

/// `[history]`
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HistorySection {
    /// How long a run is kept.
    pub keep: Span,
    /// What all runs may take on disk; the oldest go first.
    pub keep_bytes: Bytes,
}

impl HistorySection {
    /// Checks what types alone cannot.
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.must(!self.keep.is_zero(), "history.keep", "must be above 0, as `30d`");
        checks.must(self.keep_bytes.0 >= 1 << 20, "history.keep_bytes", "must be at least `1MiB`");
    }
}
