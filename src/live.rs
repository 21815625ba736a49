//! The runs that have not been reported yet, as HTTP and the page show them: built from what the
//! supervisor tells ([`RunFact`]), read under a lock that is held for moments. `live/view.rs`: what
//! is shown of a run.

mod view;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streamgauge_actors::{
    ArrivalKind, Nanos, RunFact, RunOutcome, RunSpec, RunState, SECOND, Second, SharedClock,
    StageCounters, StageId, StageMeasured, Verdict, WindowAudit,
};
use tokio::sync::watch;

pub use self::view::{EventCounts, Links, RunView, WindowCounts};
use crate::report::{Report, rfc3339};

/// Seconds of a run that are kept to be shown while it goes on.
const SHOWN_SECONDS: usize = 7200;
/// Of these times partitions, each of which has a watermark.
const SHOWN_WATERMARKS: usize = 1 << 18;
/// Windows of a run that are kept to be shown while it goes on.
const SHOWN_WINDOWS: usize = 2000;

/// What is said of a run that waited in vain.
pub const NEVER_BEGAN: &str = "it was replaced, or stopped, before it began";

/// Rows of which the oldest are forgotten.
#[derive(Debug)]
struct Rows<T> {
    rows: VecDeque<T>,
    /// Rows forgotten.
    first: usize,
    most: usize,
}

impl<T: Clone> Rows<T> {
    fn keeping(most: usize) -> Self {
        Self { rows: VecDeque::new(), first: 0, most }
    }

    fn push(&mut self, row: T) {
        if self.rows.len() >= self.most {
            self.rows.pop_front();
            self.first += 1;
        }
        self.rows.push_back(row);
    }

    /// The rows from the `n`th on that are still there, and the number of the next one.
    fn since(&self, n: usize) -> (Vec<T>, usize) {
        let skip = n.saturating_sub(self.first).min(self.rows.len());
        (self.rows.range(skip..).cloned().collect(), self.first + self.rows.len())
    }
}

/// One run, from its acceptance to its report.
pub struct LiveRun {
    state: Mutex<RunData>,
    changed: watch::Sender<u64>,
    clock: SharedClock,
}

struct RunData {
    spec: Arc<RunSpec>,
    broker: String,
    state: RunState,
    started_at_ns: Option<Nanos>,
    base_ns: Option<Nanos>,
    /// When window 0 begins, on the clock that is shown by.
    begins_ns: Option<Nanos>,
    target: f64,
    totals: StageCounters,
    mailboxes: BTreeMap<StageId, u64>,
    seconds: Rows<Second>,
    windows: Rows<WindowAudit>,
    report: Option<Arc<Report>>,
    /// Its report is in the history.
    filed: bool,
    /// It never began.
    dropped: bool,
}

/// What is new of a run since it was last looked at.
pub struct News {
    /// How it is.
    pub view: RunView,
    /// Seconds completed.
    pub seconds: Vec<Second>,
    /// Windows judged.
    pub windows: Vec<WindowAudit>,
    /// Where to go on.
    pub seen: Bookmark,
    /// Whether nothing more will come.
    pub is_over: bool,
}

/// How much of a run was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bookmark {
    /// Seconds.
    pub seconds: usize,
    /// Windows.
    pub windows: usize,
}

impl LiveRun {
    fn new(spec: Arc<RunSpec>, broker: &str, clock: SharedClock) -> Self {
        let data = RunData {
            target: spec.workload.rate.0,
            spec,
            broker: broker.to_owned(),
            state: RunState::Preparing,
            started_at_ns: None,
            base_ns: None,
            begins_ns: None,
            totals: StageCounters::default(),
            mailboxes: BTreeMap::new(),
            seconds: Rows::keeping(SHOWN_SECONDS),
            windows: Rows::keeping(SHOWN_WINDOWS),
            report: None,
            filed: false,
            dropped: false,
        };
        Self { state: Mutex::new(data), changed: watch::channel(0).0, clock }
    }

