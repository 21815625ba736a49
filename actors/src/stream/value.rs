//! A value of a JSON object as others write it, and what it means: a number, or a time.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use time::format_description::well_known::Iso8601;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::clock::{MILLISECOND, Nanos};
use crate::units::TimeUnit;

/// From here on not every whole number is a double: 2 to the power of 53.
const DOUBLE_LIMIT: f64 = 9_007_199_254_740_992.0;
/// 2 to the power of 63, and of 64.
const SIGNED_END: f64 = 9_223_372_036_854_775_808.0;
const UNSIGNED_END: f64 = 18_446_744_073_709_551_616.0;

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueFault {
    /// There is none.
    Missing,
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// Text that is no number, and no time where one should be.
    Text,
    /// A number that is not whole.
    Fraction,
    /// A number below 0 where none may be.
    Negative,
    /// A number, or a time, beyond 64 bits.
    TooLarge,
    /// A list.
    List,
    /// An object.
    Object,
}

/// A field of an event or a result that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// An event's time.
    EventTime,
    /// Of both.
    Campaign,
    /// When an event was handed to the client.
    ProduceTime,
    /// A result's window.
    Window,
    /// A window's first millisecond.
    WindowStart,
    /// A window's end.
    WindowEnd,
    /// A result's count.
    Count,
    /// A result's greatest `produce_time`.
    MaxProduceTime,
}

/// What is wrong with which field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldFault {
    /// The field.
    pub field: Field,
    /// What is wrong with its value.
    pub fault: ValueFault,
}

/// The reasons of one field, in the order of [`ValueFault`].
macro_rules! reasons {
    ($($field:literal),* $(,)?) => {
        [$([
            concat!($field, ": missing"),
            concat!($field, ": null"),
            concat!($field, ": boolean"),
            concat!($field, ": text"),
            concat!($field, ": fraction"),
            concat!($field, ": negative"),
            concat!($field, ": too large"),
            concat!($field, ": list"),
            concat!($field, ": object"),
        ],)*]
    };
}

/// By [`Field`], and by [`ValueFault`].
const FIELD_REASONS: [[&str; 9]; 8] = reasons![
    "event_time_ns",
    "campaign_id",
    "produce_time",
    "window_id",
    "window_start",
    "window_end",
    "count",
    "max_produce_time",
];

impl Field {
    /// With what is wrong with it.
    pub(crate) fn with(self, fault: ValueFault) -> FieldFault {
        FieldFault { field: self, fault }
    }
}

impl FieldFault {
    /// `event_time_ns: text`.
    pub fn reason(self) -> &'static str {
        FIELD_REASONS[self.field as usize][self.fault as usize]
    }
}

/// What was read although it is unusual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Oddities {
    /// A number was a double too great to hold every whole number.
    pub(crate) is_imprecise: bool,
    /// A time named no zone, and was taken for UTC.
    pub(crate) is_zoneless: bool,
    /// A schema registry's frame stood before the JSON.
    pub(crate) is_framed: bool,
}

/// A UTF-8 byte order mark.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What a schema registry puts before a record: a zero, and a schema's number in four bytes.
const FRAME_BYTES: usize = 5;

/// The JSON of a record: without what may stand before it.
pub(crate) fn frameless<'a>(payload: &'a [u8], odd: &mut Oddities) -> &'a [u8] {
    let framed = match payload {
        [0, rest @ ..] => rest.get(FRAME_BYTES - 1..),
        _ => None,
    };
    odd.is_framed |= framed.is_some();
    let json = framed.unwrap_or(payload);
    json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json)
}

/// A value, as far as it may matter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Missing,
    Null,
    Boolean,
    Text(Cow<'a, str>),
    Unsigned(u64),
    Negative(i64),
    Double(f64),
    List,
    Object,
}

