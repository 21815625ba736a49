//! The three readers against each other, and against a plain `serde_json` structure.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use uuid::Uuid;

use super::*;

/// A whole number however it is written, read the simple way.
fn whole(value: Option<&serde_json::Value>) -> Option<i128> {
    let double = |number: f64| {
        let fits = (-9.223_372_036_854_776e18..18_446_744_073_709_551_616.0).contains(&number);
        (fits && number.fract() == 0.0).then_some(number as i128)
    };
    match value? {
        serde_json::Value::Number(number) => {
            let integer = number.as_i64().map(i128::from);
            let integer = integer.or_else(|| number.as_u64().map(i128::from));
            integer.or_else(|| double(number.as_f64()?))
        }
        serde_json::Value::String(text) => {
            let text = text.trim();
            let is_number = text.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
            let doubled = || text.parse().ok().filter(|_| is_number).and_then(double);
            text.parse().ok().or_else(doubled)
        }
        _ => None,
    }
}

fn reference(payload: &[u8]) -> Option<DecodedEvent> {
    let json: serde_json::Value = serde_json::from_str(std::str::from_utf8(payload).ok()?).ok()?;
    let event = json.as_object()?;
    let integer = |field| whole(event.get(field)).and_then(|number| i64::try_from(number).ok());
    let page_id = event.get("page_id").and_then(|id| id.as_str()).filter(|id| id.len() == 36);
    let serial = page_id.and_then(|id| Uuid::try_parse(id).ok()).and_then(Serial::from_uuid);
    let campaign_id = whole(event.get("campaign_id"));
    Some(DecodedEvent {
        serial,
        event_time_ns: integer("event_time_ns")?,
        window_id: integer("window_id").unwrap_or(0),
        campaign_id: campaign_id.and_then(|number| u64::try_from(number).ok())?,
        produce_time_ms: integer("produce_time")?,
    })
}

fn read_any(payload: &[u8]) -> Result<DecodedEvent, DecodeError> {
    EventDecoder::new(EventFormat::default()).read_any(payload, &mut Oddities::default())
}

/// Every reader, asked alone, gives the reference's answer, or leaves it to the next one.
fn readers_agree(payload: &[u8]) -> Option<DecodedEvent> {
    let expected = reference(payload);
    let shown = String::from_utf8_lossy(payload);
    let sure = read_any(payload);
    assert_eq!(sure.ok(), expected, "read_any: {shown}");
    for (reader, event) in [("layout", layout::read(payload)), ("scan", scan::read(payload))] {
        assert!(
            event.is_none() || event == expected,
            "{reader}: {event:?}, not {expected:?}: {shown}"
        );
    }
    let decoded = decode_event(payload);
    assert_eq!(decoded.ok(), expected, "decode: {shown}");
    assert_eq!(decoded, sure, "{shown}");
    expected
}

type Pairs = Vec<(String, String)>;

/// Our order, with `colon` and `comma` between keys and values.
fn layout_of(pairs: &Pairs, colon: &str, comma: &str) -> String {
    let members: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{key}{colon}{value}")).collect();
    format!("{{{}}}", members.join(comma))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn pairs_of(values: [String; EVENT_FIELDS.len()]) -> Pairs {
    EVENT_FIELDS.iter().map(|&key| quoted(key)).zip(values).collect()
}

fn typical() -> Pairs {
    pairs_of([
        quoted("8c0fb28c-7d1c-4b7a-9b1f-3a52c7a0d9e4"),
        quoted("01234567-89ab-8cde-9234-fedcba987654"),
        quoted("51aa6a5e-30f3-4a3e-8b35-6de0f9c05c10"),
        quoted("carousel"),
        quoted("view"),
        "1700000000123456789".to_owned(),
        "17".to_owned(),
        quoted("192.0.2.7"),
        "3".to_owned(),
        "1700000000124".to_owned(),
    ])
}

const TYPICAL: DecodedEvent = DecodedEvent {
    serial: Some(Serial {
        run_tag: 0x0123_4567_89ab,
        producer: 0xcde,
        partition: 0x48d3,
        n: 0x3edc_ba98_7654,
    }),
    event_time_ns: 1_700_000_000_123_456_789,
    window_id: 17,
    campaign_id: 3,
    produce_time_ms: 1_700_000_000_124,
};

fn with(field: &str, value: &str) -> Vec<u8> {
    let mut pairs = typical();
    let index = EVENT_FIELDS.iter().position(|&name| name == field).expect("a field");
    value.clone_into(&mut pairs[index].1);
    layout_of(&pairs, ":", ",").into_bytes()
}

fn ids() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u128>().prop_map(|bits| quoted(&Uuid::from_u128(bits).to_string())),
        any::<u128>()
            .prop_map(|bits| quoted(&Uuid::from_u128(bits & !(0xf << 76) | 8 << 76).to_string())),
        any::<u128>().prop_map(|bits| quoted(
            &Uuid::from_u128(bits & !(0xf << 76) | 8 << 76).to_string().to_uppercase()
        )),
        texts(),
    ]
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,20}".prop_map(|text| quoted(&text)),
        any::<String>().prop_map(|text| quoted(&text)),
        any::<String>().prop_map(|text| escaped(&text)),
    ]
}

