//! One deadline for a request with its answer, however small the pieces are in which a caller sends
//! the one or takes the other: what is still open then is cut, so that slow callers cannot keep the
//! connections that others need.
//!
//! A connection has so long from its beginning, and again from every request. An event stream,
//! which has no end of its own, has so long for each of its pieces.

use std::any::Any;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, rt};
use streamgauge_actors::{Clock as _, Nanos, RunClock};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A caller's connection.
pub(super) struct Connection {
    clock: RunClock,
    patience_ns: Nanos,
    deadline_ns: AtomicI64,
    socket: TcpStream,
    /// Dropped with the connection.
    _is_open: oneshot::Sender<()>,
}

impl Connection {
    /// It has its whole time again.
    pub(super) fn renew(&self) {
        self.deadline_ns.store(self.clock.now() + self.patience_ns, Ordering::Relaxed);
    }

    /// What is left of its time.
    fn left(&self) -> Duration {
        let left = self.deadline_ns.load(Ordering::Relaxed) - self.clock.now();
        Duration::from_nanos(u64::try_from(left).unwrap_or(0))
    }

    /// The connection of a request.
    pub(super) fn of(request: &HttpRequest) -> Option<Arc<Self>> {
        request.conn_data::<Arc<Self>>().cloned()
    }
}

/// Cuts connections that take longer than `patience`: for
/// [`on_connect`](actix_web::HttpServer::on_connect).
pub(super) fn watch(
    patience: Duration,
) -> impl Fn(&dyn Any, &mut Extensions) + Send + Clone + 'static {
    move |stream, data| {
        let Some(stream) = stream.downcast_ref::<rt::net::TcpStream>() else { return };
        // Without a descriptor to spare it is not watched; then few connections are.
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
        let (is_open, closed) = oneshot::channel();
        let connection = Arc::new(Connection {
            clock: RunClock::start(),
            patience_ns: i64::try_from(patience.as_nanos()).unwrap_or(Nanos::MAX / 2),
            deadline_ns: AtomicI64::new(0),
            socket: socket.into(),
            _is_open: is_open,
        });
        connection.renew();
        rt::spawn(cut_when_late(Arc::downgrade(&connection), closed));
        data.insert(connection);
    }
}

async fn cut_when_late(connection: Weak<Connection>, mut closed: oneshot::Receiver<()>) {
    while let Some(left) = connection.upgrade().map(|connection| connection.left()) {
        if left.is_zero() {
            if let Some(connection) = connection.upgrade() {
                // Closed already: then there is nothing to cut.
                drop(connection.socket.shutdown(Shutdown::Both));
            }
            return;
        }
        if timeout(left, &mut closed).await.is_ok() {
            return;
        }
    }
}

/// A request has begun: its connection has its whole time again.
pub(super) async fn renew<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    if let Some(connection) = Connection::of(request.request()) {
        connection.renew();
    }
    next.call(request).await
}
