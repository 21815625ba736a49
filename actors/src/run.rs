//! A run from its acceptance to its outcome: what is known of it, and what follows from that. It
//! reads no clock, sends nothing and starts nothing: the supervisor does, by what it says.

pub(crate) mod abandonment;
pub(crate) mod facts;
pub(crate) mod helper;
pub(crate) mod judge;
pub(crate) mod orders;
pub(crate) mod outcome;
pub(crate) mod pipeline;
pub(crate) mod plan;
pub(crate) mod preparation;
pub(crate) mod prepare;
pub(crate) mod states;
pub(crate) mod supervisor;
pub(crate) mod sustained;
pub(crate) mod topics;
pub(crate) mod verdict;
pub(crate) mod wiring;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::clock::{MILLISECOND, Nanos, SECOND};
use crate::cpu::MachineCpu;
use crate::failure::FailureKind;
use crate::measures::collector::Collector;
use crate::measures::counters::StageCounters;
use crate::measures::run_measures::MeasuresComplete;
use crate::ports::BrokerDescription;
use crate::run::facts::StageMeasured;
use crate::run::orders::RunStatus;
use crate::run::outcome::{Ending, MadeTopics, RateChange, RunOutcome, is_step};
use crate::run::states::RunState;
use crate::stage::reports::StageReport;
use crate::stage_id::{PipelineId, StageId};
use crate::truth::findings::{Finding, MAX_FINDINGS, WindowAudit};
use crate::workload::arrivals::ArrivalKind;
use crate::workload::mode::Mode;
use crate::workload::spec::RunSpec;

/// From the moment every stage is ready to the start of window 0.
const LEAD_NS: Nanos = 100 * MILLISECOND;
/// From an order to change the rate to its effect: until then every producer has heard of it.
const CHANGE_LEAD_NS: Nanos = 500 * MILLISECOND;
/// A run is looked at many times a second: nobody looks for so long only where the whole program
/// was stopped, or got no processor.
const STOP_LIMIT_NS: Nanos = SECOND;
/// So often can a run's rate be changed: all changes are kept, and reported.
const MAX_RATE_CHANGES: usize = 10_000;
/// The greatest rate that can be set, events per second.
const MAX_RATE: f64 = 1e9;

/// A run from its acceptance to its outcome.
pub(crate) struct Run {
    mode: Mode,
    made_topics: MadeTopics,
    /// As the topics' real shape completed it.
    pub(crate) spec: Arc<RunSpec>,
    pub(crate) id: PipelineId,
    pub(crate) state: RunState,
    started_at_ns: Nanos,
    /// Topics and ports are being made.
    pub(crate) preparing: bool,
    broker: Option<BrokerDescription>,
    /// Downstream first.
    stages: Vec<StageId>,
    finished: BTreeSet<StageId>,
    base_ns: Option<Nanos>,
    end_ns: Nanos,
    /// Since when the run drains.
    draining_since_ns: Option<Nanos>,
    /// When what was overdue was given up.
    gave_up_ns: Option<Nanos>,
    /// When something was last sent, stored, read or judged.
    progress: Progress,
    rate_changes: Vec<RateChange>,
    /// Whether a drain was asked for.
    stop_asked: bool,
    target: f64,
    collector: Collector,
    findings: Vec<Finding>,
    latest_window: Option<WindowAudit>,
    /// What the latency actor handed over.
    measured: Option<MeasuresComplete>,
    /// When the run was last looked at, and since when the program has gone on without a stop.
    looked_ns: Option<Nanos>,
    resumed_ns: Nanos,
    /// The longest time that nobody looked.
    longest_stop_ns: Nanos,
    /// The greatest step of the wall clock so far: one that is taken back spoils what it came
    /// across all the same.
    wall_step_ns: Nanos,
    /// How the run ended, once it is being torn down.
    pub(crate) ending: Option<Ending>,
}

/// What is seen of a run from outside at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    /// The run's clock.
    pub(crate) now: Nanos,
    /// How far the wall clock has moved against it.
    pub(crate) wall_step_ns: Nanos,
    /// The stage that has been silent for the longest time, with that time.
    pub(crate) most_silent: Option<(StageId, Nanos)>,
}

/// When a run last came further.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// All that was done so far.
    steps: u64,
    at_ns: Nanos,
}

impl Progress {
    fn note(&mut self, totals: &StageCounters, now: Nanos) {
        let steps = totals.acknowledged
            + totals.consumed
            + totals.results_written
            + totals.results_read
            + totals.windows_judged;
        if steps > self.steps {
            *self = Self { steps, at_ns: now };
        }
    }
}

