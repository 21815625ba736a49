//! Whether a run kept up with its schedule, and who kept it from that.
//!
//! W is how far the consumer side is behind: now less the least event-time progress over the
//! partitions. It starts from intended times, so that queues inside of clients count. A second's W
//! is the least in it. Judged is how W grew, against bounds, and no p-value: noise of the machine
//! is anything but independent.

pub(crate) mod growth;

use serde::{Deserialize, Serialize};

use self::growth::{Growth, Slope, Tendency, Undecided};
use crate::clock::{Nanos, SECOND};
use crate::measures::backlog::Backlog;
use crate::measures::series::Second;
use crate::run::outcome::{Ending, RunOutcome};
use crate::truth::schedule::ReplayedSchedule;
use crate::workload::mode::Mode;

/// Judged for less, nothing can be told, seconds.
pub(crate) const LEAST_SECONDS: usize = 5;

/// The longest gap of many between two events, in mean gaps.
const GAPS_PER_STEP: f64 = 10.0;

/// Arrivals that are drawn again at most, to know what the schedule's own bursts leave: a second or
/// two.
const DRAWS_AT_MOST: u64 = 1 << 27;

/// An end of a queue that was busy for more of the time was the one that held it up.
const MOSTLY: f64 = 0.5;
/// A reader that was busy for more of the time was saturated.
const SATURATED: f64 = 0.8;
/// A thread that waited for a processor for more of the time did not get what it asked for.
const STARVED: f64 = 0.05;

/// Whether a run kept up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SustainedVerdict {
    /// The backlog did not grow, to the resolution of the judged time.
    Sustained,
    /// The backlog grew, by more than the schedule's own bursts explain.
    NotSustained,
    /// It cannot be told, or there was nothing to keep up with.
    #[default]
    NotTested,
}

/// What kept a run from keeping up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Events were not sent although the client took them.
    Generator,
    /// Events were not acknowledged, or the client was full.
    Broker,
    /// Events were not read, by readers of ours that were saturated.
    Aggregator,
    /// Events were not read by the processor under test.
    Processor,
}

impl Limit {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generator => "generator",
            Self::Broker => "broker",
            Self::Aggregator => "aggregator",
            Self::Processor => "processor",
        }
    }

    /// Whether it is this program itself.
    pub fn is_own(self) -> bool {
        matches!(self, Self::Generator | Self::Aggregator)
    }
}

/// Whether a run kept up, and how its backlog went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Sustained {
    /// Whether the run kept up.
    pub verdict: SustainedVerdict,
    /// What kept it from that; `null` where nothing did, or it cannot be told.
    pub limit: Option<Limit>,
    /// Seconds that were judged: the measured part, or what of it lies behind the last change of
    /// the rate.
    pub judged_s: u64,
    /// How much further behind the run was at the end of the judged part than at the best of its
    /// first half, seconds; `null`: too short.
    pub growth_s: Option<f64>,
    /// At most so much growth is none, seconds.
    pub resolution_s: Option<f64>,
    /// What the schedule itself leaves before a server that takes exactly its mean rate, seconds;
    /// `null` where it was not needed.
    pub burst_s: Option<f64>,
    /// Seconds that the run fell further behind in a second: a straight line through the judged
    /// part. It decides nothing.
    pub growth_s_per_s: Option<f64>,
    /// Lower end of its 95 % confidence interval.
    pub growth_low: Option<f64>,
    /// Upper end of its 95 % confidence interval.
    pub growth_high: Option<f64>,
    /// Seconds from the schedule's end to the last event consumed (acknowledged, where nothing
    /// consumes); `null`: not all was.
    pub drain_s: Option<f64>,
    /// Events that stood in queues when the schedule ended.
    pub backlog: Backlog,
    /// Why it cannot be told, and what would tell, where something would.
    pub undecided: Option<Undecided>,
}

