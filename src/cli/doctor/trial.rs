//! A trial of the broker: a topic of `doctor`'s own is made, written, read back, emptied and
//! deleted. What a broker claims of itself is one thing, what comes back another.

use std::time::Duration;

use streamgauge_actors::{
    Broker, BrokerDescription, Capability, Clock, ClockBracket, Delivery, EventReader, EventWriter,
    MILLISECOND, Nanos, PortError, SECOND, Sent, StampedBy, StartAt, TimestampKind, TopicAdmin,
    TopicSpec, WriterRole,
};

use crate::broker::{Remark, Weight};

/// Records of one batch, and how many batches: enough to start reading inside of one.
const BATCH: u64 = 100;
const BATCHES: u64 = 3;
const RECORDS: u64 = BATCH * BATCHES;
/// The record that the second reading starts at.
const MIDDLE: u64 = BATCH / 2;

/// How long records may take to be acknowledged, and to come back.
const PATIENCE: Nanos = 10 * SECOND;

/// How long one call of a port may wait.
const BUDGET: Duration = Duration::from_millis(20);

/// A topic to be tried.
pub(super) struct Trial<'a> {
    pub(super) broker: &'a dyn Broker,
    pub(super) clock: &'a dyn Clock,
    pub(super) description: &'a BrokerDescription,
    /// Whether what was read is kept: the embedded log frees it.
    pub(super) rereads: bool,
    pub(super) topic: String,
    pub(super) replication: u16,
    /// Whether runs use topics that are there.
    pub(super) topics_are_named: bool,
}

/// A record that came back.
#[derive(Clone, Copy)]
struct Back {
    number: u64,
    offset: u64,
    stamped_by: TimestampKind,
    stamped_ns: Nanos,
}

/// When a record was handed over, and acknowledged.
#[derive(Clone, Copy, Default)]
struct Sending {
    handed_ns: Nanos,
    acknowledged_ns: Option<Nanos>,
}

