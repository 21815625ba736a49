//! Random streams of the texts that JSON writers in the field make (`tests/writers`), some of them
//! damaged: what the aggregator counts is what the plainest counter counts, and what it refuses, it
//! refuses for the same reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use streamgauge_actors::{
    Aggregate, AggregatorParts, AutoSpan, EventReader, Follow, ForeignAggregatorRole, MILLISECOND,
    Nanos, PortError, Record, Role, SECOND, Span, Stage, StartAt, TimestampKind, Turn,
    testing::{Dice, NoDeadLetters, SimClock, small_spec},
};

/// Streams played.
const STREAMS: u64 = 10_000;

/// When all samples have happened; later than any of them.
const NOW: Nanos = 1_700_000_100 * SECOND;

/// What the writers made of the same events.
fn samples() -> Vec<String> {
    let files = [
        include_str!("../writers/python.json"),
        include_str!("../writers/orjson.json"),
        include_str!("../writers/go.json"),
        include_str!("../writers/jackson.json"),
        include_str!("../writers/gson.json"),
    ];
    let mut texts: Vec<String> =
        files.iter().flat_map(|file| serde_json::from_str::<Vec<String>>(file).unwrap()).collect();
    let ours: Vec<Value> =
        texts.iter().take(100).map(|text| serde_json::from_str(text).unwrap()).collect();
    texts.extend(ours.iter().map(|event| serde_json::to_string(event).unwrap()));
    texts.extend(ours.iter().map(|event| serde_json::to_string_pretty(event).unwrap()));
    texts
}

/// Bytes that change what a text means.
const TELLING: &[u8] = b"\"\\{}[],:0123456789eE+-. \t\n\x00\x1f\x80\xc3\xffnulltruefalse";

/// A time as text.
const TIME: &str = "2023-11-14T22:13:20Z";

/// Values that a field may have by mistake.
const ODD: [&str; 14] = [
    "null",
    "true",
    "1.5",
    "-3",
    "3.0",
    "\"3\"",
    "\"\"",
    "\"soon\"",
    "1e3",
    "1e30",
    "[]",
    "{}",
    "99999999999999999999",
    "\"2023-11-14T22:13:20Z\"",
];

/// A record of a stream; none with a number beyond a double, or half a character, which the plain
/// counter cannot read even where they do not matter.
fn draw(samples: &[String], dice: &mut Dice) -> Vec<u8> {
    loop {
        let payload = draw_any(samples, dice);
        let read = serde_json::from_slice::<Value>(json_of(&payload));
        let beyond = ["out of range", "surrogate", "hex escape"];
        let is_beyond = |why: &str| beyond.iter().any(|part| why.contains(part));
        // Of times as text it knows one.
        let text = String::from_utf8_lossy(&payload);
        let is_other_time = text.contains("2023-") && !text.contains(&format!("\"{TIME}\""));
        if !is_other_time && !read.is_err_and(|error| is_beyond(&error.to_string())) {
            return payload;
        }
    }
}

/// What stands behind a frame, and a byte order mark.
fn json_of(payload: &[u8]) -> &[u8] {
    let is_framed = payload.first() == Some(&0) && payload.len() >= 5;
    let json = if is_framed { &payload[5..] } else { payload };
    json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json)
}

fn draw_any(samples: &[String], dice: &mut Dice) -> Vec<u8> {
    let mut text = dice.pick(&samples.iter().collect::<Vec<_>>()).clone();
    if dice.once_in(6) {
        let name = dice.pick(&["event_time_ns", "campaign_id", "produce_time", "window_id"]);
        let value = dice.pick(&ODD);
        // Of a key given twice the last value counts.
        if let Some(end) = text.rfind('}') {
            text.replace_range(end..=end, &format!(",\"{name}\": {value}}}"));
        }
    }
    let mut payload = text.into_bytes();
    for _ in 0..(if dice.once_in(5) { dice.between(1, 4) } else { 0 }) {
        let at = dice.below(payload.len() as u64 + 1) as usize;
        let byte = dice.pick(TELLING);
        match dice.below(4) {
            0 if at < payload.len() => payload[at] = byte,
            1 if at < payload.len() => drop(payload.remove(at)),
            2 => payload.truncate(at),
            _ => payload.insert(at, byte),
        }
    }
    match dice.below(40) {
        0 => [b"\xef\xbb\xbf", &payload[..]].concat(),
        1 => [&[0, 0, 0, 1, 9], &payload[..]].concat(),
        2 => Vec::new(),
        _ => payload,
    }
}

