//! The thread that files finished runs, follows the schedule, and ends the daemon in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use streamgauge_actors::{
    Clock as _, Ending, FailureKind, GetStatus, Nanos, RunClock, RunOutcome, RunSpec, SECOND,
    StartRun, StopMode, StopRun,
};

use super::host::ActorHost;
use super::planner::{RunContext, RunRequest};
use super::probe::{BrokerHealth, Probe};
use super::schedule::Schedule;
use super::service;
use super::shared::{RequestError, SharedState};
use crate::config::Settings;
use crate::history::{FinishedRun, NewRun};
use crate::live::NEVER_BEGAN;
use crate::report::{Report, ReportContext, ResourceMeter};

/// What the keeper is told.
pub(super) enum Note {
    /// A run is being prepared.
    Accepted {
        /// The run.
        spec: Arc<RunSpec>,
        /// Wall time.
        started_at_ns: Nanos,
    },
    /// A run that waited will never begin.
    Dropped(Arc<RunSpec>),
    /// A run is over.
    Finished(Arc<RunOutcome>),
    /// The broker was asked whether it is there.
    Probed(BrokerHealth),
    /// The configuration is to be read again.
    Reload,
    /// The daemon is to end.
    Stop,
}

pub(super) struct Keeper {
    shared: Arc<SharedState>,
    host: ActorHost,
    schedule: Schedule,
    probe: Probe,
    /// A probe was asked for, and a run starts if it answers well.
    starting: bool,
    running: Option<PresentRun>,
    /// Never steps, so that a stepped wall clock neither starts runs nor keeps them from starting.
    timer: RunClock,
    /// Reports that could not be filed, the oldest first.
    unfiled: VecDeque<Arc<Report>>,
    next_filing_ns: Nanos,
    next_prune_ns: Nanos,
    next_alive_ns: Nanos,
    stop_asked: bool,
    /// Nothing ran when the daemon, about to end, last looked.
    is_quiet: bool,
}

/// The run that is under way.
struct PresentRun {
    meter: ResourceMeter,
    next_sample_ns: Nanos,
}

/// How often the keeper looks around when nothing comes.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How soon a report that could not be filed is tried again.
const FILE_AGAIN_NS: Nanos = 5 * SECOND;
/// Reports that wait to be filed, at most.
const MOST_UNFILED: usize = 16;
/// How often old runs are looked for, besides after each run.
const PRUNE_EVERY_NS: Nanos = 3600 * SECOND;
/// How often a run's threads and memory are looked at.
const SAMPLE_EVERY_NS: Nanos = SECOND;

impl Keeper {
    pub(super) fn new(
        shared: Arc<SharedState>,
        host: ActorHost,
        notes: Sender<Note>,
    ) -> anyhow::Result<Self> {
        let section = shared.planner.current().resolved.settings.schedule.clone();
        let timer = RunClock::start();
        let schedule = Schedule::new(section, timer.now());
        let planner = Arc::clone(&shared);
        let probe = Probe::start(planner, move |health| notes.send(Note::Probed(health)).is_ok())?;
        Ok(Self {
            shared,
            host,
            schedule,
            probe,
            starting: false,
            running: None,
            timer,
            unfiled: VecDeque::new(),
            next_filing_ns: 0,
            next_prune_ns: 0,
            next_alive_ns: 0,
            stop_asked: false,
            is_quiet: false,
        })
    }

    /// Works until the daemon is to end, and the last run is filed.
    pub(super) fn keep(mut self, inbox: &Receiver<Note>) {
        service::ready();
        loop {
            match inbox.recv_timeout(LOOK_EVERY) {
                Ok(Note::Stop) => self.stop(),
                Ok(note) => self.take(note),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if !self.host.supervisor().connected() {
                tracing::error!("the supervisor is gone: the daemon ends");
                return;
            }
            let now = self.timer.now();
            self.sample(now);
            self.file_again(now);
            if self.stop_asked {
                if self.is_drained() {
                    // The last chance: whatever is in the way now stays there.
                    return self.file();
                }
            } else {
                self.follow_schedule(now);
                self.prune(now);
            }
            self.show_schedule(now);
        }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Accepted { spec, started_at_ns } => self.accepted(&spec, started_at_ns),
            Note::Dropped(spec) => self.dropped(&spec),
            Note::Finished(outcome) => self.finished(&outcome),
            Note::Probed(health) => self.probed(health),
            Note::Reload => self.reload(),
            Note::Stop => {}
        }
    }

