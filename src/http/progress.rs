//! A run's progress as server-sent events: `status` at every change and about once a second,
//! `second` and `window` for every one there is, and `finished` at the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::api::ApiData;
use super::patience::Connection;
use super::problem::Problem;
use super::runs::{AnyRun, find_run};
use crate::live::{Bookmark, LiveRun, RunView};
use crate::report::Report;

/// How often a status is sent when nothing changes: an open connection is seen to be alive.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// Changes closer together than this are told together.
const GATHER: Duration = Duration::from_millis(100);

pub(super) async fn events(
    api: ApiData,
    request: HttpRequest,
    run_id: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let last =
        request.headers().get("Last-Event-ID").and_then(|value| value.to_str().ok()).map(seen_by);
    let seen = last.unwrap_or_default();
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/event-stream")
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("X-Accel-Buffering", "no"));
    Ok(match find_run(&api, &run_id).await? {
        AnyRun::Live(run) => {
            let permit = Arc::clone(&api.streams).try_acquire_owned();
            let permit = permit.map_err(|_| Problem::too_many_streams())?;
            response.streaming(live(run, seen, permit, Connection::of(&request)))
        }
        AnyRun::Over(report) => response.body(over(&report, seen)),
        AnyRun::Unreported(row) => {
            let view = RunView::of_row(&row);
            response.body([frame("status", None, &view), frame("finished", None, &view)].concat())
        }
    })
}

/// How much a client has seen that names its last event: `s<seconds>w<windows>`.
fn seen_by(id: &str) -> Bookmark {
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
    let id = id.trim_start_matches('s');
    let (seconds, windows) =
        id.split_once('w').map_or((Some(id), None), |(s, w)| (Some(s), Some(w)));
    Bookmark { seconds: number(seconds), windows: number(windows) }
}

fn id_of(seen: Bookmark) -> String {
    format!("s{}w{}", seen.seconds, seen.windows)
}

/// One event on the wire.
fn frame<T: Serialize>(event: &str, id: Option<&str>, data: &T) -> String {
    let data = serde_json::to_string(data).unwrap_or_default();
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("event: {event}\n{id}data: {data}\n\n")
}

/// A run that is over, all at once.
fn over(report: &Report, seen: Bookmark) -> String {
    let view = RunView::of_report(report);
    let mut text = frame("status", None, &view);
    let mut at = seen;
    for second in report.series.iter().skip(seen.seconds) {
        at.seconds += 1;
        text += &frame("second", Some(&id_of(at)), second);
    }
    for window in report.windows.iter().skip(seen.windows) {
        at.windows += 1;
        text += &frame("window", Some(&id_of(at)), window);
    }
    text + &frame("finished", None, &view)
}

struct ProgressStream {
    run: Arc<LiveRun>,
    changes: watch::Receiver<u64>,
    seen: Bookmark,
    is_begun: bool,
    ready: VecDeque<String>,
    is_over: bool,
    connection: Option<Arc<Connection>>,
    /// Given back when the client is gone, or the run is over.
    _permit: OwnedSemaphorePermit,
}

/// A run that goes on, as it goes on.
fn live(
    run: Arc<LiveRun>,
    seen: Bookmark,
    permit: OwnedSemaphorePermit,
    connection: Option<Arc<Connection>>,
) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
    let changes = run.watch();
    let stage = ProgressStream {
        run,
        changes,
        seen,
        is_begun: false,
        ready: VecDeque::new(),
        is_over: false,
        connection,
        _permit: permit,
    };
    stream::unfold(stage, |mut stage| async move {
        loop {
            if !stage.ready.is_empty() {
                let text: String = stage.ready.drain(..).collect();
                // Asked for only once what came before has gone out.
                stage.connection.iter().for_each(|connection| connection.renew());
                return Some((Ok(Bytes::from(text)), stage));
            }
            if stage.is_over {
                return None;
            }
            if stage.is_begun {
                // Whatever wakes it, there is something to say: a change, or that it still lives.
                drop(tokio::time::timeout(STATUS_EVERY, stage.changes.changed()).await);
                tokio::time::sleep(GATHER).await;
            }
            stage.gather();
        }
    })
}

impl ProgressStream {
    fn gather(&mut self) {
        self.changes.mark_unchanged();
        let news = self.run.news(self.seen);
        let first_second = news.seen.seconds - news.seconds.len();
        let first_window = news.seen.windows - news.windows.len();
        self.ready.push_back(frame("status", None, &news.view));
        let mut at =
            Bookmark { seconds: first_second, windows: self.seen.windows.max(first_window) };
        for second in &news.seconds {
            at.seconds += 1;
            self.ready.push_back(frame("second", Some(&id_of(at)), second));
        }
        at.windows = first_window;
        for window in &news.windows {
            at.windows += 1;
            self.ready.push_back(frame("window", Some(&id_of(at)), window));
        }
        if news.is_over {
            self.ready.push_back(frame("finished", None, &news.view));
            self.is_over = true;
        }
        self.seen = news.seen;
        self.is_begun = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_events_id_tells_how_much_was_seen() {
        let seen = Bookmark { seconds: 12, windows: 3 };
        assert_eq!(seen_by(&id_of(seen)), seen);
        assert_eq!(seen_by("nonsense"), Bookmark::default());
        assert_eq!(seen_by("s7"), Bookmark { seconds: 7, windows: 0 });
    }
}
