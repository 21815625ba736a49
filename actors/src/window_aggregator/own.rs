//! The stream of a run's own producers: guarded by serial numbers, ended by progress records.

use std::sync::Arc;

use crate::clock::Nanos;
use crate::ports::{EventReader, Record};
use crate::stage::flow::{Follower, PanesClosed};
use crate::stream::event::{DecodedEvent, EventFormat};
use crate::stream::progress::ProgressRecord;
use crate::truth::findings::{Finding, FindingKind};
use crate::window_aggregator::counting::{Counting, CountingStart};
use crate::window_aggregator::panes::WindowShape;
use crate::window_aggregator::serials::Arrival;
use crate::window_aggregator::slots::CampaignSlots;
use crate::window_aggregator::source::Source;
use crate::workload::spec::RunSpec;

/// The events of a run's own producers.
pub struct OwnStream {
    run_tag: u64,
    producers: u32,
}

impl OwnStream {
    /// The stream of this run's producers.
    pub fn new(spec: &Arc<RunSpec>) -> Self {
        Self { run_tag: spec.run_tag, producers: spec.workload.producers }
    }

    /// What counting it starts with.
    pub fn start(spec: &RunSpec, base_ns: Nanos) -> CountingStart {
        CountingStart {
            base_ns,
            shape: WindowShape {
                base_ns,
                window_ns: spec.workload.window.as_nanos(),
                allowed_lateness_ns: spec.aggregator.lateness_ns(),
            },
            producers: spec.workload.producers,
            slots: CampaignSlots::Bounded(spec.workload.campaigns),
            format: EventFormat::default(),
            measure_from_ns: base_ns + spec.workload.warmup.as_nanos(),
        }
    }
}

fn find(
    counting: &mut Counting,
    kind: FindingKind,
    at: usize,
    producer: usize,
    event: &DecodedEvent,
) {
    counting.find(kind, at, event.campaign_id, event.window_id, Some(producer as u32));
}

/// Records whose numbers never came, by partition and producer.
fn lost(counting: &Counting) -> impl Iterator<Item = Finding> + '_ {
    counting.partitions.iter().flat_map(|partition| {
        let finding = move |kind, (producer, count): (usize, u64)| Finding {
            kind,
            window_id: None,
            campaign_id: None,
            producer: Some(producer as u32),
            partition: Some(partition.id),
            count,
        };
        let windows = &partition.windows;
        let events = windows.lost().enumerate().map(move |it| finding(FindingKind::EventLost, it));
        let progress = windows.progress_lost().enumerate();
        let progress = progress.map(move |it| finding(FindingKind::ProgressLost, it));
        events.chain(progress).filter(|finding| finding.count > 0)
    })
}

/// How many there are of one kind.
fn count_of(findings: &[Finding], kind: FindingKind) -> u64 {
    findings.iter().filter(|finding| finding.kind == kind).map(|finding| finding.count).sum()
}

impl Source for OwnStream {
    #[inline]
    fn note_record(&mut self, _partition: u32) {}

    #[inline]
    fn count(
        &mut self,
        counting: &mut Counting,
        at: usize,
        record: Record<'_>,
        event: &DecodedEvent,
    ) {
        let Some(serial) = event.serial.filter(|serial| {
            serial.run_tag == self.run_tag && u32::from(serial.producer) < self.producers
        }) else {
            counting.counters.strangers += 1;
            return;
        };
        if u32::from(serial.partition) != record.partition {
            // Where it belongs, it is missing.
            counting.set_aside(record, "wrong_partition");
            return;
        }
        let producer = usize::from(serial.producer);
        let Some(slot) = counting.slot(record, event) else { return };
        let windows = &mut counting.partitions[at].windows;
        match windows.observe_serial(producer, serial.n) {
            Arrival::InOrder => {}
            Arrival::Reordered => {
                counting.counters.events_reordered += 1;
                find(counting, FindingKind::EventReordered, at, producer, event);
            }
            Arrival::Duplicate => {
                counting.counters.consumed += 1;
                counting.counters.events_duplicated += 1;
                return find(counting, FindingKind::EventDuplicated, at, producer, event);
            }
        }
        if !counting.add(at, producer, slot, event) {
            find(counting, FindingKind::EventLate, at, producer, event);
        }
    }

    fn progress(&mut self, counting: &mut Counting, at: usize, progress: &ProgressRecord) {
        if progress.run != self.run_tag || progress.producer >= self.producers {
            return;
        }
        let is_stale = !counting.partitions[at].windows.observe_progress(progress);
        counting.counters.stale += u64::from(is_stale);
        counting.some_closed = true;
    }

    /// Progress records say how far a silent producer is.
    fn follow(&mut self, _follow: Follower) {}

    /// The producers end their stream themselves.
    fn drain(&mut self) {}

    fn has_schedule(&self) -> bool {
        true
    }

    fn runs_ahead(&self) -> bool {
        false
    }

    fn is_over(
        &mut self,
        _now: Nanos,
        visited: usize,
        reader: &mut dyn EventReader,
        counting: &mut Counting,
        _outbox: &mut Vec<PanesClosed>,
    ) -> bool {
        if visited > 0 || !counting.is_closed() || reader.lag() > 0 {
            return false;
        }
        let lost: Vec<Finding> = lost(counting).collect();
        counting.findings.extend(lost);
        true
    }

    fn look_back(&mut self, counting: &mut Counting) {
        let lost: Vec<Finding> = lost(counting).collect();
        counting.counters.events_lost = count_of(&lost, FindingKind::EventLost);
        counting.counters.progress_lost = count_of(&lost, FindingKind::ProgressLost);
    }
}
