//! Every broker keeps the contract of `streamgauge_actors::ports`. One suite; each broker is one
//! line at the end.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use streamgauge_actors::{
    Ack, Broker, Capability, Clock as _, Delivery, EventReader, EventWriter, OffsetRange, Record,
    Retry, RunClock, SECOND, Sent, StampedBy, StartAt, TOKEN_LIMIT, TimestampKind, TopicSpec,
    WriterRole,
};

/// Makes a broker for a test; `None`: there is none, and that was said. With `small_queues`, its
/// writers hold at most a few thousand records or a megabyte.
type MakeBroker = fn(small_queues: bool) -> Option<Box<dyn Broker>>;

/// A turn's budget; tests repeat calls until a condition holds or `PATIENCE` is over.
const BUDGET: Duration = Duration::from_millis(1);
const PATIENCE_S: i64 = 60;

/// The suite for one broker.
macro_rules! contract {
    ($broker:ident, $make:expr) => {
        contract!($broker, $make,
            topics_are_created_listed_described_and_deleted,
            a_topic_that_exists_is_not_created_again,
            truncation_keeps_offsets_going,
            a_partition_keeps_the_order_of_sending,
            every_record_is_acknowledged_once,
            bytes_arrive_as_they_were_sent,
            a_full_queue_loses_nothing,
            reading_starts_where_asked,
            a_backlog_is_read_whole,
            readers_are_independent,
            a_paused_partition_is_not_visited_and_loses_nothing,
            pausing_before_the_first_visit_loses_nothing,
            polling_keeps_to_its_limits,
            lag_counts_what_was_not_visited,
            a_log_is_asked_where_it_ends,
            the_log_stamps_records_when_asked,
            concurrent_writers_lose_nothing,
            writers_made_together_keep_apart,
            a_missing_topic_or_partition_is_named,
            dropping_with_data_in_flight_is_prompt
        );
    };
    ($broker:ident, $make:expr, $($test:ident),+) => {
        mod $broker {
            $(
                #[test]
                fn $test() {
                    super::$test($make);
                }
            )+
        }
    };
}

fn topics_are_created_listed_described_and_deleted(make: MakeBroker) {
    let Some(broker) = make(false) else { return };
    let mut admin = broker.admin().unwrap();
    let name = unique_name("made");
    assert_eq!(admin.describe(&name).unwrap(), None);
    let spec = TopicSpec {
        name: name.clone(),
        partitions: 3,
        replication: 1,
        stamped_by: StampedBy::Client,
        retention_bytes: Some(64 << 20),
    };
    admin.create(&spec).unwrap();
    assert!(admin.list().unwrap().contains(&name));
    let description = admin.describe(&name).unwrap().unwrap();
    assert_eq!(description.name, name);
    assert_eq!(description.partitions, vec![OffsetRange { first: 0, end: 0 }; 3]);
    assert_eq!((description.replication, description.stamped_by), (1, StampedBy::Client));

    let mut writer = broker.writer(&name, WriterRole::Events).unwrap();
    write(writer.as_mut(), 1, 10);
    drop(writer);
    let ends: Vec<u64> =
        admin.describe(&name).unwrap().unwrap().partitions.iter().map(|range| range.end).collect();
    assert_eq!(ends, [0, 10, 0]);

    admin.delete(&name).unwrap();
    assert_eq!(admin.describe(&name).unwrap(), None);
    assert!(!admin.list().unwrap().contains(&name));
    assert!(admin.delete(&name).unwrap_err().message.contains(&name));
    assert!(admin.truncate(&name).unwrap_err().message.contains(&name));
}

fn a_topic_that_exists_is_not_created_again(make: MakeBroker) {
    let Some(topic) = Topic::new(make, "twice", 1) else { return };
    let error =
        topic.broker.admin().unwrap().create(&spec(&topic.name, 2, StampedBy::Client)).unwrap_err();
    assert!(error.message.contains(&topic.name), "{error}");
    assert_eq!(
        topic.broker.admin().unwrap().describe(&topic.name).unwrap().unwrap().partitions.len(),
        1
    );
}

