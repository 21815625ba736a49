//! Reads events, as any JSON writer may have put them.
//!
//! Three readers, each for what the one before it leaves: the layouts that nearly all events have
//! ([`layout`]), any plain event in one pass ([`scan`]), and any JSON (`serde_json`). A faster
//! reader gives up on whatever it is not sure of, so that `serde_json` alone decides what is JSON.

mod layout;
mod scan;
mod token;

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::decode_error::{DecodeError, MAX_EVENT_BYTES};
use super::schema::{DecodedEvent, EVENT_FIELDS};
use super::serial::Serial;

/// Reads one event. Of a key given twice, the last value counts; unknown keys are passed over.
///
/// # Errors
/// [`DecodeError`] if `payload` is not a JSON object with all of [`EVENT_FIELDS`], each of its
/// type: the integers fit into `i64` (`campaign_id`: into `u64`), all else is strings.
#[inline]
pub fn decode_event(payload: &[u8]) -> Result<DecodedEvent, DecodeError> {
    match layout::read(payload) {
        Some(event) if payload.len() <= MAX_EVENT_BYTES => Ok(event),
        _ => decode_unusual(payload),
    }
}

fn decode_unusual(payload: &[u8]) -> Result<DecodedEvent, DecodeError> {
    match payload.len() {
        0 => Err(DecodeError::Empty),
        bytes if bytes > MAX_EVENT_BYTES => Err(DecodeError::TooLarge { bytes }),
        _ => scan::read(payload).map_or_else(|| read_any(payload), Ok),
    }
}

/// The reader that decides: what it accepts is an event, whoever wrote it.
fn read_any(payload: &[u8]) -> Result<DecodedEvent, DecodeError> {
    let text = std::str::from_utf8(payload)
        .map_err(|error| DecodeError::BadUtf8 { at: error.valid_up_to() })?;
    let is_object = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
    let mut json = serde_json::Deserializer::from_str(text);
    let fields = if is_object {
        json.deserialize_map(EventVisitor).map(Some)
    } else {
        json.deserialize_ignored_any(IgnoredAny).map(|_| None)
    };
    let fields = fields.and_then(|fields| json.end().map(|()| fields));
    let fields = fields
        .map_err(|error| DecodeError::BadJson { line: error.line(), column: error.column() })?;
    fields.ok_or(DecodeError::NotAnObject)?.event()
}

/// The value of a field, as far as it matters.
#[derive(Clone, Copy)]
enum Value {
    Missing,
    Text(Option<Serial>),
    Unsigned(u64),
    Negative(i64),
    Other,
}

/// The values of [`EVENT_FIELDS`], in that order.
struct Fields([Value; EVENT_FIELDS.len()]);

impl Fields {
    fn event(&self) -> Result<DecodedEvent, DecodeError> {
        self.text(0)?;
        let serial = self.text(1)?;
        for text in 2..=4 {
            self.text(text)?;
        }
        let event_time_ns = self.integer(5)?;
        let window_id = self.integer(6)?;
        self.text(7)?;
        let campaign_id = self.unsigned(8)?;
        let produce_time_ms = self.integer(9)?;
        Ok(DecodedEvent { serial, event_time_ns, window_id, campaign_id, produce_time_ms })
    }

    fn text(&self, index: usize) -> Result<Option<Serial>, DecodeError> {
        match self.0[index] {
            Value::Text(serial) => Ok(serial),
            _ => Err(self.malformed(index)),
        }
    }

    fn unsigned(&self, index: usize) -> Result<u64, DecodeError> {
        match self.0[index] {
            Value::Unsigned(value) => Ok(value),
            _ => Err(self.malformed(index)),
        }
    }

    fn integer(&self, index: usize) -> Result<i64, DecodeError> {
        match self.0[index] {
            Value::Negative(value) => Ok(value),
            Value::Unsigned(value) => i64::try_from(value).map_err(|_| self.malformed(index)),
            _ => Err(self.malformed(index)),
        }
    }

    fn malformed(&self, index: usize) -> DecodeError {
        match self.0[index] {
            Value::Missing => DecodeError::MissingField(EVENT_FIELDS[index]),
            _ => DecodeError::WrongType(EVENT_FIELDS[index]),
        }
    }
}

struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = [Value::Missing; EVENT_FIELDS.len()];
        while let Some(key) = map.next_key_seed(KeySeed)? {
            match key {
                Some(index) => fields[index] = map.next_value_seed(ValueSeed)?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Fields(fields))
    }
}

/// Reads a key as its index in [`EVENT_FIELDS`], if it has one.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(EVENT_FIELDS.iter().position(|&field| field == key))
    }
}

/// Reads a known field's value, of any type: whether it is the right one is judged once all is
/// read, since a later value of the same key counts instead.
struct ValueSeed;

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(Serial::from_text(text.as_bytes())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Negative(value))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests;
