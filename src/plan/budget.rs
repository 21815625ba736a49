//! The memory that a run may take: estimated from its sizes before it begins, and held against what
//! there is (docs/decisions/a-run-is-held-against-the-memory.md has it measured).

use std::fmt;

use streamgauge_actors::{ArrivalKind, MILLISECOND, Mode, RunSpec, SECOND, WorkloadSection};

use super::machine_memory::MachineMemory;
use crate::broker::{MemoryPart, RunSize};
use crate::config::{ConfigError, ResolvedSettings};

/// The program itself, and what it measures.
const PROGRAM: u64 = 64 << 20;
/// A producer: its generator, its encoder, its histograms, its client's tables.
const PRODUCER: u64 = 96 << 10;
/// A producer in one partition: its lane and its serial numbers, on both sides.
const LANE: u64 = 2 << 10;
/// A partition: its log, and where its reader is.
const PARTITION: u64 = 16 << 10;
/// An aggregator: a thread, a reader, histograms.
const AGGREGATOR: u64 = 1 << 20;
/// An ad's number.
const AD: u64 = 16;
/// A campaign: its place in the tables that ads are drawn from, and a result of it on its way.
const CAMPAIGN: u64 = 256;
/// An event, without the texts that a setting gives; with what is noted of it while it is in
/// flight.
const EVENT: u64 = 400;
/// A result.
const RESULT: u64 = 256;
/// A producer's count of a campaign in a window: on its way, and in the ledger.
const ACKNOWLEDGED: u64 = 136;
/// The same while it only waits for the end of `produce`.
const TRUTH: u64 = 72;
/// What the counts of windows follow from.
const TABLES: [&str; 5] = [
    "workload.campaigns",
    "workload.producers",
    "topics.partitions",
    "aggregator.allowed_lateness",
    "workload.window",
];
/// How long a window is under way behind its end, as a rule.
const CLOSING: i64 = SECOND;

/// What a run may take, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Bytes.
    pub bytes: u64,
    /// As in "more than ...".
    pub what: &'static str,
}

/// What a run will take, by what it is for; the greatest part first.
struct Estimate(Vec<MemoryPart>);

impl Estimate {
    fn of(spec: &RunSpec, mode: Mode, resolved: &ResolvedSettings) -> Self {
        let mut parts = vec![MemoryPart { settings: &[], bytes: PROGRAM }];
        let producers = if mode.produces() { u64::from(spec.workload.producers) } else { 0 };
        let partitions = u64::from(spec.topics.partitions);
        let aggregators = if mode.writes_results() {
            u64::from(spec.aggregator.count).min(partitions)
        } else {
            0
        };
        let mut add = |settings, bytes: u128| {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            parts.push(MemoryPart { settings, bytes });
        };
        let times = |a: u64, b: u64| u128::from(a) * u128::from(b);
        add(&["workload.producers"], times(producers, PRODUCER));
        add(&["topics.partitions"], times(partitions, PARTITION));
        add(&["topics.partitions", "workload.producers"], times(producers * partitions, LANE));
        add(&["aggregator.count"], times(aggregators, AGGREGATOR));
        if mode.produces() {
            let campaigns = u64::from(spec.workload.campaigns);
            let ads = campaigns * u64::from(spec.workload.ads_per_campaign);
            add(&["workload.campaigns", "workload.ads_per_campaign"], times(ads, AD));
            add(&["workload.campaigns"], times(campaigns, CAMPAIGN));
            let tables = Tables::of(spec, mode);
            add(&TABLES, tables.bytes());
            add(&["workload.duration"], tables.truth_bytes());
        }
        let size = RunSize {
            producers,
            partitions,
            aggregators,
            event_bytes: event_bytes(spec, mode),
            result_bytes: result_bytes(spec, mode),
        };
        parts.extend(resolved.settings.broker.memory(&size));
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        Self(parts)
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|part| part.bytes).fold(0, u64::saturating_add)
    }

    /// What takes most, of what a setting says, with those of its settings that somebody chose;
    /// if nobody chose any, with all.
    fn greatest(&self, resolved: &ResolvedSettings) -> Option<(u64, Vec<&'static str>)> {
        let part = self.0.iter().find(|part| !part.settings.is_empty())?;
        let is_chosen = |key: &&&str| resolved.is_chosen(key);
        let chosen: Vec<&str> = part.settings.iter().filter(is_chosen).copied().collect();
        Some((part.bytes, if chosen.is_empty() { part.settings.to_vec() } else { chosen }))
    }
}

