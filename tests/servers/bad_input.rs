//! Bad input never stops anything: records that are no events are counted by reason and kept in
//! `<events topic>.malformed`, whatever they are, and every event between them still counts. Where
//! they are many, nothing can be concluded.

use std::collections::BTreeMap;

use crate::support::events::{Event, recount};
use crate::support::lab::Lab;
use serde_json::Value;
use streamgauge_actors::{Clock as _, RunClock, SECOND, StampedBy};

const HOUR_NS: i64 = 3600 * SECOND;

fn event(time_ns: i64) -> Event {
    Event {
        event_time_ns: time_ns,
        campaign_id: 1 + time_ns as u64 % 3,
        produce_time: time_ns / 1_000_000 + 2,
    }
}

/// What is unusual, and read all the same.
const READ: &str = "";
/// What has no value.
const DELETION: &str = "deletion";

/// Records that are no events, with the reason of each, and some that only look so.
fn unusual(now: i64) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let good = event(now).python();
    let with = |from: &str, to: &str| {
        assert!(good.contains(from), "{from} in {good}");
        Some(good.replace(from, to).into_bytes())
    };
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let mut records = vec![
        (DELETION, None),
        (DELETION, Some(Vec::new())),
        ("bad_json", text("{")),
        ("bad_json", text("no JSON at all")),
        ("bad_json", text(&good[..good.len() - 1])),
        ("bad_json", text(&format!("{good}{good}"))),
        (READ, text(&format!("\u{feff}{good}"))),
        ("bad_json", with("\"image\"", "'image'")),
        ("bad_json", with("\"window_id\": -3", "\"window_id\": NaN")),
        ("bad_json", text(&"[".repeat(100_000))),
        ("bad_utf8", Some(b"\xff\xfe{}".to_vec())),
        ("bad_utf8", Some([b"{\"user_id\": \"\xc3\x28".as_slice(), good.as_bytes()].concat())),
        ("not_an_object", text("null")),
        ("not_an_object", text(&format!("[{good}]"))),
        ("event_time_ns: missing", text("{}")),
        ("campaign_id: negative", with("\"campaign_id\": ", "\"campaign_id\": -")),
        ("event_time_ns: fraction", with(&now.to_string(), "1.5")),
        ("event_time_ns: too large", with(&now.to_string(), "9223372036854775808")),
        ("event_time_ns: text", with(&now.to_string(), "\"just now\"")),
        (READ, with(&now.to_string(), &format!("\"{now}\""))),
        (READ, with("\"10.0.0.1\"", "[10, 0, 0, 1]")),
        (READ, with("\"image\"", "null")),
        (READ, Some([&[0, 0, 0, 1, 2], good.as_bytes()].concat())),
        ("ahead", text(&event(now + 25 * HOUR_NS).python())),
        ("ahead", text(&event(i64::MAX).python())),
        ("too_large", Some(vec![b' '; 10_000_000])),
    ];
    for (name, value) in event(now).fields() {
        let renamed =
            good.replace(&format!("\"{name}\": {value}"), &format!("\"{name}_\": {value}"));
        let reason = match name {
            "event_time_ns" => "event_time_ns: missing",
            "campaign_id" => "campaign_id: missing",
            "produce_time" => "produce_time: missing",
            // What counting does not need.
            _ => READ,
        };
        records.push((reason, Some(renamed.into_bytes())));
    }
    records
}

fn by_reason<'a>(reasons: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason.to_owned()).or_default() += 1;
    }
    counts
}

fn reported(report: &Value) -> BTreeMap<String, u64> {
    serde_json::from_value(report["events"]["malformed_by_reason"].clone()).unwrap()
}

#[test]
fn every_kind_is_counted_by_reason_and_kept() {
    let Some(mut lab) = Lab::new("malformed") else { return };
    let events = lab.topic("events", 2, StampedBy::Client);
    let now = RunClock::start().now();
    let odd = unusual(now);
    let mut good: Vec<Event> = (0..odd.len() as i64).map(|i| event(now - SECOND + i)).collect();
    let written: Vec<String> = good.iter().map(Event::python).collect();
    // Between any two malformed records of a partition lies an event.
    let records = odd.iter().zip(&written).enumerate().flat_map(|(i, ((_, bad), good))| {
        let partition = i as i32 % 2;
        [(partition, bad.as_deref()), (partition, Some(good.as_bytes()))]
    });
    // A broker judges a record's size as compressed.
    lab.write(&events, "gzip", records);
    let (code, report) = lab.report(&[
        "aggregate",
        "-q",
        "--events-topic",
        &events,
        "--window",
        "1s",
        "--until-idle",
        "1s",
    ]);
    assert_eq!((code, &report["causes"][0]), (Some(5), &"input_unreadable".into()), "{report}");
    let reason = report["reasons"][0].as_str().unwrap();
    assert!(reason.contains("in partition ") && reason.contains("at offset "), "{reason}");
    let of = |fate: &str| odd.iter().filter(|(reason, _)| *reason == fate).count();
    good.extend((0..of(READ)).map(|_| event(now)));
    assert_eq!(report["events"]["consumed"], good.len(), "{report}");
    assert_eq!(report["events"]["tombstones"], of(DELETION), "{report}");
    let bad: Vec<_> = odd.iter().filter(|(reason, _)| ![READ, DELETION].contains(reason)).collect();
    let expected = by_reason(bad.iter().map(|(reason, _)| *reason));
    assert_eq!(reported(&report), expected);

    let letters = lab.read(&format!("{events}.malformed"));
    assert_eq!(by_reason(letters.iter().map(|letter| letter.key.as_str())), expected);
    for (reason, payload) in &bad {
        // What no topic takes by default is cut short.
        let payload = payload.as_deref().unwrap_or_default();
        let cut = &payload[..payload.len().min(900 << 10)];
        assert!(
            letters.iter().any(|letter| letter.key == *reason && letter.payload == cut),
            "{reason}"
        );
    }
    assert!(lab.names().contains(&format!("{events}.malformed")), "it is the program's own topic");
    let results = lab.read(report["topics"]["results"].as_str().unwrap());
    assert_eq!(results.len(), recount(&good, SECOND).len());
}