    fn lock(&self) -> MutexGuard<'_, RunData> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut RunData)) {
        change(&mut self.lock());
        self.changed.send_modify(|version| *version += 1);
    }

    /// Tells when there is something new.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How it is.
    pub fn view(&self) -> RunView {
        self.lock().view(self.clock.now())
    }

    /// Its state; that of its ending once it is reported.
    pub fn state(&self) -> RunState {
        let data = self.lock();
        data.report.as_ref().map_or(data.state, |report| report.ending.how)
    }

    /// Its report, once it is over.
    pub fn report(&self) -> Option<Arc<Report>> {
        self.lock().report.clone()
    }

    /// The messages that wait, by kind of actor.
    pub fn mailboxes(&self) -> BTreeMap<&'static str, u64> {
        let mut sums: BTreeMap<&str, u64> =
            StageId::ACTORS.into_iter().map(|actor| (actor, 0)).collect();
        let data = self.lock();
        // What waits in the mailboxes of a run that is over went with them.
        for (stage, count) in data.mailboxes.iter().filter(|_| data.report.is_none()) {
            *sums.entry(stage.actor()).or_default() += count;
        }
        sums
    }

    /// What is new since `seen`.
    pub fn news(&self, seen: Bookmark) -> News {
        let data = self.lock();
        let (seconds, next_second) = data.seconds.since(seen.seconds);
        let (windows, next_window) = data.windows.since(seen.windows);
        News {
            view: data.view(self.clock.now()),
            seconds,
            windows,
            seen: Bookmark { seconds: next_second, windows: next_window },
            is_over: data.report.is_some() || data.dropped,
        }
    }
}

impl RunData {
    fn view(&self, now: Nanos) -> RunView {
        if let Some(report) = &self.report {
            return RunView::of_report(report);
        }
        let spec = &self.spec;
        let totals = &self.totals;
        let counts = EventCounts::from(totals);
        let windows =
            WindowCounts { judged: totals.windows_judged, incorrect: totals.windows_incorrect };
        RunView {
            run_id: Some(spec.run_id.clone()),
            state: if self.dropped { RunState::Stopped.name() } else { self.state.name() },
            workload: spec.workload.name.clone(),
            broker: self.broker.clone(),
            started_at: self.started_at_ns.map(rfc3339),
            finished_at: None,
            verdict: self.dropped.then_some(Verdict::Aborted),
            reasons: if self.dropped { vec![NEVER_BEGAN.to_owned()] } else { vec![] },
            exit_code: None,
            verdict_so_far: view::so_far(&counts, windows),
            target_per_second: (spec.workload.arrivals != ArrivalKind::Max).then_some(self.target),
            elapsed_s: self
                .begins_ns
                .map_or(0.0, |begins| (now - begins).max(0) as f64 / SECOND as f64),
            planned_s: spec.schedule_ns() as f64 / SECOND as f64,
            events: counts,
            windows,
            in_flight: totals.in_flight,
            lag: totals.lag,
            backpressure_s: totals.backpressure_ns as f64 / SECOND as f64,
            links: Some(Links::of(&spec.run_id)),
        }
    }

    fn measured(&mut self, measured: &StageMeasured) {
        self.totals.clone_from(&measured.totals);
        self.mailboxes.insert(measured.stage, measured.mailbox);
        let stepped = measured.clock_stepped;
        for second in &measured.seconds {
            self.seconds.push(second.clone().unspoiled(stepped));
        }
        for window in &measured.windows {
            self.windows.push(window.clone().unspoiled(stepped));
        }
    }
}

/// All runs that have not been reported yet, and the one that was reported last.
#[derive(Clone)]
pub struct Live {
    runs: Arc<Mutex<Runs>>,
    clock: SharedClock,
}

#[derive(Default)]
struct Runs {
    present: Option<(String, Arc<LiveRun>)>,
    queued: Option<(String, Arc<LiveRun>)>,
    /// Over, and not filed yet.
    ending: BTreeMap<String, Arc<LiveRun>>,
}

