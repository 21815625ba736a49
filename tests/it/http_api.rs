//! The HTTP API: orders reach the supervisor, every answer is documented, and who must not ask is
//! refused.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use streamgauge::config::ResolvedSettings;
use streamgauge::daemon::{Daemon, StartError};
use streamgauge::http::openapi_document;
use tempfile::TempDir;

use crate::support::daemon::{Lab, setup, short};
use streamgauge_support::wait_for;

/// What an answer that is a problem says.
#[track_caller]
fn problem(answer: &crate::support::daemon::Answer, status: u16, code: &str) -> Value {
    assert_eq!(
        (answer.status, answer.media.as_str()),
        (status, "application/problem+json"),
        "{}",
        answer.text
    );
    let problem = answer.json();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    problem
}

#[test]
fn a_run_is_started_watched_changed_and_stopped() {
    let lab = Lab::new(&[]);
    let idle = lab.get("/api/v1/status").json();
    assert_eq!((&idle["state"], &idle["run_id"]), (&json!("idle"), &Value::Null));

    let run_id = lab.start("1h");
    let path = format!("/api/v1/runs/{run_id}");
    problem(&lab.post("/api/v1/runs", &short("1s")), 409, "busy");
    problem(&lab.get(&format!("{path}/report")), 409, "wrong_state");
    lab.wait(&run_id, "a judged window", |run| run["windows"]["judged"].as_u64() > Some(0));
    let run = lab.run(&run_id);
    assert_eq!(
        (&run["state"], &run["verdict_so_far"], &run["workload"]),
        (&json!("running"), &json!("exact"), &json!("smoke"))
    );
    assert_eq!(lab.get("/api/v1/status").json()["run_id"], json!(run_id));

    let answer = lab.patch(&path, &json!({"target_rate": "7k/s"}));
    assert_eq!(
        (answer.status, answer.json()["target_per_second"].as_f64()),
        (200, Some(7000.0)),
        "{}",
        answer.text
    );
    wait_for("the new rate in the metrics", || {
        lab.metric("streamgauge_target_events_per_second", &["smoke"]) == 7000
    });
    assert_eq!(lab.run(&run_id)["target_per_second"], json!(7000.0));
    problem(&lab.patch(&path, &json!({"target_rate": 0})), 422, "invalid");
    problem(&lab.patch(&path, &json!({"target_rate": "much"})), 422, "invalid");
    wait_for("seconds to be shown", || {
        let series = lab.get(&format!("{path}/timeseries")).json();
        series["series"].as_array().is_some_and(|rows| !rows.is_empty())
    });

    let answer = lab.post(&format!("{path}/stop"), &json!({"mode": "drain"}));
    assert_eq!(answer.status, 202, "{}", answer.text);
    let run = lab.over(&run_id);
    assert_eq!(
        (&run["verdict"], &run["state"], &run["exit_code"]),
        (&json!("aborted"), &json!("stopped"), &json!(0))
    );
    problem(&lab.post(&format!("{path}/stop"), &json!({})), 409, "wrong_state");
    problem(&lab.patch(&path, &json!({"target_rate": 1})), 409, "wrong_state");

    let report = lab.get(&format!("{path}/report"));
    assert_eq!((report.status, report.media.as_str()), (200, "application/json"));
    assert_eq!(report.json()["run_id"], json!(run_id));
    for (format, start) in [("html", "<!"), ("md", "# "), ("csv", "second,"), ("hdr", "# run")] {
        let report = lab.get(&format!("{path}/report?format={format}"));
        assert_eq!(report.status, 200);
        assert!(report.text.trim_start().starts_with(start), "{format}: {}", &report.text[..80]);
    }
    problem(&lab.get(&format!("{path}/report?format=pdf")), 422, "invalid");
    let latency = lab.get(&format!("{path}/histogram")).json()["latency"]["publish_delay"].clone();
    let buckets = latency["buckets"].as_array().unwrap();
    let samples: u64 = buckets.iter().map(|bucket| bucket[1].as_u64().unwrap()).sum();
    assert_eq!(Some(samples), latency["count"].as_u64());
}

