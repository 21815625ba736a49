//! No setting freezes the daemon: of random settings within what each may be, a request is refused
//! at once, by name, or its run flows, and the daemon tells its status all the time.
//!
//! `STREAMGAUGE_FUZZ_RUNS` (100), `STREAMGAUGE_FUZZ_SEED` and `STREAMGAUGE_FUZZ_FLOW_MS` (50, how
//! long each run is to flow) change what is drawn.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};
use streamgauge_actors::{Clock as _, MILLISECOND, Nanos, RunClock, SECOND};

use crate::support::daemon::Lab;

/// A status that takes longer is a frozen daemon's.
const FROZEN: Nanos = 5 * SECOND;
/// How long a run may take to flow, and to end once it is abandoned.
const PATIENCE: Nanos = 60 * SECOND;
/// Daemons at once.
const DAEMONS: u64 = 3;

/// Draws settings, from a seed alone (Steele, Lea and Flood, *Fast splittable pseudorandom number
/// generators*, 2014).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.bits().is_multiple_of(count)
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.bits() as usize % choices.len()]
    }

    /// All orders of magnitude alike; the ends themselves now and then.
    fn between(&mut self, least: f64, most: f64) -> f64 {
        if self.one_in(10) {
            return self.of(&[least, most]);
        }
        (least.ln() + self.share() * (most / least).ln()).exp().clamp(least, most)
    }

    fn whole(&mut self, least: f64, most: f64) -> u64 {
        self.between(least, most).round() as u64
    }

    fn span(&mut self, least_ms: f64, most_ms: f64) -> String {
        format!("{}ms", self.whole(least_ms, most_ms))
    }

    fn names(&mut self) -> Value {
        let count = self.whole(1.0, 200.0);
        (0..count)
            .map(|i| json!(format!("{i}{}", "x".repeat(self.whole(1.0, 990.0) as usize))))
            .collect()
    }
}

const YEARS_MS: f64 = 10.0 * 365.0 * 86_400_000.0;

/// Random settings. Each is one that may be, alone; about half of them stay as they are.
fn settings(random: &mut Random) -> Map<String, Value> {
    const ARRIVALS: [&str; 6] =
        ["uniform", "poisson", "poisson_normalized", "mmpp", "mmpp_windowed", "max"];
    let r = random;
    let all = [
        ("workload.producers", json!(r.whole(1.0, 4096.0))),
        ("workload.rate", json!(format!("{:.3}/s", r.between(0.01, 1e9)))),
        ("workload.arrivals", json!(r.of(&ARRIVALS))),
        ("workload.burst_correlation", json!(r.of(&["independent", "shared"]))),
        ("workload.duration", json!(r.span(1.0, YEARS_MS))),
        ("workload.warmup", json!(r.of(&["0s", "1ms", "10s", "1h", "10y"]))),
        ("workload.window", json!(r.span(1.0, YEARS_MS))),
        ("workload.campaigns", json!(r.whole(1.0, 1e7))),
        ("workload.ads_per_campaign", json!(r.whole(1.0, 1000.0))),
        ("workload.zipf_exponent", json!(r.of(&[0.0, 0.5, 1.0, 7.3, 1000.0]))),
        ("workload.ad_types", r.names()),
        ("workload.event_types", r.names()),
        ("workload.seed", json!(r.bits() >> 1)),
        ("workload.progress_interval", json!(r.span(1.0, 3_600_000.0))),
        ("workload.send_delay_share", json!(r.share())),
        ("workload.check_schedule", json!(r.one_in(2))),
        ("workload.mmpp.rate_ratio", json!(r.between(1e-9, 1e9))),
        ("workload.mmpp.q12", json!(r.between(1e-9, 1e4))),
        ("workload.mmpp.q21", json!(r.between(1e-9, 1e4))),
        ("topics.partitions", json!(r.whole(1.0, 10_000.0))),
        ("aggregator.count", json!(r.whole(1.0, 256.0))),
        ("aggregator.allowed_lateness", json!(r.span(1.0, YEARS_MS))),
        ("aggregator.max_open_windows", json!(r.whole(1.0, 4_294_967_295.0))),
        ("result_writer.batch", json!(r.whole(1.0, 100_000.0))),
        ("broker.embedded.max_bytes", json!(r.whole(1_048_576.0, 1e12))),
    ];
    let kept = all.into_iter().filter(|_| r.one_in(2));
    kept.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What became of all requests.
#[derive(Default)]
struct Tally {
    flowed: AtomicU64,
    refused: AtomicU64,
    /// The slowest answer, and to what.
    worst: Mutex<(Nanos, String)>,
}

/// A daemon that is watched.
struct Watched<'a> {
    lab: Lab,
    clock: RunClock,
    tally: &'a Tally,
}