impl Live {
    /// Nothing ran yet.
    pub fn new(clock: SharedClock) -> Self {
        Self { runs: Arc::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run that is under way, or was the last one.
    pub fn present(&self) -> Option<Arc<LiveRun>> {
        self.lock().present.as_ref().map(|(_, run)| Arc::clone(run))
    }

    /// The id of the run that waits for the present one's end.
    pub fn queued(&self) -> Option<String> {
        self.lock().queued.as_ref().map(|(id, _)| id.clone())
    }

    /// A run that has not been reported yet, or was the last one.
    pub fn run(&self, run_id: &str) -> Option<Arc<LiveRun>> {
        let runs = self.lock();
        let known = runs
            .present
            .iter()
            .chain(&runs.queued)
            .find(|(id, _)| id == run_id)
            .map(|(_, run)| run);
        known.or_else(|| runs.ending.get(run_id)).cloned()
    }

    /// Takes what the supervisor tells. `broker`: the kind of broker of the run that it tells of.
    pub fn hear(&self, broker: &str, fact: &RunFact) {
        match fact {
            RunFact::Queued(spec) => {
                let run = LiveRun::new(Arc::clone(spec), broker, Arc::clone(&self.clock));
                self.lock().queued = Some((spec.run_id.clone(), Arc::new(run)));
            }
            RunFact::Dropped(spec) => {
                let dropped = self.lock().queued.take_if(|(id, _)| *id == spec.run_id);
                if let Some((_, run)) = dropped {
                    run.change(|data| data.dropped = true);
                }
            }
            RunFact::Accepted { spec, started_at_ns } => {
                let mut runs = self.lock();
                let queued = runs.queued.take_if(|(id, _)| *id == spec.run_id);
                let new =
                    || Arc::new(LiveRun::new(Arc::clone(spec), broker, Arc::clone(&self.clock)));
                let (id, run) = queued.unwrap_or_else(|| (spec.run_id.clone(), new()));
                run.change(|data| data.started_at_ns = Some(*started_at_ns));
                if let Some((id, before)) = runs.present.replace((id, run))
                    && !before.lock().filed
                {
                    runs.ending.insert(id, before);
                }
            }
            RunFact::Began { spec, base_ns, lead_ns } => {
                let begins_ns = self.clock.now() + lead_ns;
                self.change_present(|data| {
                    data.spec = Arc::clone(spec);
                    let partitions = spec.topics.partitions.max(1) as usize;
                    data.seconds.most = SHOWN_SECONDS.min(SHOWN_WATERMARKS / partitions).max(1);
                    (data.base_ns, data.begins_ns) = (Some(*base_ns), Some(begins_ns));
                });
            }
            RunFact::StateChanged(state) => self.change_present(|data| data.state = *state),
            RunFact::RateChanged(rate) => self.change_present(|data| data.target = *rate),
            RunFact::Measured(measured) => self.change_present(|data| data.measured(measured)),
            // The report follows; until then the run is still ending.
            RunFact::Finished(_) => {}
        }
    }

    fn change_present(&self, change: impl FnOnce(&mut RunData)) {
        if let Some(run) = self.present() {
            run.change(change);
        }
    }

    /// A run's report is there. What was shown of it is completed by it: seconds are told when the
    /// next one begins.
    pub fn reported(&self, outcome: &RunOutcome, report: &Arc<Report>) {
        let Some(run) = self.run(&report.run_id) else { return };
        run.change(|data| {
            let shown = data.seconds.rows.back().map_or(-1, |row| row.second);
            for row in report.series.iter().filter(|row| row.second > shown) {
                data.seconds.push(row.clone());
            }
            data.totals.clone_from(&outcome.counters);
            data.report = Some(Arc::clone(report));
        });
    }

    /// A run's report is in the history, or is given up: it need not be kept here.
    pub fn filed(&self, run_id: &str) {
        if let Some(run) = self.run(run_id) {
            run.lock().filed = true;
        }
        self.lock().ending.remove(run_id);
    }
}
