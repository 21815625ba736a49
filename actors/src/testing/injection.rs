//! Faults that strike a topic's records after their acknowledgement: between the log and its
//! readers.
//!
//! One [`Injector`] stands behind all partitions of a run's two topics. It counts the truth as it
//! passes, and so can say what a right audit finds: [`Injector::expected`]. No two faults touch the
//! same count: each is found by itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Nanos;
use crate::ports::PROGRESS_KEY;
use crate::stream::event::{DecodedEvent, Serial, decode_event};
use crate::stream::progress::ProgressRecord;
use crate::stream::result::ResultRecord;
use crate::testing::faults::{Expectation, Fault, FaultKind, Injection, StoredRecord, TrueCount};
use crate::truth::findings::{Finding, FindingKind};

/// An event of the run, with its record.
#[derive(Clone, Debug)]
struct Event {
    record: StoredRecord,
    decoded: DecodedEvent,
    serial: Serial,
}

impl Event {
    fn place(&self) -> (i64, u64) {
        (self.decoded.window_id, self.decoded.campaign_id)
    }

    fn producer(&self) -> usize {
        usize::from(self.serial.producer)
    }

    /// A record beside the event that is none of the run's.
    fn intruder(&self, kind: FaultKind) -> StoredRecord {
        let text = String::from_utf8_lossy(&self.record.payload);
        let payload = match kind {
            // Another run's id: the tag's first digit is another one.
            FaultKind::StrangeEvent => match text.split_once("\"page_id\":\"") {
                Some((before, id)) => {
                    let digit = if id.starts_with('0') { '1' } else { '0' };
                    format!("{before}\"page_id\":\"{digit}{}", &id[1..])
                }
                None => text.into_owned(),
            },
            _ => text[..text.len() / 2].to_owned(),
        };
        StoredRecord { payload: payload.into_bytes(), ..self.record.clone() }
    }

    /// The same event with another event time.
    fn moved_to(&self, event_time_ns: Nanos) -> Self {
        let text = String::from_utf8_lossy(&self.record.payload);
        let field = |time: Nanos| format!("\"event_time_ns\":{time},");
        let payload = text
            .replacen(&field(self.decoded.event_time_ns), &field(event_time_ns), 1)
            .into_bytes();
        let decoded = DecodedEvent { event_time_ns, ..self.decoded };
        Self {
            record: StoredRecord { payload, ..self.record.clone() },
            decoded,
            serial: self.serial,
        }
    }
}

/// An event kept back until its fault can strike.
#[derive(Debug)]
struct HeldEvent {
    fault: Fault,
    event: Event,
    /// Events of the partition that came since.
    passed: u32,
    /// The producer's progress records that came since: they speak of the event as if it had
    /// passed.
    progress: Vec<StoredRecord>,
}

/// One partition of the events topic.
#[derive(Debug)]
struct EventPartition {
    /// Event-time progress per producer, of what was let through.
    progress: Vec<Nanos>,
    /// One past the greatest serial let through, per producer.
    next: Vec<u64>,
    held: Option<HeldEvent>,
}

/// Injects faults into a run's topics.
#[derive(Debug)]
pub struct Injector {
    window_ns: Nanos,
    allowed_lateness_ns: Nanos,
    producers: usize,
    faults: Vec<Fault>,
    events: u64,
    results: u64,
    partitions: Vec<EventPartition>,
    /// Counts that a fault has touched.
    touched: BTreeSet<(i64, u64)>,
    truth: BTreeMap<(i64, u64), TrueCount>,
    injections: Vec<Injection>,
}

/// Records that a delayed copy lets pass.
const COPY_DELAY: u32 = 3;

impl Injector {
    /// Will inject `faults` into a run of `producers` producers with these windows.
    pub fn new(
        mut faults: Vec<Fault>,
        producers: u32,
        window_ns: Nanos,
        allowed_lateness_ns: Nanos,
    ) -> Self {
        faults.sort_by_key(|fault| fault.after_records);
        Self {
            window_ns,
            allowed_lateness_ns,
            producers: producers as usize,
            faults,
            events: 0,
            results: 0,
            partitions: Vec::new(),
            touched: BTreeSet::new(),
            truth: BTreeMap::new(),
            injections: Vec::new(),
        }
    }

    /// The faults that struck.
    pub fn injections(&self) -> &[Injection] {
        &self.injections
    }