impl Trial<'_> {
    /// Tries it all, and leaves nothing behind.
    pub(super) fn run(&self) -> Vec<Remark> {
        let mut findings = Vec::new();
        let mut admin = match self.create() {
            Ok(admin) => admin,
            Err(error) if self.topics_are_named => {
                return vec![Remark::limit(
                    "trial topic",
                    format!("nothing could be tried: {}", error.message),
                )];
            }
            Err(error) => {
                let fix = "allow the client to create topics, or see the broker's log; topics that \
                           are there can be named in `topics.events` and `topics.results`";
                return vec![Remark::bad("trial topic", Weight::Fail, error.message, fix)];
            }
        };
        match self.write_and_read(&mut findings) {
            Ok(()) => findings.extend(self.empty(&mut *admin)),
            Err(error) => {
                findings.push(Remark::bad(
                    "trial",
                    Weight::Fail,
                    error.message,
                    "look at the broker's own log",
                ));
            }
        }
        findings.push(match admin.delete(&self.topic) {
            Ok(()) => Remark::ok("trial topic", "made, and deleted"),
            Err(error) => {
                let fix = "delete it: `streamgauge topics clear`, or the broker's own tools";
                Remark::bad("trial topic", Weight::Warn, error.message, fix)
            }
        });
        findings
    }

    fn create(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        let mut admin = self.broker.admin()?;
        admin.create(&TopicSpec {
            name: self.topic.clone(),
            partitions: 1,
            replication: self.replication,
            stamped_by: StampedBy::Log,
            retention_bytes: None,
        })?;
        Ok(admin)
    }

    fn write_and_read(&self, findings: &mut Vec<Remark>) -> Result<(), PortError> {
        // Before anything is written: the embedded log frees what nobody reads.
        let mut reader = self.broker.reader(&self.topic, &[(0, StartAt::Earliest)])?;
        let sendings = self.write()?;
        let is_acknowledged = |sending: &&Sending| sending.acknowledged_ns.is_some();
        let acknowledged = sendings.iter().filter(is_acknowledged).count();
        if acknowledged < sendings.len() {
            let found = format!(
                "{acknowledged} of {RECORDS} records acknowledged in {} s",
                PATIENCE / SECOND
            );
            findings.push(Remark::bad(
                "writing",
                Weight::Fail,
                found,
                "look at the broker's own log",
            ));
        } else {
            findings.push(Remark::ok("writing", format!("{RECORDS} records acknowledged")));
        }
        let back = self.read(&mut *reader, RECORDS)?;
        findings.push(came_back("reading", &back, 0));
        if self.rereads
            && let Some(middle) = back.iter().find(|record| record.number == MIDDLE)
        {
            let mut reader =
                self.broker.reader(&self.topic, &[(0, StartAt::Offset(middle.offset))])?;
            findings.push(came_back(
                "reading from the middle",
                &self.read(&mut *reader, RECORDS - MIDDLE)?,
                MIDDLE,
            ));
        }
        let stored = self.broker.admin()?.describe(&self.topic)?.map(|topic| topic.partitions);
        let end = stored.and_then(|partitions| Some(partitions.first()?.end));
        findings.push(end_of_topic(end, &back));
        findings.push(insertion_time(self.description.log_append_time, &back));
        findings.extend(bracket(&sendings, &back).map(clock_of_log));
        Ok(())
    }

    /// Writes every batch, each once the one before is stored.
    fn write(&self) -> Result<Vec<Sending>, PortError> {
        let mut writer = self.broker.writer(&self.topic, WriterRole::Events)?;
        let deadline = self.clock.now() + PATIENCE;
        let mut sendings = vec![Sending::default(); RECORDS as usize];
        for number in 0..RECORDS {
            sendings[number as usize].handed_ns = self.clock.now();
            while writer.send(0, b"", &number.to_be_bytes(), number)? == Sent::Full
                && self.clock.now() < deadline
            {
                self.take_acks(&mut *writer, &mut sendings)?;
            }
            if (number + 1).is_multiple_of(BATCH) {
                while writer.in_flight() > 0 && self.clock.now() < deadline {
                    self.take_acks(&mut *writer, &mut sendings)?;
                }
            }
        }
        Ok(sendings)
    }

    fn take_acks(
        &self,
        writer: &mut dyn EventWriter,
        sendings: &mut [Sending],
    ) -> Result<(), PortError> {
        writer.poll_acks(BUDGET, &mut |ack| {
            if ack.delivery == Delivery::Acknowledged
                && let Some(sending) = sendings.get_mut(ack.token as usize)
            {
                sending.acknowledged_ns = Some(self.clock.now());
            }
        })?;
        Ok(())
    }

    /// Reads so many records and whatever comes with them, or as many as come in time.
    fn read(&self, reader: &mut dyn EventReader, records: u64) -> Result<Vec<Back>, PortError> {
        let deadline = self.clock.now() + PATIENCE;
        let mut back = Vec::new();
        let mut last = false;
        while self.clock.now() < deadline {
            let came = reader.poll(BUDGET, RECORDS as usize, &mut |record| {
                let number = record.payload.try_into().map_or(u64::MAX, u64::from_be_bytes);
                back.push(Back {
                    number,
                    offset: record.offset,
                    stamped_by: record.timestamp_kind,
                    stamped_ns: record.timestamp_ns,
                });
            })?;
            if back.len() as u64 >= records {
                // Once more, for what is there twice.
                if last && came == 0 {
                    break;
                }
                last = true;
            }
        }
        Ok(back)
    }

    /// Whether the topic can be emptied; nothing where the description has said already that it
    /// cannot.
    fn empty(&self, admin: &mut dyn TopicAdmin) -> Option<Remark> {
        if !self.description.can(Capability::RecordDeletion) {
            return None;
        }
        let left = |admin: &mut dyn TopicAdmin| {
            admin.truncate(&self.topic)?;
            let found = admin.describe(&self.topic)?;
            Ok(found.map_or(0, |topic| {
                topic.partitions.iter().map(|range| range.end - range.first).sum::<u64>()
            }))
        };
        let instead = "topics that are kept can only be deleted and made anew";
        Some(match left(admin) {
            Ok(0) => Remark::ok("emptying", "a topic's records can be deleted"),
            Ok(left) => {
                let found = format!(
                    "the broker says that it deleted {RECORDS} records, and {left} are still there"
                );
                Remark::limit("emptying", format!("{found}: {instead}"))
            }
            Err::<_, PortError>(error) => {
                Remark::limit("emptying", format!("{}: {instead}", error.message))
            }
        })
    }
}