/// By window and campaign: events, and their greatest `produce_time`; and reasons.
#[derive(Debug, Default, PartialEq)]
struct Counted {
    counts: BTreeMap<(i64, u64), (u64, i64)>,
    refused: BTreeMap<String, u64>,
    deletions: u64,
}

/// A field's whole number, or what is wrong with it.
fn whole(value: Option<&Value>, is_time: bool) -> Result<i128, &'static str> {
    let double = |number: f64| {
        if !(-9.223_372_036_854_776e18..18_446_744_073_709_551_616.0).contains(&number) {
            Err("too large")
        } else if number.fract() == 0.0 {
            Ok(number as i128)
        } else {
            Err("fraction")
        }
    };
    match value {
        None => Err("missing"),
        Some(Value::Null) => Err("null"),
        Some(Value::Bool(_)) => Err("boolean"),
        Some(Value::Array(_)) => Err("list"),
        Some(Value::Object(_)) => Err("object"),
        Some(Value::Number(number)) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Ok(number.into()),
            (_, Some(number)) => Ok(number.into()),
            _ => double(number.as_f64().unwrap()),
        },
        Some(Value::String(text)) if is_time && text == TIME => Ok(1_700_000_000_000_000_000),
        Some(Value::String(text)) => {
            let text = text.trim();
            let is_number = text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
            match (text.parse::<i128>(), text.parse::<f64>()) {
                (Ok(number), _) => Ok(number),
                (_, Ok(number)) if is_number => double(number),
                _ => Err("text"),
            }
        }
    }
}

/// Counts as plainly as can be.
fn count_plainly(stream: &[(u32, Vec<u8>)], window_ns: Nanos) -> Counted {
    let mut counted = Counted::default();
    for (_, payload) in stream {
        if payload.is_empty() {
            counted.deletions += 1;
            continue;
        }
        match read_plainly(payload) {
            Ok((time, campaign, produced)) => {
                let place = (time.div_euclid(window_ns), campaign);
                let (count, newest) = counted.counts.entry(place).or_insert((0, i64::MIN));
                *count += 1;
                *newest = produced.max(*newest);
            }
            Err(reason) => *counted.refused.entry(reason).or_default() += 1,
        }
    }
    counted
}

fn read_plainly(payload: &[u8]) -> Result<(Nanos, u64, i64), String> {
    let json = json_of(payload);
    let text = std::str::from_utf8(json).map_err(|_| "bad_utf8")?;
    let event: Value = serde_json::from_str(text).map_err(|_| "bad_json")?;
    let Value::Object(event) = event else { return Err("not_an_object".to_owned()) };
    let field = |name: &str, is_time| {
        whole(event.get(name), is_time).map_err(|fault| format!("{name}: {fault}"))
    };
    let too_large = |name: &str| format!("{name}: too large");
    let time = field("event_time_ns", true)?;
    let time = Nanos::try_from(time).map_err(|_| too_large("event_time_ns"))?;
    let campaign = field("campaign_id", false)?;
    if campaign < 0 {
        return Err("campaign_id: negative".to_owned());
    }
    let campaign = u64::try_from(campaign).map_err(|_| too_large("campaign_id"))?;
    let produced = match field("produce_time", true)? {
        1_700_000_000_000_000_000 if event["produce_time"].is_string() => 1_700_000_000_000,
        produced => produced,
    };
    let produced = i64::try_from(produced).map_err(|_| too_large("produce_time"))?;
    Ok((time, campaign, produced))
}

/// Hands out a stream.
struct Stream(std::vec::IntoIter<(u32, Vec<u8>)>);

