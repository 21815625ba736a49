//! `aggregate` on topics that others fill: exact whatever wrote the events, with results that
//! anything can read.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::events::{Counts, Event, recount};
use crate::support::lab::Lab;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use serde_json::Value;
use streamgauge_actors::{Clock as _, MILLISECOND, RunClock, SECOND, StampedBy, TimestampKind};

const START_NS: i64 = 1_700_000_000 * SECOND + 123_456_789;

/// Numbers that look random and are not.
fn scattered(i: usize, modulus: u64) -> u64 {
    (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) % modulus
}

/// What the results topic holds; checks each record's key, fields and time.
#[track_caller]
fn results(lab: &mut Lab, topic: &str, run_id: &Value, window_ms: i64) -> Counts {
    let mut counts = Counts::new();
    for record in lab.read(topic) {
        let result: BTreeMap<String, Value> = serde_json::from_slice(&record.payload).unwrap();
        let integer = |name: &str| result[name].as_i64().unwrap();
        let (window_id, campaign_id) =
            (integer("window_id"), result["campaign_id"].as_u64().unwrap());
        assert_eq!(result.len(), 7, "{result:?}");
        assert_eq!(&result["run_id"], run_id);
        assert_eq!(record.key, format!("{}/{window_id}/{campaign_id}", run_id.as_str().unwrap()));
        assert_eq!(record.timestamp_kind, TimestampKind::LogAppend);
        assert_eq!(
            (integer("window_start"), integer("window_end")),
            (window_id * window_ms, (window_id + 1) * window_ms)
        );
        let count = (result["count"].as_u64().unwrap(), integer("max_produce_time"));
        assert_eq!(counts.insert((window_id, campaign_id), count), None, "once each");
    }
    counts
}

#[test]
fn any_writers_events_are_counted_exactly() {
    let Some(mut lab) = Lab::new("writers") else { return };
    // Partition 2 stays empty, and must hold nothing back.
    let (events, sink) =
        (lab.topic("events", 3, StampedBy::Client), lab.topic("results", 1, StampedBy::Log));
    let campaigns = [0, 1, 2, 3, 70_000, u64::MAX];
    let written: Vec<Event> = (0..4000)
        .map(|i| {
            let event_time_ns = START_NS + i as i64 * 3 * MILLISECOND;
            let produce_time = event_time_ns / MILLISECOND + scattered(i, 50) as i64;
            Event { event_time_ns, campaign_id: campaigns[scattered(i, 6) as usize], produce_time }
        })
        .collect();
    for (codec, part) in
        ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().zip(written.chunks(800))
    {
        let texts: Vec<String> =
            part.iter().enumerate().map(|(i, event)| event.written_by(i)).collect();
        lab.write(
            &events,
            codec,
            texts.iter().enumerate().map(|(i, text)| (i as i32 % 2, Some(text.as_bytes()))),
        );
    }
    let topics = ["--events-topic", &events, "--results-topic", &sink];
    let report = lab.json(
        &[&["aggregate", "-q", "--window", "700ms", "--until-idle", "1s"][..], &topics].concat(),
    );
    assert_eq!(
        (&report["events"]["consumed"], &report["events"]["malformed"]),
        (&4000.into(), &0.into()),
        "{report}"
    );
    assert_eq!(
        results(&mut lab, &sink, &report["run_id"], 700),
        recount(&written, 700 * MILLISECOND)
    );
}