/// A string with every character as an escape.
fn escaped(text: &str) -> String {
    let units: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
    format!("\"{}\"", units.concat())
}

fn integers() -> impl Strategy<Value = String> {
    prop_oneof![any::<i64>().prop_map(|n| n.to_string()), (-20..20_i64).prop_map(|n| n.to_string())]
}

fn values() -> impl Strategy<Value = [String; EVENT_FIELDS.len()]> {
    let unsigned = prop_oneof![
        any::<u64>().prop_map(|n| n.to_string()),
        (1..20_u64).prop_map(|n| n.to_string())
    ];
    let ids = (ids(), ids(), ids(), texts(), texts());
    (ids, integers(), integers(), texts(), unsigned, integers())
        .prop_map(|((a, b, c, d, e), f, g, h, i, j)| [a, b, c, d, e, f, g, h, i, j])
}

const ODD_VALUES: [&str; 40] = [
    "0",
    "-0",
    "00",
    "01",
    "-1",
    "-01",
    "1.0",
    "1.",
    ".5",
    "1e3",
    "1E+3",
    "1e999",
    "-",
    "+1",
    "0x1",
    "NaN",
    "null",
    "nul",
    "true",
    "false",
    "[]",
    "[1,[2]]",
    "[",
    "{}",
    "{\"a\":{\"b\":null}}",
    "\"\"",
    "\"5\"",
    "\"\\ud800\"",
    "\"\\x\"",
    "\"",
    "\"\t\"",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
    "",
    "1 2",
];

fn spaces() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => "[ \t\r\n]{0,5}"]
}

fn extra_values() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        texts(),
        integers(),
        select(vec!["null", "true", "false", "1.5", "-0", "1e3", "[]", "{}", " [ ] "])
            .prop_map(String::from),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((texts(), inner), 0..4)
                .prop_map(|pairs| layout_of(&pairs, ":", ",")),
        ]
    })
}

fn apply(payload: &mut Vec<u8>, place: Index, kind: u8, byte: u8) {
    if payload.is_empty() {
        return payload.push(byte);
    }
    let at = place.index(payload.len());
    match kind {
        0 => payload[at] = byte,
        1 => payload[at] ^= 1 << (byte % 8),
        2 => payload.insert(at, byte),
        3 => payload.push(byte),
        4 => payload.truncate(at),
        _ => drop(payload.remove(at)),
    }
}