    fn accepted(&mut self, spec: &RunSpec, started_at_ns: Nanos) {
        self.running = Some(PresentRun { meter: ResourceMeter::start(), next_sample_ns: 0 });
        let broker =
            self.shared.contexts(|contexts| contexts.get(&spec.run_id).map(|of| of.broker.clone()));
        let run = NewRun {
            run_id: spec.run_id.clone(),
            workload: spec.workload.name.clone(),
            broker: broker.unwrap_or_default(),
            started_at_ms: started_at_ns / 1_000_000,
        };
        if let Err(error) = self.shared.with_history(|history| history.begin(&run)) {
            tracing::error!(run_id = spec.run_id, "the run cannot be filed: {error:#}");
        }
        service::status(&format!("running {} ({})", spec.workload.name, spec.run_id));
    }

    fn dropped(&self, spec: &RunSpec) {
        tracing::info!(run_id = spec.run_id, "{NEVER_BEGAN}");
        let context = self.shared.contexts(|contexts| contexts.remove(&spec.run_id));
        let run = NewRun {
            run_id: spec.run_id.clone(),
            workload: spec.workload.name.clone(),
            broker: context.map_or_else(String::new, |of| of.broker),
            started_at_ms: self.shared.clock.now() / 1_000_000,
        };
        if let Err(error) = self.shared.with_history(|history| history.drop_run(&run, NEVER_BEGAN))
        {
            tracing::error!(run_id = spec.run_id, "the run cannot be filed: {error:#}");
        }
    }

    /// Reports a run, shows it as over, and files it.
    fn finished(&mut self, outcome: &RunOutcome) {
        let run_id = &outcome.spec.run_id;
        let meter = self.running.take().map(|running| running.meter);
        let Some(context) = self.shared.contexts(|contexts| contexts.remove(run_id)) else {
            return tracing::error!(
                run_id,
                "a run that nobody ordered is over: it is not reported"
            );
        };
        let RunContext { broker, is_own_broker, report: context, .. } = context;
        let resources = meter.map(ResourceMeter::finish).unwrap_or_default();
        let mut report = Report::new(outcome, &ReportContext { resources, ..context });
        if report.broker.kind.is_empty() {
            // A broker that was never reached has not said what it is.
            report.broker.kind.clone_from(&broker);
        }
        let report = Arc::new(report);
        self.shared.metrics.reported(&broker, &report);
        // Shown first: once it is filed, it need not be known here any more.
        self.shared.live.reported(outcome, &report);
        self.unfiled.push_back(Arc::clone(&report));
        self.file();
        let reason = report.reasons.first().map_or("", String::as_str);
        tracing::info!(run_id, verdict = report.verdict.name(), reason, "the run is reported");
        service::status(&format!("idle; last run {run_id}: {}", report.verdict.name()));
        let now = self.timer.now();
        match &outcome.ending {
            Ending::Failed { kind, cause, .. } => {
                self.schedule.failed(now);
                if *kind == FailureKind::Connection && is_own_broker {
                    let cause = cause.clone();
                    self.shared.change_health(|health| {
                        (health.broker_up, health.broker_error) = (Some(false), Some(cause));
                    });
                }
            }
            _ => self.schedule.succeeded(),
        }
        self.next_prune_ns = 0;
        if self.starting {
            // The probe that a scheduled run waits for has rested meanwhile.
            self.probe.now();
        }
    }

    /// Files what there is to file, in order, as far as the disk takes it. What it does not take is
    /// still shown, and tried again; the oldest is given up where too many wait.
    fn file(&mut self) {
        self.next_filing_ns = self.timer.now() + FILE_AGAIN_NS;
        while let Some(report) = self.unfiled.front() {
            let run_id = &report.run_id;
            let filed = FinishedRun::of(report)
                .and_then(|run| self.shared.with_history(|history| history.finish(&run)));
            if let Err(error) = filed {
                tracing::error!(
                    run_id,
                    waiting = self.unfiled.len(),
                    "the report cannot be filed: {error:#}"
                );
                if self.unfiled.len() <= MOST_UNFILED {
                    return;
                }
                tracing::error!(run_id, "the report is given up: too many wait to be filed");
            }
            self.shared.live.filed(run_id);
            self.unfiled.pop_front();
        }
    }

    fn file_again(&mut self, now: Nanos) {
        if !self.unfiled.is_empty() && now >= self.next_filing_ns {
            self.file();
        }
    }

    fn sample(&mut self, now: Nanos) {
        if now >= self.next_alive_ns {
            service::alive();
            self.next_alive_ns = now + SAMPLE_EVERY_NS;
        }
        if let Some(running) = self.running.as_mut().filter(|running| now >= running.next_sample_ns)
        {
            running.meter.sample();
            running.next_sample_ns = now + SAMPLE_EVERY_NS;
        }
    }

    /// A scheduled run starts once the broker has answered.
    fn follow_schedule(&mut self, now: Nanos) {
        if self.running.is_none() && !self.starting && self.schedule.is_due(now) {
            self.starting = true;
            self.probe.now();
        }
    }