/// Whether what came back is what was written, from record `first` on.
fn came_back(check: &'static str, back: &[Back], first: u64) -> Remark {
    let due = RECORDS - first;
    let in_order = back.iter().map(|record| record.number).eq(first..RECORDS);
    if in_order && back.windows(2).all(|pair| pair[0].offset < pair[1].offset) {
        return Remark::ok(check, format!("{due} records, each once and in order"));
    }
    let mut numbers: Vec<u64> =
        back.iter().map(|record| record.number).filter(|&number| number >= first).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let found = format!(
        "{} of {due} records came back, {} in all, in order: {in_order}",
        numbers.len(),
        back.len()
    );
    Remark::bad(check, Weight::Fail, found, UNFIT)
}

/// Whether the broker knows where the topic ends: runs start there on topics that others made, and
/// count lag from it.
fn end_of_topic(end: Option<u64>, back: &[Back]) -> Remark {
    let due = back.last().map(|record| record.offset + 1);
    if end == due {
        return Remark::ok("offsets", "the topic ends after its last record");
    }
    let shown = |offset: Option<u64>| {
        offset.map_or_else(|| "nowhere".to_owned(), |offset| offset.to_string())
    };
    let found = format!(
        "the broker says that the topic ends at {}; its records end at {}",
        shown(end),
        shown(due)
    );
    Remark::bad("offsets", Weight::Fail, found, UNFIT)
}

/// What to do about a broker that loses records, or its place.
const UNFIT: &str = "use another broker, or another storage of this one: runs lose events here";

/// Whether records carry the log's own time, and whether the description says so.
fn insertion_time(promised: bool, back: &[Back]) -> Remark {
    const CHECK: &str = "insertion time";
    let stamped =
        !back.is_empty() && back.iter().all(|record| record.stamped_by == TimestampKind::LogAppend);
    match (promised, stamped) {
        (true, true) => Remark::ok(CHECK, "stamped by the log"),
        (true, false) => {
            let found = "the log does not stamp records, though the topic has \
                         `message.timestamp.type=LogAppendTime`";
            Remark::bad(
                CHECK,
                Weight::Fail,
                found,
                "let the broker stamp them: runs have no insertion time to measure to",
            )
        }
        (false, stamped) => {
            let found = if stamped {
                "stamped by the log, but nothing vouches for it"
            } else {
                "stamped by the client"
            };
            Remark::limit(CHECK, format!("{found}: result_latency ends at the acknowledgement"))
        }
    }
}

/// The offset of the log's clock from ours; `None`: nothing tells.
fn bracket(sendings: &[Sending], back: &[Back]) -> Option<ClockBracket> {
    let stamped = back.iter().filter(|record| record.stamped_by == TimestampKind::LogAppend);
    let of = |record: &Back| {
        let sending = sendings.get(usize::try_from(record.number).ok()?)?;
        let acknowledged_ns = sending.acknowledged_ns?;
        Some(ClockBracket::of(record.stamped_ns, sending.handed_ns, acknowledged_ns))
    };
    stamped.filter_map(of).reduce(ClockBracket::narrowed_by)
}

