//! What the daemon costs: against `run` alone, under a scrape every second, idle, and over a long
//! time.
//!
//! ```text
//! cargo bench --bench daemon -- overhead [--rounds N] [--seconds N]
//! cargo bench --bench daemon -- soak     [--minutes N]
//! ```
//!
//! `overhead` plays the classic workload on the embedded log in turns: by `run` alone, by a daemon,
//! and by a daemon whose `/metrics` is read every second. It prints processor time per event (the
//! daemon's by the kernel's account of its process), their ratios, how long `/metrics` took, how
//! soon a new rate is in it, and what the idle daemon takes. `soak` lets a daemon run the classic
//! workload back to back, and prints its memory, descriptors and threads once a minute.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use streamgauge_actors::{Clock as _, MILLISECOND, Nanos, RunClock, SECOND};

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let option = |name: &str, default: u64| {
        let value = arguments.iter().skip_while(|argument| *argument != name).nth(1);
        value.map_or(default, |value| value.parse().expect("a number"))
    };
    match arguments.first().map(String::as_str) {
        Some("overhead") => overhead(option("--rounds", 5), option("--seconds", 30)),
        Some("soak") => soak(option("--minutes", 60)),
        _ => println!(
            "usage: cargo bench --bench daemon -- overhead|soak [--rounds N] [--seconds N] \
             [--minutes N]"
        ),
    }
}

/// A daemon in a process of its own.
struct Daemon {
    process: Child,
    folder: tempfile::TempDir,
    agent: ureq::Agent,
}

/// What the kernel says of a process.
#[derive(Debug)]
struct Usage {
    cpu_s: f64,
    rss_kib: u64,
    threads: u64,
    descriptors: usize,
}