fn truncation_keeps_offsets_going(make: MakeBroker) {
    let Some(topic) = Topic::new(make, "truncated", 2) else { return };
    let mut admin = topic.broker.admin().unwrap();
    let mut writer = topic.writer();
    write(writer.as_mut(), 0, 100);
    let description = topic.broker.describe().unwrap();
    if !description.can(Capability::RecordDeletion) {
        // Said beforehand, refused for good, and nothing is lost.
        let error = admin.truncate(&topic.name).unwrap_err();
        assert!(error.message.contains(&topic.name) && error.retry == Retry::GiveUp, "{error}");
        assert_eq!(read(topic.reader(&[(0, StartAt::Earliest)]).as_mut(), 100).len(), 100);
        return;
    }
    admin.truncate(&topic.name).unwrap();
    let partitions = admin.describe(&topic.name).unwrap().unwrap().partitions;
    assert_eq!(
        partitions,
        [OffsetRange { first: 100, end: 100 }, OffsetRange { first: 0, end: 0 }]
    );
    write(writer.as_mut(), 0, 5);
    let mut reader = topic.reader(&[(0, StartAt::Earliest), (1, StartAt::Earliest)]);
    let read = read(reader.as_mut(), 5);
    assert_eq!(
        read.iter().map(|record| record.offset).collect::<Vec<_>>(),
        [100, 101, 102, 103, 104]
    );
}

fn a_partition_keeps_the_order_of_sending(make: MakeBroker) {
    let Some(topic) = Topic::new(make, "ordered", 3) else { return };
    let mut writer = topic.writer();
    for n in 0..30_000_u64 {
        send(writer.as_mut(), (n % 3) as u32, b"", &n.to_be_bytes(), n);
    }
    settle(writer.as_mut());
    let mut reader =
        topic.reader(&[(0, StartAt::Earliest), (1, StartAt::Earliest), (2, StartAt::Earliest)]);
    let mut next = [0_u64, 1, 2];
    let mut last = [None; 3];
    for record in read(reader.as_mut(), 30_000) {
        let partition = record.partition as usize;
        assert_eq!(record.payload, next[partition].to_be_bytes());
        next[partition] += 3;
        assert!(last[partition] < Some(record.offset));
        last[partition] = Some(record.offset);
    }
}

fn every_record_is_acknowledged_once(make: MakeBroker) {
    let Some(topic) = Topic::new(make, "acknowledged", 2) else { return };
    let mut writer = topic.writer();
    let mut acks = BTreeMap::new();
    let mut visit = |ack: Ack| {
        assert_eq!(ack.delivery, Delivery::Acknowledged);
        assert_eq!(u64::from(ack.partition), ack.token >> 47);
        *acks.entry(ack.token).or_insert(0) += 1;
    };
    // Tokens use every bit that they may.
    let tokens: Vec<u64> =
        (0..5000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % TOKEN_LIMIT).collect();
    let mut visited = 0;
    for &token in &tokens {
        while writer.send((token >> 47) as u32, b"k", b"v", token).unwrap() == Sent::Full {
            visited += writer.poll_acks(BUDGET, &mut visit).unwrap();
        }
    }
    let mut patience = Patience::new("acknowledgements");
    while visited < tokens.len() {
        assert_eq!(writer.in_flight(), (tokens.len() - visited) as u64);
        visited += writer.poll_acks(BUDGET, &mut visit).unwrap();
        patience.check();
    }
    assert_eq!(writer.in_flight(), 0);
    assert_eq!(writer.poll_acks(BUDGET, &mut visit).unwrap(), 0);
    assert_eq!(acks.len(), tokens.len());
    assert!(tokens.iter().all(|token| acks[token] == 1));
}