impl RunOutcome {
    /// Judges whether the run kept up with its schedule. Takes a moment where the schedule must be
    /// drawn again for it.
    pub fn sustained(&self) -> Sustained {
        let is_whole = matches!(self.ending, Ending::Completed | Ending::Stopped { drained: true });
        if self.spec.target(self.mode).is_none() || !is_whole {
            return Sustained::default();
        }
        let (from_ns, to_ns) = self.judged_span();
        let seconds = self.judged_seconds(from_ns, to_ns);
        let mut sustained = Sustained {
            judged_s: seconds.iter().map(|row| u64::from(row.seconds)).sum(),
            drain_s: self.drain_s(),
            backlog: self.final_backlog(),
            ..Sustained::default()
        };
        let behind_s: Vec<f64> =
            seconds.iter().filter_map(|second| second.behind_ms).map(|ms| ms / 1000.0).collect();
        // All but the last row stand for as much.
        let row_s = seconds.first().map_or(1.0, |row| f64::from(row.seconds));
        sustained.show_slope(Slope::of(&behind_s, row_s));
        let Some(growth) = Growth::of(&behind_s, row_s, self.progress_step_s())
            .filter(|_| behind_s.len() >= LEAST_SECONDS)
        else {
            // Who produces alone fills a topic, for however short a time.
            let is_too_short = self.mode == Mode::Run
                && to_ns - from_ns < self.spec.workload.least_judged.as_nanos();
            sustained.undecided =
                is_too_short.then(|| Undecided::too_short(behind_s.len(), LEAST_SECONDS));
            return sustained;
        };
        sustained.growth_s = Some(growth.growth_s);
        sustained.resolution_s = Some(growth.resolution_s);
        let tendency = growth.tendency();
        let burst_s = if tendency == Tendency::Growing {
            let burst_ns = self.burst_ns(from_ns, to_ns);
            burst_ns.map_or(f64::INFINITY, |ns| ns as f64 / SECOND as f64)
        } else {
            0.0
        };
        sustained.burst_s = Some(burst_s).filter(|burst_s| *burst_s > 0.0 && burst_s.is_finite());
        match tendency {
            Tendency::Steady => sustained.verdict = SustainedVerdict::Sustained,
            Tendency::Growing if growth.growth_s > growth.resolution_s + burst_s => {
                sustained.verdict = SustainedVerdict::NotSustained;
                sustained.limit = Some(limit(&seconds));
            }
            _ => sustained.undecided = Some(growth.undecided(tendency)),
        }
        sustained
    }

    /// The steps in which progress is known: where a producer has little for a partition, from one
    /// event to the next, or from one progress record to the next.
    fn progress_step_s(&self) -> f64 {
        let workload = &self.spec.workload;
        let lanes = f64::from(workload.producers) * f64::from(self.spec.topics.partitions);
        let step_s = GAPS_PER_STEP * lanes / workload.rate.0;
        if workload.progress_records {
            step_s.min(workload.progress_interval.as_nanos() as f64 / SECOND as f64)
        } else {
            step_s
        }
    }

    /// The time that is judged: the measured part, behind the last change of the rate.
    fn judged_span(&self) -> (Nanos, Nanos) {
        let base_ns = self.base_ns.unwrap_or(0);
        let measured_ns = base_ns + self.spec.workload.warmup.as_nanos();
        let before_end = |at_ns: &Nanos| *at_ns < self.schedule_end_ns;
        let changed = self.rate_changes.iter().map(|change| change.at_ns).filter(before_end);
        (changed.max().unwrap_or(measured_ns).max(measured_ns), self.schedule_end_ns)
    }

    /// The rows that lie wholly in a time.
    fn judged_seconds(&self, from_ns: Nanos, to_ns: Nanos) -> Vec<&Second> {
        let base_ns = self.base_ns.unwrap_or(0);
        let lies_in = |second: &&Second| {
            let start_ns = base_ns + second.second * SECOND;
            start_ns >= from_ns && start_ns + i64::from(second.seconds) * SECOND <= to_ns
        };
        self.series.iter().filter(lies_in).collect()
    }