impl<'a> Value<'a> {
    /// Of a value that was read whole.
    pub(crate) fn of(json: &'a serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(_) => Self::Boolean,
            serde_json::Value::Array(_) => Self::List,
            serde_json::Value::Object(_) => Self::Object,
            serde_json::Value::String(text) => Self::Text(Cow::Borrowed(text)),
            serde_json::Value::Number(number) => {
                let signed = number.as_i64().map(Self::Negative);
                let number = || number.as_f64().map(Self::Double);
                signed
                    .or_else(|| json.as_u64().map(Self::Unsigned))
                    .or_else(number)
                    .unwrap_or(Self::Missing)
            }
        }
    }

    /// Its text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As a whole number that is not negative.
    pub(crate) fn unsigned(&self, odd: &mut Oddities) -> Result<u64, ValueFault> {
        let number = self.whole(odd)?;
        if number < 0 {
            return Err(ValueFault::Negative);
        }
        u64::try_from(number).map_err(|_| ValueFault::TooLarge)
    }

    /// As a whole number.
    pub(crate) fn integer(&self, odd: &mut Oddities) -> Result<i64, ValueFault> {
        i64::try_from(self.whole(odd)?).map_err(|_| ValueFault::TooLarge)
    }

    /// As a time in nanoseconds since the Unix epoch: a number of these units, or text that says
    /// both.
    pub(crate) fn nanos(&self, unit: TimeUnit, odd: &mut Oddities) -> Result<Nanos, ValueFault> {
        i64::try_from(self.time(unit, odd)?).map_err(|_| ValueFault::TooLarge)
    }

    /// The same in milliseconds, rounded down.
    pub(crate) fn millis(&self, unit: TimeUnit, odd: &mut Oddities) -> Result<i64, ValueFault> {
        let millis = self.time(unit, odd)?.div_euclid(i128::from(MILLISECOND));
        i64::try_from(millis).map_err(|_| ValueFault::TooLarge)
    }

    fn time(&self, unit: TimeUnit, odd: &mut Oddities) -> Result<i128, ValueFault> {
        if let Self::Text(text) = self
            && let Some(nanos) = time_of(text, odd)
        {
            return Ok(nanos);
        }
        if let Self::Double(number) = self
            && number.fract() != 0.0
            && unit == TimeUnit::S
        {
            // 1700000000.123, as many write seconds.
            return Ok(scaled(*number, unit));
        }
        Ok(self.whole(odd)? * i128::from(unit.nanos()))
    }

    fn whole(&self, odd: &mut Oddities) -> Result<i128, ValueFault> {
        match self {
            Self::Unsigned(number) => Ok(i128::from(*number)),
            Self::Negative(number) => Ok(i128::from(*number)),
            Self::Double(number) => whole_double(*number, odd),
            Self::Text(text) => whole_text(text, odd),
            Self::Missing => Err(ValueFault::Missing),
            Self::Null => Err(ValueFault::Null),
            Self::Boolean => Err(ValueFault::Boolean),
            Self::List => Err(ValueFault::List),
            Self::Object => Err(ValueFault::Object),
        }
    }
}

fn whole_double(number: f64, odd: &mut Oddities) -> Result<i128, ValueFault> {
    if !(-SIGNED_END..UNSIGNED_END).contains(&number) {
        return Err(ValueFault::TooLarge);
    }
    if number.fract() != 0.0 {
        return Err(ValueFault::Fraction);
    }
    odd.is_imprecise |= number.abs() > DOUBLE_LIMIT;
    Ok(number as i128)
}

fn whole_text(text: &str, odd: &mut Oddities) -> Result<i128, ValueFault> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    // What `f64` reads besides numbers ("inf", "nan") is text here.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    match text.parse::<f64>() {
        Ok(number) if is_number => whole_double(number, odd),
        _ => Err(ValueFault::Text),
    }
}

fn scaled(number: f64, unit: TimeUnit) -> i128 {
    // The whole part by itself: together they have more digits than a double.
    let (whole, part) = (number.trunc(), number.fract());
    let unit_ns = unit.nanos();
    i128::from(whole as i64) * i128::from(unit_ns) + (part * unit_ns as f64).round() as i128
}

/// The time that a text says, nanoseconds since the Unix epoch: as ISO 8601 or SQL have it, with
/// any zone; without one: UTC. `None`: it is no time, or beyond 64 bits.
pub fn time_of_text(text: &str) -> Option<Nanos> {
    time_of(text, &mut Oddities::default()).and_then(|nanos| Nanos::try_from(nanos).ok())
}