/// The tables of counts of the windows that are under way.
struct Tables {
    /// Counts in a window: one for each producer and campaign.
    counts: u128,
    partitions: u128,
    /// Windows at once.
    open: u128,
    /// Windows in all.
    windows: u128,
    /// Events of a window, which make so many counts at most.
    events: u128,
    mode: Mode,
}

impl Tables {
    fn of(spec: &RunSpec, mode: Mode) -> Self {
        let WorkloadSection { producers, campaigns, .. } = spec.workload;
        let window_ns = spec.workload.window.as_nanos().max(MILLISECOND);
        let ceil = |ns: i64| (ns / window_ns + 1).max(0) as u128;
        let (windows, late) = (ceil(spec.schedule_ns()), ceil(spec.aggregator.lateness_ns()));
        // A partition that is further ahead waits.
        let ahead = ceil(CLOSING).min(u128::from(spec.aggregator.max_open_windows));
        Self {
            counts: u128::from(producers) * u128::from(campaigns),
            partitions: u128::from(spec.topics.partitions),
            open: (1 + late + ahead).min(windows),
            windows,
            events: events_in(spec, window_ns),
            mode,
        }
    }

    fn bytes(&self) -> u128 {
        let Self { counts, partitions, open, .. } = self;
        // What a producer counts (a count and a time), and what each partition's pane counts.
        let panes = if self.mode.writes_results() { 8 * partitions } else { 0 };
        let is_open = counts * (16 + panes);
        // A window that closes: its panes as they are told, merged, and as the audit has them.
        let told = if self.mode.writes_results() { 8 * partitions + 16 } else { 0 };
        let closes = (*counts).min(self.events) * u128::from(ACKNOWLEDGED) + counts * told;
        open * is_open + closes * (*open).min(2)
    }

    /// What producers alone keep until they are done.
    fn truth_bytes(&self) -> u128 {
        if self.mode.writes_results() {
            return 0;
        }
        self.windows * self.counts.min(self.events) * u128::from(TRUTH)
    }
}

/// Events of so long, as planned; without a plan as many as can be.
fn events_in(spec: &RunSpec, span_ns: i64) -> u128 {
    // No broker takes more from one machine.
    const MOST: f64 = 1e8;
    let rate = match spec.workload.arrivals {
        ArrivalKind::Max => MOST,
        _ => spec.workload.rate.0,
    };
    (rate * span_ns as f64 / SECOND as f64).ceil() as u128
}

/// All events of the run.
fn event_bytes(spec: &RunSpec, mode: Mode) -> u64 {
    if !mode.produces() {
        return u64::MAX;
    }
    let workload = &spec.workload;
    let longest = |names: &[String]| names.iter().map(String::len).max().unwrap_or(0) as u64;
    let event = EVENT + longest(&workload.ad_types) + longest(&workload.event_types);
    u64::try_from(events_in(spec, spec.schedule_ns()) * u128::from(event)).unwrap_or(u64::MAX)
}

/// All results of the run.
fn result_bytes(spec: &RunSpec, mode: Mode) -> u64 {
    if !mode.produces() {
        return u64::MAX;
    }
    let windows = Tables::of(spec, mode).windows;
    let events = events_in(spec, spec.schedule_ns());
    let results = (windows * u128::from(spec.workload.campaigns)).min(events);
    u64::try_from(results * u128::from(RESULT)).unwrap_or(u64::MAX)
}

/// Refuses a run that would take more than there is, by the setting that takes most.
///
/// # Errors
/// [`ConfigError`] with that setting, how much it takes, and what there is.
pub(super) fn check(
    spec: &RunSpec,
    mode: Mode,
    resolved: &ResolvedSettings,
    bounds: &[Bound],
) -> Result<(), ConfigError> {
    let estimate = Estimate::of(spec, mode, resolved);
    let sum = estimate.sum();
    tracing::debug!(run_id = spec.run_id, bytes = sum, "the memory that the run may take");
    let Some(bound) = bounds.iter().min_by_key(|bound| bound.bytes) else { return Ok(()) };
    if sum <= bound.bytes {
        return Ok(());
    }
    let Some((bytes, settings)) = estimate.greatest(resolved) else { return Ok(()) };
    let key = settings[0];
    let with: Vec<String> =
        settings[1..].iter().map(|setting| format!("with `{setting}` ")).collect();
    let message = format!(
        "{}takes up to {} of memory, and the run {} in all: that is more than {} ({})",
        with.concat(),
        Size(bytes),
        Size(sum),
        bound.what,
        Size(bound.bytes),
    );
    let origin = resolved.origins.get(key).map_or("settings", String::as_str);
    Err(ConfigError::one(origin, key, message))
}

