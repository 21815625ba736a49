//! Runs of days, on a simulated clock: whatever their length, their partitions and their windows,
//! what is kept of them is bounded.
//!
//! Their first hours, here, are what changes by; the whole of them is played by `just nightly`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::simulated_run::stages::{Pipeline, PipelineLog};
use streamgauge_actors::{
    Ack, Clock, Delivery, EventReader, EventWriter, MILLISECOND, Nanos, PortError, Rate, Record,
    RunMeasures, RunSpec, SECOND, Second, Sent, Span, TimestampKind,
    testing::{RunSeries, SimClock, Topic, small_spec},
};

/// The simulated time at which every run begins.
const BASE: Nanos = 1_790_000_000 * SECOND;
/// What a run may hold at any time, its pipeline included, bytes.
const MOST_MEMORY: u64 = 64 << 20;
/// What its report has of seconds and windows, at most, bytes.
const MOST_REPORT: usize = 16 << 20;

/// A log that stores at once and frees what was read.
#[derive(Clone)]
struct QuietLog {
    clock: Arc<SimClock>,
    events: Partitions,
    results: Partitions,
}

/// Each is read by one reader.
type Partitions = Arc<Vec<Mutex<Partition>>>;

#[derive(Default)]
struct Partition {
    end: u64,
    unread: VecDeque<Stored>,
}

struct Stored {
    key: Vec<u8>,
    payload: Vec<u8>,
    at_ns: Nanos,
}

struct QuietReader {
    partitions: Partitions,
    owned: Vec<u32>,
}

struct QuietWriter {
    clock: Arc<SimClock>,
    partitions: Partitions,
    acks: Vec<Ack>,
}

fn lock(partition: &Mutex<Partition>) -> MutexGuard<'_, Partition> {
    partition.lock().unwrap_or_else(PoisonError::into_inner)
}

impl QuietLog {
    fn new(clock: &Arc<SimClock>, partitions: u32) -> Self {
        let empty = |count| Arc::new((0..count).map(|_| Mutex::default()).collect());
        Self { clock: Arc::clone(clock), events: empty(partitions), results: empty(1) }
    }

    fn topic(&self, topic: Topic) -> Partitions {
        Arc::clone(match topic {
            Topic::Events => &self.events,
            Topic::Results => &self.results,
        })
    }
}

impl PipelineLog for QuietLog {
    fn reader(&self, topic: Topic, partitions: &[u32]) -> Box<dyn EventReader> {
        Box::new(QuietReader { partitions: self.topic(topic), owned: partitions.to_vec() })
    }

    fn writer(&self, topic: Topic) -> Box<dyn EventWriter> {
        let clock = Arc::clone(&self.clock);
        Box::new(QuietWriter { clock, partitions: self.topic(topic), acks: Vec::new() })
    }
}

impl EventReader for QuietReader {
    fn poll(
        &mut self,
        _budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        let mut visited = 0;
        for &partition in &self.owned {
            let mut log = lock(&self.partitions[partition as usize]);
            while visited < max_records
                && let Some(stored) = log.unread.pop_front()
            {
                visited += 1;
                visit(Record {
                    partition,
                    offset: log.end - log.unread.len() as u64 - 1,
                    key: &stored.key,
                    payload: &stored.payload,
                    timestamp_ns: stored.at_ns,
                    timestamp_kind: TimestampKind::LogAppend,
                });
            }
        }
        Ok(visited)
    }

    fn set_paused(&mut self, _partition: u32, _paused: bool) -> Result<(), PortError> {
        Ok(())
    }

    fn lag(&mut self) -> u64 {
        let unread = |&partition: &u32| lock(&self.partitions[partition as usize]).unread.len();
        self.owned.iter().map(unread).sum::<usize>() as u64
    }

    fn lag_of(&mut self, partition: u32) -> u64 {
        lock(&self.partitions[partition as usize]).unread.len() as u64
    }
}

impl EventWriter for QuietWriter {
    fn send(
        &mut self,
        partition: u32,
        key: &[u8],
        payload: &[u8],
        token: u64,
    ) -> Result<Sent, PortError> {
        let at_ns = self.clock.now() / MILLISECOND * MILLISECOND;
        let mut log = lock(&self.partitions[partition as usize]);
        log.end += 1;
        log.unread.push_back(Stored { key: key.to_vec(), payload: payload.to_vec(), at_ns });
        self.acks.push(Ack { partition, token, delivery: Delivery::Acknowledged });
        Ok(Sent::Ok)
    }

    fn poll_acks(
        &mut self,
        _budget: Duration,
        visit: &mut dyn FnMut(Ack),
    ) -> Result<usize, PortError> {
        let count = self.acks.len();
        self.acks.drain(..).for_each(visit);
        Ok(count)
    }

    fn in_flight(&self) -> u64 {
        self.acks.len() as u64
    }
}

