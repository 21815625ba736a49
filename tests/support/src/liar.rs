//! A broker that fools a run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use streamgauge::daemon::foreground::Foreground;
use streamgauge_actors::{
    Ack, Broker, BrokerDescription, Cause, EventReader, EventWriter, Limit, MILLISECOND, Nanos,
    PortError, Rate, Record, RunSpec, SECOND, Sent, SharedClock, Span, StartAt, TopicAdmin,
    Verdict, WriterRole, testing::small_spec,
};

use crate::runs;

/// What is wrong with a broker, or with what reads from it.
#[derive(Clone, Copy, Debug)]
pub enum Trick {
    /// Nothing.
    Honest,
    /// The broker takes so many events a second.
    SlowBroker(f64),
    /// The reader of events takes so long for each.
    SlowReader(Duration),
    /// The broker's clock is off by so many milliseconds.
    OtherClock(i64),
}

/// A broker with a trick.
pub struct Liar {
    /// The broker that it stands before.
    pub inner: Arc<dyn Broker>,
    /// The run that is fooled.
    pub spec: RunSpec,
    /// Its clock.
    pub clock: SharedClock,
    /// How it is fooled.
    pub trick: Trick,
}

impl Broker for Liar {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        self.inner.describe()
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        self.inner.admin()
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        let inner = self.inner.writer(topic, role)?;
        match self.trick {
            Trick::SlowBroker(per_second) if topic == self.spec.topics.events => {
                let clock = Arc::clone(&self.clock);
                let waiting = VecDeque::new();
                Ok(Box::new(SlowWriter { inner, clock, per_second, waiting, free_ns: 0 }))
            }
            _ => Ok(inner),
        }
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        let inner = self.inner.reader(topic, start)?;
        let is_events = topic == self.spec.topics.events;
        let (per_record, clock_ms) = match self.trick {
            Trick::SlowReader(per_record) if is_events => (per_record, 0),
            Trick::OtherClock(clock_ms) if !is_events => (Duration::ZERO, clock_ms),
            _ => return Ok(inner),
        };
        Ok(Box::new(OddReader { inner, per_record, clock_ms }))
    }
}

/// Passes records on no faster than so many a second, and holds a few thousand.
struct SlowWriter {
    inner: Box<dyn EventWriter>,
    clock: SharedClock,
    per_second: f64,
    waiting: VecDeque<(u32, Vec<u8>, Vec<u8>, u64)>,
    /// When the next record may go.
    free_ns: Nanos,
}

impl EventWriter for SlowWriter {
    fn send(
        &mut self,
        partition: u32,
        key: &[u8],
        payload: &[u8],
        token: u64,
    ) -> Result<Sent, PortError> {
        if self.waiting.len() >= 5000 {
            return Ok(Sent::Full);
        }
        self.waiting.push_back((partition, key.to_vec(), payload.to_vec(), token));
        Ok(Sent::Ok)
    }

    fn poll_acks(
        &mut self,
        budget: Duration,
        visit: &mut dyn FnMut(Ack),
    ) -> Result<usize, PortError> {
        let now = self.clock.now();
        self.free_ns = self.free_ns.max(now - 50 * MILLISECOND);
        while self.free_ns <= now
            && let Some((partition, key, payload, token)) = self.waiting.front()
        {
            if self.inner.send(*partition, key, payload, *token)? == Sent::Full {
                break;
            }
            self.waiting.pop_front();
            self.free_ns += (SECOND as f64 / self.per_second) as Nanos;
        }
        if self.inner.in_flight() == 0 {
            thread::sleep(budget);
        }
        self.inner.poll_acks(Duration::ZERO, visit)
    }

    fn in_flight(&self) -> u64 {
        self.inner.in_flight() + self.waiting.len() as u64
    }
}

/// Takes its time for every record, and shows the times of another clock.
struct OddReader {
    inner: Box<dyn EventReader>,
    per_record: Duration,
    clock_ms: i64,
}

impl EventReader for OddReader {
    fn poll(
        &mut self,
        budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        let Self { inner, per_record, clock_ms } = self;
        // A turn is short, however slow.
        let most = if per_record.is_zero() { max_records } else { 10 };
        let visited = inner.poll(budget, most, &mut |record| {
            let timestamp_ns = record.timestamp_ns + *clock_ms * MILLISECOND;
            visit(Record { timestamp_ns, ..record });
        })?;
        thread::sleep(*per_record * visited as u32);
        Ok(visited)
    }

    fn set_paused(&mut self, partition: u32, paused: bool) -> Result<(), PortError> {
        self.inner.set_paused(partition, paused)
    }

    fn lag(&mut self) -> u64 {
        self.inner.lag()
    }

    fn lag_of(&mut self, partition: u32) -> u64 {
        self.inner.lag_of(partition)
    }
}

/// A run of 4,000 events a second for 6 s, judged in full but for single late events: the machine
/// of a test may be busy.
pub fn spec(name: &str) -> RunSpec {
    small_spec(name).with(|spec| {
        spec.workload.producers = 1;
        spec.workload.rate = Rate(4000.0);
        spec.workload.duration = Span::from_nanos(6 * SECOND);
        spec.workload.window = Span::from_nanos(SECOND);
        spec.workload.send_delay_limit = Span::from_nanos(60 * SECOND);
        spec.workload.least_judged = Span::from_nanos(5 * SECOND);
        spec.aggregator.count = 1;
    })
}

/// How a run with a trick was judged.
pub struct Judged {
    /// What decided.
    pub cause: Cause,
    /// The verdict.
    pub verdict: Verdict,
    /// The exit code.
    pub code: u8,
    /// Who kept it from keeping up.
    pub limit: Option<Limit>,
    /// All reasons.
    pub texts: Vec<String>,
    /// Whether our own threads did not get the processor that they asked for.
    pub is_starved: bool,
}

/// Plays a run of this name on this broker, with this trick.
pub fn judged(name: &str, inner: Arc<dyn Broker>, clock: &SharedClock, trick: Trick) -> Judged {
    let spec = spec(name);
    let broker = Liar { inner, spec: spec.clone(), clock: Arc::clone(clock), trick };
    let host = Foreground::start().expect("a supervisor starts");
    let outcome = runs::play(&host, runs::plan(spec, Arc::new(broker), clock));
    let sustained = outcome.sustained();
    let judgement = outcome.judge(&sustained);
    Judged {
        cause: judgement.cause(),
        verdict: judgement.verdict(),
        code: judgement.exit_code(),
        limit: sustained.limit,
        texts: judgement.texts(),
        is_starved: outcome.series.iter().any(|second| second.load.cpu_wait > 0.05),
    }
}