fn bytes_arrive_as_they_were_sent(make: MakeBroker) {
    let Some(topic) = Topic::new(make, "bytes", 1) else { return };
    let large: Vec<u8> =
        (0..900_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let records: [(&[u8], &[u8]); 6] = [
        (b"key", b"payload"),
        (b"", b"no key"),
        (b"no payload", b""),
        (b"", b""),
        (b"\0\xff\n", b"\0\0"),
        (b"L", &large),
    ];
    let mut writer = topic.writer();
    for (token, (key, payload)) in records.iter().enumerate() {
        send(writer.as_mut(), 0, key, payload, token as u64);
    }
    settle(writer.as_mut());
    let mut reader = topic.reader(&[(0, StartAt::Earliest)]);
    for (record, (key, payload)) in read(reader.as_mut(), records.len()).iter().zip(records) {
        assert!(
            record.key == key && record.payload == payload,
            "key {key:?}, {} bytes",
            payload.len()
        );
    }
}

fn a_full_queue_loses_nothing(make: MakeBroker) {
    const RECORDS: u64 = 50_000;
    let Some(topic) = Topic::with_small_queues(make, "full", 1) else { return };
    // A reader that is there from the start: a broker may free what everybody has read, and nothing
    // else.
    let mut reader = topic.reader(&[(0, StartAt::Earliest)]);
    let mut writer = topic.writer();
    let mut payload = [7; 300];
    let mut full = 0;
    let mut acknowledged = 0;
    let mut visit = |ack: Ack| {
        assert_eq!(ack.delivery, Delivery::Acknowledged);
        acknowledged += 1;
    };
    let expected = Cell::new(0_u64);
    let mut visit_record = |record: Record<'_>| {
        assert_eq!(record.payload[..8], expected.get().to_be_bytes());
        expected.set(expected.get() + 1);
    };
    let mut patience = Patience::new("room in the queue, and all records");
    for n in 0..RECORDS {
        payload[..8].copy_from_slice(&n.to_be_bytes());
        while writer.send(0, b"", &payload, n).unwrap() == Sent::Full {
            full += 1;
            writer.poll_acks(BUDGET, &mut visit).unwrap();
            reader.poll(BUDGET, 500, &mut visit_record).unwrap();
            patience.check();
        }
    }
    while writer.in_flight() > 0 {
        writer.poll_acks(BUDGET, &mut visit).unwrap();
        patience.check();
    }
    // A lag of nothing does not end it: on a busy machine the reader may not have heard yet of what
    // was written last.
    while expected.get() < RECORDS || reader.lag() > 0 {
        reader.poll(BUDGET, 500, &mut visit_record).unwrap();
        patience.check();
    }
    assert!(full > 0, "the queue was never full");
    assert_eq!((acknowledged, expected.get()), (RECORDS, RECORDS));
}

fn reading_starts_where_asked(make: MakeBroker) {
    let Some(topic) = Topic::new(make, "start", 1) else { return };
    let mut writer = topic.writer();
    write(writer.as_mut(), 0, 10);
    let mut earliest = topic.reader(&[(0, StartAt::Earliest)]);
    let mut middle = topic.reader(&[(0, StartAt::Offset(4))]);
    let mut end = topic.reader(&[(0, StartAt::Offset(10))]);
    let mut latest = topic.reader(&[(0, StartAt::Latest)]);
    // `Latest` was resolved when the reader was made, not at its first poll.
    write(writer.as_mut(), 0, 2);
    for (reader, first) in [(&mut earliest, 0), (&mut middle, 4), (&mut end, 10), (&mut latest, 10)]
    {
        let read = read(reader.as_mut(), 12 - first);
        assert_eq!(read[0].offset, first as u64);
    }
}

/// More than any broker's client fetches at once.
fn a_backlog_is_read_whole(make: MakeBroker) {
    const RECORDS: u64 = 40_000;
    let Some(topic) = Topic::new(make, "backlog", 1) else { return };
    let mut reader = topic.reader(&[(0, StartAt::Earliest)]);
    let mut writer = topic.writer();
    let mut payload = [7; 400];
    for n in 0..RECORDS {
        payload[..8].copy_from_slice(&n.to_be_bytes());
        send(writer.as_mut(), 0, b"", &payload, n);
    }
    settle(writer.as_mut());
    let mut expected = 0u64;
    let mut patience = Patience::new("the whole backlog");
    while expected < RECORDS {
        let mut visit = |record: Record<'_>| {
            assert_eq!(record.payload[..8], expected.to_be_bytes());
            expected += 1;
        };
        reader.poll(BUDGET, 500, &mut visit).unwrap();
        patience.check();
    }
}

