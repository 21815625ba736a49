//! `--truth FILE`: what the producers had acknowledged. Placeholder until a run hands out its ledger.

use std::path::Path;

use super::error::CliError;

/// Refuses the flag.
pub(super) fn refuse(path: Option<&Path>) -> Result<(), CliError> {
    match path {
        Some(_) => Err(CliError::Usage("--truth cannot be used yet: leave it out".to_owned())),
        None => Ok(()),
    }
}