    /// What was acknowledged, per window and campaign.
    pub fn truth(&self) -> &BTreeMap<(i64, u64), TrueCount> {
        &self.truth
    }

    /// Takes a record that was appended to the results topic; lets through what readers shall see.
    pub fn result(&mut self, partition: u32, record: StoredRecord, out: &mut Vec<StoredRecord>) {
        self.results += 1;
        let Ok(result) = ResultRecord::from_json(&record.payload) else { return out.push(record) };
        let place = (result.window_id, result.campaign_id);
        let results = self.results;
        let strikes = |fault: &Fault| fault.kind.strikes_results() && results > fault.after_records;
        let Some(at) =
            self.faults.iter().position(strikes).filter(|_| !self.touched.contains(&place))
        else {
            return out.push(record);
        };
        let kind = self.faults.remove(at).kind;
        self.touched.insert(place);
        self.injections.push(Injection {
            kind,
            window_id: result.window_id,
            to_window: None,
            campaign_id: result.campaign_id,
            producer: None,
            partition,
            n: 0,
            overtaken: false,
        });
        let false_result = |result: ResultRecord| StoredRecord {
            payload: serde_json::to_vec(&result).unwrap_or_default(),
            ..record.clone()
        };
        match kind {
            FaultKind::DoubleResult => out.extend([record.clone(), record]),
            FaultKind::FalseProduceTime => {
                let max_produce_time = result.max_produce_time + 1;
                out.push(false_result(ResultRecord { max_produce_time, ..result }));
            }
            FaultKind::FalseBounds => {
                let window_end = result.window_end + 1;
                out.push(false_result(ResultRecord { window_end, ..result }));
            }
            _ => {}
        }
    }

    /// Takes a record that was appended to a partition of the events topic; lets through what
    /// readers shall see.
    pub fn event(&mut self, partition: u32, record: StoredRecord, out: &mut Vec<StoredRecord>) {
        while self.partitions.len() <= partition as usize {
            let (progress, next) = (vec![Nanos::MIN; self.producers], vec![0; self.producers]);
            self.partitions.push(EventPartition { progress, next, held: None });
        }
        if record.key == PROGRESS_KEY {
            return self.progress(partition, record, out);
        }
        let decoded = decode_event(&record.payload).ok();
        let Some((decoded, serial)) =
            decoded.and_then(|decoded| decoded.serial.map(|serial| (decoded, serial)))
        else {
            return out.push(record);
        };
        let event = Event { record, decoded, serial };
        self.events += 1;
        let truth = self.truth.entry(event.place()).or_default();
        truth.by_producer.resize(self.producers, 0);
        truth.by_producer[event.producer()] += 1;
        truth.max_produce_ms = truth.max_produce_ms.max(event.decoded.produce_time_ms);
        match self.partitions[partition as usize].held.take() {
            None => self.maybe_strike(partition, event, out),
            Some(held) => self.behind(partition, held, event, out),
        }
    }

    /// No fault is under way in this partition: one may begin with this event.
    fn maybe_strike(&mut self, partition: u32, event: Event, out: &mut Vec<StoredRecord>) {
        let events = self.events;
        let strikes = |fault: &Fault| fault.kind.strikes_events() && events > fault.after_records;
        let free = !self.touched.contains(&event.place());
        let Some(at) = self.faults.iter().position(strikes).filter(|_| free) else {
            return self.pass(partition, &event, out);
        };
        let fault = self.faults.remove(at);
        self.touched.insert(event.place());
        match fault.kind {
            FaultKind::DropEvent => return self.struck(fault.kind, partition, &event, None),
            FaultKind::DoubleEvent => {
                self.struck(fault.kind, partition, &event, None);
                self.pass(partition, &event, out);
            }
            FaultKind::StrangeEvent | FaultKind::UnreadableEvent => {
                self.struck(fault.kind, partition, &event, None);
                out.push(event.intruder(fault.kind));
                return self.pass(partition, &event, out);
            }
            _ => {}
        }
        self.partitions[partition as usize].held =
            Some(HeldEvent { fault, event, passed: 0, progress: Vec::new() });
    }