fn readers_are_independent(make: MakeBroker) {
    let Some(topic) = Topic::new(make, "readers", 2) else { return };
    let mut writer = topic.writer();
    write(writer.as_mut(), 0, 1000);
    write(writer.as_mut(), 1, 500);
    let mut both = topic.reader(&[(0, StartAt::Earliest), (1, StartAt::Earliest)]);
    let mut one = topic.reader(&[(1, StartAt::Earliest)]);
    assert_eq!(read(both.as_mut(), 1500).len(), 1500);
    let read = read(one.as_mut(), 500);
    assert!(read.iter().all(|record| record.partition == 1));
}

fn a_paused_partition_is_not_visited_and_loses_nothing(make: MakeBroker) {
    const RECORDS: u64 = 20_000;
    let Some(topic) = Topic::new(make, "paused", 2) else { return };
    let mut writer = topic.writer();
    for n in 0..RECORDS {
        send(writer.as_mut(), (n % 2) as u32, b"", &[1; 100], n);
    }
    settle(writer.as_mut());
    let mut reader = topic.reader(&[(0, StartAt::Earliest), (1, StartAt::Earliest)]);
    let mut seen: [Vec<u64>; 2] = [vec![], vec![]];
    let mut paused: Option<u32> = None;
    let mut patience = Patience::new("every record, between pauses");
    let mut turn = 0_u32;
    while seen[0].len() + seen[1].len() < RECORDS as usize {
        // Pause in turn: partition 0, none, partition 1, none; for a while each.
        if turn.is_multiple_of(20) {
            let next = match (turn / 20) % 4 {
                0 => Some(0),
                2 => Some(1),
                _ => None,
            };
            for partition in 0..2 {
                reader.set_paused(partition, next == Some(partition)).unwrap();
            }
            paused = next;
        }
        let visited = reader
            .poll(BUDGET, 100, &mut |record| {
                assert_ne!(paused, Some(record.partition), "a paused partition was visited");
                seen[record.partition as usize].push(record.offset);
            })
            .unwrap();
        // Partitions that are not paused get as many turns as they need for something to arrive.
        turn += u32::from(visited > 0 || paused.is_some() || turn % 20 != 19);
        patience.check();
    }
    for offsets in &seen {
        assert!(offsets.iter().copied().eq(0..RECORDS / 2), "lost, doubled or out of order");
    }
    assert!(reader.set_paused(2, true).unwrap_err().message.contains(&topic.name));
}

fn pausing_before_the_first_visit_loses_nothing(make: MakeBroker) {
    let Some(topic) = Topic::new(make, "paused-early", 1) else { return };
    let mut writer = topic.writer();
    write(writer.as_mut(), 0, 1000);
    for (start, first) in [(StartAt::Earliest, 0), (StartAt::Offset(300), 300)] {
        let mut reader = topic.reader(&[(0, start)]);
        // Time for the client to fetch ahead, or not.
        for wait_ms in [0, 100] {
            std::thread::sleep(Duration::from_millis(wait_ms));
            reader.set_paused(0, true).unwrap();
            reader.set_paused(0, true).unwrap();
            for _ in 0..20 {
                assert_eq!(reader.poll(BUDGET, 10, &mut |_| {}).unwrap(), 0);
            }
            reader.set_paused(0, false).unwrap();
        }
        let read = read(reader.as_mut(), 1000 - first);
        assert_eq!((read[0].offset, read.len()), (first as u64, 1000 - first));
    }
}

fn polling_keeps_to_its_limits(make: MakeBroker) {
    let Some(topic) = Topic::new(make, "limits", 1) else { return };
    let clock = RunClock::start();
    let mut reader = topic.reader(&[(0, StartAt::Earliest)]);
    let start = clock.now();
    for _ in 0..100 {
        assert_eq!(reader.poll(BUDGET, 100, &mut |_| panic!("nothing is there")).unwrap(), 0);
    }
    // Generous, since the machine may be busy: what is refused is a wait of another order.
    assert!(
        clock.now() - start < 5 * SECOND,
        "100 idle polls of 1 ms took {} ms",
        (clock.now() - start) / 1_000_000
    );

    let mut writer = topic.writer();
    assert_eq!(
        writer.poll_acks(Duration::from_secs(30), &mut |_| {}).unwrap(),
        0,
        "nothing is due: no wait"
    );
    write(writer.as_mut(), 0, 1000);
    let mut total = 0;
    let mut patience = Patience::new("records in small helpings");
    while total < 1000 {
        let mut visited = 0;
        let returned = reader.poll(BUDGET, 7, &mut |_| visited += 1).unwrap();
        assert_eq!(returned, visited);
        assert!(returned <= 7);
        total += returned;
        patience.check();
    }
    assert_eq!(reader.poll(Duration::ZERO, 7, &mut |_| {}).unwrap(), 0);
    assert_eq!(reader.poll(BUDGET, 0, &mut |_| panic!("none was asked for")).unwrap(), 0);
}

