//! A daemon in this process, in a folder of its own, and a client that is not the program's.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use streamgauge::config::{Assignment, Layers, ResolvedSettings};
use streamgauge::daemon::planner::OpenBroker;
use streamgauge::daemon::{Daemon, DaemonSetup, StartError};
use tempfile::TempDir;

use streamgauge_support::wait_for;

/// A daemon, and its folder.
pub(crate) struct Lab {
    pub daemon: Option<Daemon>,
    pub folder: TempDir,
    pub agent: ureq::Agent,
    pub token: Option<String>,
}

/// An answer.
pub(crate) struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub media: String,
    pub text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// Settings under which a run's verdict does not depend on how busy the machine is.
pub(crate) const CALM: [(&str, &str); 3] = [
    ("workload.send_delay_limit", "1h"),
    ("workload.least_judged", "0s"),
    ("server.listen", "127.0.0.1:0"),
];

pub(crate) fn setup(
    folder: &TempDir,
    settings: &[(&str, &str)],
    open_broker: OpenBroker,
) -> DaemonSetup {
    let assignment = |&(key, value): &(&str, &str)| Assignment {
        origin: "test".to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let flags = CALM.iter().chain(settings).map(assignment).collect();
    DaemonSetup {
        layers: Layers { flags, ..Layers::default() },
        folder: folder.path().to_owned(),
        open_broker,
        open_endpoint: streamgauge::http::open,
    }
}

/// A client that takes every answer as it comes.
pub(crate) fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_mins(1)))
        .max_redirects(0)
        .build();
    ureq::Agent::new_with_config(config)
}

impl Lab {
    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        Self::with_broker(settings, Arc::new(ResolvedSettings::open_broker))
    }

    pub(crate) fn with_broker(settings: &[(&str, &str)], open_broker: OpenBroker) -> Self {
        let folder = TempDir::new().unwrap();
        let daemon =
            Daemon::start(setup(&folder, settings, open_broker)).expect("the daemon starts");
        Self { daemon: Some(daemon), folder, agent: agent(), token: None }
    }

    /// Ends the daemon, and starts another one in the same folder.
    pub(crate) fn restart(&mut self, settings: &[(&str, &str)]) -> Result<(), StartError> {
        self.daemon = None;
        self.daemon = Some(Daemon::start(setup(
            &self.folder,
            settings,
            Arc::new(ResolvedSettings::open_broker),
        ))?);
        Ok(())
    }

    pub(crate) fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("running")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.daemon().address())
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut request = ureq::http::Request::builder().method(method).uri(self.url(path));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        let answer = match body {
            Some(body) => self.agent.run(request.body(body.to_owned()).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        };
        let mut answer = answer.unwrap();
        let header =
            |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (location, media) = (header("Location"), header("Content-Type").unwrap_or_default());
        Answer {
            status: answer.status().as_u16(),
            location,
            media,
            text: answer.body_mut().read_to_string().unwrap(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("Content-Type", "application/json")], Some(&body.to_string()))
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, &[("Content-Type", "application/json")], Some(&body.to_string()))
    }

    /// Starts a run of short windows; gives its id.
    #[track_caller]
    pub(crate) fn start(&self, duration: &str) -> String {
        let answer = self.post("/api/v1/runs", &short(duration));
        assert_eq!(answer.status, 202, "{}", answer.text);
        let run_id = answer.json()["run_id"].as_str().unwrap().to_owned();
        assert_eq!(answer.location, Some(format!("/api/v1/runs/{run_id}")));
        run_id
    }

    pub(crate) fn run(&self, run_id: &str) -> Value {
        self.get(&format!("/api/v1/runs/{run_id}")).json()
    }

    /// Waits until the run is as wanted.
    pub(crate) fn wait(&self, run_id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut run = Value::Null;
        wait_for(what, || {
            run = self.run(run_id);
            wanted(&run)
        });
        run
    }

    pub(crate) fn wait_for_state(&self, run_id: &str, state: &str) -> Value {
        self.wait(run_id, state, |run| run["state"] == state)
    }

    /// Waits for the run's end.
    pub(crate) fn over(&self, run_id: &str) -> Value {
        self.wait(run_id, "the run's end", |run| !run["verdict"].is_null())
    }

    /// The value of a metric, all its series added up; it must be a whole number.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let sum = sum(&self.get("/metrics").text, name, labels);
        assert!(sum >= 0.0 && sum.fract() == 0.0, "{name} is {sum}");
        sum as u64
    }
}

/// A small run.
pub(crate) fn short(duration: &str) -> Value {
    json!({
        "workload": "smoke",
        "set": {"workload.duration": duration, "workload.window": "200ms", "workload.rate": "5k/s"},
    })
}

/// The series of a metric that have all these labels, added up.
pub(crate) fn sum(text: &str, name: &str, labels: &[&str]) -> f64 {
    let of = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let is_named = series.split('{').next() == Some(name);
        (is_named && labels.iter().all(|label| series.contains(label)))
            .then(|| value.parse::<f64>().ok())?
    };
    let values: Vec<f64> = text.lines().filter_map(of).collect();
    assert!(!values.is_empty(), "no {name} with {labels:?}");
    values.iter().sum()
}
