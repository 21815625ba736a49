//! Requests to a daemon, and its errors told as the command line tells errors.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
use std::{iter, thread};

use serde_json::Value as Json;
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

use crate::cli::error::CliError;
use crate::config::ConfigError;
use crate::secrets::check_token;

/// How long a daemon may take to be reached, to begin an answer, and to end it. (A stream of events
/// has no end of its own.)
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PATIENCE: Patience =
    Patience { answer: Duration::from_secs(30), whole: Duration::from_mins(1) };

/// Lines of a stream that are read ahead.
const LINES_AHEAD: usize = 64;

/// How long a daemon may take.
#[derive(Clone, Copy)]
struct Patience {
    /// Until its answer begins, and for a line of a stream.
    answer: Duration,
    /// From the request to the answer's end.
    whole: Duration,
}

/// A daemon.
pub(super) struct Client {
    agent: Agent,
    /// For streams.
    patient: Agent,
    url: String,
    token: Option<String>,
    patience: Patience,
}

impl Client {
    pub(super) fn new(url: &str, token_file: Option<&Path>) -> Result<Self, CliError> {
        Self::with_patience(url, token_file, PATIENCE)
    }

    fn with_patience(
        url: &str,
        token_file: Option<&Path>,
        patience: Patience,
    ) -> Result<Self, CliError> {
        if !url.starts_with("http://") {
            return Err(CliError::Usage(format!(
                "`{url}` is no address of a daemon: write it as http://127.0.0.1:9464 (--url, \
                 STREAMGAUGE_URL)"
            )));
        }
        let read = |path: &Path| {
            let refused = |why: &str| {
                let path = path.display();
                CliError::Usage(format!(
                    "the token in `{path}` {why} (--token-file, STREAMGAUGE_TOKEN_FILE)"
                ))
            };
            let token = fs::read_to_string(path)
                .map_err(|error| refused(&format!("cannot be read: {error}")))?;
            check_token(token.trim()).map_err(refused)?;
            Ok::<_, CliError>(token.trim().to_owned())
        };
        let token = token_file.map(read).transpose()?;
        let agent = |whole: Option<Duration>| {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .timeout_connect(Some(CONNECT_TIMEOUT))
                .timeout_recv_response(Some(patience.answer))
                .timeout_global(whole)
                .proxy(None);
            Agent::new_with_config(config.build())
        };
        Ok(Self {
            agent: agent(Some(patience.whole)),
            patient: agent(None),
            url: url.trim_end_matches('/').to_owned(),
            token,
            patience,
        })
    }

    /// The request, with the token where there is one.
    fn authorized<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// Sends a request; an answer that is an error becomes one.
    fn answered(
        &self,
        sent: Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, CliError> {
        let mut response = sent.map_err(|error| {
            CliError::Runtime(anyhow::anyhow!(
                "the daemon at {} does not answer: {error}; is `streamgauge serve` running there? \
                 (--url, STREAMGAUGE_URL)",
                self.url
            ))
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let problem: Json = response.body_mut().read_json().unwrap_or(Json::Null);
        let Some(told) = told(&problem) else {
            let url = &self.url;
            return Err(CliError::Runtime(anyhow::anyhow!(
                "{url} answered {status}: is that a streamgauge daemon?"
            )));
        };
        // Settings are refused as they are where they are written.
        Err(if status == 422 {
            ConfigError::one("the daemon", "", told).into()
        } else {
            CliError::Runtime(anyhow::anyhow!("{told}"))
        })
    }

    fn json(&self, sent: Result<Response<Body>, ureq::Error>) -> Result<Json, CliError> {
        let mut response = self.answered(sent)?;
        let read = response.body_mut().with_config().limit(256 << 20).read_json();
        read.map_err(|error| {
            CliError::Runtime(anyhow::anyhow!("the daemon's answer cannot be read: {error}"))
        })
    }

    pub(super) fn get(&self, path: &str) -> Result<Json, CliError> {
        let request = self.authorized(self.agent.get(format!("{}{path}", self.url)));
        self.json(request.call())
    }

    pub(super) fn post(&self, path: &str, body: &Json) -> Result<Json, CliError> {
        let request = self.authorized(self.agent.post(format!("{}{path}", self.url)));
        self.json(request.send_json(body))
    }

    pub(super) fn patch(&self, path: &str, body: &Json) -> Result<Json, CliError> {
        let request = self.authorized(self.agent.patch(format!("{}{path}", self.url)));
        self.json(request.send_json(body))
    }

    /// The lines of a stream of events, which has one every second or so: a line that takes longer
    /// than an answer may is an error.
    pub(super) fn lines(
        &self,
        path: &str,
    ) -> Result<impl Iterator<Item = std::io::Result<String>>, CliError> {
        let request = self.authorized(self.patient.get(format!("{}{path}", self.url)));
        let response = self.answered(request.call())?;
        let lines = BufReader::new(response.into_body().into_reader()).lines();
        let (to_us, from_daemon) = sync_channel(LINES_AHEAD);
        // A read has no deadline of its own: it ends with the process.
        thread::Builder::new().name("streamgauge-lines".to_owned()).spawn(move || {
            for line in lines {
                if to_us.send(line).is_err() {
                    return;
                }
            }
        })?;
        let patience = self.patience.answer;
        Ok(iter::from_fn(move || match from_daemon.recv_timeout(patience) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => Some(Err(ErrorKind::TimedOut.into())),
        }))
    }

    /// The run that is meant: the one named, or the present one, or the last one.
    pub(super) fn run_id(&self, named: Option<&str>) -> Result<String, CliError> {
        if let Some(named) = named {
            return Ok(named.to_owned());
        }
        let status = self.get("/api/v1/status")?;
        let none = || {
            CliError::Runtime(anyhow::anyhow!(
                "the daemon has made no run yet: `streamgauge ctl start`"
            ))
        };
        status["run_id"].as_str().map(str::to_owned).ok_or_else(none)
    }
}

/// A problem document in a line or two; `None`: it is none.
fn told(problem: &Json) -> Option<String> {
    let mut text = problem["detail"].as_str()?.to_owned();
    for error in problem["errors"].as_array().into_iter().flatten() {
        let (pointer, why) =
            (error["pointer"].as_str().unwrap_or(""), error["detail"].as_str().unwrap_or(""));
        if !text.contains(why) {
            text.extend(["; ", pointer, ": ", why]);
        }
    }
    if let Some(hint) = problem["hint"].as_str() {
        text.extend([" (", hint, ")"]);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// A daemon that answers with this head at once, and then with spaces, one by one; its address.
    fn dribbling_daemon(head: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            // Whoever asked gives up.
            while stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(10));
            }
        });
        url
    }

    fn client(url: &str) -> Client {
        let patience =
            Patience { answer: Duration::from_millis(200), whole: Duration::from_millis(300) };
        Client::with_patience(url, None, patience).unwrap()
    }

    #[test]
    fn a_daemon_that_dribbles_is_given_up() {
        let body = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        for head in [body, "HTTP/1.1 200 OK\r\nX: "] {
            let said = client(&dribbling_daemon(head)).get("/").unwrap_err().messages();
            assert!(said[0].contains("timeout"), "{said:?}");
        }
        let client = client(&dribbling_daemon(body));
        let mut lines = client.lines("/").unwrap();
        assert_eq!(lines.next().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
