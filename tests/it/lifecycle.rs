//! Runs in one process, some stopped in the middle, some restarted, then restarted 200 times in a
//! row: nothing is left behind.
//!
//! Threads, descriptors and memory are counted for the whole process: the test plays its runs in a
//! process of its own.

#![cfg(target_os = "linux")]

use std::process::Command;
use std::sync::Arc;

use streamgauge::daemon::foreground::Foreground;
use streamgauge::process_usage::ProcessUsage;
use streamgauge_actors::{
    Broker, Ending, MILLISECOND, RestartRun, RunPlan, RunState, RunStatus, SECOND, SharedClock,
    Span, StopMode, StopRun, Sustained, Verdict, testing::small_spec,
};

use streamgauge_support::wait_for;

use streamgauge_support::runs::{self, outcome, play, start, wait_until};

/// Set for the process in which the runs are played.
const CHILD: &str = "STREAMGAUGE_TEST_LIFECYCLE_CHILD";
const RUNS: usize = 20;
const RESTARTS: usize = 200;
/// What memory may grow by over the last three quarters of the restarts: less than a thread's stack
/// for each leaked one.
const MEMORY_SLACK_BYTES: u64 = 8 << 20;

/// What a process could leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    threads: usize,
    descriptors: usize,
    topics: usize,
}

impl Left {
    fn count(broker: &dyn Broker) -> Self {
        let entries = |folder: &str| std::fs::read_dir(folder).unwrap().count();
        Self {
            threads: entries("/proc/self/task"),
            descriptors: entries("/proc/self/fd"),
            topics: broker.admin().unwrap().list().unwrap().len(),
        }
    }
}

/// What of this process is in memory.
fn resident_bytes() -> u64 {
    ProcessUsage::now().rss_bytes.unwrap()
}

struct Bench {
    host: Foreground,
    clock: SharedClock,
    broker: Arc<dyn Broker>,
    played: usize,
    drained: usize,
    abandoned: usize,
    restarted: usize,
}

impl Bench {
    fn plan(&mut self) -> RunPlan {
        self.played += 1;
        let mut spec = small_spec(&format!("run-{}", self.played));
        spec.workload.duration = Span::from_nanos(300 * MILLISECOND);
        spec.workload.window = Span::from_nanos(100 * MILLISECOND);
        runs::plan(spec, Arc::clone(&self.broker), &self.clock)
    }

    fn passes(&mut self) {
        let plan = self.plan();
        let outcome = play(&self.host, plan);
        let judgement = outcome.judge(&Sustained::default());
        assert_eq!(judgement.verdict(), Verdict::Pass, "{:?}", judgement.texts());
    }

    /// Starts a run, and waits until events flow.
    fn flows(&mut self) {
        let plan = self.plan();
        start(&self.host, plan);
        wait_until(&self.host, "events flow", |status| status.elapsed_s > 0.1);
    }

    fn stopped(&mut self, mode: StopMode) {
        let outcome = outcome(&self.host);
        let drained = mode == StopMode::Drain;
        assert_eq!(outcome.ending, Ending::Stopped { drained });
        assert_eq!(outcome.judge(&Sustained::default()).verdict(), Verdict::Aborted);
        if drained {
            self.drained += 1;
            let audit = &outcome.measures.as_ref().expect("what was sent is audited").audit;
            assert!(audit.exact() && audit.windows > 0, "{audit:?}");
            assert_eq!(outcome.counters.acknowledged, outcome.counters.consumed);
        } else {
            self.abandoned += 1;
        }
    }

    fn stop(&mut self, mode: StopMode) {
        self.flows();
        self.host.ask(StopRun { run_id: None, mode }).unwrap().unwrap();
        self.stopped(mode);
    }

    fn restart(&mut self, mode: StopMode) {
        self.flows();
        let plan = Arc::new(self.plan());
        self.host.ask(RestartRun { run_id: None, mode, plan: Arc::clone(&plan) }).unwrap().unwrap();
        self.stopped(mode);
        self.restarted += 1;
        let outcome = outcome(&self.host);
        assert_eq!(outcome.spec.run_id, plan.spec.run_id);
        assert_eq!(outcome.judge(&Sustained::default()).verdict(), Verdict::Pass);
    }

