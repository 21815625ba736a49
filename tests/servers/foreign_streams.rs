//! Streams and results as programs in the field write them: what is meant is read, what is doubtful
//! is said, and nothing is left out without a word.

use std::thread;
use std::time::Duration;

use crate::support::events::{Event, recount};
use crate::support::lab::Lab;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use serde_json::{Value, json};
use streamgauge_actors::{Clock as _, MILLISECOND, RunClock, SECOND, StampedBy};

const HOUR_NS: i64 = 3600 * SECOND;

fn event(time_ns: i64) -> Event {
    Event { event_time_ns: time_ns, campaign_id: 3, produce_time: time_ns / MILLISECOND }
}

/// Aggregates a topic until it is idle; the exit code, and the report.
fn aggregate(lab: &Lab, events: &str, results: &str, more: &[&str]) -> (Option<i32>, Value) {
    let arguments = ["aggregate", "-q", "--events-topic", events, "--results-topic", results];
    let idle = ["--window", "1s", "--until-idle", "1s"];
    lab.report(&[&arguments[..], &idle, more].concat())
}

/// What results say: by window and campaign.
fn counts(lab: &mut Lab, results: &str) -> crate::support::events::Counts {
    let read = lab.read(results).into_iter().map(|record| {
        let result: Value = serde_json::from_slice(&record.payload).unwrap();
        let integer = |name: &str| result[name].as_i64().unwrap();
        let campaign_id = result["campaign_id"].as_u64().unwrap();
        let count = (result["count"].as_u64().unwrap(), integer("max_produce_time"));
        ((integer("window_id"), campaign_id), count)
    });
    read.collect()
}

fn write(lab: &Lab, topic: &str, texts: &[String]) {
    lab.write(topic, "none", texts.iter().map(|text| (0, Some(text.as_bytes()))));
}

#[test]
fn numbers_and_times_are_read_however_they_are_written() {
    let Some(mut lab) = Lab::new("numbers") else { return };
    let events = lab.topic("events", 1, StampedBy::Client);
    let results = lab.topic("results", 1, StampedBy::Log);
    let now = RunClock::start().now() / SECOND * SECOND;
    let written: Vec<Event> = (0..70).map(|i| event(now - SECOND + i * MILLISECOND)).collect();
    let texts: Vec<String> = (0..)
        .zip(&written)
        .map(|(i, event)| {
            let text = event.python();
            let time = event.event_time_ns.to_string();
            let produced = event.produce_time.to_string();
            match i % 7 {
                0 => text.replace("\"campaign_id\": 3", "\"campaign_id\": 3.0"),
                1 => text.replace("\"campaign_id\": 3", "\"campaign_id\": \"3\""),
                2 => text.replace(&time, &format!("\"{time}\"")),
                3 => text.replace(&format!(" {produced}}}"), &format!(" {produced}.0}}")),
                4 => text.replace(&format!(" {produced}}}"), &format!(" {produced}000e-3}}")),
                5 => {
                    let offset = Duration::from_nanos(event.event_time_ns as u64);
                    let at = std::time::UNIX_EPOCH + offset;
                    text.replace(&time, &format!("\"{}\"", humantime::format_rfc3339_nanos(at)))
                }
                _ => text.replace("\"10.0.0.1\"", "null"),
            }
        })
        .collect();
    write(&lab, &events, &texts);
    let (code, report) = aggregate(&lab, &events, &results, &[]);
    assert_eq!((code, &report["events"]["consumed"]), (Some(0), &70.into()), "{report}");
    assert_eq!(counts(&mut lab, &results), recount(&written, SECOND));
}