    /// An event came while another one is held back.
    fn behind(
        &mut self,
        partition: u32,
        mut held: HeldEvent,
        event: Event,
        out: &mut Vec<StoredRecord>,
    ) {
        let same_producer = held.event.serial.producer == event.serial.producer;
        let same_window = held.event.decoded.window_id == event.decoded.window_id;
        match held.fault.kind {
            FaultKind::ReorderEvents if same_producer && same_window => {
                self.struck(held.fault.kind, partition, &held.event, None);
                self.pass(partition, &event, out);
                self.pass(partition, &held.event, out);
                return out.extend(held.progress);
            }
            FaultKind::MoveEvent if same_producer && !same_window => {
                let to = (event.decoded.window_id, held.event.decoded.campaign_id);
                if self.touched.insert(to) {
                    self.struck(held.fault.kind, partition, &held.event, Some(to.0));
                    self.pass(partition, &held.event.moved_to(event.decoded.event_time_ns), out);
                    out.extend(held.progress);
                    return self.pass(partition, &event, out);
                }
            }
            FaultKind::ReorderEvents | FaultKind::MoveEvent if same_producer => {}
            _ => {
                // HeldEvent on, while others pass.
                held.passed += 1;
                self.partitions[partition as usize].held = Some(held);
                self.pass(partition, &event, out);
                return self.release(partition, out);
            }
        }
        self.give_up(partition, held, out);
        self.maybe_strike(partition, event, out);
    }

    /// A fault could not strike where it waited: its event passes unharmed, and another one will be
    /// hit.
    fn give_up(&mut self, partition: u32, held: HeldEvent, out: &mut Vec<StoredRecord>) {
        self.touched.remove(&held.event.place());
        self.faults.insert(0, held.fault);
        self.pass(partition, &held.event, out);
        out.extend(held.progress);
    }

    /// Lets go of what has waited long enough.
    fn release(&mut self, partition: u32, out: &mut Vec<StoredRecord>) {
        let place = &mut self.partitions[partition as usize];
        let Some(held) = place.held.take() else { return };
        match held.fault.kind {
            FaultKind::DoubleEvent if held.passed >= COPY_DELAY => out.push(held.event.record),
            FaultKind::DelayEvent => {
                // Past this, whatever the window's alignment, the partition has closed it.
                let end =
                    held.event.decoded.event_time_ns + self.window_ns + self.allowed_lateness_ns;
                if place.progress.iter().all(|&progress| progress >= end) {
                    self.struck(held.fault.kind, partition, &held.event, None);
                    self.pass(partition, &held.event, out);
                } else {
                    place.held = Some(held);
                }
            }
            _ => place.held = Some(held),
        }
    }

    fn progress(&mut self, partition: u32, record: StoredRecord, out: &mut Vec<StoredRecord>) {
        let Some(progress) = ProgressRecord::from_json(&record.payload) else {
            return out.push(record);
        };
        let producer = progress.producer as usize;
        if let Some(mut held) = self.partitions[partition as usize].held.take() {
            let neighbours =
                matches!(held.fault.kind, FaultKind::ReorderEvents | FaultKind::MoveEvent);
            match (neighbours && held.event.producer() == producer, progress.last) {
                (true, false) => {
                    held.progress.push(record);
                    self.partitions[partition as usize].held = Some(held);
                    return;
                }
                (true, true) => self.give_up(partition, held, out),
                // Nothing may be left when the partition ends.
                (false, true) if held.fault.kind == FaultKind::DoubleEvent => {
                    out.push(held.event.record);
                }
                (false, _) => self.partitions[partition as usize].held = Some(held),
            }
        }
        if self.drops(partition, &progress) {
            return;
        }
        let place = &mut self.partitions[partition as usize];
        place.progress[producer] = place.progress[producer].max(progress.progress());
        out.push(record);
        self.release(partition, out);
    }

    /// Whether a fault strikes this progress record: never the last, which ends the partition.
    fn drops(&mut self, partition: u32, progress: &ProgressRecord) -> bool {
        let events = self.events;
        let strikes = |fault: &Fault| {
            fault.kind == FaultKind::DropProgress && events > fault.after_records && !progress.last
        };
        let Some(at) = self.faults.iter().position(strikes) else { return false };
        let kind = self.faults.remove(at).kind;
        self.injections.push(Injection {
            kind,
            window_id: 0,
            to_window: None,
            campaign_id: 0,
            producer: Some(progress.producer),
            partition,
            n: 0,
            overtaken: false,
        });
        true
    }

    fn pass(&mut self, partition: u32, event: &Event, out: &mut Vec<StoredRecord>) {
        let place = &mut self.partitions[partition as usize];
        let producer = event.producer();
        place.progress[producer] = place.progress[producer].max(event.decoded.event_time_ns);
        place.next[producer] = place.next[producer].max(event.serial.n + 1);
        out.push(event.record.clone());
    }