    /// What the schedule's own bursts leave. One that is too dense to be drawn is drawn thinner:
    /// its states are the same, and its noise is greater.
    fn burst_ns(&self, from_ns: Nanos, to_ns: Nanos) -> Option<Nanos> {
        let base_ns = self.base_ns?;
        let rates = self.rate_changes.iter().map(|change| change.events_per_second);
        let densest = rates.fold(self.spec.workload.rate.0, f64::max);
        let most = densest * (to_ns - base_ns) as f64 / SECOND as f64;
        let share = (DRAWS_AT_MOST as f64 / 2.0 / most).min(1.0);
        let mut spec = self.spec.clone();
        spec.workload.rate.0 *= share;
        let changes: Vec<(Nanos, f64)> = self
            .rate_changes
            .iter()
            .map(|change| (change.at_ns - base_ns, change.events_per_second * share))
            .collect();
        let rate = changes.last().map_or(spec.workload.rate.0, |&(_, rate)| rate);
        let span = (from_ns - base_ns, to_ns - base_ns);
        ReplayedSchedule::new(&spec, &changes).burst_ns(span, rate, DRAWS_AT_MOST)
    }

    /// How long it took from the schedule's end to the last event.
    fn drain_s(&self) -> Option<f64> {
        let counters = &self.counters;
        let (taken, last_ns) = if self.mode.writes_results() {
            (counters.consumed, counters.last_consumed_ns)
        } else {
            (counters.acknowledged, counters.last_acknowledged_ns)
        };
        let seconds = (last_ns - self.schedule_end_ns).max(0) as f64 / SECOND as f64;
        (taken >= counters.produced && counters.produced > 0).then_some(seconds)
    }

    /// Whether this program kept its clients full itself: while they were, its own threads did not
    /// get the processor that they asked for.
    pub(super) fn fills_its_clients(&self) -> bool {
        let is_full = |second: &&Second| second.load.client_full > 0.0;
        let full: Vec<&Second> = self.series.iter().filter(is_full).collect();
        !full.is_empty() && Starved::over(&full) == Starved::ByOthers
    }

    /// Where events stood when the schedule ended.
    fn final_backlog(&self) -> Backlog {
        let base_ns = self.base_ns.unwrap_or(0);
        let ended = (self.schedule_end_ns - base_ns).div_euclid(SECOND) - 1;
        let before_end = |row: &&Second| row.second + i64::from(row.seconds) - 1 <= ended;
        self.series.iter().rev().find(before_end).map(|second| second.backlog).unwrap_or_default()
    }
}

impl Sustained {
    fn show_slope(&mut self, slope: Option<Slope>) {
        let Some(Slope { per_second, half_width }) = slope else { return };
        self.growth_s_per_s = Some(per_second);
        self.growth_low = half_width.map(|half| per_second - half);
        self.growth_high = half_width.map(|half| per_second + half);
    }
}

/// Whether the program's own threads got the processor that they asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Starved {
    /// They did.
    No,
    /// The client's threads took it.
    ByClient,
    /// Others did: nobody else can be blamed then.
    ByOthers,
}

impl Starved {
    /// On average over these seconds.
    fn over(seconds: &[&Second]) -> Self {
        if mean(seconds, |second| second.load.cpu_wait) <= STARVED {
            return Self::No;
        }
        let client_cpus = mean(seconds, |second| second.load.client_cpus.unwrap_or(0.0));
        let unknown = f64::INFINITY;
        let foreign_cpus = mean(seconds, |second| second.load.foreign_cpus.unwrap_or(unknown));
        if client_cpus > foreign_cpus { Self::ByClient } else { Self::ByOthers }
    }
}

fn mean(seconds: &[&Second], of: impl Fn(&Second) -> f64) -> f64 {
    seconds.iter().map(|second| of(second)).sum::<f64>() / seconds.len() as f64
}