    fn probed(&mut self, BrokerHealth { failure }: BrokerHealth) {
        let now = self.timer.now();
        let was_up = self.shared.health().broker_up;
        let current = self.shared.planner.current();
        let (broker, workload) =
            (current.resolved.settings.broker.kind.name(), current.first_workload());
        self.shared.metrics.probed(broker, workload, failure.as_ref().map(|(kind, _)| *kind));
        match &failure {
            Some((_, why)) if was_up != Some(false) => {
                tracing::error!("the broker does not answer: {why}");
            }
            None if was_up == Some(false) => tracing::info!("the broker answers again"),
            _ => {}
        }
        let is_up = failure.is_none();
        self.shared.change_health(|health| {
            (health.broker_up, health.broker_error) = (Some(is_up), failure.map(|(_, why)| why));
        });
        if !std::mem::take(&mut self.starting) || self.stop_asked || self.running.is_some() {
            return;
        }
        if is_up {
            self.start_scheduled(now);
        } else {
            self.schedule.failed(now);
        }
    }

    fn start_scheduled(&mut self, now: Nanos) {
        let request = RunRequest {
            workload: self.schedule.next_workload().map(str::to_owned),
            ..Default::default()
        };
        let started = self.shared.plan(&request).and_then(|plan| {
            let run_id = plan.spec.run_id.clone();
            self.shared.confirm(run_id, self.host.ask(StartRun { plan }).ok())
        });
        match started {
            Ok(_) => self.schedule.started(now),
            // Somebody else's run came first.
            Err(RequestError::Refused(_)) => {}
            Err(error) => {
                tracing::error!("the scheduled run cannot start: {error:#}");
                self.schedule.failed(now);
            }
        }
    }

    fn reload(&mut self) {
        service::reloading();
        let before = self.shared.planner.current();
        match self.shared.planner.reload() {
            Ok(()) => {
                let current = self.shared.planner.current();
                let settings = &current.resolved.settings;
                let (broker, thresholds) =
                    (settings.broker.kind.name(), &settings.thresholds.expressions);
                self.shared.metrics.reconfigured(broker, current.first_workload(), thresholds);
                self.schedule.reconfigure(settings.schedule.clone(), self.timer.now());
                self.starting = false;
                self.probe.now();
                tracing::info!("the configuration was read again; it is in force for the next run");
                let sections = |settings: &Settings| settings.to_json();
                let (old, new) = (sections(&before.resolved.settings), sections(settings));
                for section in
                    ["server", "log"].into_iter().filter(|section| old[section] != new[section])
                {
                    tracing::warn!(
                        "[{section}] has changed: it is in force once the daemon is started again"
                    );
                }
            }
            Err(error) => tracing::error!("the configuration stays as it was: {error}"),
        }
        service::ready();
    }

    fn prune(&mut self, now: Nanos) {
        if now < self.next_prune_ns || self.running.is_some() {
            return;
        }
        self.next_prune_ns = now + PRUNE_EVERY_NS;
        let section = self.shared.planner.current().resolved.settings.history;
        match self
            .shared
            .with_history(|history| history.prune(&section, self.shared.clock.now() / 1_000_000))
        {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "old runs were forgotten ([history])"),
            Err(error) => tracing::error!("old runs cannot be forgotten: {error:#}"),
        }
    }

    fn show_schedule(&self, now: Nanos) {
        let next_workload = self.schedule.next_workload();
        let next_start_ns =
            self.schedule.next_start_ns().map(|start| self.shared.clock.now() + (start - now));
        self.shared.change_health(|health| {
            if health.next_workload.as_deref() != next_workload {
                health.next_workload = next_workload.map(str::to_owned);
            }
            health.next_start_ns = next_start_ns;
        });
    }

    fn stop(&mut self) {
        if !std::mem::replace(&mut self.stop_asked, true) {
            service::stopping();
        }
    }

    /// Whether nothing runs any more, and all that ran is filed. Until then, what runs is told to
    /// drain, and what waits for its end not to begin: an order that was under way when the daemon
    /// was told to stop may have come after that.
    fn is_drained(&mut self) -> bool {
        let queued = self.shared.live.queued();
        let orders = queued.map(|run_id| StopRun { run_id: Some(run_id), mode: StopMode::Drain });
        for order in orders.into_iter().chain([StopRun { run_id: None, mode: StopMode::Drain }]) {
            match self.host.ask(order) {
                // Refused: nothing runs, or it drains already.
                Ok(Ok(()) | Err(_)) => {}
                Err(error) => tracing::error!("the run cannot be stopped: {error:#}"),
            }
        }
        // The supervisor's facts come a moment after its answers: only a second quiet look is
        // believed.
        let is_busy = self.host.ask(GetStatus).is_ok_and(|status| status.state.is_busy());
        let was_quiet = std::mem::replace(&mut self.is_quiet, !is_busy && self.running.is_none());
        was_quiet && self.is_quiet
    }
}