impl EventReader for Stream {
    fn poll(
        &mut self,
        _budget: Duration,
        max_records: usize,
        visit: &mut dyn FnMut(Record<'_>),
    ) -> Result<usize, PortError> {
        let mut visited = 0;
        for (partition, payload) in self.0.by_ref().take(max_records) {
            visited += 1;
            visit(Record {
                partition,
                offset: 0,
                key: b"",
                payload: &payload,
                timestamp_ns: NOW,
                timestamp_kind: TimestampKind::Create,
            });
        }
        Ok(visited)
    }

    fn set_paused(&mut self, _partition: u32, _paused: bool) -> Result<(), PortError> {
        Ok(())
    }

    fn lag(&mut self) -> u64 {
        self.0.len() as u64
    }

    fn lag_of(&mut self, _partition: u32) -> u64 {
        self.lag()
    }
}

/// Counts as the program does.
fn count(stream: Vec<(u32, Vec<u8>)>, partitions: u32, window_ns: Nanos) -> Counted {
    let spec = small_spec("any-writer").with(|spec| {
        spec.workload.window = Span::from_nanos(window_ns);
        spec.aggregator.max_open_windows = u32::MAX;
        // Nothing is late, and of these nothing is ahead.
        spec.aggregator.allowed_lateness = AutoSpan::Fixed(Span::from_nanos(i64::MAX));
        spec.input.max_ahead = AutoSpan::Fixed(Span::from_nanos(i64::MAX));
    });
    let parts = AggregatorParts {
        id: 0,
        spec: Arc::new(spec),
        clock: Arc::new(SimClock::at(NOW)),
        owned: (0..partitions).collect(),
        reader: Box::new(Stream(stream.into_iter())),
        dead_letters: Box::new(NoDeadLetters),
    };
    let aggregate = Aggregate {
        follow: Follow { from: StartAt::Earliest, until_idle_ns: Some(MILLISECOND) },
        base_event_time_ns: 0,
        campaigns: None,
        idle_timeout_ns: None,
    };
    let mut stage = ForeignAggregatorRole { parts, aggregate }.begin(NOW);
    let (mut now, mut outbox) = (NOW, Vec::new());
    while stage.turn(now, &mut outbox).unwrap() != Turn::Finished {
        now += MILLISECOND;
    }
    let mut counted = Counted::default();
    for pane in outbox.iter().flat_map(|closed| &closed.panes) {
        for entry in &pane.entries {
            let place = (pane.window_id, entry.campaign_id);
            let (count, newest) = counted.counts.entry(place).or_insert((0, i64::MIN));
            *count += entry.count;
            *newest = entry.max_produce_ms.max(*newest);
        }
    }
    let counters = stage.state().counters;
    assert_eq!((counters.late, counters.ahead), (0, 0));
    let refused = counters.malformed.iter().map(|(reason, count)| (reason.to_owned(), count));
    counted.refused = refused.collect();
    counted.deletions = counters.tombstones;
    counted
}

#[test]
fn any_writers_stream_is_counted_as_the_plainest_counter_counts_it() {
    let samples = samples();
    let (mut events, mut refused) = (0, 0);
    for seed in 0..STREAMS {
        let mut dice = Dice::new(seed);
        let partitions = dice.between(1, 3) as u32;
        let window_ns = dice.pick(&[MILLISECOND, SECOND, 7 * SECOND]);
        let records = dice.between(1, 40);
        let stream: Vec<(u32, Vec<u8>)> = (0..records)
            .map(|_| (dice.below(u64::from(partitions)) as u32, draw(&samples, &mut dice)))
            .collect();
        let expected = count_plainly(&stream, window_ns);
        events += expected.counts.values().map(|(count, _)| count).sum::<u64>();
        refused += expected.refused.values().sum::<u64>();
        assert_eq!(count(stream, partitions, window_ns), expected, "seed {seed}");
    }
    println!("{STREAMS} streams: {events} events counted, {refused} records refused");
    assert!(events > 100_000 && refused > 10_000, "{events} {refused}");
}