/// What follows from a look at a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Consequence {
    /// The run is in another state.
    Entered(RunState),
    /// What is overdue is to be given up.
    GiveUp,
    /// The run is over.
    Over(Ending),
}

impl Run {
    /// A run that was just accepted, and is being prepared.
    pub(crate) fn new(
        mode: Mode,
        made_topics: MadeTopics,
        spec: Arc<RunSpec>,
        id: PipelineId,
        now: Nanos,
    ) -> Self {
        Self {
            mode,
            made_topics,
            id,
            state: RunState::Preparing,
            started_at_ns: now,
            preparing: true,
            broker: None,
            stages: Vec::new(),
            finished: BTreeSet::new(),
            base_ns: None,
            end_ns: 0,
            draining_since_ns: None,
            gave_up_ns: None,
            progress: Progress::default(),
            rate_changes: Vec::new(),
            stop_asked: false,
            target: spec.workload.rate.0,
            collector: Collector::new(0, None),
            findings: Vec::new(),
            latest_window: None,
            measured: None,
            looked_ns: None,
            resumed_ns: Nanos::MIN,
            longest_stop_ns: 0,
            wall_step_ns: 0,
            ending: None,
            spec,
        }
    }

    /// Topics and ports are made: the workload is complete, and the broker known.
    pub(crate) fn completed(&mut self, spec: Arc<RunSpec>, broker: BrokerDescription) {
        (self.spec, self.broker) = (spec, Some(broker));
    }

    /// Its stages are ready: window 0 starts a moment from now. Gives when: at a whole
    /// millisecond, so that produce times and window bounds have no fraction to disagree on.
    pub(crate) fn begin(&mut self, stages: Vec<StageId>, now: Nanos) -> Nanos {
        let base = whole_millisecond(now + LEAD_NS);
        self.stages = stages;
        self.base_ns = Some(base);
        self.end_ns = base.saturating_add(self.spec.schedule_ns());
        self.collector = Collector::new(base, self.spec.target(self.mode));
        self.state = RunState::WarmingUp;
        base
    }

    /// What follows from a look at the run; nothing before it has begun and once it is over.
    pub(crate) fn tick(&mut self, sight: Sight) -> Vec<Consequence> {
        let Sight { now, wall_step_ns, most_silent } = sight;
        let (Some(base), None) = (self.base_ns, &self.ending) else { return Vec::new() };
        self.wall_step_ns = greater_step(self.wall_step_ns, wall_step_ns);
        self.note_stop(now);
        if let Some((stage, silence)) = most_silent
            && let Some(frozen) =
                self.frozen(stage, silence.min(now.saturating_sub(self.resumed_ns)))
        {
            return vec![Consequence::Over(frozen)];
        }
        let mut consequences = Vec::new();
        if self.state == RunState::WarmingUp && now >= base + self.spec.workload.warmup.as_nanos() {
            self.state = RunState::Running;
            consequences.push(Consequence::Entered(self.state));
        }
        if self.state == RunState::Running && self.mode.produces() && now >= self.end_ns {
            self.state = RunState::Draining;
            self.draining_since_ns = Some(now);
            consequences.push(Consequence::Entered(self.state));
        }
        if self.gives_up(now) {
            self.gave_up_ns = Some(now);
            consequences.push(Consequence::GiveUp);
        }
        consequences
            .extend(self.finished_ending().or_else(|| self.overdue(now)).map(Consequence::Over));
        consequences
    }

    /// Notes whether the whole program stood still since the last look: a stage that was silent
    /// meanwhile has not frozen.
    fn note_stop(&mut self, now: Nanos) {
        let stop_ns = now - self.looked_ns.replace(now).unwrap_or(now);
        if stop_ns > STOP_LIMIT_NS {
            self.resumed_ns = now;
            self.longest_stop_ns = self.longest_stop_ns.max(stop_ns);
        }
    }

    /// The ending of a run with a stage that is silent for too long.
    fn frozen(&self, stage: StageId, silence: Nanos) -> Option<Ending> {
        if silence <= self.spec.supervisor.heartbeat_timeout.as_nanos() {
            return None;
        }
        let seconds = silence / SECOND;
        let cause = format!("it has been frozen for {seconds} s (supervisor.heartbeat_timeout)");
        Some(Ending::Failed { stage: Some(stage), kind: FailureKind::Stage, cause })
    }