/// What this machine has for a run.
pub(super) fn of_machine() -> Option<Bound> {
    let MachineMemory { bytes, what } = MachineMemory::read()?;
    Some(Bound { bytes, what })
}

/// A size for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: f64 = (1 << 20) as f64;
        let mib = self.0 as f64 / MIB;
        if mib < 1024.0 { write!(f, "{mib:.1}MiB") } else { write!(f, "{:.1}GiB", mib / 1024.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Assignment, Layers};

    fn resolved(settings: &[(&str, &str)]) -> ResolvedSettings {
        let assignment = |&(key, value): &(&str, &str)| Assignment {
            origin: "test".to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let flags = settings.iter().map(assignment).collect();
        Layers { flags, ..Layers::default() }.load().unwrap()
    }

    /// What is said of settings where there are so many bytes.
    fn refusal(settings: &[(&str, &str)], bytes: u64) -> Option<String> {
        let resolved = resolved(settings);
        let spec = resolved.settings.run_spec("budget").unwrap();
        let bound = Bound { bytes, what: "the test has" };
        check(&spec, Mode::Run, &resolved, &[bound]).err().map(|error| error.to_string())
    }

    #[test]
    fn a_run_beyond_what_there_is_is_refused_by_what_takes_most() {
        const GIB: u64 = 1 << 30;
        let many = ("workload.producers", "4096");
        for (settings, key) in [
            (&[many, ("topics.partitions", "1000")][..], "topics.partitions"),
            (&[many, ("workload.campaigns", "10000")], "workload.campaigns"),
            (
                &[("workload.campaigns", "10000000"), ("workload.ads_per_campaign", "1")],
                "campaigns",
            ),
            (
                &[
                    ("workload.campaigns", "10000"),
                    ("aggregator.allowed_lateness", "1h"),
                    ("workload.duration", "1d"),
                    ("workload.window", "1s"),
                ],
                "workload.campaigns",
            ),
            (
                &[("broker.embedded.max_bytes", "8GiB"), ("workload.arrivals", "max")],
                "broker.embedded.max_bytes",
            ),
            (
                &[
                    ("broker.kind", "kafka"),
                    ("broker.kafka.queue_bytes", "1GB"),
                    ("workload.producers", "8"),
                    ("workload.duration", "1h"),
                ],
                "broker.kafka.queue_bytes",
            ),
        ] {
            let said = refusal(settings, GIB).unwrap_or_else(|| panic!("{settings:?} is refused"));
            assert!(
                said.contains(key) && said.contains("more than the test has (1.0GiB)"),
                "{said}"
            );
        }
    }

    #[test]
    fn ordinary_runs_and_many_producers_fit_into_two_gibibytes() {
        for settings in [
            &[][..],
            &[("workload.producers", "4096")],
            &[("topics.partitions", "1000")],
            &[("workload.campaigns", "100000")],
            &[("workload.window", "1ms"), ("workload.duration", "1h")],
            &[("workload.duration", "30d")],
            &[("broker.kind", "kafka"), ("workload.producers", "1000")],
        ] {
            assert_eq!(refusal(settings, 2 << 30), None, "{settings:?}");
        }
    }

    #[test]
    fn the_greatest_sizes_that_settings_allow_are_added_up() {
        let everything = [
            ("workload.producers", "4096"),
            ("topics.partitions", "10000"),
            ("workload.campaigns", "10000000"),
            ("workload.ads_per_campaign", "1"),
            ("workload.window", "1ms"),
            ("workload.duration", "10y"),
            ("workload.rate", "1G/s"),
            ("aggregator.allowed_lateness", "10y"),
            ("aggregator.max_open_windows", "4294967295"),
            ("broker.embedded.max_bytes", "18EB"),
        ];
        let said = refusal(&everything, u64::MAX - 1).expect("it is refused");
        assert!(said.contains("workload.campaigns"), "{said}");
    }
}