impl Daemon {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::TempDir::new().expect("a folder");
        let process = Command::new(env!("CARGO_BIN_EXE_streamgauge"))
            .args(["serve", "-q", "--listen", "127.0.0.1:0", "--state-dir"])
            .arg(folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .expect("the program");
        let config =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build();
        let daemon = Self { process, folder, agent: ureq::Agent::new_with_config(config) };
        while !daemon.listen_file().exists() {
            thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    fn listen_file(&self) -> PathBuf {
        self.folder.path().join("listen")
    }

    fn url(&self, path: &str) -> String {
        format!(
            "http://{}{path}",
            fs::read_to_string(self.listen_file()).expect("an address").trim()
        )
    }

    fn get(&self, path: &str) -> String {
        self.agent
            .get(self.url(path))
            .call()
            .expect("an answer")
            .body_mut()
            .read_to_string()
            .expect("a text")
    }

    fn run(&self, run_id: &str) -> Value {
        serde_json::from_str(&self.get(&format!("/api/v1/runs/{run_id}"))).expect("a run")
    }

    fn start_run(&self, seconds: u64) -> String {
        let body =
            json!({"set": {"workload.duration": format!("{seconds}s"), "workload.warmup": "0s"}});
        let mut answer =
            self.agent.post(self.url("/api/v1/runs")).send_json(body).expect("an answer");
        let answer: Value = answer.body_mut().read_json().expect("an answer");
        answer["run_id"].as_str().expect("a run").to_owned()
    }

    fn usage(&self) -> Usage {
        let process = procfs::process::Process::new(self.process.id() as i32).expect("a process");
        let stat = process.stat().expect("its account");
        Usage {
            cpu_s: (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
            rss_kib: stat.rss * procfs::page_size() / 1024,
            threads: stat.num_threads as u64,
            descriptors: process.fd_count().expect("its descriptors"),
        }
    }

    /// Plays a run, looking at it once a second; microseconds of processor time per event.
    fn play(&self, seconds: u64) -> f64 {
        let before = self.usage().cpu_s;
        let run_id = self.start_run(seconds);
        loop {
            thread::sleep(Duration::from_secs(1));
            let run = self.run(&run_id);
            if !run["verdict"].is_null() {
                println!("    {}: {}", run["verdict"], run["reasons"][0]);
                let events = run["events"]["produced"].as_f64().expect("a count");
                return (self.usage().cpu_s - before) * 1e6 / events;
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The same run by `streamgauge run`, by its own account.
fn alone(seconds: u64) -> f64 {
    let folder = tempfile::TempDir::new().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_streamgauge"))
        .args([
            "run",
            "-q",
            "-o",
            "json",
            "--warmup",
            "0s",
            "--duration",
            &format!("{seconds}s"),
            "--state-dir",
        ])
        .arg(folder.path())
        .output()
        .expect("the program");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    println!("    {}: {}", report["verdict"], report["reasons"][0]);
    report["resources"]["cpu_us_per_event"].as_f64().expect("a figure")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn overhead(rounds: u64, seconds: u64) {
    let daemon = Arc::new(Daemon::start(&[]));
    let clock = RunClock::start();
    let (mut by_run, mut by_daemon, mut watched, mut answers) = (vec![], vec![], vec![], vec![]);
    for round in 1..=rounds {
        println!("round {round}");
        by_run.push(alone(seconds));
        by_daemon.push(daemon.play(seconds));
        let (stop, reader) = (Arc::new(AtomicBool::new(false)), Arc::clone(&daemon));
        let stopped = Arc::clone(&stop);
        let scraping = thread::spawn(move || {
            let (clock, mut took) = (RunClock::start(), Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                let before = clock.now();
                reader.get("/metrics");
                took.push((clock.now() - before) as f64 / MILLISECOND as f64);
                thread::sleep(Duration::from_secs(1));
            }
            took
        });
        watched.push(daemon.play(seconds));
        stop.store(true, Ordering::Relaxed);
        answers.extend(scraping.join().expect("scrapes"));
    }
    let (by_run, by_daemon, watched) = (median(by_run), median(by_daemon), median(watched));
    println!(
        "CPU µs/event, medians: run alone {by_run:.3}; daemon {by_daemon:.3} ({:.3})",
        by_daemon / by_run
    );
    println!(
        "  daemon scraped every second {watched:.3} ({:.3} of the daemon)",
        watched / by_daemon
    );
    let worst = answers.iter().copied().fold(0.0, f64::max);
    println!(
        "/metrics: median {:.2} ms, worst {worst:.2} ms of {}",
        median(answers.clone()),
        answers.len()
    );
    println!("a new rate is in /metrics after {:.2} ms", set_rate(&daemon, &clock));
    thread::sleep(Duration::from_secs(3));
    let (before, from) = (daemon.usage(), clock.now());
    thread::sleep(Duration::from_secs(20));
    let (after, span) = (daemon.usage(), (clock.now() - from) as f64 / SECOND as f64);
    println!(
        "idle: {:.2} % of a core, {} KiB",
        (after.cpu_s - before.cpu_s) / span * 100.0,
        after.rss_kib
    );
}

/// From sending the order to the first scrape that shows the rate, milliseconds.
fn set_rate(daemon: &Daemon, clock: &RunClock) -> f64 {
    let run_id = daemon.start_run(60);
    while daemon.run(&run_id)["state"] != "running" {
        thread::sleep(Duration::from_millis(50));
    }
    let ordered: Nanos = clock.now();
    let url = daemon.url(&format!("/api/v1/runs/{run_id}"));
    daemon.agent.patch(url).send_json(json!({"target_rate": "31k/s"})).expect("an answer");
    let is_shown = || {
        let text = daemon.get("/metrics");
        text.lines().any(|line| {
            line.starts_with("streamgauge_target_events_per_second{") && line.ends_with(" 31000")
        })
    };
    while !is_shown() {}
    let took = (clock.now() - ordered) as f64 / MILLISECOND as f64;
    let stop = daemon.url(&format!("/api/v1/runs/{run_id}/stop"));
    daemon.agent.post(stop).send_json(json!({"mode": "abandon"})).expect("an answer");
    took
}

fn soak(minutes: u64) {
    let daemon = Daemon::start(&["--set", "schedule.mode=continuous"]);
    println!("minute  runs  RSS KiB  descriptors  threads  CPU s");
    for minute in 0..=minutes {
        let runs: Value =
            serde_json::from_str(&daemon.get("/api/v1/runs?limit=1000")).expect("a list");
        let over = |run: &&Value| !run["verdict"].is_null();
        let runs = runs["runs"].as_array().expect("runs").iter().filter(over).count();
        let Usage { cpu_s, rss_kib, threads, descriptors } = daemon.usage();
        println!(
            "{minute:>6}  {runs:>4}  {rss_kib:>7}  {descriptors:>11}  {threads:>7}  {cpu_s:>5.0}"
        );
        thread::sleep(Duration::from_mins(1));
    }
}
