//! Where callers reach the daemon: a port, which the HTTP server is plugged into.

use std::net::SocketAddr;
use std::sync::Arc;

use actix::Addr;
use streamgauge_actors::Supervisor;

use super::server_settings::ServerSettings;
use super::shared::SharedState;

/// A place that listens for callers, and answers them on threads of its own.
pub trait Endpoint: Send + Sync {
    /// Where it listens.
    fn address(&self) -> SocketAddr;

    /// Ends it; answers under way have a moment to be given.
    fn stop(&mut self);
}

/// Opens an endpoint. It answers from then on; an error means that nothing listens.
pub type OpenEndpoint =
    fn(&ServerSettings, Arc<SharedState>, Addr<Supervisor>) -> anyhow::Result<Box<dyn Endpoint>>;