fn bytes() -> impl Strategy<Value = u8> {
    let telling = b"\"\\{}[],:0123456789eE+-. \t\r\n\x00\x1f\x7f\x80\xc3\xa9\xffabu_";
    prop_oneof![any::<u8>(), select(telling.to_vec())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_values_are_read_in_either_usual_layout(values in values()) {
        let pairs = pairs_of(values);
        for (colon, comma) in [(":", ","), (": ", ", "), (": ", ","), (" : ", " ,\n  ")] {
            prop_assert!(readers_agree(layout_of(&pairs, colon, comma).as_bytes()).is_some());
        }
    }

    #[test]
    fn order_spaces_escaped_keys_and_unknown_fields_do_not_matter(
        values in values(),
        extras in prop::collection::vec((texts(), extra_values()), 0..3),
        order in Just((0..13).collect::<Vec<usize>>()).prop_shuffle(),
        escape_keys: [bool; 10],
        gaps in prop::collection::vec(spaces(), 54),
    ) {
        let expected = readers_agree(layout_of(&pairs_of(values.clone()), ":", ",").as_bytes());
        let mut pairs = pairs_of(values);
        for ((pair, field), escape) in pairs.iter_mut().zip(EVENT_FIELDS).zip(escape_keys) {
            if escape {
                pair.0 = escaped(field);
            }
        }
        pairs.extend(extras);
        let pairs: Vec<_> = order.iter().filter_map(|&index| pairs.get(index)).collect();
        let mut gap = gaps.iter().map(String::as_str);
        let mut gap = || gap.next().unwrap_or_default();
        let members: Vec<String> =
            pairs
                .iter()
                .map(|(key, value)| format!("{}{key}{}:{}{value}{}", gap(), gap(), gap(), gap()))
                .collect();
        let text = format!("{}{{{}}}{}", gap(), members.join(","), gap());
        prop_assert_eq!(readers_agree(text.as_bytes()), expected);
    }

    #[test]
    fn of_a_key_given_twice_the_last_value_counts(
        index in 0..10_usize,
        odd in select(ODD_VALUES.to_vec()),
        first: bool,
    ) {
        let mut pairs = typical();
        let again = (pairs[index].0.clone(), odd.to_owned());
        if first {
            pairs.insert(0, again);
        } else {
            pairs.push(again.clone());
        }
        let text = layout_of(&pairs, ":", ",");
        let decoded = decode_event(text.as_bytes());
        prop_assert_eq!(decoded, read_any(text.as_bytes()));
        prop_assert!(scan::read(text.as_bytes()).is_none_or(|event| Ok(event) == decoded));
        if serde_json::from_str::<serde_json::Value>(&text).is_err() {
            prop_assert_eq!(decoded.map_err(|error| error.reason()), Err("bad_json"));
        } else if first {
            prop_assert_eq!(decoded, Ok(TYPICAL));
        } else {
            prop_assert_eq!(decoded, decode_event(&with(EVENT_FIELDS[index], odd)));
        }
    }

    #[test]
    fn damaged_events_are_judged_alike(
        values in values(),
        usual: bool,
        spaced: bool,
        changes in prop::collection::vec((any::<Index>(), 0..9_u8, bytes()), 1..4),
    ) {
        let pairs = if usual { typical() } else { pairs_of(values) };
        let (colon, comma) = if spaced { (": ", ", ") } else { (":", ",") };
        let mut payload = layout_of(&pairs, colon, comma).into_bytes();
        for (place, kind, byte) in changes {
            apply(&mut payload, place, kind, byte);
            readers_agree(&payload);
        }
    }

    #[test]
    fn any_bytes_are_judged_alike(payload in prop::collection::vec(bytes(), 0..40)) {
        readers_agree(&payload);
    }
}

#[test]
fn every_change_of_one_byte_is_judged_alike() {
    for (colon, comma) in [(":", ","), (": ", ", ")] {
        let payload = layout_of(&typical(), colon, comma).into_bytes();
        assert_eq!(readers_agree(&payload), Some(TYPICAL));
        for at in 0..payload.len() {
            readers_agree(&payload[..at]);
            let mut changed = payload.clone();
            changed.remove(at);
            readers_agree(&changed);
            for byte in 0..=u8::MAX {
                changed.clone_from(&payload);
                changed[at] = byte;
                readers_agree(&changed);
                changed[at] = payload[at];
                changed.insert(at, byte);
                readers_agree(&changed);
            }
        }
    }
}

#[test]
fn every_odd_value_is_judged_alike_in_every_field() {
    for field in EVENT_FIELDS {
        for value in ODD_VALUES {
            readers_agree(&with(field, value));
            let spaced = String::from_utf8(with(field, value))
                .unwrap()
                .replace("\":", "\": ")
                .replace(",\"", ", \"");
            readers_agree(spaced.as_bytes());
        }
    }
}

#[test]
fn the_usual_layouts_need_no_slower_reader() {
    for (colon, comma) in [(":", ","), (": ", ", ")] {
        let payload = layout_of(&typical(), colon, comma);
        assert_eq!(layout::read(payload.as_bytes()), Some(TYPICAL));
    }
    let mut reversed = typical();
    reversed.reverse();
    reversed.push((quoted("extra"), "null".to_owned()));
    for (colon, comma) in [(":", ","), (" :\t", "\r\n, ")] {
        assert_eq!(scan::read(layout_of(&reversed, colon, comma).as_bytes()), Some(TYPICAL));
    }
}

#[test]
fn every_reason_is_found_and_named() {
    let mut large = with("user_id", "\"\"");
    large.resize(MAX_EVENT_BYTES, b' ');
    assert!(decode_event(&large).is_ok());
    large.push(b' ');
    let long_type = with("ad_type", &quoted(&"a".repeat(MAX_EVENT_BYTES)));
    let without = |field: &str| {
        let mut pairs = typical();
        pairs.retain(|(key, _)| *key != quoted(field));
        layout_of(&pairs, ":", ",").into_bytes()
    };
    let cases: [(&[u8], &str, &str); 17] = [
        (&large, "too_large", "the record has 1048577 bytes, more than 1048576"),
        (&long_type, "too_large", "the record has 1048876 bytes, more than 1048576"),
        (b"{\"\xff\":1}", "bad_utf8", "not UTF-8 at byte 2"),
        (b"", "bad_json", "not JSON at line 1, column 0"),
        (b"   ", "bad_json", "not JSON at line 1, column 3"),
        (b"{\"a\":\n}", "bad_json", "not JSON at line 2, column 1"),
        (b"[1,2", "bad_json", "not JSON at line 1, column 4"),
        (b"[{}] ", "not_an_object", "not a JSON object"),
        (b" \"text\"", "not_an_object", "not a JSON object"),
        (b"{}", "event_time_ns: missing", "field event_time_ns: missing"),
        (&without("campaign_id"), "campaign_id: missing", "field campaign_id: missing"),
        (&with("campaign_id", "-1"), "campaign_id: negative", "field campaign_id: negative"),
        (&with("campaign_id", "2.5"), "campaign_id: fraction", "field campaign_id: fraction"),
        (&with("event_time_ns", "null"), "event_time_ns: null", "field event_time_ns: null"),
        (&with("event_time_ns", "\"soon\""), "event_time_ns: text", "field event_time_ns: text"),
        (
            &with("produce_time", "9223372036854775808"),
            "produce_time: too large",
            "field produce_time: too large",
        ),
        (&with("produce_time", "[[[]]]"), "produce_time: list", "field produce_time: list"),
    ];
    for (payload, reason, message) in cases {
        let malformed = decode_event(payload).expect_err(message);
        assert_eq!((malformed.reason(), malformed.to_string().as_str()), (reason, message));
    }
    for reason in DecodeError::REASONS {
        assert!(cases.iter().any(|case| case.1 == *reason), "{reason}");
    }
}

#[test]
fn deep_nesting_ends_no_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(150_000), close.repeat(150_000));
        let mut pairs = typical();
        pairs.push((quoted("deep"), deep.clone()));
        assert_eq!(decode_event(layout_of(&pairs, ":", ",").as_bytes()), Ok(TYPICAL));
        assert_eq!(decode_event(&with("ad_type", &deep)), Ok(TYPICAL));
        let refused = decode_event(&with("campaign_id", &deep)).map_err(|error| error.reason());
        assert!(matches!(refused, Err("campaign_id: list" | "campaign_id: object")), "{refused:?}");
    }
}