/// The time that a text says, in nanoseconds; `None`: it is no time.
fn time_of(text: &str, odd: &mut Oddities) -> Option<i128> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(10)?;
    if date.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    // SQL has a space where ISO has a T, may put one before the zone, and may name UTC.
    let rest = rest.trim_start_matches(['T', 't', ' ']);
    let rest = if rest.is_empty() { "00:00:00" } else { rest };
    let rest = rest.strip_suffix("UTC").map_or_else(|| rest.to_owned(), |time| format!("{time}Z"));
    let iso = format!("{date}T{}", rest.replace(' ', "").replace('z', "Z"));
    let with_zone = OffsetDateTime::parse(&iso, &Iso8601::DEFAULT).ok();
    let time = with_zone.or_else(|| {
        let time = PrimitiveDateTime::parse(&iso, &Iso8601::DEFAULT).ok()?.assume_utc();
        odd.is_zoneless = true;
        Some(time)
    })?;
    Some(time.unix_timestamp_nanos())
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Negative(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Double(number))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Boolean)
    }

    fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    fn read(json: &str) -> Value<'_> {
        serde_json::from_str(json).unwrap()
    }

    fn integer(json: &str) -> Result<i64, ValueFault> {
        read(json).integer(&mut Oddities::default())
    }

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        for json in ["3", "3.0", "3e0", "30e-1", "0.3E+1", "\"3\"", "\" 3.0 \"", "\"+3\""] {
            assert_eq!(integer(json), Ok(3), "{json}");
        }
        assert_eq!(integer("1.700000000124e+12"), Ok(1_700_000_000_124));
        assert_eq!((integer("-0"), integer("-7.0")), (Ok(0), Ok(-7)));
        assert_eq!(integer("\"9223372036854775807\""), Ok(i64::MAX), "to the last digit");
    }

    #[test]
    fn what_is_no_whole_number_is_named() {
        let named = [
            ("null", ValueFault::Null),
            ("true", ValueFault::Boolean),
            ("3.5", ValueFault::Fraction),
            ("\"3.5\"", ValueFault::Fraction),
            ("\"three\"", ValueFault::Text),
            ("\"\"", ValueFault::Text),
            ("\"inf\"", ValueFault::Text),
            ("\"0x10\"", ValueFault::Text),
            ("1e30", ValueFault::TooLarge),
            ("9223372036854775808", ValueFault::TooLarge),
            ("\"99999999999999999999\"", ValueFault::TooLarge),
            ("[3]", ValueFault::List),
            ("{\"a\":3}", ValueFault::Object),
        ];
        for (json, fault) in named {
            assert_eq!(integer(json), Err(fault), "{json}");
        }
        let unsigned = |json| read(json).unsigned(&mut Oddities::default());
        assert_eq!(unsigned("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(
            (unsigned("-1"), unsigned("-1.0")),
            (Err(ValueFault::Negative), Err(ValueFault::Negative))
        );
        assert_eq!(Value::Missing.integer(&mut Oddities::default()), Err(ValueFault::Missing));
    }

    #[test]
    fn a_double_that_may_have_lost_digits_is_noted() {
        let mut odd = Oddities::default();
        assert_eq!(read("1700000000123.0").integer(&mut odd), Ok(1_700_000_000_123));
        assert!(!odd.is_imprecise);
        read("1.7000000001234568e18").integer(&mut odd).unwrap();
        assert!(odd.is_imprecise);
    }

    #[test]
    fn a_time_is_read_in_every_unit() {
        let at = |json: &str, unit| read(json).nanos(unit, &mut Oddities::default());
        let noon = 1_700_000_000 * SECOND;
        assert_eq!(at("1700000000000000000", TimeUnit::Ns), Ok(noon));
        assert_eq!(at("\"1700000000000000\"", TimeUnit::Us), Ok(noon));
        assert_eq!(at("1.7e12", TimeUnit::Ms), Ok(noon));
        assert_eq!(at("1700000000.25", TimeUnit::S), Ok(noon + SECOND / 4));
        assert_eq!(at("1700000000000000000", TimeUnit::Ms), Err(ValueFault::TooLarge));
        assert_eq!(at("1.5", TimeUnit::Ns), Err(ValueFault::Fraction));
        assert_eq!(at("\"yesterday\"", TimeUnit::Iso), Err(ValueFault::Text));
        for text in [
            "2023-11-14T22:13:20Z",
            "2023-11-14t22:13:20z",
            "2023-11-14T22:13:20.000000000Z",
            "2023-11-14 22:13:20 UTC",
            "2023-11-14 22:13:20.000 +00:00",
            "2023-11-15T03:43:20+05:30",
            "2023-11-14T14:13:20-08:00",
            "2023-11-14 22:13:20",
            "2023-11-14T22:13:20.0",
        ] {
            let mut odd = Oddities::default();
            let json = format!("\"{text}\"");
            assert_eq!(read(&json).nanos(TimeUnit::Ns, &mut odd), Ok(noon), "{text}");
            assert_eq!(odd.is_zoneless, text.len() <= 21 && !text.ends_with(['Z', 'z']), "{text}");
        }
        let midnight = at("\"2023-11-14\"", TimeUnit::Iso);
        assert_eq!(midnight, Ok(noon - (22 * 3600 + 13 * 60 + 20) * SECOND));
    }
}