#[test]
fn times_in_another_unit_are_doubted_and_read_when_told() {
    let Some(mut lab) = Lab::new("units") else { return };
    let now = RunClock::start().now();
    let written: Vec<Event> = (0..300).map(|i| event(now - SECOND + i * MILLISECOND)).collect();
    for (unit, per_unit, words) in
        [("ms", 1_000_000, "milliseconds"), ("us", 1000, "microseconds"), ("s", SECOND, "seconds")]
    {
        let events = lab.topic(&format!("{unit}-events"), 1, StampedBy::Client);
        let results = lab.topic(&format!("{unit}-results"), 1, StampedBy::Log);
        let in_unit: Vec<String> = written
            .iter()
            .map(|event| {
                let time = event.event_time_ns / per_unit;
                event.python().replace(&event.event_time_ns.to_string(), &time.to_string())
            })
            .collect();
        write(&lab, &events, &in_unit);
        let (code, report) = aggregate(&lab, &events, &results, &[]);
        assert_eq!((code, &report["causes"][0]), (Some(5), &"input_unit".into()), "{report}");
        let reason = report["reasons"][0].as_str().unwrap();
        assert!(reason.contains(words), "{reason}");
        let setting = format!("input.event_time_unit={unit}");
        assert!(report["next"].as_str().unwrap().contains(&setting), "{report}");

        let told = lab.topic(&format!("{unit}-told"), 1, StampedBy::Log);
        let (code, report) = aggregate(&lab, &events, &told, &["--set", &setting]);
        assert_eq!(code, Some(0), "{report}");
        let whole = |event: &Event| Event {
            event_time_ns: event.event_time_ns / per_unit * per_unit,
            ..event.clone()
        };
        let expected: Vec<Event> = written.iter().map(whole).collect();
        assert_eq!(counts(&mut lab, &told), recount(&expected, SECOND));
    }
}

#[test]
fn fields_of_other_names_are_found_by_the_settings() {
    let Some(mut lab) = Lab::new("names") else { return };
    let events = lab.topic("events", 1, StampedBy::Client);
    let results = lab.topic("results", 1, StampedBy::Log);
    let now = RunClock::start().now();
    let written: Vec<Event> = (0..50).map(|i| event(now - SECOND + i * MILLISECOND)).collect();
    let text = |event: &Event| {
        let Event { event_time_ns: ts, campaign_id: campaign, produce_time: sent } = event;
        json!({"ts": ts, "campaign": campaign, "sent": sent}).to_string()
    };
    write(&lab, &events, &written.iter().map(text).collect::<Vec<_>>());
    let (code, report) = aggregate(&lab, &events, &results, &[]);
    assert_eq!((code, &report["causes"][0]), (Some(5), &"input_unreadable".into()), "{report}");
    let next = report["next"].as_str().unwrap();
    assert!(next.contains("input.fields."), "{next}");
    let told = [
        ["--set", "input.fields.event_time_ns=ts"],
        ["--set", "input.fields.campaign_id=campaign"],
        ["--set", "input.fields.produce_time=sent"],
    ];
    let (code, report) = aggregate(&lab, &events, &results, &told.concat());
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(counts(&mut lab, &results), recount(&written, SECOND));
}

#[test]
fn one_fast_clock_harms_one_event() {
    let Some(mut lab) = Lab::new("clock") else { return };
    let events = lab.topic("events", 1, StampedBy::Client);
    let results = lab.topic("results", 1, StampedBy::Log);
    let now = RunClock::start().now();
    let mut written: Vec<Event> =
        (0..2000).map(|i| event(now - 3 * SECOND + i * MILLISECOND)).collect();
    let mut texts: Vec<String> = written.iter().map(Event::python).collect();
    texts.insert(700, event(now + 23 * HOUR_NS).python());
    write(&lab, &events, &texts);
    let (code, report) = aggregate(&lab, &events, &results, &[]);
    let events_of = |report: &Value| {
        ["consumed", "ahead", "late"].map(|count| report["events"][count].as_u64().unwrap())
    };
    assert_eq!((code, events_of(&report)), (Some(0), [2000, 1, 0]), "{report}");
    assert_eq!(counts(&mut lab, &results), recount(&written, SECOND));

    // In a feed of the past the wall clock does not tell.
    let past = lab.topic("past", 1, StampedBy::Client);
    let told = lab.topic("past-results", 1, StampedBy::Log);
    for event in &mut written {
        event.event_time_ns -= 48 * HOUR_NS;
    }
    written.insert(700, event(now - 20 * HOUR_NS));
    let texts: Vec<String> = written.iter().map(Event::python).collect();
    write(&lab, &past, &texts);
    let (code, report) = aggregate(&lab, &past, &told, &[]);
    assert_eq!((code, events_of(&report)), (Some(0), [2001, 0, 0]), "{report}");
    assert_eq!(counts(&mut lab, &told), recount(&written, SECOND));
}

