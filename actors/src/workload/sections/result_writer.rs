//! `[result_writer]`: how results are written.

use serde::{Deserialize, Serialize};

use crate::checks::Checks;

/// `[result_writer]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ResultWriterSection {
    /// Results handed to the client in one turn, at most.
    pub batch: u32,
}

impl ResultWriterSection {
    /// Checks what types alone cannot.
    pub fn check(&self, checks: &mut Checks) {
        checks.must(self.batch > 0, "result_writer.batch", "must be at least 1");
    }
}
