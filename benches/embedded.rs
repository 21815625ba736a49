//! The whole program on the embedded log at `arrivals = "max"`, everything on, audit included:
//! throughput and CPU per event as partitions, producers and campaigns grow; beside them the log's
//! ports alone, which is what the program adds to.
//!
//! `cargo bench --bench embedded [-- SECONDS_PER_RUN [ROUNDS]]`; rounds interleave, the table shows
//! the best of each.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use streamgauge::broker::dead_letters;
use streamgauge::broker::embedded::EmbeddedBroker;
use streamgauge::daemon::foreground::Foreground;
use streamgauge_actors::{
    ArrivalKind, Broker, Mode, RunClock, RunPlan, SECOND, Sent, SharedClock, Span, StampedBy,
    StartAt, StartRun, TopicSpec, Verdict, WriterRole, testing::small_spec,
};

const PAYLOAD: [u8; 330] = [b'x'; 330];
const BUDGET: Duration = Duration::from_millis(1);
/// Records between two looks at the acknowledgements, and at most read at once.
const TURN: u64 = 1000;

#[derive(Clone, Copy)]
struct Case {
    producers: u32,
    partitions: u32,
    campaigns: u32,
    ads_per_campaign: u32,
}

const BASE: Case = Case { producers: 2, partitions: 2, campaigns: 10, ads_per_campaign: 100 };

fn plan(case: Case, seconds: f64, run: usize) -> RunPlan {
    let clock: SharedClock = Arc::new(RunClock::start());
    let broker: Arc<dyn Broker> = Arc::new(EmbeddedBroker::new(64 << 20, Arc::clone(&clock)));
    let spec = small_spec(&format!("bench-{run}")).with(|spec| {
        spec.run_tag = run as u64;
        spec.workload.producers = case.producers;
        spec.aggregator.count = case.partitions.min(2);
        spec.topics.partitions = case.partitions;
        spec.workload.arrivals = ArrivalKind::Max;
        spec.workload.duration = Span::from_nanos((seconds * SECOND as f64) as i64);
        spec.workload.window = Span::from_nanos(SECOND);
        spec.workload.campaigns = case.campaigns;
        spec.workload.ads_per_campaign = case.ads_per_campaign;
    });
    RunPlan {
        dead_letters: dead_letters::factory(&broker, &clock, 1),
        spec,
        mode: Mode::Run,
        events_broker: Arc::clone(&broker),
        results_broker: broker,
        clock,
        create_events_topic: true,
        create_results_topic: true,
        events_retention_bytes: None,
        keep_topics: false,
        truth: None,
    }
}

/// CPU seconds of this process, and its peak resident memory in MiB.
fn used() -> (f64, f64) {
    let me = procfs::process::Process::myself().expect("/proc");
    let stat = me.stat().expect("/proc/self/stat");
    let cpu = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
    let peak = me.status().expect("/proc/self/status").vmhwm.unwrap_or(0) as f64 / 1024.0;
    (cpu, peak)
}

/// Events per second, and CPU nanoseconds per event.
fn measure(host: &Foreground, case: Case, seconds: f64, run: usize) -> (f64, f64) {
    let before = used().0;
    let plan = Arc::new(plan(case, seconds, run));
    host.ask(StartRun { plan }).expect("the supervisor answers").expect("nothing else runs");
    let outcome = host.outcome(Duration::from_mins(2)).expect("the run ends");
    let judgement = outcome.judge(&outcome.sustained());
    assert_eq!(judgement.verdict(), Verdict::Pass, "{:?}", judgement.texts());
    let cpu = used().0 - before;
    (outcome.throughput().consumed, cpu * 1e9 / outcome.counters.consumed as f64)
}