    /// The ending of a run whose stages are all done.
    fn finished_ending(&self) -> Option<Ending> {
        let done = self.stages.iter().all(|stage| self.finished.contains(stage))
            && (self.measured.is_some() || !self.mode.measures());
        if !done {
            return None;
        }
        let stopped = self.stop_asked && self.ends_early();
        Some(if stopped { Ending::Stopped { drained: true } } else { Ending::Completed })
    }

    fn producers_finished(&self) -> bool {
        let is_busy = |stage: &StageId| stage.producers() > 0 && !self.finished.contains(stage);
        !self.stages.iter().any(is_busy)
    }

    /// Whether the time to send what is overdue has run out.
    fn gives_up(&self, now: Nanos) -> bool {
        let timeout = self.spec.supervisor.catch_up_timeout.as_nanos();
        self.gave_up_ns.is_none()
            && self.draining_since_ns.is_some_and(|since| now - since > timeout)
            && !self.producers_finished()
    }

    /// The ending of a run that drains and comes no further. Its clock starts when nothing more is
    /// to be sent.
    fn overdue(&self, now: Nanos) -> Option<Ending> {
        let draining = self.draining_since_ns?;
        let since = if self.producers_finished() { draining } else { self.gave_up_ns? };
        let timeout = self.spec.supervisor.drain_timeout.as_nanos();
        if now - since.max(self.progress.at_ns) <= timeout {
            return None;
        }
        let waiting: Vec<String> = self
            .stages
            .iter()
            .filter(|stage| !self.finished.contains(stage))
            .map(StageId::to_string)
            .collect();
        Some(Ending::failed(format!(
            "draining came no further for {} s (supervisor.drain_timeout); not done: {}",
            timeout / SECOND,
            waiting.join(", ")
        )))
    }

    /// Whether a run that was asked to stop really ended before its schedule. One that others feed
    /// has no schedule, and would have gone on.
    fn ends_early(&self) -> bool {
        let scheduled_end = self.base_ns.map(|base| base.saturating_add(self.spec.schedule_ns()));
        !self.mode.produces() || scheduled_end.is_some_and(|end| self.end_ns < end)
    }

    /// A drain is asked for; gives the time from which no event is intended, a whole millisecond,
    /// if the run has begun.
    pub(crate) fn drain(&mut self, now: Nanos) -> Option<Nanos> {
        let at_ns = whole_millisecond(now).max(self.base_ns?);
        self.end_ns = at_ns.min(self.end_ns);
        self.stop_asked = true;
        self.draining_since_ns = Some(at_ns);
        self.state = RunState::Draining;
        Some(at_ns)
    }