#[test]
fn a_run_is_restarted_as_a_new_one() {
    let lab = Lab::new(&[]);
    let first = lab.start("1h");
    lab.wait(&first, "events", |run| run["events"]["consumed"].as_u64() > Some(0));
    let restart = |of: &str, body: Value| lab.post(&format!("/api/v1/runs/{of}/restart"), &body);
    let answer = std::thread::scope(|scope| {
        // Whoever watches the run sees its end, though the next one begins at once.
        let watched = scope.spawn(|| lab.get(&format!("/api/v1/runs/{first}/events")).text);
        wait_for("the new rate", || {
            lab.patch(&format!("/api/v1/runs/{first}"), &json!({"target_rate": 6000})).status == 200
        });
        let answer = restart(&first, json!({"mode": "drain", "set": {"workload.seed": 7}}));
        assert!(watched.join().unwrap().contains("event: finished\n"));
        answer
    });
    assert_eq!(answer.status, 202, "{}", answer.text);
    let second = answer.json()["run_id"].as_str().unwrap().to_owned();
    assert_eq!(answer.location, Some(format!("/api/v1/runs/{second}")));
    assert_eq!(lab.over(&first)["verdict"], json!("aborted"));
    lab.wait_for_state(&second, "running");
    // What the first run was started with still holds, but for what was set anew.
    assert_eq!(lab.run(&second)["planned_s"], json!(3600.0));

    // One that waits can be dropped; what runs goes on.
    let third =
        restart(&second, json!({"mode": "drain"})).json()["run_id"].as_str().unwrap().to_owned();
    problem(&restart(&first, json!({})), 409, "busy");
    drop(lab.post(&format!("/api/v1/runs/{third}/stop"), &json!({})));
    lab.over(&second);

    // A run that is over is started again.
    wait_for("nothing to run", || {
        !matches!(
            lab.get("/api/v1/status").json()["state"].as_str(),
            Some("running" | "draining" | "preparing" | "warming_up")
        ) || {
            let id = lab.get("/api/v1/status").json()["run_id"].as_str().unwrap().to_owned();
            drop(lab.post(&format!("/api/v1/runs/{id}/stop"), &json!({"mode": "abandon"})));
            false
        }
    });
    let again = restart(&second, json!({"set": {"workload.duration": "400ms"}}));
    assert_eq!(again.status, 202, "{}", again.text);
    let run = lab.over(again.json()["run_id"].as_str().unwrap());
    assert_eq!(run["verdict"], json!("pass"), "{run}");
    problem(&restart("20200101-000000-0000", json!({})), 404, "not_found");
}

#[test]
fn a_request_for_more_than_the_daemon_allows_is_refused_by_name() {
    let lab = Lab::new(&[("server.max_run_memory", "512MiB")]);
    let body = json!({"set": {"workload.campaigns": 100_000, "workload.producers": 100}});
    let problem = problem(&lab.post("/api/v1/runs", &body), 422, "invalid");
    let error = &problem["errors"][0];
    assert_eq!(error["pointer"], "/set/workload.campaigns", "{problem}");
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.contains("more than `server.max_run_memory` allows (512.0MiB)"), "{detail}");
    lab.over(&lab.start("200ms"));
}

