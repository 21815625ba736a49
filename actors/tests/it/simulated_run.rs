//! One run of the simulation: the workload and the stress from the seed, the stages' turns, and
//! what must hold in the end.

pub(crate) mod stages;
mod verdict;

use std::sync::Arc;

use streamgauge_actors::{
    ArrivalKind, AuditTotals, AutoSpan, BurstCorrelation, Clock, Finding, MILLISECOND, Mmpp, Nanos,
    Rate, RunSpec, SECOND, Span, StageCounters, StageOrder, WindowAudit,
    testing::{
        Dice, Expectation, Fault, FaultKind, Injection, Injector, SimClock, SimLog, Stress,
        StressCounts, small_spec,
    },
};

use self::stages::Pipeline;

/// The simulated time at which every run is prepared.
const START: Nanos = 1_790_000_000 * SECOND;
/// From there to window 0.
const LEAD: Nanos = 20 * MILLISECOND;
/// Nothing takes longer, unless it hangs.
const LONGEST: Nanos = 60 * SECOND;
/// A run has at least so many events.
pub(crate) const LEAST_EVENTS: u64 = 1000;

/// How often the scheduler and the log were unkind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stresses {
    log: StressCounts,
    /// Rounds of turns that did not follow the pipeline's order.
    reordered_turns: u64,
    /// Turns that a stage did not get.
    skipped_turns: u64,
    /// Stages that stood still for up to 300 ms.
    frozen_stages: u64,
    /// Panes that were sent a second time.
    panes_sent_again: u64,
    /// Messages that waited in a mailbox over a turn.
    delayed_messages: u64,
    /// Runs stopped before their end.
    drains: u64,
    /// Changes of the rate under way.
    rate_changes: u64,
}

impl Stresses {
    /// Each with its name.
    pub(crate) fn named(&self) -> [(&'static str, u64); 12] {
        [
            ("client full", self.log.full),
            ("slow acknowledgements", self.log.slow_acks),
            ("producers' batches interleaved", self.log.interleaved),
            ("partitions stalled", self.log.stalls),
            ("pauses by max_open_windows", self.log.pauses),
            ("turns reordered", self.reordered_turns),
            ("turns skipped", self.skipped_turns),
            ("stages frozen for a while", self.frozen_stages),
            ("panes sent again", self.panes_sent_again),
            ("messages delayed", self.delayed_messages),
            ("runs drained early", self.drains),
            ("rate changes", self.rate_changes),
        ]
    }

    /// Adds another run's.
    pub(crate) fn add(&mut self, other: &Self) {
        let log = &mut self.log;
        let sums = [
            (&mut log.full, other.log.full),
            (&mut log.slow_acks, other.log.slow_acks),
            (&mut log.interleaved, other.log.interleaved),
            (&mut log.stalls, other.log.stalls),
            (&mut log.pauses, other.log.pauses),
            (&mut self.reordered_turns, other.reordered_turns),
            (&mut self.skipped_turns, other.skipped_turns),
            (&mut self.frozen_stages, other.frozen_stages),
            (&mut self.panes_sent_again, other.panes_sent_again),
            (&mut self.delayed_messages, other.delayed_messages),
            (&mut self.drains, other.drains),
            (&mut self.rate_changes, other.rate_changes),
        ];
        for (sum, n) in sums {
            *sum += n;
        }
    }
}

/// Everything that a run gave: the same for the same seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub events: u64,
    pub windows: u64,
    pub arrivals: &'static str,
    pub faults_asked: bool,
    pub injections: Vec<Injection>,
    pub stresses: Stresses,
    pub findings: Vec<Finding>,
    pub audit: AuditTotals,
    pub table: Vec<WindowAudit>,
    pub counters: StageCounters,
    pub results: Vec<Vec<u8>>,
    pub ended_at: Nanos,
}

