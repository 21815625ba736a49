//! A stream that other programs write: no serial numbers and no progress records, so that one
//! anonymous producer stands for each partition, and windows close by idle time or at the end.

use tracing::warn;

use crate::clock::{MILLISECOND, Nanos, SECOND};
use crate::ports::{EventReader, Record};
use crate::stage::drain::{EndAnswer, QuietEnd, Remainder};
use crate::stage::flow::{Follower, PanesClosed};
use crate::stream::event::DecodedEvent;
use crate::stream::progress::{FINISHED, ProgressRecord};
use crate::stream::suspected_unit::suspected_unit;
use crate::truth::findings::FindingKind;
use crate::units::TimeUnit;
use crate::window_aggregator::counting::{Counting, CountingStart};
use crate::window_aggregator::feed_clock::{FeedClock, FeedStep};
use crate::window_aggregator::panes::WindowShape;
use crate::window_aggregator::slots::CampaignSlots;
use crate::window_aggregator::source::Source;
use crate::workload::mode::Aggregate;
use crate::workload::spec::RunSpec;

/// Different campaign ids that are told apart.
const CAMPAIGN_LIMIT: usize = 1_000_000;

/// How long a partition may be silent before the log says what that means.
const SILENCE_TOLERATED_NS: Nanos = 10 * SECOND;

/// How often silent partitions are looked for.
const LOOK_EVERY_NS: Nanos = 100 * MILLISECOND;

/// The only producer of a partition.
const ANONYMOUS: usize = 0;

/// When a partition had its last event.
#[derive(Clone, Copy)]
struct Silence {
    since_ns: Nanos,
    /// Whether the log has said so.
    is_logged: bool,
}

/// The events of other programs.
pub struct ForeignStream {
    aggregate: Aggregate,
    /// By the partition's index.
    silences: Vec<Silence>,
    clocks: Vec<FeedClock>,
    max_ahead_ns: Nanos,
    follow: Follower,
    next_look_ns: Nanos,
    units: [TimeUnit; 2],
    last_record_ns: Nanos,
    remainder: Remainder,
    end: QuietEnd,
}

impl ForeignStream {
    /// A stream of so many partitions, read as `aggregate` says from `base_ns` on.
    pub fn new(aggregate: Aggregate, partitions: usize, spec: &RunSpec, base_ns: Nanos) -> Self {
        let input = &spec.input;
        Self {
            clocks: vec![FeedClock::default(); partitions],
            max_ahead_ns: input.max_ahead_ns(spec.workload.window.as_nanos()),
            follow: Follower::NOTHING,
            next_look_ns: base_ns,
            units: [input.event_time_unit, input.produce_time_unit],
            aggregate,
            silences: vec![Silence { since_ns: base_ns, is_logged: false }; partitions],
            last_record_ns: base_ns,
            remainder: Remainder::default(),
            end: QuietEnd::default(),
        }
    }

    /// What counting it starts with.
    pub fn start(aggregate: &Aggregate, spec: &RunSpec, base_ns: Nanos) -> CountingStart {
        CountingStart {
            base_ns,
            shape: WindowShape {
                base_ns: aggregate.base_event_time_ns,
                window_ns: spec.workload.window.as_nanos(),
                allowed_lateness_ns: spec.aggregator.lateness_ns(),
            },
            producers: 1,
            format: spec.input.event_format(),
            slots: match aggregate.campaigns {
                Some(campaigns) => CampaignSlots::Bounded(campaigns),
                None => CampaignSlots::unrestricted(CAMPAIGN_LIMIT),
            },
            measure_from_ns: Nanos::MIN,
        }
    }

    /// Notes times that look like another unit's.
    #[inline]
    fn check_units(&self, counting: &mut Counting, record: &Record<'_>, event: &DecodedEvent) {
        let stamped_ns = if record.timestamp_ns > 0 { record.timestamp_ns } else { counting.now };
        let produced_ns = event.produce_time_ms.saturating_mul(MILLISECOND);
        let times = [("event_time_ns", event.event_time_ns), ("produce_time", produced_ns)];
        for ((field, time_ns), unit) in times.into_iter().zip(self.units) {
            if let Some(unit) = suspected_unit(time_ns, unit, stamped_ns) {
                counting.counters.suspects.add(field, unit.name());
            }
        }
    }

    /// Closes everything where nothing came for too long, and ends the reading; false: it goes on.
    fn close_idle(
        &mut self,
        now: Nanos,
        reader: &mut dyn EventReader,
        counting: &mut Counting,
        outbox: &mut Vec<PanesClosed>,
    ) -> bool {
        let until_idle = self.aggregate.follow.until_idle_ns;
        let idle_ns = now - self.last_record_ns;
        if until_idle.is_none_or(|limit| idle_ns < limit) {
            return false;
        }
        let (topic, patience_ns) =
            (&counting.spec.topics.events, counting.spec.supervisor.drain_timeout.as_nanos());
        match self.end.ask(now, reader, topic, patience_ns) {
            EndAnswer::NotYet => return false,
            EndAnswer::AtEnd => {}
            EndAnswer::Unknown => counting.counters.ends_unknown += 1,
        }
        counting.close_all(outbox);
        true
    }