    /// Restarts a run that never ends by itself, again and again: every other time as soon as it is
    /// accepted, else once events flow. Gives the resident memory after a quarter of the restarts,
    /// and after all.
    fn restart_in_a_row(&mut self) -> (u64, u64) {
        let endless = |bench: &mut Self| {
            let mut plan = bench.plan();
            plan.spec.workload.duration = Span::from_nanos(3600 * SECOND);
            plan
        };
        let plan = endless(self);
        start(&self.host, plan);
        let mut early = 0;
        for restart in 0..RESTARTS {
            if restart % 2 == 0 {
                let consumed = |status: &RunStatus| {
                    status.elapsed_s > 0.0 && status.state != RunState::Preparing
                };
                wait_until(&self.host, "events flow", consumed);
            }
            if restart == RESTARTS / 4 {
                early = resident_bytes();
            }
            let plan = Arc::new(endless(self));
            let run_id = plan.spec.run_id.clone();
            self.host
                .ask(RestartRun { run_id: None, mode: StopMode::Abandon, plan })
                .unwrap()
                .unwrap();
            let ended = outcome(&self.host);
            assert_eq!(ended.ending, Ending::Stopped { drained: false });
            wait_until(&self.host, "the next run", |status| status.run_id == run_id);
        }
        let late = resident_bytes();
        self.host.ask(StopRun { run_id: None, mode: StopMode::Abandon }).unwrap().unwrap();
        assert_eq!(outcome(&self.host).ending, Ending::Stopped { drained: false });
        (early, late)
    }

    /// Threads end, and the kernel forgets them, a moment after they said so.
    fn left(&self, expected: Option<Left>) -> Left {
        let mut left = Left::count(&*self.broker);
        if let Some(expected) = expected {
            let what = format!("{expected:?} is left");
            wait_for(&what, || {
                left = Left::count(&*self.broker);
                left == expected
            });
        }
        left
    }
}

#[test]
fn runs_and_restarts_leave_nothing_behind() {
    let alone = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifecycle::child_that_plays_alone", "--ignored", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&alone.stdout), text(&alone.stderr));
    println!("{stdout}");
    assert!(alone.status.success(), "{stderr}");
    assert!(stdout.contains("restarts in a row"), "the child played nothing: {stdout}");
}

#[test]
#[ignore = "the child of `runs_and_restarts_leave_nothing_behind`"]
fn child_that_plays_alone() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let clock = runs::clock();
    let broker = runs::embedded(&clock);
    let host = Foreground::start().unwrap();
    let mut bench =
        Bench { host, clock, broker, played: 0, drained: 0, abandoned: 0, restarted: 0 };
    let before = Left::count(&*bench.broker);
    bench.passes();
    // A run's own threads are all gone: as many are left as before it.
    let first =
        bench.left(Some(Left { descriptors: Left::count(&*bench.broker).descriptors, ..before }));
    while bench.played < RUNS {
        match bench.played % 5 {
            0 => bench.passes(),
            1 => bench.stop(StopMode::Drain),
            2 => bench.stop(StopMode::Abandon),
            // Two runs: the one that is stopped, and the one that follows it.
            _ => bench.restart(if bench.played.is_multiple_of(2) {
                StopMode::Drain
            } else {
                StopMode::Abandon
            }),
        }
    }
    let last = bench.left(Some(first));
    let Bench { played, drained, abandoned, restarted, .. } = &bench;
    println!(
        "{played} runs: {drained} drained, {abandoned} abandoned, {restarted} of these restarted"
    );
    println!(
        "before the first: {before:?}\nafter the first:  {first:?}\nafter the last:   {last:?}"
    );
    assert_eq!((*played, drained + abandoned, *restarted), (RUNS, 12, 4));
    assert_eq!(last, first);

    let (early, late) = bench.restart_in_a_row();
    let after = bench.left(Some(first));
    println!(
        "{RESTARTS} restarts in a row: {after:?}; resident {early} bytes after {}, {late} at \
         the end",
        RESTARTS / 4
    );
    assert_eq!(after, first);
    assert!(late < early + MEMORY_SLACK_BYTES, "memory grows: {early} -> {late} bytes");
}