/// What a seed asks for.
struct Plan {
    spec: RunSpec,
    faults: Vec<Fault>,
    stress: Stress,
    /// Longest step of the clock between two rounds.
    step: Nanos,
    /// Orders under way, by time since the base.
    orders: Vec<(Nanos, Change)>,
}

#[derive(Clone, Copy)]
enum Change {
    Drain,
    Rate(f64),
}

impl Plan {
    fn draw(seed: u64, dice: &mut Dice) -> Self {
        let (arrivals, mmpp) = arrivals(seed, dice);
        let windows = dice.between(4, 6);
        // What comes as fast as it is taken is bounded by the log's capacity and by time.
        let closed_loop = arrivals == ArrivalKind::Max;
        let window_ns = dice.between(80, if closed_loop { 100 } else { 250 }) * MILLISECOND;
        // The end of the schedule may cut a window short.
        let cut = if dice.once_in(3) { dice.between(1, window_ns - 1) } else { 0 };
        let duration_ns = windows * window_ns + cut;
        let rate = 2000.0 * SECOND as f64 / duration_ns as f64;
        let producers = dice.between(2, 4) as u32;
        let partitions = dice.between(3, 6) as u32;
        let warmup = i64::from(dice.once_in(4));
        let spec = small_spec("simulated").with(|spec| {
            spec.workload.seed = seed;
            spec.workload.producers = producers;
            spec.topics.partitions = partitions;
            spec.aggregator.count = dice.between(1, i64::from(partitions)) as u32;
            spec.workload.arrivals = arrivals;
            spec.workload.mmpp = mmpp;
            spec.workload.burst_correlation =
                dice.pick(&[BurstCorrelation::Independent, BurstCorrelation::Shared]);
            spec.workload.rate = Rate(rate);
            spec.workload.duration = Span::from_nanos(duration_ns - warmup * window_ns);
            spec.workload.warmup = Span::from_nanos(warmup * window_ns);
            spec.workload.window = Span::from_nanos(window_ns);
            spec.workload.campaigns = dice.pick(&[1, 5, 30, 100]);
            spec.workload.zipf_exponent = dice.pick(&[0.0, 0.0, 1.0]);
            spec.aggregator.allowed_lateness = AutoSpan::Fixed(Span::from_nanos(dice.pick(&[
                0,
                0,
                10 * MILLISECOND,
                2 * window_ns,
            ])));
            spec.workload.progress_interval = Span::from_nanos(dice.between(10, 200) * MILLISECOND);
            spec.aggregator.max_open_windows = dice.pick(&[1, 2, 16]);
            spec.result_writer.batch = dice.pick(&[1, 10, 100, 1000]);
            spec.log_append_time = !dice.once_in(3);
        });
        let stress = Stress {
            capacity: if closed_loop { 48 } else { dice.pick(&[64, 400, 10_000]) },
            full_once_in: dice.pick(&[0, 50, 400]),
            full_ns: dice.between(1, if closed_loop { 2 } else { 40 }) * MILLISECOND,
            linger_ns: dice.between(0, if closed_loop { 2 } else { 15 }) * MILLISECOND,
            ack_ns: if closed_loop { 2 } else { dice.pick(&[0, 5, 50]) } * MILLISECOND,
            stall_once_in: dice.pick(&[0, 20, 200]),
            stall_ns: dice.between(1, 300) * MILLISECOND,
            read_limit: dice.pick(if closed_loop { &[100, 300] } else { &[3, 30, 300] }),
        };
        let faults = draw_faults(dice);
        let mut orders = Vec::new();
        if dice.once_in(4) {
            // Half of them around a window's end, where an order that comes late matters most.
            let near = (dice.between(1, windows) * window_ns - dice.between(0, 20) * MILLISECOND)
                .min(duration_ns);
            let at = if dice.once_in(2) { near } else { dice.between(0, duration_ns) };
            orders.push((at, Change::Rate(rate * dice.pick(&[0.8, 1.5, 3.0]))));
        }
        if dice.once_in(8) {
            orders.push((dice.between(duration_ns * 9 / 10, duration_ns), Change::Drain));
        }
        orders.sort_by_key(|&(at, _)| at);
        Self {
            spec,
            faults,
            stress,
            step: dice.between(1, if closed_loop { 2 } else { 8 }) * MILLISECOND,
            orders,
        }
    }
}