fn lag_counts_what_was_not_visited(make: MakeBroker) {
    let Some(topic) = Topic::new(make, "lag", 2) else { return };
    let mut writer = topic.writer();
    write(writer.as_mut(), 0, 100);
    write(writer.as_mut(), 1, 50);
    let mut reader = topic.reader(&[(0, StartAt::Offset(20)), (1, StartAt::Earliest)]);
    assert_eq!(reader.lag(), 130);
    assert_eq!((reader.lag_of(0), reader.lag_of(1), reader.lag_of(2)), (80, 50, 0));
    let mut left = 130;
    let mut patience = Patience::new("records while lag is watched");
    while left > 0 {
        left -= reader.poll(BUDGET, 30, &mut |_| {}).unwrap() as u64;
        assert_eq!(reader.lag(), left);
        patience.check();
    }
    // What is written later shows once the client hears of it.
    reader.set_paused(0, true).unwrap();
    write(writer.as_mut(), 1, 10);
    assert_eq!(read(reader.as_mut(), 10).len(), 10);
    assert_eq!(reader.lag(), 0);
}

fn a_log_is_asked_where_it_ends(make: MakeBroker) {
    let Some(topic) = Topic::new(make, "ends", 2) else { return };
    let mut writer = topic.writer();
    let mut reader = topic.reader(&[(0, StartAt::Earliest), (1, StartAt::Earliest)]);
    let is_at_end = |reader: &mut dyn EventReader| {
        let mut patience = Patience::new("the log's end");
        loop {
            match reader.is_at_end() {
                Poll::Ready(is_at_end) => return is_at_end,
                // A client may need turns of its own for the answer.
                Poll::Pending => drop(reader.poll(BUDGET, 0, &mut |_| {}).unwrap()),
            }
            patience.check();
        }
    };
    assert!(is_at_end(reader.as_mut()));
    // It knows at once of what was stored behind the reader's back.
    write(writer.as_mut(), 1, 20);
    assert!(!is_at_end(reader.as_mut()));
    let mut left = 20;
    let mut patience = Patience::new("records");
    while left > 0 {
        left -= reader.poll(BUDGET, left, &mut |_| {}).unwrap();
        patience.check();
    }
    assert!(is_at_end(reader.as_mut()));
}

fn the_log_stamps_records_when_asked(make: MakeBroker) {
    let Some(broker) = make(false) else { return };
    let logs_time = broker.describe().unwrap().log_append_time;
    for (stamped_by, kind) in
        [(StampedBy::Log, TimestampKind::LogAppend), (StampedBy::Client, TimestampKind::Create)]
    {
        if stamped_by == StampedBy::Log && !logs_time {
            continue;
        }
        let Some(topic) = Topic::stamped(make, "stamped", stamped_by) else { return };
        assert_eq!(
            topic.broker.admin().unwrap().describe(&topic.name).unwrap().unwrap().stamped_by,
            stamped_by
        );
        let clock = RunClock::start();
        let before = clock.now();
        write(topic.writer().as_mut(), 0, 3);
        let after = clock.now();
        let mut reader = topic.reader(&[(0, StartAt::Earliest)]);
        for record in read(reader.as_mut(), 3) {
            assert_eq!(record.timestamp_kind, kind);
            // A remote broker's clock may differ a little.
            assert!(
                (before - SECOND..after + SECOND).contains(&record.timestamp_ns),
                "{}",
                record.timestamp_ns
            );
        }
    }
}

