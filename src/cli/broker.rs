//! The broker that the settings name.

use std::sync::Arc;

use streamgauge_actors::{Broker, SharedClock};

use super::error::CliError;
use crate::broker;
use crate::config::Resolved;

/// The broker, which has just answered.
pub(super) fn connect(
    resolved: &Resolved,
    clock: SharedClock,
) -> Result<Arc<dyn Broker>, CliError> {
    let broker = broker::open(resolved, clock)?;
    broker.describe().map_err(|error| CliError::Unreachable(error.message))?;
    Ok(broker)
}
