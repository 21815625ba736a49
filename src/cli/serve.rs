//! `streamgauge serve`: the daemon.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::broker::BrokerFlags;
use super::error::{CliError, CliResult};
use super::exit;
use super::flags::ThresholdFlag;
use super::session::Session;
use crate::config::{Assignment, ResolvedSettings};
use crate::daemon::signals::Signals;
use crate::daemon::{Daemon, DaemonSetup, StartError};
use crate::http;

/// Stay up: run benchmarks by schedule or on request; HTTP API, metrics, live page, history
#[derive(Args)]
pub(super) struct ServeArgs {
    /// Address and port to listen on [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS", help_heading = "Server")]
    listen: Option<String>,
    #[command(flatten)]
    broker: BrokerFlags,
    #[command(flatten)]
    threshold: ThresholdFlag,
}

/// How often signals are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) fn run(session: &Session, args: &ServeArgs) -> CliResult {
    let mut flags = args.broker.settings();
    flags.extend(args.listen.clone().map(|listen| Assignment {
        origin: "flag --listen".to_owned(),
        key: "server.listen".to_owned(),
        value: listen,
    }));
    // Logging as configured; the daemon reads the layers again, for every run.
    let layers = args.threshold.over(session.layers(None, flags));
    session.resolve(&layers)?;
    let signals = Signals::watch()?;
    signals.watch_reload()?;
    let daemon = Daemon::start(DaemonSetup {
        layers,
        folder: session.state_folder(),
        open_broker: Arc::new(ResolvedSettings::open_broker),
        open_endpoint: http::open,
    })?;
    while daemon.is_alive() {
        if let Some(signal) = signals.received() {
            tracing::info!(
                signal,
                "the daemon ends, once a run under way is drained; a second signal quits at once"
            );
            daemon.stop();
            return Ok(exit::by_signal(signal));
        }
        if signals.take_reload() {
            daemon.reload();
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Err(CliError::Runtime(anyhow::anyhow!("the daemon's keeper ended: see the log")))
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => Self::Config(error),
            StartError::Other(error) => Self::Runtime(error),
        }
    }
}