impl Watched<'_> {
    /// Asks something, and looks how long the answer takes.
    fn timed<T>(
        &self,
        what: &str,
        settings: &Map<String, Value>,
        ask: impl FnOnce(&Lab) -> T,
    ) -> T {
        let begun = self.clock.now();
        let answer = ask(&self.lab);
        let took = self.clock.now() - begun;
        let mut worst = self.tally.worst.lock().unwrap_or_else(PoisonError::into_inner);
        if took > worst.0 {
            *worst = (took, format!("{what} with {}", json!(settings)));
        }
        assert!(took < FROZEN, "{} took {} ms", worst.1, took / MILLISECOND);
        answer
    }

    /// Asks for the run until it is as wanted.
    fn wait(
        &self,
        run_id: &str,
        settings: &Map<String, Value>,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) {
        let deadline = self.clock.now() + PATIENCE;
        loop {
            let run = self.timed("the run", settings, |lab| lab.run(run_id));
            self.timed("the status", settings, |lab| lab.get("/api/v1/status"));
            if wanted(&run) {
                return;
            }
            let shown = json!(settings);
            assert!(self.clock.now() < deadline, "waited in vain: {what}: {shown}: {run}");
            assert!(run["state"] != "failed", "the run failed: {shown}: {}", run["reasons"]);
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn play(&self, settings: &Map<String, Value>, flow_s: f64) {
        let body = json!({"workload": "smoke", "set": settings});
        let answer = self.timed("the start", settings, |lab| lab.post("/api/v1/runs", &body));
        if answer.status == 422 {
            let problem = answer.json();
            let pointer = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
            assert!(pointer.starts_with("/set/"), "no setting is named: {problem}");
            self.tally.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        assert_eq!(answer.status, 202, "{}: {}", json!(settings), answer.text);
        let run_id = answer.json()["run_id"].as_str().unwrap().to_owned();
        // One that has an event in a second, or none, need not show any.
        let is_slow = |run: &Value| run["target_per_second"].as_f64().unwrap_or(0.0) < 100.0;
        self.wait(&run_id, settings, "events flow", |run| {
            let is_over = !run["verdict"].is_null();
            let is_flowing = run["events"]["acknowledged"].as_u64() > Some(0) || is_slow(run);
            is_over || (run["elapsed_s"].as_f64() > Some(flow_s) && is_flowing)
        });
        let stop = format!("/api/v1/runs/{run_id}/stop");
        self.timed("the stop", settings, |lab| lab.post(&stop, &json!({"mode": "abandon"})));
        self.wait(&run_id, settings, "its end", |run| !run["verdict"].is_null());
        self.tally.flowed.fetch_add(1, Ordering::Relaxed);
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn random_settings_are_refused_at_once_or_flow_and_the_daemon_answers() {
    let (runs, seed) = (number("STREAMGAUGE_FUZZ_RUNS", 100), number("STREAMGAUGE_FUZZ_SEED", 11));
    let flow_s = number("STREAMGAUGE_FUZZ_FLOW_MS", 50) as f64 / 1000.0;
    println!("{runs} runs, seed {seed} (STREAMGAUGE_FUZZ_SEED)");
    let tally = Tally::default();
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..DAEMONS {
            scope.spawn(|| {
                let lab = Lab::new(&[("server.max_run_memory", "1GiB")]);
                let daemon = Watched { lab, clock: RunClock::start(), tally: &tally };
                loop {
                    let run = next.fetch_add(1, Ordering::Relaxed);
                    if run >= runs {
                        return;
                    }
                    let settings =
                        settings(&mut Random(seed.wrapping_mul(1 << 32).wrapping_add(run)));
                    daemon.play(&settings, flow_s);
                }
            });
        }
    });
    let Tally { flowed, refused, worst } = tally;
    let (worst_ns, of) = worst.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (flowed, refused) = (flowed.into_inner(), refused.into_inner());
    println!(
        "{flowed} flowed, {refused} were refused; the slowest answer took {} ms: {of}",
        worst_ns / MILLISECOND
    );
    assert_eq!(flowed + refused, runs);
    assert!(flowed > runs / 10 && refused > 0, "the settings tell something");
}