    /// Why the rate cannot be set to so many events per second.
    pub(crate) fn refuses_rate(&self, rate: f64) -> Option<&'static str> {
        if self.spec.workload.arrivals == ArrivalKind::Max {
            Some("arrivals = \"max\" has no rate to set")
        } else if !self.mode.produces() {
            Some("the run has no producers: whoever fills its topic sets the rate")
        } else if rate > MAX_RATE {
            Some("the rate must be at most 1e9 events per second: no two share a nanosecond")
        } else if self.rate_changes.len() >= MAX_RATE_CHANGES {
            Some("the rate was changed 10,000 times already: begin another run")
        } else {
            None
        }
    }

    /// Whether the machine's processor time is to be noted.
    pub(crate) fn wants_machine(&self, now: Nanos) -> bool {
        self.base_ns.is_some() && self.ending.is_none() && self.collector.wants_machine(now)
    }

    /// Notes the machine's processor time.
    pub(crate) fn note_machine(&mut self, now: Nanos, cpu: MachineCpu) {
        self.collector.note_machine(now, cpu);
    }

    /// The producers get another rate; gives from when on: a whole millisecond, so far ahead that
    /// all of them hear of it in time.
    pub(crate) fn set_rate(&mut self, now: Nanos, rate: f64) -> Nanos {
        let at_ns = whole_millisecond(now + CHANGE_LEAD_NS);
        self.target = rate;
        self.collector.set_target(at_ns, rate);
        self.rate_changes.push(RateChange { at_ns, events_per_second: rate });
        at_ns
    }

    /// Takes a stage's report; gives what it adds to what is known.
    pub(crate) fn report(
        &mut self,
        report: StageReport,
        now: Nanos,
        supervisor_mailbox: u64,
    ) -> StageMeasured {
        let StageReport {
            stage,
            at_ns,
            counters,
            latencies,
            findings,
            windows,
            mailbox,
            finished,
            ..
        } = report;
        let room = MAX_FINDINGS.saturating_sub(self.findings.len());
        self.findings.extend(findings.into_iter().take(room));
        let watermarks = counters.watermarks.clone();
        let seconds = self.collector.add(stage, at_ns, finished, counters, &latencies);
        if let Some(window) = windows.last() {
            self.latest_window = Some(window.clone());
        }
        if finished {
            self.finished.insert(stage);
        }
        let totals = self.collector.totals();
        self.progress.note(&totals, now);
        StageMeasured {
            stage,
            at_ns: now,
            clock_stepped: is_step(self.wall_step_ns),
            totals,
            watermarks,
            latencies,
            seconds,
            windows,
            mailbox,
            supervisor_mailbox,
        }
    }

    /// The latency actor is done.
    pub(crate) fn measured(&mut self, measured: MeasuresComplete) {
        self.measured = Some(measured);
    }

    /// The run is over; false: it was already.
    pub(crate) fn end(&mut self, ending: Ending, now: Nanos) -> bool {
        if self.ending.is_some() {
            return false;
        }
        if !matches!(ending, Ending::Completed) {
            self.end_ns = now.min(self.end_ns);
        }
        self.ending = Some(ending);
        true
    }

    /// How the run is.
    pub(crate) fn status(&self, now: Nanos) -> RunStatus {
        RunStatus {
            state: self.state,
            run_id: self.spec.run_id.clone(),
            workload: self.spec.workload.name.clone(),
            target_per_second: self.target,
            elapsed_s: self.base_ns.map_or(0.0, |base| (now - base) as f64 / SECOND as f64),
            planned_s: self.spec.schedule_ns() as f64 / SECOND as f64,
            counters: self.collector.totals(),
            latest: self.collector.latest().cloned(),
            latest_window: self.latest_window.clone(),
            leaving: 0,
        }
    }

    /// The mean of the rates asked for over the measured part as it was played.
    fn mean_target(&self) -> Option<f64> {
        let asked = self.spec.target(self.mode)?;
        let from = self.base_ns.unwrap_or(0) + self.spec.workload.warmup.as_nanos();
        let mean = || self.collector.mean_target(from, self.end_ns);
        (self.rate_changes.is_empty() || self.end_ns <= from).then_some(asked).or_else(mean)
    }

    /// All that the run gave.
    pub(crate) fn into_outcome(self, now: Nanos, wall_step_ns: Nanos) -> RunOutcome {
        let counters = self.collector.totals();
        let target = self.mean_target();
        let (series, latencies) = self.collector.finish();
        let MeasuresComplete { measures, truth } = self.measured.unwrap_or_default();
        RunOutcome {
            spec: (*self.spec).clone(),
            mode: self.mode,
            made_topics: self.made_topics,
            broker: self.broker.unwrap_or_default(),
            generation: self.id.generation,
            ending: self.ending.unwrap_or(Ending::Completed),
            started_at_ns: self.started_at_ns,
            base_ns: self.base_ns,
            schedule_end_ns: self.end_ns,
            target,
            finished_at_ns: now,
            counters,
            latencies,
            series,
            measures: measures.map(|measures| *measures),
            truth,
            findings: self.findings,
            rate_changes: self.rate_changes,
            longest_stop_ns: self.longest_stop_ns,
            wall_step_ns: greater_step(self.wall_step_ns, wall_step_ns),
        }
    }
}

/// The next whole millisecond.
fn whole_millisecond(at: Nanos) -> Nanos {
    (at + MILLISECOND - 1).div_euclid(MILLISECOND) * MILLISECOND
}

