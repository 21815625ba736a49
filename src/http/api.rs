//! What every handler has.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use actix_web::web;
use streamgauge_actors::Supervisor;
use tokio::sync::Semaphore;

use super::problem::Problem;
use crate::daemon::SharedState;

/// The daemon, and the limits of requests.
pub(super) struct Api {
    pub(super) shared: Arc<SharedState>,
    pub(super) supervisor: Addr<Supervisor>,
    pub(super) max_body_bytes: usize,
    pub(super) body_timeout: Duration,
    /// A permit for every event stream that may be open at once.
    pub(super) streams: Arc<Semaphore>,
}

/// [`Api`] as actix hands it to a handler.
pub(super) type ApiData = web::Data<Api>;

/// Runs what may block (the disk, resolving settings) away from the threads that answer.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    web::block(work)
        .await
        .map_err(|_| Problem::internal("the daemon is too busy to answer: try again"))
}
