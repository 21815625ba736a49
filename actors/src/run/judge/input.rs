//! What records of others say of a run: how many could not be read, and whether those that could
//! mean what they seem to.

use crate::clock::SECOND;
use crate::measures::run_measures::Misalignment;
use crate::run::outcome::RunOutcome;
use crate::run::verdict::{Cause, Reason};
use crate::units::Span;
use crate::workload::mode::Mode;

impl RunOutcome {
    /// Why what was read is not to be trusted.
    pub(super) fn input_doubts(&self) -> Vec<Reason> {
        let read = self.unreadable().into_iter().chain(self.strange()).chain(self.other_units());
        read.chain(self.unfinished()).chain(self.elsewhere()).collect()
    }

    /// Records that were read as what they should be.
    fn readable(&self) -> u64 {
        match self.mode {
            Mode::Latency(_) => self.counters.results_read,
            Mode::Run | Mode::Produce | Mode::Aggregate(_) => self.counters.consumed,
        }
    }

    /// Whether so many records are more than may be.
    fn weighs(&self, count: u64, of: u64) -> bool {
        count > 0 && count as f64 > self.spec.input.max_malformed.0 * of as f64
    }

    /// Whether too many records could not be read.
    fn unreadable(&self) -> Option<Reason> {
        let malformed = &self.counters.malformed;
        let all = malformed.total() + self.readable();
        let (commonest, count, place) = malformed.commonest()?;
        if !self.weighs(malformed.total(), all) {
            return None;
        }
        let place = place.map_or_else(String::new, |(partition, offset)| {
            format!(", as in partition {partition} at offset {offset}")
        });
        let text = format!(
            "{} of {all} records ({}) cannot be read, most for `{commonest}` ({count}){place}; \
             input.max_malformed is {}",
            malformed.total(),
            percent(malformed.total(), all),
            self.spec.input.max_malformed
        );
        Some(Reason::new(Cause::InputUnreadable, text))
    }

    /// Whether too many events on a topic that was there before the run are others'.
    fn strange(&self) -> Option<Reason> {
        let (strangers, all) =
            (self.counters.strangers, self.counters.strangers + self.counters.consumed);
        if self.mode != Mode::Run || self.made_topics.events || !self.weighs(strangers, all) {
            return None;
        }
        let text = format!(
            "{strangers} of {all} events ({}) on topic `{}` are of other programs",
            percent(strangers, all),
            self.spec.topics.events
        );
        Some(Reason::new(Cause::InputStrangers, text))
    }

    /// Whether times look like another unit's.
    fn other_units(&self) -> Option<Reason> {
        let all = self.readable();
        let suspects = self.counters.suspects.iter().filter(|&(.., count)| self.weighs(count, all));
        let (field, unit, count) = suspects.max_by_key(|&(.., count)| count)?;
        let text = format!(
            "`{field}` of {count} of {all} records ({}) looks like {}, by the records' own \
             timestamps: if it is, set input.{} = \"{unit}\"",
            percent(count, all),
            unit_in_words(unit),
            unit_setting(field)
        );
        Some(Reason::new(Cause::InputUnit, text))
    }

    /// Whether it is not known that all was read.
    fn unfinished(&self) -> Option<Reason> {
        let topics = &self.spec.topics;
        let topic = match self.mode {
            Mode::Latency(_) => &topics.results,
            Mode::Run | Mode::Produce | Mode::Aggregate(_) => &topics.events,
        };
        let text = format!(
            "the broker did not say for {} where topic `{topic}` ends (supervisor.drain_timeout): \
             there may be more than was read",
            self.spec.supervisor.drain_timeout
        );
        (self.counters.ends_unknown > 0).then(|| Reason::new(Cause::EndUnknown, text))
    }

    /// Whether all windows lie elsewhere than those of the truth.
    fn elsewhere(&self) -> Option<Reason> {
        let Misalignment { off_ns, is_phase } = self.misalignment()?;
        let off = Span::from_nanos(off_ns.abs());
        let (later, window) =
            (if off_ns < 0 { "earlier" } else { "later" }, self.spec.workload.window);
        let why = if is_phase {
            format!(
                "they are aligned elsewhere, and no count is comparable (windows of {window}: let \
                 both begin at the same phase)"
            )
        } else if off_ns % (900 * SECOND) == 0 {
            "a time zone, or windows numbered from another time".to_owned()
        } else {
            "windows numbered from another time".to_owned()
        };
        let text =
            format!("all windows of the results lie {off} {later} than those of the truth: {why}");
        Some(Reason::new(Cause::WindowsMisaligned, text))
    }

    /// The setting, with its value, that reads times as what they look like, if they look like
    /// another unit's.
    pub fn suspected_unit(&self) -> Option<(&'static str, &'static str)> {
        let suspects = self.counters.suspects.iter();
        let (field, unit, _) = suspects.max_by_key(|&(.., count)| count)?;
        Some((unit_setting(field), unit))
    }
}

/// The name of the setting for a field's unit, in `[input]`.
fn unit_setting(field: &str) -> &'static str {
    if field == "event_time_ns" { "event_time_unit" } else { "produce_time_unit" }
}

fn unit_in_words(unit: &str) -> &'static str {
    match unit {
        "ns" => "nanoseconds",
        "us" => "microseconds",
        "ms" => "milliseconds",
        _ => "seconds",
    }
}

/// A part in percent, with two digits that tell something.
fn percent(count: u64, of: u64) -> String {
    let percent = 100.0 * count as f64 / of.max(1) as f64;
    if percent >= 1.0 { format!("{percent:.1} %") } else { format!("{percent:.2} %") }
}