fn concurrent_writers_lose_nothing(make: MakeBroker) {
    const WRITERS: u64 = 4;
    const EACH: u64 = 5_000;
    let Some(topic) = Topic::new(make, "writers", 2) else { return };
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let topic = &topic;
            scope.spawn(move || {
                let mut port = topic.writer();
                for n in 0..EACH {
                    let payload = [writer.to_be_bytes(), n.to_be_bytes()].concat();
                    send(port.as_mut(), (n % 2) as u32, b"", &payload, n);
                }
                settle(port.as_mut());
            });
        }
    });
    let mut reader = topic.reader(&[(0, StartAt::Earliest), (1, StartAt::Earliest)]);
    let mut next: BTreeMap<(u64, u32), u64> = BTreeMap::new();
    for record in read(reader.as_mut(), (WRITERS * EACH) as usize) {
        let writer = u64::from_be_bytes(record.payload[..8].try_into().unwrap());
        let n = u64::from_be_bytes(record.payload[8..].try_into().unwrap());
        let expected =
            next.entry((writer, record.partition)).or_insert(u64::from(record.partition));
        assert_eq!(n, *expected, "writer {writer}, partition {}", record.partition);
        *expected += 2;
    }
    assert!(next.values().all(|&n| n == EACH || n == EACH + 1));
}

/// More writers than clients, on two threads: each gets its own acknowledgements, and keeps its
/// order in each partition.
fn writers_made_together_keep_apart(make: MakeBroker) {
    const WRITERS: u32 = 20;
    const EACH: u64 = 500;
    let Some(topic) = Topic::new(make, "together", 2) else { return };
    let mut writers = topic.broker.writers(&topic.name, WriterRole::Events, WRITERS).unwrap();
    assert_eq!(writers.len(), WRITERS as usize);
    let halves = writers.split_at_mut(7);
    std::thread::scope(|scope| {
        for (first, writers) in [(0, halves.0), (7, halves.1)] {
            scope.spawn(move || write_in_turns(first, writers, EACH));
        }
    });
    let mut reader = topic.reader(&[(0, StartAt::Earliest), (1, StartAt::Earliest)]);
    let mut next: BTreeMap<(u64, u32), u64> = BTreeMap::new();
    for record in read(reader.as_mut(), (u64::from(WRITERS) * EACH) as usize) {
        let writer = u64::from_be_bytes(record.payload[..8].try_into().unwrap());
        let n = u64::from_be_bytes(record.payload[8..].try_into().unwrap());
        let expected =
            next.entry((writer, record.partition)).or_insert(u64::from(record.partition));
        assert_eq!(n, *expected, "writer {writer}, partition {}", record.partition);
        *expected += 2;
    }
}

/// Writes so many records with each writer, a record of each in turn, and holds every
/// acknowledgement against what its writer sent.
fn write_in_turns(first: u64, writers: &mut [Box<dyn EventWriter>], each: u64) {
    let mut left: Vec<std::collections::BTreeSet<u64>> =
        writers.iter().map(|_| (0..each).collect()).collect();
    let take = |writer: &mut Box<dyn EventWriter>, left: &mut std::collections::BTreeSet<u64>| {
        let visit = &mut |ack: Ack| {
            assert_eq!(
                (&ack.delivery, ack.partition),
                (&Delivery::Acknowledged, (ack.token % 2) as u32)
            );
            assert!(left.remove(&ack.token), "token {} came before, or is another's", ack.token);
        };
        writer.poll_acks(BUDGET, visit).unwrap();
    };
    let mut patience = Patience::new("acknowledgements");
    for n in 0..each {
        for (id, (writer, left)) in (first..).zip(writers.iter_mut().zip(&mut left)) {
            let payload = [id.to_be_bytes(), n.to_be_bytes()].concat();
            while writer.send((n % 2) as u32, b"", &payload, n).unwrap() == Sent::Full {
                take(writer, left);
                patience.check();
            }
        }
    }
    for (writer, left) in writers.iter_mut().zip(&mut left) {
        while !left.is_empty() {
            assert_eq!(writer.in_flight(), left.len() as u64);
            take(writer, left);
            patience.check();
        }
        assert_eq!(writer.in_flight(), 0);
    }
}