    /// Looks for partitions that are silent, whatever the others do.
    fn look_for_silence(
        &mut self,
        now: Nanos,
        reader: &mut dyn EventReader,
        counting: &mut Counting,
        outbox: &mut Vec<PanesClosed>,
    ) {
        let until_idle = self.aggregate.follow.until_idle_ns;
        let is_silent = |silence: &Silence, limit: Option<Nanos>| {
            limit.is_some_and(|limit| now - silence.since_ns >= limit)
        };
        let limits = [until_idle, self.aggregate.idle_timeout_ns];
        let is_any = |silence| limits.iter().any(|&limit| is_silent(silence, limit));
        let some_paused = counting.partitions.iter().any(|partition| partition.paused);
        // The log is asked where it ends: a connection that is away is no silence, and of what is
        // paused the client knows no new end.
        if !(some_paused || self.silences.iter().any(is_any)) || reader.is_at_end().is_pending() {
            return;
        }
        // A paused partition waits for those that have nothing more: its own rest must not keep
        // them open.
        let newest = counting.partitions.iter().filter_map(|it| it.windows.newest_open()).max();
        for (partition, silence) in counting.partitions.iter_mut().zip(&self.silences) {
            let has_nothing = !partition.paused && reader.lag_of(partition.id) == 0;
            partition.is_idle = has_nothing && is_silent(silence, self.aggregate.idle_timeout_ns);
            if partition.is_idle {
                // Where all are, to the end of the newest window that has events, and no further:
                // a feed that runs behind the wall clock, and pauses, is not late for that.
                let own = newest.filter(|_| self.follow.are_all_idle).map(|window| window + 1);
                let before = own.unwrap_or(i64::MIN).max(self.follow.closed_before);
                partition.windows.close_before(before);
            } else if some_paused && has_nothing && is_silent(silence, until_idle) {
                partition.windows.advance_all(FINISHED);
            }
            counting.counters.idle_closed += partition.tell(&counting.slots, false, outbox);
        }
    }
}

impl Source for ForeignStream {
    #[inline]
    fn note_record(&mut self, partition: u32) {
        self.remainder.read(partition);
    }

    #[inline]
    fn count(
        &mut self,
        counting: &mut Counting,
        at: usize,
        record: Record<'_>,
        event: &DecodedEvent,
    ) {
        self.silences[at].since_ns = counting.now;
        counting.partitions[at].is_idle = false;
        self.check_units(counting, &record, event);
        let wall = || counting.present();
        let step = self.clocks[at].step(event.event_time_ns, self.max_ahead_ns, wall);
        if let FeedStep::Ahead(ahead_ns) = step {
            return counting.set_ahead_aside(record, ahead_ns);
        }
        let Some(slot) = counting.slot(record, event) else { return };
        let is_counted = match step {
            FeedStep::Unconfirmed(progress) => {
                counting.add_unconfirmed(at, ANONYMOUS, slot, event, progress)
            }
            _ => counting.add(at, ANONYMOUS, slot, event),
        };
        if !is_counted {
            let window_id = counting.partitions[at].windows.shape().id(event.event_time_ns);
            counting.find(FindingKind::EventLate, at, event.campaign_id, window_id, None);
        }
    }

    /// Another run's producers promise nothing about these events.
    fn progress(&mut self, _counting: &mut Counting, _at: usize, _progress: &ProgressRecord) {}

    fn follow(&mut self, follow: Follower) {
        self.follow = follow;
    }

    fn drain(&mut self) {
        self.remainder.ask();
    }

    /// What was there when the drain was ordered is read, however far it is ahead.
    fn has_schedule(&self) -> bool {
        false
    }

    fn runs_ahead(&self) -> bool {
        self.remainder.is_asked()
    }

    fn is_over(
        &mut self,
        now: Nanos,
        visited: usize,
        reader: &mut dyn EventReader,
        counting: &mut Counting,
        outbox: &mut Vec<PanesClosed>,
    ) -> bool {
        if visited > 0 {
            self.last_record_ns = counting.now;
            self.end.forget();
        }
        let partitions = counting.partitions.iter().map(|partition| partition.id);
        if self.remainder.is_done(now, visited, reader, partitions) {
            counting.close_all(outbox);
            return true;
        }
        if visited == 0 && self.close_idle(now, reader, counting, outbox) {
            return true;
        }
        if now >= self.next_look_ns {
            self.next_look_ns = now + LOOK_EVERY_NS;
            self.look_for_silence(now, reader, counting, outbox);
        }
        false
    }

    /// A silent partition holds back every window for as long as nothing ends its silence: says so,
    /// once.
    fn look_back(&mut self, counting: &mut Counting) {
        let Aggregate { follow, idle_timeout_ns, .. } = &self.aggregate;
        if idle_timeout_ns.is_some() || follow.until_idle_ns.is_some() {
            return;
        }
        let now = counting.present();
        for (silence, partition) in self.silences.iter_mut().zip(&counting.partitions) {
            if !silence.is_logged && now - silence.since_ns >= SILENCE_TOLERATED_NS {
                silence.is_logged = true;
                warn!(
                    topic = counting.spec.topics.events,
                    partition = partition.id,
                    "a silent partition holds back every window, and so all results; with \
                     aggregator.idle_timeout its windows close by processing time"
                );
            }
        }
    }
}