    fn struck(&mut self, kind: FaultKind, partition: u32, event: &Event, to_window: Option<i64>) {
        self.injections.push(Injection {
            kind,
            window_id: event.decoded.window_id,
            to_window,
            campaign_id: event.decoded.campaign_id,
            producer: Some(u32::from(event.serial.producer)),
            partition,
            n: event.serial.n,
            overtaken: self.partitions[partition as usize].next[event.producer()] > event.serial.n,
        });
    }

    /// What a right audit of the finished run finds: all of this, and nothing else.
    pub fn expected(&self) -> Expectation {
        let mut findings = Vec::new();
        let mut lost: BTreeMap<(FindingKind, u32, u32), u64> = BTreeMap::new();
        for injection in &self.injections {
            injection.findings(&self.truth, &mut findings);
            let kind = match injection.kind {
                FaultKind::DropEvent => FindingKind::EventLost,
                FaultKind::DropProgress => FindingKind::ProgressLost,
                _ => continue,
            };
            if let Some(producer) = injection.producer {
                *lost.entry((kind, producer, injection.partition)).or_default() += 1;
            }
        }
        findings.extend(lost.into_iter().map(|((kind, producer, partition), count)| Finding {
            kind,
            window_id: None,
            campaign_id: None,
            producer: Some(producer),
            partition: Some(partition),
            count,
        }));
        Expectation::sort(&mut findings);
        let mut windows: BTreeSet<i64> =
            self.truth.keys().map(|&(window_id, _)| window_id).collect();
        let wrong: BTreeSet<i64> = findings
            .iter()
            .filter(|f| matches!(f.kind, FindingKind::EventsMissing | FindingKind::EventsExtra))
            .filter_map(|f| f.window_id)
            .collect();
        windows.extend(&wrong);
        let (all, wrong) = (windows.len() as u64, wrong.len() as u64);
        Expectation { findings, windows: all, windows_exact: all - wrong }
    }
}

impl Injection {
    fn findings(&self, truth: &BTreeMap<(i64, u64), TrueCount>, findings: &mut Vec<Finding>) {
        let mut find = |kind, window_id, producer, partition, count| {
            let (window_id, campaign_id) = (Some(window_id), Some(self.campaign_id));
            findings.push(Finding { kind, window_id, campaign_id, producer, partition, count });
        };
        let (window, producer, partition) = (self.window_id, self.producer, Some(self.partition));
        let truth_of = |window: i64| truth.get(&(window, self.campaign_id));
        let held = truth_of(window).map_or(0, TrueCount::count);
        match self.kind {
            FaultKind::DoubleEvent => {
                find(FindingKind::EventDuplicated, window, producer, partition, 1);
            }
            FaultKind::ReorderEvents => {
                find(FindingKind::EventReordered, window, producer, partition, 1);
            }
            FaultKind::DropEvent | FaultKind::MoveEvent | FaultKind::DelayEvent => {
                find(FindingKind::EventsMissing, window, producer, None, 1);
                if held == 1 {
                    find(FindingKind::ResultMissing, window, None, None, 1);
                }
            }
            FaultKind::DropResult => {
                find(FindingKind::ResultMissing, window, None, None, 1);
                let sole = truth_of(window).and_then(TrueCount::sole_producer);
                find(FindingKind::EventsMissing, window, sole, None, held);
            }
            FaultKind::DoubleResult => find(FindingKind::ResultDuplicated, window, None, None, 1),
            FaultKind::FalseProduceTime | FaultKind::FalseBounds => {
                find(FindingKind::ResultWrong, window, None, None, 1);
            }
            // They are counted, and nothing that the run wrote is wrong; a lost progress record has
            // no window.
            FaultKind::DropProgress | FaultKind::StrangeEvent | FaultKind::UnreadableEvent => {}
        }
        if self.kind == FaultKind::DelayEvent {
            find(FindingKind::EventLate, window, producer, partition, 1);
            if self.overtaken {
                find(FindingKind::EventReordered, window, producer, partition, 1);
            }
        }
        if let Some(to) = self.to_window {
            find(FindingKind::EventsExtra, to, producer, None, 1);
            if truth_of(to).is_none() {
                find(FindingKind::ResultExtra, to, None, None, 1);
            }
        }
    }
}