fn a_missing_topic_or_partition_is_named(make: MakeBroker) {
    let Some(topic) = Topic::new(make, "missing", 1) else { return };
    let missing = unique_name("never-made");
    let errors = [
        topic.broker.writer(&missing, WriterRole::Events).err().expect("no such topic"),
        topic.broker.reader(&missing, &[(0, StartAt::Earliest)]).err().expect("no such topic"),
    ];
    for error in errors {
        assert!(error.message.contains(&missing), "{error}");
        assert_eq!(error.retry, Retry::GiveUp);
    }
    assert!(
        !topic.broker.admin().unwrap().list().unwrap().contains(&missing),
        "asking made the topic"
    );
    let errors = [
        topic
            .broker
            .reader(&topic.name, &[(1, StartAt::Earliest)])
            .err()
            .expect("no such partition"),
        topic.broker.reader(&topic.name, &[(0, StartAt::Offset(1))]).err().expect("past the end"),
        topic.writer().send(1, b"", b"", 0).expect_err("no such partition"),
    ];
    for error in errors {
        assert!(error.message.contains(&topic.name), "{error}");
    }
}

fn dropping_with_data_in_flight_is_prompt(make: MakeBroker) {
    let Some(topic) = Topic::new(make, "dropped", 2) else { return };
    let mut writer = topic.writer();
    for n in 0..10_000 {
        send(writer.as_mut(), (n % 2) as u32, b"", &[1; 300], n);
    }
    let clock = RunClock::start();
    let start = clock.now();
    drop(writer);
    assert!(
        clock.now() - start < 5 * SECOND,
        "a writer took {} ms to go",
        (clock.now() - start) / 1_000_000
    );
    write(topic.writer().as_mut(), 0, 1000);
    let mut reader = topic.reader(&[(0, StartAt::Earliest), (1, StartAt::Earliest)]);
    let mut patience = Patience::new("a first record");
    while reader.poll(BUDGET, 1, &mut |_| {}).unwrap() == 0 {
        patience.check();
    }
    let start = clock.now();
    drop(reader);
    assert!(
        clock.now() - start < 5 * SECOND,
        "a reader took {} ms to go",
        (clock.now() - start) / 1_000_000
    );
}

/// A topic of a test's own, deleted when the test is over.
struct Topic {
    broker: Box<dyn Broker>,
    name: String,
}

impl Topic {
    fn new(make: MakeBroker, label: &str, partitions: u32) -> Option<Self> {
        Some(Self::on(make(false)?, &spec(&unique_name(label), partitions, StampedBy::Client)))
    }

    fn with_small_queues(make: MakeBroker, label: &str, partitions: u32) -> Option<Self> {
        Some(Self::on(make(true)?, &spec(&unique_name(label), partitions, StampedBy::Client)))
    }

    fn stamped(make: MakeBroker, label: &str, stamped_by: StampedBy) -> Option<Self> {
        Some(Self::on(make(false)?, &spec(&unique_name(label), 1, stamped_by)))
    }

    fn on(broker: Box<dyn Broker>, spec: &TopicSpec) -> Self {
        broker.admin().unwrap().create(spec).unwrap();
        Self { broker, name: spec.name.clone() }
    }

    fn writer(&self) -> Box<dyn EventWriter> {
        self.broker.writer(&self.name, WriterRole::Events).unwrap()
    }

    fn reader(&self, start: &[(u32, StartAt)]) -> Box<dyn EventReader> {
        self.broker.reader(&self.name, start).unwrap()
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let _ = self.broker.admin().and_then(|mut admin| admin.delete(&self.name));
    }
}

fn spec(name: &str, partitions: u32, stamped_by: StampedBy) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions,
        replication: 1,
        stamped_by,
        retention_bytes: None,
    }
}

fn unique_name(label: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("contract-{label}-{}-{count}", std::process::id())
}

/// Fails a test that waits for too long.
struct Patience {
    clock: RunClock,
    end: i64,
    what: &'static str,
}

impl Patience {
    fn new(what: &'static str) -> Self {
        let clock = RunClock::start();
        let end = clock.now() + PATIENCE_S * SECOND;
        Self { clock, end, what }
    }

