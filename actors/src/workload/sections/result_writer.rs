//! `[result_writer]`: how results are written.

use serde::{Deserialize, Serialize};

use crate::checks::Checks;

/// A turn of so many results takes tens of milliseconds.
const MOST_IN_A_TURN: u32 = 100_000;

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
        checks.must(
            (1..=MOST_IN_A_TURN).contains(&self.batch),
            "result_writer.batch",
            format!("must be 1 to {MOST_IN_A_TURN}, but is {}", self.batch),
        );
    }
}