#[test]
fn what_counting_does_not_need_may_be_missing_or_anything() {
    let needed = ["page_id", "event_time_ns", "window_id", "campaign_id", "produce_time"];
    let mut pairs = typical();
    pairs.retain(|(key, _)| needed.iter().any(|field| *key == quoted(field)));
    assert_eq!(decode_event(layout_of(&pairs, ":", ",").as_bytes()), Ok(TYPICAL));
    for value in ["null", "7", "true", "[]", "{}"] {
        assert_eq!(decode_event(&with("ip_address", value)), Ok(TYPICAL), "{value}");
    }
    let stranger = DecodedEvent { serial: None, window_id: 0, ..TYPICAL };
    let mut pairs = typical();
    pairs.retain(|(key, _)| ![quoted("page_id"), quoted("window_id")].contains(key));
    assert_eq!(decode_event(layout_of(&pairs, ":", ",").as_bytes()), Ok(stranger));
}

#[test]
fn other_names_units_and_frames_are_read() {
    let mut format = EventFormat {
        event_time: TimeUnit::Ms,
        produce_time: TimeUnit::S,
        ..EventFormat::default()
    };
    format.names[CAMPAIGN_ID] = "campaign".to_owned();
    let decoder = EventDecoder::new(format);
    let event = br#"{"event_time_ns":1700000000123,"campaign":"3","produce_time":1700000000.5}"#;
    let expected = DecodedEvent {
        serial: None,
        event_time_ns: 1_700_000_000_123_000_000,
        window_id: 0,
        campaign_id: 3,
        produce_time_ms: 1_700_000_000_500,
    };
    let marked = [b"\xef\xbb\xbf", &event[..]].concat();
    let framed = [&[0, 0, 0, 1, 44], &event[..]].concat();
    for (payload, is_framed) in [(event.to_vec(), false), (marked, false), (framed, true)] {
        let mut odd = Oddities::default();
        assert_eq!(decoder.decode(&payload, &mut odd), Ok(expected));
        assert_eq!(odd, Oddities { is_framed, ..Oddities::default() });
    }
    assert_eq!(
        decoder.decode(&with("campaign_id", "3"), &mut Oddities::default()).unwrap_err().reason(),
        "event_time_ns: too large",
        "nanoseconds as milliseconds"
    );
}