    fn check(&mut self) {
        assert!(self.clock.now() < self.end, "waited {PATIENCE_S} s in vain for {}", self.what);
    }
}

fn send(writer: &mut dyn EventWriter, partition: u32, key: &[u8], payload: &[u8], token: u64) {
    let mut patience = Patience::new("room for one record");
    while writer.send(partition, key, payload, token).unwrap() == Sent::Full {
        writer.poll_acks(BUDGET, &mut expect_acknowledged).unwrap();
        patience.check();
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a visitor's signature")]
fn expect_acknowledged(ack: Ack) {
    assert_eq!(ack.delivery, Delivery::Acknowledged);
}

/// Waits until everything is acknowledged.
fn settle(writer: &mut dyn EventWriter) {
    let mut patience = Patience::new("acknowledgements");
    while writer.in_flight() > 0 {
        writer.poll_acks(BUDGET, &mut expect_acknowledged).unwrap();
        patience.check();
    }
}

/// Writes and waits for the acknowledgements.
fn write(writer: &mut dyn EventWriter, partition: u32, records: u64) {
    for n in 0..records {
        send(writer, partition, b"key", &n.to_be_bytes(), n);
    }
    settle(writer);
}

/// A record, copied.
struct Copied {
    partition: u32,
    offset: u64,
    key: Vec<u8>,
    payload: Vec<u8>,
    timestamp_ns: i64,
    timestamp_kind: TimestampKind,
}

/// Reads exactly so many records, and looks whether more come.
fn read(reader: &mut dyn EventReader, records: usize) -> Vec<Copied> {
    let mut read = Vec::new();
    let mut patience = Patience::new("records");
    while read.len() < records {
        poll(reader, &mut read);
        patience.check();
    }
    for _ in 0..20 {
        poll(reader, &mut read);
    }
    assert_eq!(read.len(), records);
    read
}

fn poll(reader: &mut dyn EventReader, read: &mut Vec<Copied>) {
    let visited = reader.poll(BUDGET, 500, &mut |record| {
        read.push(Copied {
            partition: record.partition,
            offset: record.offset,
            key: record.key.to_vec(),
            payload: record.payload.to_vec(),
            timestamp_ns: record.timestamp_ns,
            timestamp_kind: record.timestamp_kind,
        });
    });
    visited.unwrap();
}

contract!(kafka, |small_queues| {
    let mut settings = streamgauge_support::kafka::settings()?;
    if small_queues {
        settings.queue_records = 1_000;
        settings.queue_bytes = streamgauge_actors::Bytes(1 << 20);
    }
    let broker = streamgauge_support::kafka::broker_with(&settings);
    Some(Box::new(broker) as Box<dyn streamgauge_actors::Broker>)
});

// At least once: what it cannot do besides, its own limitations say.
contract!(kafka2, |small_queues| {
    let mut settings = crate::support::kafka2::settings()?;
    if small_queues {
        settings.queue_records = 1_000;
        settings.queue_bytes = streamgauge_actors::Bytes(1 << 20);
    }
    let broker = streamgauge_support::kafka::broker_with(&settings);
    Some(Box::new(broker) as Box<dyn streamgauge_actors::Broker>)
});

#[cfg(feature = "fluvio")]
contract!(fluvio, |small_queues| {
    let mut settings = streamgauge_support::fluvio::settings()?;
    // The least that is allowed, so that fetches end in the middle of batches.
    settings.fetch_bytes = streamgauge_actors::Bytes(2 << 20);
    if small_queues {
        settings.queue_records = 1_000;
    }
    Some(Box::new(streamgauge::broker::fluvio::FluvioBroker::new(settings).unwrap())
        as Box<dyn streamgauge_actors::Broker>)
});

contract!(embedded, |small_queues| {
    use std::sync::Arc;
    use streamgauge::broker::embedded::EmbeddedBroker;
    let max_bytes = if small_queues { 1 << 20 } else { 64 << 20 };
    let clock = Arc::new(streamgauge_actors::RunClock::start());
    Some(Box::new(EmbeddedBroker::new(max_bytes, clock)) as Box<dyn streamgauge_actors::Broker>)
});