/// Plays a run to its end, its clock moved on by `step`; gives its series and what was audited.
fn play(spec: RunSpec, step: Nanos) -> (Vec<Second>, RunMeasures) {
    let clock = Arc::new(SimClock::at(BASE));
    let log = QuietLog::new(&clock, spec.topics.partitions);
    let spec = Arc::new(spec);
    let mut pipeline = Pipeline::build(&spec, &clock, &log);
    pipeline.begin(BASE);
    let mut series = RunSeries::new(BASE, spec.workload.rate.0);
    let mut next_second = BASE + SECOND;
    let mut measures = None;
    while measures.is_none() {
        let now = clock.now();
        assert!(now < BASE + spec.schedule_ns() + 3600 * SECOND, "{:?}", pipeline.unfinished());
        pipeline.pass(now).unwrap();
        measures = pipeline.take_measures();
        if now >= next_second || measures.is_some() {
            next_second += SECOND;
            for (stage, state) in pipeline.states() {
                assert_eq!(state.findings, []);
                series.add(stage, now, measures.is_some(), state);
            }
        }
        clock.advance(step);
    }
    (series.finish(), measures.unwrap_or_default())
}

/// A run that is exact, and whose rows say all of it, in bounded memory; prints what it took.
fn check(name: &str, step: Nanos, change: impl FnOnce(&mut RunSpec)) {
    let spec = small_spec(name).with(|spec| {
        spec.aggregator.max_open_windows = 64;
        change(spec);
    });
    let workload = &spec.workload;
    let seconds = spec.schedule_ns() / SECOND;
    let windows = spec.schedule_ns() as u64 / workload.window.as_nanos() as u64;
    let events = workload.rate.0 * seconds as f64;
    let mut played = None;
    let memory = allocation_counter::measure(|| played = Some(play(spec, step)));
    let (series, measures) = played.unwrap();
    let report = serde_json::to_vec(&(&series, &measures.windows)).unwrap().len();
    println!(
        "{name}: {seconds} s, {windows} windows; {:.1} MiB at most; {} rows of seconds, {} of \
         windows, {:.1} MiB as JSON",
        memory.bytes_max as f64 / f64::from(1 << 20),
        series.len(),
        measures.windows.len(),
        report as f64 / f64::from(1 << 20),
    );
    assert!(measures.audit.exact(), "{:?}", measures.audit);
    assert_eq!(measures.audit.windows, windows);
    assert_eq!(measures.windows.iter().map(|row| row.windows).sum::<u64>(), windows);
    let produced: u64 = series.iter().map(|row| row.produced).sum();
    assert!((produced as f64 - events).abs() < 0.01 * events, "{produced} of {events}");
    assert_eq!(produced, measures.windows.iter().map(|row| row.count).sum::<u64>());
    assert!(memory.bytes_max < MOST_MEMORY, "{} bytes", memory.bytes_max);
    assert!(report < MOST_REPORT, "{report} bytes");
}

fn on_two_partitions(duration: Nanos) {
    check("thirty days of 10 s windows, 2 partitions", SECOND / 2, |spec| {
        spec.topics.partitions = 2;
        spec.workload.rate = Rate(5.0);
        spec.workload.window = Span::from_nanos(10 * SECOND);
        spec.workload.duration = Span::from_nanos(duration);
        spec.workload.progress_interval = Span::from_nanos(SECOND);
    });
}

fn on_many_partitions(duration: Nanos) {
    check("a day on 200 partitions", SECOND / 2, |spec| {
        spec.topics.partitions = 200;
        spec.workload.rate = Rate(200.0);
        spec.workload.window = Span::from_nanos(10 * SECOND);
        spec.workload.duration = Span::from_nanos(duration);
        spec.workload.progress_interval = Span::from_nanos(SECOND);
    });
}

fn of_short_windows(duration: Nanos) {
    check("an hour of 1 ms windows", 5 * MILLISECOND, |spec| {
        spec.topics.partitions = 2;
        spec.workload.rate = Rate(2000.0);
        spec.workload.window = Span::from_nanos(MILLISECOND);
        spec.workload.duration = Span::from_nanos(duration);
        spec.workload.progress_interval = Span::from_nanos(10 * MILLISECOND);
    });
}

const MINUTE: Nanos = 60 * SECOND;
const HOUR: Nanos = 60 * MINUTE;
const DAY: Nanos = 24 * HOUR;

#[test]
fn hours_on_two_partitions_take_what_minutes_take() {
    on_two_partitions(5 * HOUR);
}

#[test]
fn an_hour_on_many_partitions_takes_what_minutes_take() {
    on_many_partitions(HOUR);
}

#[test]
fn a_minute_of_short_windows_takes_what_seconds_take() {
    of_short_windows(MINUTE);
}

#[test]
#[ignore = "minutes: just nightly"]
fn thirty_days_on_two_partitions() {
    on_two_partitions(30 * DAY);
}

#[test]
#[ignore = "minutes: just nightly"]
fn a_day_on_many_partitions() {
    on_many_partitions(DAY);
}

#[test]
#[ignore = "minutes: just nightly"]
fn an_hour_of_short_windows() {
    of_short_windows(HOUR);
}