fn arrivals(seed: u64, dice: &mut Dice) -> (ArrivalKind, Mmpp) {
    // Quick switches and a small ratio: a run of a second shall see both states, and enough events.
    let mmpp = Mmpp { rate_ratio: 2.0, q12: 10.0, q21: 10.0 };
    match seed % 6 {
        0 => (ArrivalKind::Uniform, mmpp),
        1 => (ArrivalKind::Poisson, mmpp),
        2 => (ArrivalKind::PoissonNormalized, mmpp),
        3 => (ArrivalKind::Mmpp, Mmpp { rate_ratio: dice.pick(&[1.5, 2.0]), ..mmpp }),
        4 => (ArrivalKind::MmppWindowed, Mmpp { rate_ratio: 1.2, ..mmpp }),
        _ => (ArrivalKind::Max, mmpp),
    }
}

/// From an order to change the rate to its effect.
const CHANGE_LEAD: Nanos = 50 * MILLISECOND;

/// Half of the seeds have some.
fn draw_faults(dice: &mut Dice) -> Vec<Fault> {
    if dice.once_in(2) {
        return Vec::new();
    }
    let count = dice.between(1, 6);
    let one = |dice: &mut Dice| {
        let kind = dice.pick(&FaultKind::ALL);
        let records = if kind.strikes_results() { 20 } else { LEAST_EVENTS };
        Fault { kind, after_records: dice.below(records) }
    };
    (0..count).map(|_| one(dice)).collect()
}

/// Plays one seed to its end.
pub(crate) fn simulate(seed: u64) -> Result<Outcome, String> {
    let mut dice = Dice::new(seed);
    let Plan { spec, faults, stress, step, orders } = Plan::draw(seed, &mut dice);
    let clock = Arc::new(SimClock::at(START));
    let faults_asked = !faults.is_empty();
    let injector = Injector::new(
        faults,
        spec.workload.producers,
        spec.workload.window.as_nanos(),
        spec.aggregator.lateness_ns(),
    );
    let log =
        SimLog::new(Arc::clone(&clock), Dice::new(!seed), stress, injector, spec.topics.partitions);
    let spec = Arc::new(spec);
    let mut pipeline = Pipeline::build(&spec, &clock, &log);
    let base = START + LEAD;
    let end = base + spec.schedule_ns();
    pipeline.begin(base);
    let mut orders = orders.into_iter().peekable();
    while !pipeline.finished() {
        let now = clock.now();
        while let Some((_, change)) = orders.next_if(|&(at, _)| base + at <= now) {
            pipeline.order(match change {
                Change::Drain => StageOrder::Drain { at_ns: now },
                Change::Rate(events_per_second) => {
                    StageOrder::SetRate { at_ns: now + CHANGE_LEAD, events_per_second }
                }
            });
        }
        pipeline.round(&mut dice, &clock)?;
        // Past the schedule only time-outs are waited for.
        clock.advance(dice.between(0, if now > end + SECOND { 50 * MILLISECOND } else { step }));
        if now - end > LONGEST {
            let injections = log.injected(|injector| injector.injections().to_vec());
            return Err(format!(
                "it hangs: not finished: {:?}\n{injections:?}",
                pipeline.unfinished()
            ));
        }
    }
    let mut outcome = pipeline.into_outcome(&log, clock.now());
    outcome.arrivals = spec.workload.arrivals.name();
    outcome.faults_asked = faults_asked;
    let expected: Expectation = log.injected(Injector::expected);
    verdict::check(&spec, base, &log, &outcome, &expected)?;
    Ok(outcome)
}