/// The one of two steps that is further from none.
fn greater_step(a: Nanos, b: Nanos) -> Nanos {
    if b.abs() > a.abs() { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::small_spec;
    use crate::units::Span;

    const PREPARED: Nanos = 1_700_000_000 * SECOND;
    const STAGES: [StageId; 2] = [StageId::Latency, StageId::Producer(0)];

    /// A run of producers alone, 200 ms of warm-up and 600 ms measured, just begun.
    fn begun() -> (Run, Nanos) {
        let spec = small_spec("run").with(|spec| {
            spec.workload.warmup = Span::from_nanos(200 * MILLISECOND);
        });
        let id = PipelineId { run: 1, generation: 1 };
        let mut run = Run::new(Mode::Produce, MadeTopics::default(), Arc::new(spec), id, PREPARED);
        let base = run.begin(STAGES.to_vec(), PREPARED);
        (run, base)
    }

    fn look(run: &mut Run, now: Nanos) -> Vec<Consequence> {
        run.tick(Sight { now, wall_step_ns: 0, most_silent: None })
    }

    fn finish(run: &mut Run, stage: StageId, at_ns: Nanos) {
        let report = StageReport {
            stage,
            pipeline: run.id,
            at_ns,
            counters: StageCounters::default(),
            latencies: Vec::new(),
            findings: Vec::new(),
            windows: Vec::new(),
            mailbox: 0,
            finished: true,
        };
        run.report(report, at_ns, 0);
    }

    fn finish_all(run: &mut Run, at_ns: Nanos) {
        for stage in STAGES {
            finish(run, stage, at_ns);
        }
        run.measured(MeasuresComplete::default());
    }

    #[test]
    fn a_run_warms_up_runs_drains_and_completes_each_once() {
        let (mut run, base) = begun();
        assert_eq!(look(&mut run, base), []);
        let measured = base + 200 * MILLISECOND;
        assert_eq!(look(&mut run, measured), [Consequence::Entered(RunState::Running)]);
        assert_eq!(look(&mut run, measured), []);
        let end = base + 800 * MILLISECOND;
        assert_eq!(look(&mut run, end), [Consequence::Entered(RunState::Draining)]);
        finish(&mut run, StageId::Producer(0), end);
        assert_eq!(look(&mut run, end), [], "the latency actor is not done");
        finish_all(&mut run, end);
        assert_eq!(look(&mut run, end), [Consequence::Over(Ending::Completed)]);
        assert!(run.end(Ending::Completed, end));
        assert_eq!(look(&mut run, end), [], "a run that is over has no consequences");
    }

    #[test]
    fn a_look_that_comes_late_finds_all_that_has_happened() {
        let (mut run, base) = begun();
        let expected = [RunState::Running, RunState::Draining].map(Consequence::Entered);
        assert_eq!(look(&mut run, base + SECOND), expected);
    }

    #[test]
    fn a_stop_before_the_schedules_end_is_one_and_a_later_one_changes_nothing() {
        let (mut run, base) = begun();
        let at = base + 300 * MILLISECOND;
        assert_eq!(run.drain(at), Some(at));
        finish_all(&mut run, at);
        let stopped = Ending::Stopped { drained: true };
        assert_eq!(look(&mut run, at).last(), Some(&Consequence::Over(stopped)));
        let (mut run, base) = begun();
        let after = base + SECOND;
        run.drain(after);
        finish_all(&mut run, after);
        assert_eq!(look(&mut run, after), [Consequence::Over(Ending::Completed)]);
    }

    #[test]
    fn no_event_is_intended_before_the_base_of_a_run_that_is_drained_at_once() {
        let (mut run, base) = begun();
        assert_eq!(run.drain(PREPARED), Some(base));
    }

    #[test]
    fn a_silent_stage_ends_the_run_by_its_name() {
        let (mut run, base) = begun();
        let timeout = run.spec.supervisor.heartbeat_timeout.as_nanos();
        let mut sight =
            Sight { now: base, wall_step_ns: 0, most_silent: Some((STAGES[1], timeout)) };
        assert_eq!(run.tick(sight), []);
        sight.most_silent = Some((STAGES[1], timeout + 1));
        let [Consequence::Over(Ending::Failed { stage, cause, .. })] = &run.tick(sight)[..] else {
            panic!("the run goes on")
        };
        assert_eq!(*stage, Some(STAGES[1]));
        assert!(cause.contains("supervisor.heartbeat_timeout"), "{cause}");
    }

    #[test]
    fn a_drain_that_takes_too_long_names_who_is_not_done() {
        let (mut run, base) = begun();
        run.drain(base);
        finish(&mut run, StageId::Producer(0), base);
        let late = base + run.spec.supervisor.drain_timeout.as_nanos();
        assert!(!look(&mut run, late).iter().any(|c| matches!(c, Consequence::Over(_))));
        let [Consequence::Over(Ending::Failed { cause, .. })] = &look(&mut run, late + 1)[..]
        else {
            panic!("the run goes on")
        };
        assert!(cause.ends_with("not done: latency"), "{cause}");
    }

    #[test]
    fn a_step_that_was_taken_back_is_remembered() {
        let (mut run, base) = begun();
        for wall_step_ns in [-SECOND, 0] {
            run.tick(Sight { now: base, wall_step_ns, most_silent: None });
        }
        assert_eq!(run.into_outcome(base, MILLISECOND).wall_step_ns, -SECOND);
    }
}