/// The log's ports alone, with fixed payloads: a thread writes all partitions, another reads them.
/// Records per second, and CPU nanoseconds per record.
fn measure_ports(seconds: f64) -> (f64, f64) {
    let clock: SharedClock = Arc::new(RunClock::start());
    let broker = EmbeddedBroker::new(64 << 20, Arc::clone(&clock));
    let partitions = BASE.partitions;
    let topic = TopicSpec {
        name: "events".to_owned(),
        partitions,
        replication: 1,
        stamped_by: StampedBy::Client,
        retention_bytes: None,
    };
    broker.admin().expect("admin").create(&topic).expect("a topic");
    let mut writer = broker.writer("events", WriterRole::Events).expect("a writer");
    let start: Vec<_> = (0..partitions).map(|partition| (partition, StartAt::Earliest)).collect();
    let mut reader = broker.reader("events", &start).expect("a reader");
    let (cpu, begin) = (used().0, clock.now());
    let writing = AtomicBool::new(true);
    let read = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut read = 0_u64;
            while writing.load(Ordering::Acquire) || reader.lag() > 0 {
                read += reader
                    .poll(BUDGET, TURN as usize, &mut |record| _ = black_box(record.payload))
                    .expect("a log") as u64;
            }
            read
        });
        let (end, mut written) = (begin + (seconds * SECOND as f64) as i64, 0_u64);
        while clock.now() < end {
            for n in written..written + TURN {
                while writer
                    .send((n % u64::from(partitions)) as u32, b"", &PAYLOAD, n)
                    .expect("a log")
                    == Sent::Full
                {
                    writer.poll_acks(BUDGET, &mut |_| ()).expect("a log");
                }
            }
            written += TURN;
            writer.poll_acks(Duration::ZERO, &mut |_| ()).expect("a log");
        }
        while writer.in_flight() > 0 {
            writer.poll_acks(BUDGET, &mut |_| ()).expect("a log");
        }
        writing.store(false, Ordering::Release);
        let read = reading.join().expect("the reader");
        assert_eq!(read, written);
        read
    });
    let lasted = (clock.now() - begin) as f64 / SECOND as f64;
    (read as f64 / lasted, (used().0 - cpu) * 1e9 / read as f64)
}

fn main() {
    let numbers: Vec<f64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let seconds = numbers.first().copied().unwrap_or(2.0);
    let rounds = numbers.get(1).map_or(3, |&rounds| rounds as usize);
    let cases = [
        ("2 partitions", BASE),
        ("8 partitions", Case { partitions: 8, ..BASE }),
        ("32 partitions", Case { partitions: 32, ..BASE }),
        ("1 producer", Case { producers: 1, ..BASE }),
        ("8 producers", Case { producers: 8, ..BASE }),
        ("10,000 campaigns x 10 ads", Case { campaigns: 10_000, ads_per_campaign: 10, ..BASE }),
    ];
    let host = Foreground::start().expect("the actor system starts");
    let mut best = vec![(0.0f64, f64::INFINITY); cases.len()];
    let mut ports = (0.0f64, f64::INFINITY);
    let mut run = 0;
    for _ in 0..rounds {
        let (rate, cost) = measure_ports(seconds);
        ports = (ports.0.max(rate), ports.1.min(cost));
        for (i, (_, case)) in cases.iter().enumerate() {
            run += 1;
            let (rate, cost) = measure(&host, *case, seconds, run);
            best[i] = (best[i].0.max(rate), best[i].1.min(cost));
        }
    }
    println!("embedded log, arrivals max, audited; {rounds} rounds of {seconds} s, best of each");
    println!(
        "{:<28} {:>12} {:>14} {:>10}",
        "2 producers, 2 partitions, …", "events/s", "CPU ns/event", "against"
    );
    for ((name, _), (rate, cost)) in cases.iter().zip(&best) {
        let base = if *name == "8 producers" { best[3].1 } else { best[0].1 };
        println!("{name:<28} {rate:>12.0} {cost:>14.1} {:>9.2}x", cost / base);
    }
    println!(
        "{:<28} {:>12.0} {:>14.1} {:>9.2}x",
        "the log's ports alone",
        ports.0,
        ports.1,
        ports.1 / best[0].1
    );
    println!(
        "8 producers against 1 producer, the others against 2 partitions; peak memory {:.0} MiB",
        used().1
    );
}