#[test]
fn impossible_requests_name_what_is_wrong() {
    let lab = Lab::new(&[]);
    let refused = |body: Value, pointer: &str, words: &str| {
        let problem = problem(&lab.post("/api/v1/runs", &body), 422, "invalid");
        let errors = problem["errors"].as_array().unwrap();
        let found = errors.iter().any(|e| {
            e["pointer"] == pointer
                && e["detail"].as_str().is_some_and(|detail| detail.contains(words))
        });
        assert!(found, "{problem}");
    };
    refused(json!({"workload": "clasic"}), "/workload", "did you mean `classic`");
    refused(json!({"workload": "/etc/passwd"}), "/workload", "no workload of this daemon");
    refused(
        json!({"set": {"workload.rat": "1"}}),
        "/set/workload.rat",
        "did you mean `workload.rate`",
    );
    refused(json!({"set": {"workload.rate": "fast"}}), "/set/workload.rate", "no rate");
    refused(json!({"set": {"workload.rate": {}}}), "/set/workload.rate", "must be a text");
    for key in [
        "server.token",
        "supervisor.drain_timeout",
        "topics.events",
        "topics.prefix",
        "aggregator.group",
    ] {
        refused(json!({"set": {key: "x"}}), &format!("/set/{key}"), "cannot be set by a request");
    }
    let path = "broker.kafka.properties.ssl.ca.location";
    refused(
        json!({"set": {path: "/etc/passwd"}}),
        &format!("/set/{path}"),
        "cannot be set by a request",
    );
    refused(json!({"wrkload": "smoke"}), "/wrkload", "unknown field");

    let json = [("Content-Type", "application/json")];
    let post = |headers: &[(&str, &str)], body: &str| {
        lab.send("POST", "/api/v1/runs", headers, Some(body))
    };
    problem(&post(&json, "{"), 400, "malformed");
    problem(&post(&json, "{} {}"), 400, "malformed");
    problem(&post(&[("Content-Type", "text/plain")], "{}"), 415, "unsupported_media_type");
    problem(
        &post(&json, &format!("{{\"workload\": \"{}\"}}", "x".repeat(100_000))),
        413,
        "too_large",
    );
    problem(&lab.get("/api/v1/runs?limit=0"), 422, "invalid");
    problem(&lab.get("/api/v1/runs?limit=many"), 400, "malformed");
    problem(&lab.get("/api/v1/runs?status=lost"), 422, "invalid");
    problem(&lab.get("/api/v1/runs?before=nobody"), 404, "not_found");
    problem(&lab.get("/api/v1/runs/nobody"), 404, "not_found");
    problem(&lab.get("/api/v1/nothing"), 404, "not_found");
    problem(&lab.get("/api/v1/compare?base=a&candidate=b"), 404, "not_found");
    problem(&lab.send("DELETE", "/api/v1/runs", &[], None), 405, "method_not_allowed");
    assert_eq!(lab.get("/api/v1/runs").json()["runs"], json!([]), "nothing was started");
}

#[test]
fn who_must_not_ask_is_refused() {
    let mut lab =
        Lab::new(&[("server.token", "s3cret"), ("server.allowed_hosts", "bench.example")]);
    for spelling in ["/api/v1/status", "/%61pi/v1/status", "/api/%761/status", "/api/v1/nothing"] {
        problem(&lab.get(spelling), 401, "unauthorized");
    }
    problem(&lab.post("/%61pi/v1/runs", &short("1s")), 401, "unauthorized");
    for open in ["/livez", "/readyz", "/metrics", "/openapi.json", "/"] {
        wait_for("the first probe", || lab.get(open).status != 503);
        assert_eq!(lab.get(open).status, 200, "{open}");
    }
    let plain = json!({"ready": true});
    assert_eq!(lab.get("/readyz").json(), plain);
    lab.token = Some("wrong".to_owned());
    problem(&lab.get("/api/v1/status"), 401, "unauthorized");
    assert_eq!(lab.get("/readyz").json(), plain);
    lab.token = Some("s3cret".to_owned());
    assert_eq!(lab.get("/api/v1/status").status, 200);
    assert_eq!(lab.get("/readyz").json(), json!({"ready": true, "reasons": []}));
    let answer = lab.send("GET", "/readyz", &[("Host", "evil.example")], None);
    assert_eq!((answer.status, answer.json()), (200, plain), "by a foreign page");
    let shown = lab.get("/api/v1/config").text;
    assert!(!shown.contains("s3cret"), "{shown}");

    let with = |name: &str, value: &str| lab.send("GET", "/api/v1/status", &[(name, value)], None);
    problem(&with("Host", "evil.example"), 403, "forbidden");
    assert_eq!(with("Host", "bench.example:80").status, 200);
    problem(&with("Origin", "http://evil.example"), 403, "forbidden");
    assert_eq!(with("Origin", "https://bench.example").status, 200);
    let answer = lab.send("GET", "/metrics", &[("Host", "prometheus.example")], None);
    assert_eq!(answer.status, 200, "scrapes come under any name");
}

