//! What one core does in a stage, everything on: a producer that paces, draws, encodes, counts and
//! files; an aggregator that decodes, checks serials, counts into windows and measures.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use streamgauge_actors::{
    Ack, Aggregate, AggregatorParts, ArrivalKind, Campaigns, DeadLetters, Delivery, EventEncoder,
    EventReader, EventSource, EventWriter, Follow, ForeignAggregatorRole, MILLISECOND, Nanos,
    OwnAggregatorRole, PROGRESS_KEY, PortError, Producer, ProducerRole, ProgressRecord, Rate,
    Record, Role, RunClock, RunSpec, SECOND, Sent, Serial, SharedClock, Span, Stage, StartAt,
    TimestampKind, testing::small_spec,
};

const EVENTS: usize = 100_000;
const RUN_TAG: u64 = 7;

fn spec(arrivals: ArrivalKind) -> RunSpec {
    small_spec("bench").with(|spec| {
        spec.run_tag = RUN_TAG;
        spec.workload.producers = 1;
        spec.aggregator.count = 1;
        spec.topics.partitions = 2;
        spec.workload.rate = Rate(1e9);
        spec.workload.arrivals = arrivals;
        spec.workload.duration = Span::from_nanos(86_400 * SECOND);
        spec.workload.window = Span::from_nanos(10 * SECOND);
        spec.workload.ads_per_campaign = 100;
    })
}

/// Takes everything, and acknowledges it at the next poll.
#[derive(Default)]
struct Sink {
    waiting: Vec<(u32, u64)>,
}

impl EventWriter for Sink {
    fn send(
        &mut self,
        partition: u32,
        _key: &[u8],
        payload: &[u8],
        token: u64,
    ) -> Result<Sent, PortError> {
        black_box(payload);
        self.waiting.push((partition, token));
        Ok(Sent::Ok)
    }

    fn poll_acks(
        &mut self,
        _budget: Duration,
        visit: &mut dyn FnMut(Ack),
    ) -> Result<usize, PortError> {
        let count = self.waiting.len();
        for (partition, token) in self.waiting.drain(..) {
            visit(Ack { partition, token, delivery: Delivery::Acknowledged });
        }
        Ok(count)
    }

    fn in_flight(&self) -> u64 {
        self.waiting.len() as u64
    }
}