#[test]
fn an_open_transaction_holds_nothing_up() {
    let Some(mut lab) = Lab::new("open") else { return };
    let events = lab.topic("events", 1, StampedBy::Client);
    let results = lab.topic("results", 1, StampedBy::Log);
    let now = RunClock::start().now();
    let written: Vec<Event> = (0..1000).map(|i| event(now - SECOND + i * MILLISECOND)).collect();
    write(&lab, &events, &written.iter().map(Event::python).collect::<Vec<_>>());
    let mut config = lab.foreign_client();
    config.set("transactional.id", &events).set("transaction.timeout.ms", "60000");
    let producer: ThreadedProducer<DefaultProducerContext> = config.create().unwrap();
    let patience = Duration::from_secs(20);
    producer.init_transactions(patience).unwrap();
    producer.begin_transaction().unwrap();
    for _ in 0..10 {
        let text = event(now).python();
        let record = BaseRecord::<str, str>::to(&events).partition(0).payload(&text);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(patience).unwrap();
    let (code, report) = aggregate(&lab, &events, &results, &[]);
    assert_eq!((code, &report["events"]["consumed"]), (Some(0), &1000.into()), "{report}");
    let notes = report["notes"].to_string();
    assert!(notes.contains("10 record(s) behind open transactions"), "{notes}");
    producer.abort_transaction(patience).unwrap();
}

#[test]
fn partitions_that_are_added_are_never_left_out() {
    let Some(mut lab) = Lab::new("grow") else { return };
    let events = lab.topic("events", 2, StampedBy::Client);
    let results = lab.topic("results", 1, StampedBy::Log);
    let topics = ["--events-topic", &events, "--results-topic", &results, "-o", "json"];
    let follow = ["aggregate", "-q", "--window", "1s", "--until-idle", "3s"];
    let child = lab.start(&[&follow[..], &topics].concat());
    thread::sleep(Duration::from_secs(1));
    let admin: AdminClient<DefaultClientContext> = lab.foreign_client().create().unwrap();
    let grow = [NewPartitions::new(&events, 4)];
    let made = admin.create_partitions(&grow, &AdminOptions::new());
    actix::System::new().block_on(made).unwrap();
    thread::sleep(Duration::from_millis(500));
    let now = RunClock::start().now();
    let text = event(now).python();
    lab.write(&events, "none", [0, 3].map(|partition| (partition, Some(text.as_bytes()))));
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_ne!(report["verdict"], "pass", "{report}");
    let reason = report["reasons"][0].as_str().unwrap();
    assert!(reason.contains("4 partitions by now, and had 2"), "{reason}");
}

#[test]
fn results_are_read_as_engines_write_them() {
    let Some(mut lab) = Lab::new("engines") else { return };
    let results = lab.topic("results", 1, StampedBy::Log);
    let ms = RunClock::start().now() / MILLISECOND;
    let window = |id: i64| {
        json!({"window_id": id, "window_start": id * 1000, "campaign_id": 3,
                                  "count": 5, "max_produce_time": ms})
    };
    let with = |id: i64, changes: Value| {
        let mut result = window(id);
        for (name, value) in changes.as_object().unwrap() {
            result[name] = value.clone();
        }
        result.to_string()
    };
    let texts = [
        with(1, json!({"run_id": null})),
        with(2, json!({"window_start": "2026-11-23 04:24:56"})),
        with(3, json!({"count": 5.0, "max_produce_time": ms.to_string()})),
        json!({"WINDOWSTART": 4000, "CAMPAIGN_ID": 3, "COUNT": 5, "MAX_PRODUCE_TIME": ms})
            .to_string(),
        json!({"window": {"start": "1970-01-01T00:00:05.000Z", "end": "1970-01-01T00:00:06.000Z"},
               "campaignId": 3, "count": "5", "maxProduceTime": ms})
        .to_string(),
        with(6, json!({})),
        // An update, and an exact repeat.
        with(6, json!({"count": 6})),
        with(6, json!({"count": 6})),
    ];
    write(&lab, &results, &texts);
    let judge = ["latency", "-q", "--results-topic", &results, "--window", "1s"];
    let (code, report) = lab.report(&[&judge[..], &["--until-idle", "1s"]].concat());
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["latency"]["result_latency"]["count"], 6, "{report}");
    let notes = report["notes"].to_string();
    assert!(
        notes.contains("1 result(s) replaced") && notes.contains("1 result(s) that came again"),
        "{notes}"
    );
}