/// A connection that has asked for a run's events, and the head of the answer.
fn event_stream(lab: &Lab, run_id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(lab.daemon().address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!("GET /api/v1/runs/{run_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

#[test]
fn event_streams_leave_connections_to_probes_and_scrapes() {
    const CONNECTIONS: usize = 60;
    let lab = Lab::new(&[("server.max_connections", "12"), ("server.max_event_streams", "4")]);
    let run_id = lab.start("1h");
    // All at once: more than there may be connections.
    let mut streams: Vec<_> = (0..CONNECTIONS).map(|_| event_stream(&lab, &run_id)).collect();
    let heads: Vec<String> = streams.iter_mut().map(head_of).collect();
    let (open, refused): (Vec<_>, Vec<_>) =
        heads.iter().partition(|head| head.starts_with("http/1.1 200"));
    assert_eq!(open.len(), 4, "{heads:?}");
    for head in refused {
        assert!(head.starts_with("http/1.1 503"), "{head}");
        for header in ["retry-after: 5", "connection: close", "application/problem+json"] {
            assert!(head.contains(header), "{header}: {head}");
        }
    }
    for probe in ["/livez", "/readyz", "/metrics", "/api/v1/status"] {
        assert_eq!(lab.get(probe).status, 200, "{probe}");
    }
    let refused = lab.get(&format!("/api/v1/runs/{run_id}/events"));
    assert!(problem(&refused, 503, "too_many_streams")["hint"].is_string());
    // Whoever goes makes room.
    drop(streams);
    wait_for("a stream is let in", || {
        head_of(&mut event_stream(&lab, &run_id)).starts_with("http/1.1 200")
    });
    let stopped = lab.post(&format!("/api/v1/runs/{run_id}/stop"), &json!({"mode": "abandon"}));
    assert_eq!(stopped.status, 202, "{}", stopped.text);
}

/// What the server answers to bytes as they are.
fn raw(lab: &Lab, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(lab.daemon().address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The server may close before it has read all of it.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn slow_and_oversized_requests_are_cut_off() {
    let lab = Lab::new(&[("server.request_timeout", "1s")]);
    let status = |bytes: &[u8]| raw(&lab, bytes).split(' ').nth(1).unwrap_or("none").to_owned();
    assert_eq!(
        status(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"),
        "408",
        "a head that does not end"
    );
    let body = b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\n\
        Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    assert_eq!(status(body), "408", "a body that does not come");
    let huge =
        format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(300_000));
    assert_eq!(status(huge.as_bytes()), "431");
    let close = "Host: localhost\r\nConnection: close\r\n\r\n";
    for path in ["/assets/../../Cargo.toml", "/assets/..%2f..%2fCargo.toml", "/../etc/passwd"] {
        assert_eq!(status(format!("GET {path} HTTP/1.1\r\n{close}").as_bytes()), "404", "{path}");
    }
    assert_eq!(
        status(b"GET /api/v1/status HTTP/1.1\r\nConnection: close\r\n\r\n"),
        "400",
        "no Host"
    );
    assert_eq!(status(b"nonsense\r\n\r\n"), "400");
    assert_eq!(lab.get("/livez").status, 200, "others are answered as ever");
}

#[test]
fn a_runs_progress_is_told_as_it_goes_on_and_afterwards() {
    let lab = Lab::new(&[]);
    let run_id = lab.start("1500ms");
    let events = format!("/api/v1/runs/{run_id}/events");
    // The answer ends with the run.
    let live = lab.get(&events);
    assert_eq!((live.status, live.media.as_str()), (200, "text/event-stream"));
    let names = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect()
    };
    let count = |text: &str, name: &str| names(text).iter().filter(|event| *event == name).count();
    assert_eq!(
        (names(&live.text).first().unwrap().as_str(), names(&live.text).last().unwrap().as_str()),
        ("status", "finished")
    );
    let report = lab.get(&format!("/api/v1/runs/{run_id}/report")).json();
    let rows = |key: &str| report[key].as_array().unwrap().len();
    let later = lab.get(&events).text;
    for text in [&live.text, &later] {
        assert_eq!(
            (count(text, "second"), count(text, "window")),
            (rows("series"), rows("windows")),
            "{text}"
        );
    }
    let resumed = lab.send("GET", &events, &[("Last-Event-ID", "s1w2")], None).text;
    assert_eq!(
        (count(&resumed, "second"), count(&resumed, "window")),
        (rows("series") - 1, rows("windows") - 2)
    );
}

#[test]
fn runs_are_listed_in_pages_and_outlive_the_daemon() {
    let mut lab = Lab::new(&[]);
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..3 {
        let run_id = lab.start("200ms");
        lab.over(&run_id);
        ids.insert(0, run_id);
    }
    let listed = |lab: &Lab, query: &str| {
        let page = lab.get(&format!("/api/v1/runs{query}")).json();
        let runs = page["runs"].as_array().unwrap();
        let ids: Vec<String> =
            runs.iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect();
        (ids, page["next_before"].as_str().map(str::to_owned))
    };
    let (first, next) = listed(&lab, "?limit=2");
    assert_eq!((first.as_slice(), next.as_deref()), (&ids[..2], Some(ids[1].as_str())));
    let (rest, end) = listed(&lab, &format!("?limit=2&before={}", next.unwrap()));
    assert_eq!((rest.as_slice(), end), (&ids[2..], None));
    assert_eq!(listed(&lab, "?status=failed").0, Vec::<String>::new());
    let pair = format!("/api/v1/compare?base={}&candidate={}", ids[1], ids[0]);
    let alike = lab.get(&pair);
    assert_eq!(alike.status, 200, "{}", alike.text);
    let across = "&across=workload.rate&across=broker.kafka.properties.compression.type";
    assert_eq!(lab.get(&(pair.clone() + across)).status, 200, "named, and no difference");
    problem(&lab.get(&(pair.clone() + "&across=workload.rat")), 422, "invalid");
    for malformed in ["&force=perhaps", "&base=again", "&forced=true"] {
        problem(&lab.get(&(pair.clone() + malformed)), 400, "malformed");
    }
    problem(&lab.get("/api/v1/compare?base=a"), 400, "malformed");

    lab.restart(&[]).unwrap();
    assert_eq!(listed(&lab, "").0, ids);
    assert_eq!(lab.run(&ids[0])["verdict"], json!("pass"));
    assert_eq!(
        lab.get("/api/v1/status").json()["run_id"],
        json!(ids[0]),
        "the last run, though of an earlier daemon"
    );
    assert_eq!(lab.get(&format!("/api/v1/runs/{}/report", ids[2])).status, 200);
}

#[test]
fn a_daemon_that_must_not_start_says_why() {
    let lab = Lab::new(&[]);
    let start = |folder: &TempDir, settings: &[(&str, &str)]| {
        Daemon::start(setup(folder, settings, Arc::new(ResolvedSettings::open_broker))).map(|_| ())
    };
    let second = start(&lab.folder, &[]).unwrap_err().to_string();
    assert!(second.contains("another daemon owns the state folder"), "{second}");
    let other = TempDir::new().unwrap();
    let taken = lab.daemon().address().to_string();
    let error = start(&other, &[("server.listen", &taken)]).unwrap_err().to_string();
    assert!(error.contains("cannot listen on") && error.contains("--listen"), "{error}");
    for (settings, words) in [
        (&[("server.listen", "0.0.0.0:0")][..], "set `server.token_file`"),
        (&[("server.token_file", "/nowhere/token")], "cannot be read"),
        (&[("schedule.workloads", "clasic")], "`schedule.workloads` has `clasic`"),
        (&[("server.token", "two words")], "without spaces"),
    ] {
        match start(&other, settings) {
            Err(StartError::Config(error)) => assert!(error.to_string().contains(words), "{error}"),
            other => panic!("{settings:?}: {:?}", other.map_err(|error| error.to_string())),
        }
    }
    assert!(start(&other, &[("server.listen", "0.0.0.0:0"), ("server.token", "t")]).is_ok());
}

#[test]
fn every_documented_path_is_there() {
    let lab = Lab::new(&[]);
    let run_id = lab.start("200ms");
    lab.over(&run_id);
    let document: Value = serde_json::from_str(&openapi_document()).unwrap();
    assert_eq!(lab.get("/openapi.json").json(), document);
    for (path, operations) in document["paths"].as_object().unwrap() {
        let concrete = path.replace("{run_id}", &run_id);
        for method in operations.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            let query = if path.ends_with("/compare") {
                format!("?base={run_id}&candidate={run_id}")
            } else {
                String::new()
            };
            let answer = lab.send(&method, &format!("{concrete}{query}"), &[], None);
            let documented =
                operations[method.to_lowercase()]["responses"].get(answer.status.to_string());
            assert!(
                documented.is_some() && answer.status != 404,
                "{method} {path}: {} {}",
                answer.status,
                answer.text
            );
            if method == "POST" && answer.status == 202 {
                let run_id = answer.json()["run_id"].as_str().unwrap().to_owned();
                drop(lab.post(&format!("/api/v1/runs/{run_id}/stop"), &json!({"mode": "abandon"})));
                lab.over(&run_id);
            }
        }
    }
}