/// Who held up the queue that grew.
fn limit(judged: &[&Second]) -> Limit {
    let last = &judged[judged.len() - (judged.len() / 5).max(1)..];
    let unsent = mean(last, |second| second.backlog.unsent as f64);
    let unacknowledged = mean(last, |second| second.backlog.unacknowledged as f64);
    let unread = mean(last, |second| second.backlog.unread as f64);
    let is_saturated = mean(last, |second| second.load.reader_busy) > SATURATED;
    // Whatever stands before it: a reader of ours that takes no more is nobody else's fault.
    if is_saturated && unread >= unacknowledged {
        return Limit::Aggregator;
    }
    let starved = Starved::over(last);
    let is_full = mean(last, |second| second.load.client_full) > MOSTLY;
    if unread > unsent.max(unacknowledged) {
        if starved == Starved::ByOthers { Limit::Aggregator } else { Limit::Broker }
    } else if unsent > unacknowledged && !is_full && starved != Starved::ByClient {
        Limit::Generator
    } else if starved == Starved::ByOthers {
        // Its own threads did not get the processor that they asked for.
        Limit::Generator
    } else {
        Limit::Broker
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::backlog::Load;
    use crate::measures::latency_kinds::PerLatency;

    fn seconds(backlog: Backlog, load: Load) -> Vec<Second> {
        let second = |second| Second {
            second,
            seconds: 1,
            start_ms: 0,
            target: None,
            produced: 0,
            acknowledged: 0,
            consumed: 0,
            results: 0,
            lag: 0,
            in_flight: 0,
            behind_ms: Some(1000.0 * second as f64),
            backlog,
            load,
            watermarks_ms: std::collections::BTreeMap::new(),
            latency: PerLatency::from_fn(|_| None),
        };
        (0..10).map(second).collect()
    }

    fn limit_of(place: (u64, u64, u64), change: impl FnOnce(&mut Load)) -> Limit {
        let (unsent, unacknowledged, unread) = place;
        let mut load = Load {
            client_full: 0.0,
            reader_busy: 0.1,
            cpu_wait: 0.01,
            client_cpus: Some(0.5),
            foreign_cpus: Some(1.0),
        };
        change(&mut load);
        let seconds = seconds(Backlog { unsent, unacknowledged, unread }, load);
        limit(&seconds.iter().collect::<Vec<_>>())
    }

    #[test]
    fn the_culprit_is_told_by_where_the_backlog_stood() {
        assert_eq!(limit_of((9, 1, 1), |_| {}), Limit::Generator);
        assert_eq!(limit_of((9, 1, 1), |load| load.client_full = 0.9), Limit::Broker);
        assert_eq!(limit_of((1, 9, 1), |_| {}), Limit::Broker);
        assert_eq!(limit_of((1, 1, 9), |_| {}), Limit::Broker, "its reader was waiting");
        assert_eq!(limit_of((1, 1, 9), |load| load.reader_busy = 0.95), Limit::Aggregator);
    }

    /// An embedded log is full because nobody reads it.
    #[test]
    fn a_saturated_reader_is_not_the_fault_of_the_log_that_it_fills() {
        let saturated = |load: &mut Load| (load.reader_busy, load.client_full) = (1.0, 1.0);
        assert_eq!(limit_of((9, 0, 5), saturated), Limit::Aggregator);
    }

    #[test]
    fn who_did_not_get_its_processor_blames_nobody_but_who_took_it() {
        let starved = |load: &mut Load| load.cpu_wait = 0.2;
        assert_eq!(limit_of((1, 9, 1), starved), Limit::Generator);
        assert_eq!(limit_of((1, 1, 9), starved), Limit::Aggregator);
        let by_client = |load: &mut Load| {
            (load.cpu_wait, load.client_cpus, load.foreign_cpus) = (0.2, Some(1.5), Some(0.3));
        };
        assert_eq!(limit_of((9, 1, 1), by_client), Limit::Broker);
        assert_eq!(limit_of((1, 9, 1), by_client), Limit::Broker);
    }
}