/// What is to be said of the log's clock: as a report's `broker_clock_offset_ms`.
fn clock_of_log(offset: ClockBracket) -> Remark {
    const CHECK: &str = "the broker's clock";
    let [low_ms, high_ms] =
        [offset.low_ns, offset.high_ns].map(|ns| ns as f64 / MILLISECOND as f64);
    let found = format!("{low_ms:.1} to {high_ms:.1} ms off ours (broker_clock_offset_ms)");
    if offset.is_torn || offset.excludes_zero() {
        let fix = "let both machines keep time by the same source (chrony, ntpd): result_latency \
                   is as wrong as this, and runs are inconclusive";
        return Remark::bad(CHECK, Weight::Warn, found, fix);
    }
    Remark::ok(CHECK, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(numbers: impl IntoIterator<Item = u64>, stamped_by: TimestampKind) -> Vec<Back> {
        numbers
            .into_iter()
            .zip(0..)
            .map(|(number, offset)| Back { number, offset, stamped_by, stamped_ns: 0 })
            .collect()
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_fails() {
        let health = |numbers: Vec<u64>, first| {
            came_back("reading", &back(numbers, TimestampKind::Create), first).weight
        };
        let all: Vec<u64> = (0..RECORDS).collect();
        assert_eq!(health(all.clone(), 0), Weight::Ok);
        assert_eq!(health(all[50..].to_vec(), 50), Weight::Ok);
        assert_eq!(health(all[100..].to_vec(), 50), Weight::Fail);
        assert_eq!(health([&all[..], &[7]].concat(), 0), Weight::Fail);
        assert_eq!(health(all.iter().rev().copied().collect(), 0), Weight::Fail);
        assert_eq!(health(Vec::new(), 0), Weight::Fail);
    }

    #[test]
    fn an_end_that_is_not_behind_the_last_record_fails() {
        let records = back(0..RECORDS, TimestampKind::Create);
        assert_eq!(end_of_topic(Some(RECORDS), &records).weight, Weight::Ok);
        assert_eq!(end_of_topic(Some(1), &records).weight, Weight::Fail);
        assert_eq!(end_of_topic(None, &records).weight, Weight::Fail);
    }

    #[test]
    fn a_clock_that_is_off_by_more_than_a_millisecond_is_warned_of() {
        let sending = |at_ms: Nanos| Sending {
            handed_ns: at_ms * MILLISECOND,
            acknowledged_ns: Some((at_ms + 2) * MILLISECOND),
        };
        let sendings = [sending(10), sending(11)];
        let weight_at = |offset_ms: Nanos| {
            let record = |number: u64, at_ms: Nanos| Back {
                number,
                offset: number,
                stamped_by: TimestampKind::LogAppend,
                stamped_ns: (at_ms + offset_ms) * MILLISECOND,
            };
            let offset = bracket(&sendings, &[record(0, 11), record(1, 12)]).unwrap();
            assert_eq!(
                (offset.low_ns, offset.high_ns),
                ((offset_ms - 1) * MILLISECOND, (offset_ms + 2) * MILLISECOND)
            );
            clock_of_log(offset).weight
        };
        assert_eq!(weight_at(0), Weight::Ok);
        assert_eq!((weight_at(5), weight_at(-5)), (Weight::Warn, Weight::Warn));
        assert!(bracket(&sendings, &back([0], TimestampKind::Create)).is_none());
    }

    #[test]
    fn a_promised_insertion_time_must_be_there() {
        let health = |promised, kind| insertion_time(promised, &back([0], kind)).weight;
        assert_eq!(health(true, TimestampKind::LogAppend), Weight::Ok);
        assert_eq!(health(true, TimestampKind::Create), Weight::Fail);
        assert_eq!(health(false, TimestampKind::Create), Weight::Warn);
        assert_eq!(health(false, TimestampKind::LogAppend), Weight::Warn);
    }
}