/// A record's key and value.
type Canning = (&'static [u8], Vec<u8>);

/// Gives the same records once.
struct Canned {
    records: Arc<Vec<Canning>>,
    at: usize,
    timestamp_ns: Nanos,
}

impl EventReader for Canned {
    fn poll(
        &mut self,
        _budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        let end = (self.at + max_records).min(self.records.len());
        for (offset, (key, payload)) in self.records[self.at..end].iter().enumerate() {
            visit(Record {
                partition: 0,
                offset: offset as u64,
                key,
                payload,
                timestamp_ns: self.timestamp_ns,
                timestamp_kind: TimestampKind::LogAppend,
            });
        }
        let visited = end - self.at;
        self.at = end;
        Ok(visited)
    }

    fn set_paused(&mut self, _partition: u32, _paused: bool) -> Result<(), PortError> {
        Ok(())
    }

    fn lag(&mut self) -> u64 {
        (self.records.len() - self.at) as u64
    }

    fn lag_of(&mut self, _partition: u32) -> u64 {
        self.lag()
    }
}

struct Nowhere;

impl DeadLetters for Nowhere {
    fn keep(&mut self, _record: Record<'_>, reason: &'static str) {
        panic!("a malformed event in the bench: {reason}");
    }
}

fn records(base_ns: Nanos, spaced: bool) -> Vec<Canning> {
    let spec = spec(ArrivalKind::Uniform);
    let campaigns = Arc::new(Campaigns::derive(
        spec.workload.seed,
        spec.workload.campaigns,
        spec.workload.ads_per_campaign,
        None,
    ));
    let mut source = EventSource::new(
        spec.workload.seed,
        0,
        Arc::clone(&campaigns),
        spec.workload.ad_types.len(),
        spec.workload.event_types.len(),
    );
    let mut encoder =
        EventEncoder::new(campaigns, &spec.workload.ad_types, &spec.workload.event_types);
    let progress = ProgressRecord {
        number: 0,
        n: 0,
        run: RUN_TAG,
        producer: 0,
        producers: 1,
        generation: 1,
        event_time_ns: base_ns,
        last: false,
    };
    let mut records = vec![(PROGRESS_KEY, progress.to_json())];
    for n in 0..EVENTS as u64 {
        let time = base_ns + n as Nanos * 25_000;
        let serial = Serial { run_tag: RUN_TAG, producer: 0, partition: 0, n };
        let text = encoder.encode(&source.draw(), serial, time, 0, time / MILLISECOND);
        let mut text = String::from_utf8(text.to_vec()).expect("JSON is UTF-8");
        if spaced {
            text = text.replace(':', ": ").replace(',', ", ");
        }
        records.push((&b""[..], text.into_bytes()));
    }
    records
}

fn producer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("producer");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for arrivals in [ArrivalKind::Max, ArrivalKind::PoissonNormalized] {
        let spec = Arc::new(spec(arrivals));
        let campaigns = Arc::new(Campaigns::derive(
            spec.workload.seed,
            spec.workload.campaigns,
            spec.workload.ads_per_campaign,
            None,
        ));
        group.bench_function(arrivals.name(), |bencher| {
            let clock: SharedClock = Arc::new(RunClock::start());
            let make = || {
                let writer = Box::<Sink>::default();
                let spec = Arc::clone(&spec);
                let role = ProducerRole {
                    index: 0,
                    generation: 1,
                    spec,
                    campaigns: Arc::clone(&campaigns),
                    clock: Arc::clone(&clock),
                    writer,
                };
                // Started a second ago: a billion events are due.
                role.begin(clock.now() - SECOND)
            };
            let run = |mut stage: Producer| {
                let mut outbox = Vec::new();
                while stage.state().counters.produced < EVENTS as u64 {
                    for _ in 0..10 {
                        stage.turn(clock.now(), &mut outbox).expect("the sink takes all");
                    }
                }
                stage
            };
            bencher.iter_batched(make, run, BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn parts(records: &Arc<Vec<Canning>>, clock: &SharedClock, base_ns: Nanos) -> AggregatorParts {
    let reader = Canned { records: Arc::clone(records), at: 0, timestamp_ns: base_ns };
    AggregatorParts {
        id: 0,
        spec: Arc::new(spec(ArrivalKind::Uniform)),
        clock: Arc::clone(clock),
        owned: vec![0],
        reader: Box::new(reader),
        dead_letters: Box::new(Nowhere),
    }
}

/// Measures the aggregator that `role` makes of its parts, on events in our layout or a spaced one.
fn measure<R: Role>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    spaced: bool,
    role: impl Fn(AggregatorParts) -> R,
) {
    let clock: SharedClock = Arc::new(RunClock::start());
    let base_ns = clock.now();
    let records = Arc::new(records(base_ns, spaced));
    group.bench_function(name, |bencher| {
        let make = || role(parts(&records, &clock, base_ns)).begin(base_ns);
        let run = |mut stage: R::Stage| {
            let mut outbox = Vec::new();
            for _ in 0..=EVENTS / streamgauge_actors::TURN_LIMIT {
                stage.turn(base_ns, &mut outbox).expect("canned records are sound");
            }
            let counters = stage.state().counters;
            assert_eq!((counters.consumed, counters.late), (EVENTS as u64, 0));
            stage
        };
        bencher.iter_batched(make, run, BatchSize::LargeInput);
    });
}

fn aggregator(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("window_aggregator");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let aggregate = Aggregate {
        follow: Follow { from: StartAt::Earliest, until_idle_ns: None },
        base_event_time_ns: 0,
        campaigns: None,
        idle_timeout_ns: None,
    };
    measure(&mut group, "own layout, audited", false, OwnAggregatorRole);
    let foreign = |parts| ForeignAggregatorRole { parts, aggregate };
    measure(&mut group, "json.dumps layout, foreign", true, foreign);
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4));
    targets = producer, aggregator
}
criterion_main!(benches);
