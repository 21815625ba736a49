//! The HTTP API: translates requests into messages to the supervisor, and shows what is known of
//! runs. Only this module names `actix_web`.
//!
//! - `api.rs`: what every handler has
//! - `gate.rs`: who may ask: Host, Origin, token          - `problem.rs`: how an error is told (RFC
//!   9457)
//! - `patience.rs`: how long a caller may take
//! - `orders.rs`: start, stop, restart, set the rate       - `runs.rs`: runs, reports, series,
//!   comparison
//! - `progress.rs`: a run's progress, as server-sent events
//! - `status.rs`: the daemon itself: status, configuration, health, metrics
//! - `page.rs`: the live page and its files                - `openapi.rs`: all of it, described

#![allow(
    clippy::result_large_err,
    reason = "an error here is an answer, made once a request at most"
)]

mod api;
mod gate;
mod openapi;
mod orders;
mod page;
mod patience;
mod problem;
mod progress;
mod runs;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use actix::Addr;
use actix_web::dev::ServerHandle;
use actix_web::http::KeepAlive;
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::{App, HttpResponse, HttpServer, guard, web};
use anyhow::{Context as _, anyhow};
use streamgauge_actors::Supervisor;
use tokio::sync::Semaphore;

use self::api::Api;
use self::gate::Gate;
use self::problem::Problem;
use crate::daemon::{Endpoint, ServerSettings, SharedState};

pub use self::openapi::document as openapi_document;

/// How long an idle connection is kept open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long the end of the daemon waits for answers that are under way, seconds.
const SHUTDOWN_TIMEOUT_S: u64 = 2;
/// Threads that answer. Nothing blocks them: files and the history are read on others.
const WORKERS: usize = 1;

/// The HTTP server, on a thread of its own.
struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(
        settings: &ServerSettings,
        shared: Arc<SharedState>,
        supervisor: Addr<Supervisor>,
    ) -> anyhow::Result<Self> {
        let (to_us, from_server) = channel();
        let settings = settings.clone();
        let thread =
            std::thread::Builder::new().name("streamgauge-http".to_owned()).spawn(move || {
                actix_web::rt::System::new().block_on(async move {
                    let (address, server) = match bind(&settings, shared, supervisor) {
                        Ok(bound) => bound,
                        Err(error) => return drop(to_us.send(Err(error))),
                    };
                    drop(to_us.send(Ok((address, server.handle()))));
                    if let Err(error) = server.await {
                        tracing::error!("the HTTP server ended: {error}");
                    }
                });
            })?;
        let (address, handle) = from_server.recv().context("the HTTP server did not start")??;
        Ok(Self { address, handle, thread: Some(thread) })
    }
}

impl Endpoint for Server {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn stop(&mut self) {
        // The order is given by the call; the future only waits, and joining the thread does that.
        drop(self.handle.stop(true));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Listens, and answers from then on.
///
/// # Errors
/// When the address is taken, or no thread can be started.
pub fn open(
    settings: &ServerSettings,
    shared: Arc<SharedState>,
    supervisor: Addr<Supervisor>,
) -> anyhow::Result<Box<dyn Endpoint>> {
    Ok(Box::new(Server::start(settings, shared, supervisor)?))
}

fn bind(
    settings: &ServerSettings,
    shared: Arc<SharedState>,
    supervisor: Addr<Supervisor>,
) -> anyhow::Result<(SocketAddr, actix_web::dev::Server)> {
    let gate = web::Data::new(Gate::new(
        settings.listen,
        settings.token.as_deref(),
        &settings.allowed_hosts,
    ));
    let api = web::Data::new(Api {
        shared,
        supervisor,
        max_body_bytes: settings.max_body_bytes,
        body_timeout: settings.request_timeout,
        streams: Arc::new(Semaphore::new(settings.max_event_streams)),
    });
    let listen = settings.listen;
    let app = move || {
        App::new()
            .app_data(web::Data::clone(&api))
            .app_data(web::Data::clone(&gate))
            .app_data(
                web::QueryConfig::default()
                    .error_handler(|error, _| Problem::bad_query(&error).into()),
            )
            .wrap(
                DefaultHeaders::new()
                    .add(("X-Content-Type-Options", "nosniff"))
                    .add(("Referrer-Policy", "no-referrer")),
            )
            .wrap(from_fn(gate::check))
            .wrap(from_fn(patience::renew))
            .configure(routes)
            .default_service(web::to(not_found))
    };
    let server = HttpServer::new(app)
        .workers(WORKERS)
        .on_connect(patience::watch(settings.answer_timeout))
        .max_connections(settings.max_connections)
        .client_request_timeout(settings.request_timeout)
        .client_disconnect_timeout(Duration::from_secs(1))
        .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
        .shutdown_timeout(SHUTDOWN_TIMEOUT_S)
        .disable_signals()
        .bind(listen)
        .with_context(|| format!("cannot listen on {listen} (`server.listen`, --listen)"))?;
    let address =
        server.addrs().first().copied().ok_or_else(|| anyhow!("nothing is listened on"))?;
    Ok((address, server.run()))
}

async fn not_found() -> HttpResponse {
    Problem::not_found("there is nothing at this path")
        .with_hint("GET /openapi.json lists all paths")
        .respond()
}

fn wrong_method(allowed: &'static str) -> HttpResponse {
    let mut answer = Problem::wrong_method().respond();
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// A resource that takes these methods, and answers others with 405.
fn resource(path: &str, allowed: &'static str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(move || std::future::ready(wrong_method(allowed))))
}

/// GET, and HEAD, which is the same without a body.
fn get() -> actix_web::Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// What a resource takes that is only read.
const READ: &str = "GET, HEAD";

fn routes(config: &mut web::ServiceConfig) {
    use web::{patch, post};

    let read = |path: &str| resource(path, READ);
    config
        .service(read("/livez").route(get().to(status::livez)))
        .service(read("/readyz").route(get().to(status::readyz)))
        .service(read("/metrics").route(get().to(status::metrics)))
        .service(read("/openapi.json").route(get().to(openapi::serve)))
        .service(read("/").route(get().to(page::index)))
        .service(read("/assets/{name}").route(get().to(page::asset)))
        .service(
            web::scope("/api/v1")
                .wrap(from_fn(gate::authorize))
                .service(read("/version").route(get().to(status::version)))
                .service(read("/config").route(get().to(status::config)))
                .service(read("/workloads").route(get().to(status::workloads)))
                .service(read("/status").route(get().to(status::status)))
                .service(read("/compare").route(get().to(runs::compare)))
                .service(
                    resource("/runs", "GET, HEAD, POST")
                        .route(get().to(runs::list))
                        .route(post().to(orders::start)),
                )
                .service(
                    resource("/runs/{run_id}", "GET, HEAD, PATCH")
                        .route(get().to(runs::show))
                        .route(patch().to(orders::set_rate)),
                )
                .service(resource("/runs/{run_id}/stop", "POST").route(post().to(orders::stop)))
                .service(
                    resource("/runs/{run_id}/restart", "POST").route(post().to(orders::restart)),
                )
                .service(read("/runs/{run_id}/report").route(get().to(runs::report)))
                .service(read("/runs/{run_id}/timeseries").route(get().to(runs::timeseries)))
                .service(read("/runs/{run_id}/histogram").route(get().to(runs::histogram)))
                .service(read("/runs/{run_id}/events").route(get().to(progress::events)))
                .default_service(web::to(not_found)),
        );
}