#[test]
fn times_and_counts_at_the_ends_of_their_range_are_as_good_as_any() {
    let Some(mut lab) = Lab::new("extreme") else { return };
    let events = lab.topic("events", 1, StampedBy::Client);
    let results = lab.topic("results", 1, StampedBy::Log);
    let event =
        |event_time_ns, produce_time| Event { event_time_ns, campaign_id: u64::MAX, produce_time };
    let written =
        [event(i64::MIN, i64::MIN), event(i64::MIN + 1, -5), event(-1, -7), event(0, i64::MAX)];
    let texts: Vec<String> = written.iter().map(Event::python).collect();
    lab.write(&events, "none", texts.iter().map(|text| (0, Some(text.as_bytes()))));
    let topics = ["--events-topic", &events, "--results-topic", &results];
    lab.json(&[&["aggregate", "-q", "--window", "1s", "--until-idle", "1s"][..], &topics].concat());
    let mut found = BTreeMap::new();
    for record in lab.read(&results) {
        let result: Value = serde_json::from_slice(&record.payload).unwrap();
        let integer = |name: &str| result[name].as_i64().unwrap();
        let key = (integer("window_id"), result["campaign_id"].as_u64().unwrap());
        found.insert(key, (result["count"].as_u64().unwrap(), integer("max_produce_time")));
    }
    assert_eq!(found, recount(&written, SECOND));

    // And the same for who judges the results of others.
    let most = format!(
        r#"{{"window_id":{0},"campaign_id":{1},"count":{1},"max_produce_time":{2},
            "window_start":{2},"window_end":{0}}}"#,
        i64::MAX,
        u64::MAX,
        i64::MIN
    );
    let results = lab.topic("foreign-results", 1, StampedBy::Log);
    let texts = [
        most.clone(),
        most.replace(":9223372036854775807,", ":7,"),
        "{".to_owned(),
        "{}".to_owned(),
    ];
    lab.write(&results, "none", texts.iter().map(|text| (0, Some(text.as_bytes()))));
    let judge = ["latency", "-q", "--results-topic", &results, "--until-idle", "1s"];
    let (code, judged) = lab.report(&judge);
    assert_eq!((code, &judged["causes"][0]), (Some(5), &"input_unreadable".into()), "{judged}");
    assert_eq!(reported(&judged), by_reason(["bad_result", "window_id: missing"]), "{judged}");
}

#[test]
fn a_run_stays_exact_while_others_write_into_its_topic() {
    let Some(mut lab) = Lab::new("strangers") else { return };
    let events = lab.topic("events", 2, StampedBy::Client);
    let now = RunClock::start().now();
    let odd: Vec<_> =
        unusual(now).into_iter().filter(|(reason, _)| *reason != "too_large").collect();
    let stranger = event(now).python();
    let load = ["--rate", "1k/s", "--duration", "2s", "--events-topic", &events, "-o", "json"];
    let always = ["run", "smoke", "-q", "--set", "workload.send_delay_share=1"];
    let mut run = lab.start(&[&always[..], &load].concat());
    while run.try_wait().unwrap().is_none() {
        let records =
            odd.iter().map(|(_, payload)| payload.as_deref()).chain([Some(stranger.as_bytes())]);
        lab.write(&events, "lz4", records.enumerate().map(|(i, payload)| (i as i32 % 2, payload)));
    }
    let output = run.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Exact, but of a topic that is mostly others'.
    assert_eq!(
        (&report["verdict"], &report["causes"], &report["events"]["produced"]),
        (
            &"inconclusive".into(),
            &serde_json::json!(["input_unreadable", "input_strangers"]),
            &2000.into()
        ),
        "{report}"
    );
    assert_eq!(report["audit"]["windows"], report["audit"]["windows_exact"]);
    let reported = reported(&report);
    // Of others' events none is counted, whatever its time.
    let uncounted = |reason: &&str| ![READ, DELETION, "ahead"].contains(reason);
    let reasons = odd.iter().map(|(reason, _)| *reason).filter(uncounted);
    assert_eq!(
        reported.keys().cloned().collect::<Vec<_>>(),
        by_reason(reasons).into_keys().collect::<Vec<_>>()
    );
    assert!(report["events"]["strangers"].as_u64().unwrap() > 0);
    let letters = lab.read(&format!("{events}.malformed"));
    assert_eq!(by_reason(letters.iter().map(|letter| letter.key.as_str())), reported);
}
