//! What a stage counts: one table of counters. A row is all there is to declare: the field, how it
//! adds up, what it is called in metrics and for people. The report, the metrics and the lines that
//! people read follow from it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::stream::value::Oddities;

/// One counter.
#[derive(Clone, Copy, Debug)]
pub struct CounterRow {
    /// The field.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Its metric, if it has one. Counters of the same metric are added up in it.
    pub metric: Option<CounterMetric>,
    /// How a line for people calls it.
    pub words: Words,
    /// Its value: of times, nanoseconds.
    pub value: fn(&StageCounters) -> u64,
}

/// The metric of a counter.
#[derive(Clone, Copy, Debug)]
pub struct CounterMetric {
    /// Whether it may fall.
    pub kind: MetricKind,
    /// Its name, without the program's prefix; what ends in `seconds_total` is in seconds.
    pub name: &'static str,
    /// What it says where it is the sum of several counters; empty: what the counter says.
    pub help: &'static str,
}

/// Whether a metric may fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows, from run to run.
    Counter,
    /// It is of the present run alone.
    Gauge,
}

/// How a line for people calls a counter; those of the same name are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// It is not in the line.
    Never,
    /// It is always there.
    Always(&'static str),
    /// It is there where it is not 0.
    IfAny(&'static str),
}

/// Makes [`StageCounters`] and its rows. `reported`: what a report has as its `events`, in this
/// order; `kept`: what it shows elsewhere, or not at all.
macro_rules! counters {
    (
        reported { $(
            $(#[doc = $about:literal])+ $(#[serde $attribute:tt])* $(#[cfg_attr $schema:tt])*
            $name:ident: $type:ty, $merge:ident $(, $column:ident $cell:tt)*;
        )* }
        kept { $(
            $(#[doc = $kept_about:literal])+
            $kept:ident: $kept_type:ty, $kept_merge:ident $(, $kept_column:ident $kept_cell:tt)*;
        )* }
    ) => {
        /// Totals of one stage since it was made, or of all stages together. What a stage does not
        /// do stays 0. A report has the first part of them; read back from one, the others are 0.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub struct StageCounters {
            $(
                $(#[doc = $about])+
                $(#[serde $attribute])*
                $(#[cfg_attr $schema])*
                pub $name: $type,
            )*
            $($(#[doc = $kept_about])+ #[serde(skip)] pub $kept: $kept_type,)*
        }

        impl StageCounters {
            /// Every counter that is a number which adds up.
            pub const ROWS: &'static [CounterRow] = &[
                $(counters!(@row $merge, $name, [$($about),+] $(, $column $cell)*),)*
                $(counters!(
                    @row $kept_merge, $kept, [$($kept_about),+] $(, $kept_column $kept_cell)*
                ),)*
            ];

            /// What a row says of a counter that adds up to no number.
            const NO_ROW: CounterRow = CounterRow {
                name: "", help: "", metric: None, words: Words::Never, value: |_| 0,
            };

            /// Adds another stage's totals (the greater one where a sum makes no sense).
            pub fn add(&mut self, other: &StageCounters) {
                $(counters!(@$merge self.$name, other.$name);)*
                $(counters!(@$kept_merge self.$kept, other.$kept);)*
            }

            /// What a report has of them.
            #[must_use]
            pub fn reported(&self) -> Self {
                Self { $($name: self.$name.clone(),)* ..Self::default() }
            }
        }
    };
    (@sum $into:expr, $from:expr) => { $into += $from };
    (@greatest $into:expr, $from:expr) => { $into = $into.max($from) };
    (@reasons $into:expr, $from:expr) => { $into.merge(&$from) };
    (@suspects $into:expr, $from:expr) => { $into.merge(&$from) };
    (@latest $into:expr, $from:expr) => { $into.extend(&$from) };
    (@row sum, $name:ident, [$($about:literal),+] $(, $column:ident $cell:tt)*) => {
        CounterRow {
            $($column: counters!(@column $column $cell),)*
            ..CounterRow {
                name: stringify!($name),
                help: concat!($($about),+).trim_ascii(),
                value: |counters| counters.$name,
                ..Self::NO_ROW
            }
        }
    };
    (@row reasons, $name:ident, [$($about:literal),+] $(, $column:ident $cell:tt)*) => {
        CounterRow {
            $($column: counters!(@column $column $cell),)*
            ..CounterRow {
                name: stringify!($name),
                help: concat!($($about),+).trim_ascii(),
                value: |counters| counters.$name.total(),
                ..Self::NO_ROW
            }
        }
    };
    (@row $merge:ident, $name:ident, [$($about:literal),+]) => {
        CounterRow { name: stringify!($name), ..Self::NO_ROW }
    };
    (@column metric ($kind:ident $metric:literal)) => {
        counters!(@column metric ($kind $metric, ""))
    };
    (@column metric ($kind:ident $metric:literal, $help:literal)) => {
        Some(CounterMetric { kind: MetricKind::$kind, name: $metric, help: $help })
    };
    (@column words ($words:expr)) => { $words };
}

counters! {
    reported {
        /// Events handed to the client.
        produced: u64, sum,
            metric(Counter "events_produced_total"),
            words(Words::Always("produced"));
        /// Bytes of the values of events handed to the client.
        produced_bytes: u64, sum, metric(Counter "produced_bytes_total");
        /// Events acknowledged by the broker.
        acknowledged: u64, sum,
            metric(Counter "events_acknowledged_total"),
            words(Words::Always("acknowledged"));
        /// Events that the schedule had before its end, and that were given up unsent.
        #[serde(default)]
        never_sent: u64, sum,
            metric(Counter "events_never_sent_total"),
            words(Words::IfAny("never sent"));
        /// Events surely not stored.
        rejected: u64, sum, words(Words::IfAny("rejected"));
        /// Events perhaps stored: only the log knows.
        unknown: u64, sum, words(Words::IfAny("of unknown fate"));
        /// Events taken by the aggregators.
        consumed: u64, sum,
            metric(Counter "events_consumed_total"),
            words(Words::Always("consumed"));
        /// Bytes of all values read by the aggregators.
        consumed_bytes: u64, sum, metric(Counter "consumed_bytes_total");
        /// Events that came after their window had closed.
        late: u64, sum, metric(Counter "events_late_total"), words(Words::Always("late"));
        /// Records that are no readable events.
        #[serde(flatten)]
        malformed: MalformedRecords, reasons, words(Words::Always("malformed"));
        /// Records without a value, which delete their key.
        #[serde(default)]
        tombstones: u64, sum, words(Words::IfAny("deletions"));
        /// Of `malformed`: events too far ahead of their partition and of the wall clock.
        #[serde(default)]
        ahead: u64, sum, words(Words::IfAny("ahead"));
        /// Events of other programs (never added by a run).
        strangers: u64, sum,
            metric(Counter "events_stranger_total"),
            words(Words::IfAny("strangers"));
        /// Records of older generations, ignored.
        stale: u64, sum, words(Words::IfAny("of older generations"));
        /// Measured events sent later than the limit while the client was taking records.
        sent_late_generator: u64, sum,
            metric(Counter "events_sent_late_total", "Measured events sent later than the limit, \
                                                      for any reason."),
            words(Words::IfAny("sent late"));
        /// Measured events sent later than the limit because the client was full.
        sent_late_backpressure: u64, sum,
            metric(Counter "events_sent_late_total", "Measured events sent later than the limit, \
                                                      for any reason."),
            words(Words::IfAny("sent late"));
        /// Time that the client was full, over all producers.
        #[serde(rename = "backpressure_s", with = "as_seconds")]
        #[cfg_attr(feature = "schema", schemars(with = "f64"))]
        backpressure_ns: u64, sum, metric(Counter "backpressure_seconds_total");
    }
    kept {
        /// Of `produced`: those intended inside the measured part.
        produced_measured: u64, sum;
        /// Of `never_sent`: those intended inside the measured part.
        never_sent_measured: u64, sum;
        /// Of them: those that waited for a full client.
        never_sent_backpressure: u64, sum;
        /// Of `never_sent`: those that were too many to be counted, by the rate asked for.
        never_sent_estimated: u64, sum;
        /// When the last measured event was handed over; 0: none was.
        last_produced_ns: Nanos, greatest;
        /// Of `consumed`: those intended inside the measured part.
        consumed_measured: u64, sum;
        /// When the last measured event was consumed; 0: none was.
        last_consumed_ns: Nanos, greatest;
        /// The allowed lateness that would have sufficed for every late event, nanoseconds.
        late_needed_ns: Nanos, greatest;
        /// Events lost, by their serial numbers.
        events_lost: u64, sum, metric(Counter "events_lost_total");
        /// Records that a log has lost, as its reader knows.
        records_lost: u64, sum;
        /// Progress records lost, by their numbers.
        progress_lost: u64, sum;
        /// Events seen again (not added).
        events_duplicated: u64, sum, metric(Counter "events_duplicated_total");
        /// Events that came behind later ones.
        events_reordered: u64, sum, metric(Counter "events_reordered_total");
        /// How far the event that was furthest ahead was ahead of the wall clock, nanoseconds.
        most_ahead_ns: Nanos, greatest;
        /// Of `malformed`: those that could not be kept.
        letters_lost: u64, sum;
        /// Readers that ended without the log's word that all was read.
        ends_unknown: u64, sum;
        /// Numbers read from doubles too great to hold every whole number.
        imprecise: u64, sum;
        /// Times that named no zone, taken for UTC.
        zoneless: u64, sum;
        /// Records behind a schema registry's frame.
        framed: u64, sum;
        /// Times that look like another unit's, by field and unit.
        suspects: UnitSuspects, suspects;
        /// Records that lie behind open transactions.
        held_back: u64, sum;
        /// Windows closed by processing time because a partition was idle.
        idle_closed: u64, sum;
        /// Windows merged and handed to the client.
        windows_closed: u64, sum, metric(Counter "windows_closed_total");
        /// Results acknowledged by the broker.
        results_written: u64, sum, metric(Counter "results_written_total");
        /// When the last result of a window that the log itself closed was acknowledged; 0: none
        /// was.
        last_result_ns: Nanos, greatest;
        /// Events in windows that the log itself closed.
        results_events: u64, sum;
        /// Windows whose every count was checked.
        windows_judged: u64, sum, metric(Counter "windows_judged_total");
        /// Windows with a wrong count.
        windows_incorrect: u64, sum, metric(Counter "windows_incorrect_total");
        /// Results read back.
        results_read: u64, sum;
        /// Results of other runs, in the topic of this one's.
        results_foreign: u64, sum;
        /// Results of another processor that a later update replaced.
        result_updates: u64, sum;
        /// Results of another processor that came again as they were.
        result_repeats: u64, sum;
        /// Of `acknowledged`: those intended inside the measured part.
        acknowledged_measured: u64, sum;
        /// When the last measured event was acknowledged; 0: none was.
        last_acknowledged_ns: Nanos, greatest;
        /// Events that are due and not handed to the client, by the rate asked for.
        unsent: u64, sum;
        /// Events handed to the client and not acknowledged yet.
        in_flight: u64, sum, metric(Gauge "in_flight_events");
        /// Records in the partitions that the aggregators have not read yet.
        lag: u64, sum, metric(Gauge "consumer_lag_events");
        /// The least that the stage was behind the schedule since its last report; `None`: there
        /// is nothing that it could be behind.
        behind_ns: Option<Nanos>, greatest;
        /// Time in turns that found nothing to read.
        idle_ns: u64, sum;
        /// Processor time that the stage's thread took.
        ran_ns: u64, sum;
        /// Time that the stage's thread could have run, and waited for a processor.
        waited_ns: u64, sum;
        /// Watermark per partition.
        watermarks: BTreeMap<u32, Nanos>, latest;
    }
}

impl StageCounters {
    /// Counts what was read although it is unusual.
    pub(crate) fn note_oddities(&mut self, odd: Oddities) {
        self.imprecise += u64::from(odd.is_imprecise);
        self.zoneless += u64::from(odd.is_zoneless);
        self.framed += u64::from(odd.is_framed);
    }
}

/// Records that are no readable events: how many, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MalformedRecords {
    /// Records that are no readable events.
    #[serde(rename = "malformed")]
    total: u64,
    /// Records that are no readable events, by reason.
    #[serde(rename = "malformed_by_reason")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, std::num::NonZeroU64>"))]
    by_reason: BTreeMap<Cow<'static, str>, u64>,
    /// Where the first one of each reason lies: partition, and offset.
    #[serde(skip)]
    samples: BTreeMap<&'static str, RecordPlace>,
}

/// Where a record lies: partition, and offset.
pub type RecordPlace = (u32, u64);

/// Times that lie where another unit's would: how many of each field and unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitSuspects(BTreeMap<(&'static str, &'static str), u64>);

impl UnitSuspects {
    /// A field's time looks like one in this unit.
    pub(crate) fn add(&mut self, field: &'static str, unit: &'static str) {
        *self.0.entry((field, unit)).or_default() += 1;
    }

    fn merge(&mut self, other: &Self) {
        for (&which, count) in &other.0 {
            *self.0.entry(which).or_default() += count;
        }
    }

    /// Field, unit, and how many.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.0.iter().map(|(&(field, unit), &count)| (field, unit, count))
    }
}

impl MalformedRecords {
    /// Counts `count` more.
    pub fn add(&mut self, reason: &'static str, count: u64) {
        self.total += count;
        *self.by_reason.entry(Cow::Borrowed(reason)).or_default() += count;
    }

    /// Counts one more, which lies there.
    pub(crate) fn add_at(&mut self, reason: &'static str, partition: u32, offset: u64) {
        self.add(reason, 1);
        self.samples.entry(reason).or_insert((partition, offset));
    }

    /// The commonest reason, with its count, and where the first such record lies, if that is
    /// known: partition, and offset.
    pub fn commonest(&self) -> Option<(&str, u64, Option<RecordPlace>)> {
        let (reason, &count) = self.by_reason.iter().max_by_key(|&(_, &count)| count)?;
        Some((reason, count, self.samples.get(reason.as_ref()).copied()))
    }

    fn merge(&mut self, other: &Self) {
        for (&reason, &place) in &other.samples {
            self.samples.entry(reason).or_insert(place);
        }
        self.total += other.total;
        for (reason, count) in &other.by_reason {
            *self.by_reason.entry(reason.clone()).or_default() += count;
        }
    }

    /// For any reason.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// For one reason.
    pub fn of(&self, reason: &str) -> u64 {
        self.by_reason.get(reason).copied().unwrap_or(0)
    }

    /// By reason.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.by_reason.iter().map(|(reason, &count)| (reason.as_ref(), count))
    }
}

/// Nanoseconds that a document has in seconds.
mod as_seconds {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::clock::SECOND;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    pub(super) fn serialize<S: Serializer>(ns: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(*ns as f64 / SECOND as f64)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        f64::deserialize(deserializer).map(|seconds| (seconds * SECOND as f64).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_add_up_and_times_do_not() {
        let mut one = StageCounters { produced: 2, last_result_ns: 7, ..StageCounters::default() };
        let mut other = StageCounters { produced: 3, last_result_ns: 5, ..one.clone() };
        other.malformed.add("future", 4);
        one.add(&other);
        assert_eq!((one.produced, one.last_result_ns, one.malformed.total()), (5, 7, 4));
    }

    #[test]
    fn what_is_reported_is_read_back_as_it_was() {
        let mut counters = StageCounters {
            produced: 2,
            events_lost: 3,
            backpressure_ns: 1_234_567_891,
            ..StageCounters::default()
        };
        counters.malformed.add("not JSON", 1);
        let text = serde_json::to_string(&counters).unwrap();
        assert!(text.contains("\"backpressure_s\":1.234567891"), "{text}");
        assert_eq!(serde_json::from_str::<StageCounters>(&text).unwrap(), counters.reported());
    }

    #[test]
    fn every_metric_says_what_it_is() {
        for row in StageCounters::ROWS.iter().filter(|row| row.metric.is_some()) {
            assert!(row.help.ends_with('.') && !row.name.is_empty(), "{row:?}");
        }
    }
}