#[test]
fn the_lateness_that_is_named_is_the_least_that_suffices() {
    let Some(mut lab) = Lab::new("lateness") else { return };
    let events = lab.topic("events", 2, StampedBy::Client);
    let written: Vec<Event> = (0..400)
        .map(|i| {
            let event_time_ns =
                START_NS + i as i64 * 40 * MILLISECOND + scattered(i, 5000) as i64 * MILLISECOND;
            Event {
                event_time_ns,
                campaign_id: 1 + scattered(i, 4),
                produce_time: event_time_ns / MILLISECOND,
            }
        })
        .collect();
    let texts: Vec<String> = written.iter().map(Event::python).collect();
    lab.write(
        &events,
        "none",
        texts.iter().enumerate().map(|(i, text)| (i as i32 % 2, Some(text.as_bytes()))),
    );
    let aggregate =
        ["aggregate", "-q", "--window", "1s", "--until-idle", "500ms", "--events-topic", &events];
    let with = |lab: &Lab, lateness: &str| {
        lab.report(&[&aggregate[..], &["--allowed-lateness", lateness]].concat())
    };

    let (code, report) = lab.report(&aggregate);
    assert_eq!((code, &report["verdict"]), (Some(4), &"fail".into()), "{report}");
    let reason = report["reasons"][0].as_str().unwrap();
    let named =
        reason.split_once("--allowed-lateness ").and_then(|(_, rest)| rest.split_once("ms "));
    let least: u64 = named.unwrap_or_else(|| panic!("{reason}")).0.parse().unwrap();
    assert_eq!(with(&lab, &format!("{}ms", least - 1)).0, Some(4));
    let (code, report) = with(&lab, &format!("{least}ms"));
    assert_eq!((code, &report["events"]["late"]), (Some(0), &0.into()), "{report}");
    let sink = report["topics"]["results"].as_str().unwrap().to_owned();
    assert_eq!(results(&mut lab, &sink, &report["run_id"], 1000), recount(&written, SECOND));
}

#[test]
fn aborted_events_do_not_count() {
    let Some(mut lab) = Lab::new("aborted") else { return };
    let (events, sink) =
        (lab.topic("events", 1, StampedBy::Client), lab.topic("results", 1, StampedBy::Log));
    let mut config = lab.foreign_client();
    config.set("transactional.id", &events).set("linger.ms", "0");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
    let patience = Duration::from_secs(20);
    producer.init_transactions(patience).unwrap();
    let mut committed = Vec::new();
    for part in 0..4 {
        producer.begin_transaction().unwrap();
        for i in 0..20 {
            let event_time_ns = START_NS + (part * 20 + i) * 100 * MILLISECOND;
            let event =
                Event { event_time_ns, campaign_id: 1, produce_time: event_time_ns / MILLISECOND };
            let text = event.python();
            let record = BaseRecord::<str, str>::to(&events).partition(0).payload(&text).key("k");
            producer.send(record).map_err(|(error, _)| error).unwrap();
            committed.extend((part % 2 == 0).then_some(event));
        }
        producer.flush(patience).unwrap();
        if part % 2 == 0 {
            producer.commit_transaction(patience).unwrap();
        } else {
            producer.abort_transaction(patience).unwrap();
        }
    }
    let topics = ["--events-topic", &events, "--results-topic", &sink];
    let report = lab.json(
        &[&["aggregate", "-q", "--window", "1s", "--until-idle", "500ms"][..], &topics].concat(),
    );
    assert_eq!(results(&mut lab, &sink, &report["run_id"], 1000), recount(&committed, SECOND));
}

#[test]
fn a_topic_is_followed_until_a_signal() {
    let Some(mut lab) = Lab::new("follow") else { return };
    let (events, sink) =
        (lab.topic("events", 2, StampedBy::Client), lab.topic("results", 1, StampedBy::Log));
    let at = |event_time_ns: i64| Event {
        event_time_ns,
        campaign_id: 5,
        produce_time: event_time_ns / MILLISECOND,
    };
    let topics = ["--events-topic", &events, "--results-topic", &sink, "-o", "json"];
    let follow =
        ["aggregate", "-q", "--from", "earliest", "--window", "1s", "--allowed-lateness", "0s"];
    let aggregate = lab.start(&[&follow[..], &topics].concat());
    let written: Vec<Event> = (0..5).map(|second| at(START_NS + second * SECOND)).collect();
    for event in &written {
        let text = event.python();
        lab.write(&events, "none", [0, 1].map(|partition| (partition, Some(text.as_bytes()))));
    }
    // The last window stays open; the others come without an end of any kind.
    let clock = RunClock::start();
    let deadline = clock.now() + 20 * SECOND;
    while lab.read(&sink).len() < 4 {
        assert!(clock.now() < deadline, "no results");
    }
    let killed = std::process::Command::new("kill")
        .args(["-INT", &aggregate.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let output = aggregate.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["drain"]["events"], 8, "{report}");
    let twice: Vec<&Event> = written.iter().chain(&written).collect();
    assert_eq!(results(&mut lab, &sink, &report["run_id"], 1000), recount(twice, SECOND));
}
