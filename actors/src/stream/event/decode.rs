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
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};

use super::decode_error::{DecodeError, MAX_EVENT_BYTES};
use super::schema::{
    CAMPAIGN_ID, DecodedEvent, EVENT_FIELDS, EVENT_TIME, PAGE_ID, PRODUCE_TIME, WINDOW_ID,
};
use super::serial::Serial;
use crate::stream::value::{Field, Oddities, Value, frameless};
use crate::units::TimeUnit;
use crate::workload::sections::input::InputSection;

/// How a program writes its events: what it calls their fields, and its units.
#[derive(Clone, Debug, PartialEq)]
pub struct EventFormat {
    /// Its names of [`EVENT_FIELDS`], in that order.
    pub names: [String; EVENT_FIELDS.len()],
    /// The unit of event times.
    pub event_time: TimeUnit,
    /// The unit of `produce_time`.
    pub produce_time: TimeUnit,
}

impl Default for EventFormat {
    /// Our own.
    fn default() -> Self {
        Self {
            names: EVENT_FIELDS.map(str::to_owned),
            event_time: TimeUnit::Ns,
            produce_time: TimeUnit::Ms,
        }
    }
}

impl InputSection {
    /// How the events are written that these settings describe.
    pub fn event_format(&self) -> EventFormat {
        EventFormat {
            names: EVENT_FIELDS.map(|field| self.name(field).to_owned()),
            event_time: self.event_time_unit,
            produce_time: self.produce_time_unit,
        }
    }
}

/// Reads events of one format.
#[derive(Clone, Debug)]
pub struct EventDecoder {
    format: EventFormat,
    /// Whether the format is ours: then the fast readers know it.
    is_own: bool,
}

impl EventDecoder {
    /// A decoder of this format.
    pub fn new(format: EventFormat) -> Self {
        Self { is_own: format == EventFormat::default(), format }
    }

    /// Reads one event. Of a key given twice, the last value counts; unknown keys are passed over,
    /// and so is what counting does not need, whatever its type.
    ///
    /// # Errors
    /// [`DecodeError`] if `payload` is not a JSON object with a time, a campaign and a produce
    /// time: whole numbers, as numbers or text, or times as ISO 8601 has them.
    #[inline]
    pub(crate) fn decode(
        &self,
        payload: &[u8],
        odd: &mut Oddities,
    ) -> Result<DecodedEvent, DecodeError> {
        if self.is_own
            && let Some(event) = layout::read(payload)
            && payload.len() <= MAX_EVENT_BYTES
        {
            return Ok(event);
        }
        self.decode_unusual(payload, odd)
    }

    fn decode_unusual(
        &self,
        payload: &[u8],
        odd: &mut Oddities,
    ) -> Result<DecodedEvent, DecodeError> {
        if payload.len() > MAX_EVENT_BYTES {
            return Err(DecodeError::TooLarge { bytes: payload.len() });
        }
        let scanned = if self.is_own { scan::read(payload) } else { None };
        scanned.map_or_else(|| self.read_any(payload, odd), Ok)
    }

    /// The reader that decides: what it accepts is an event, whoever wrote it.
    fn read_any(&self, payload: &[u8], odd: &mut Oddities) -> Result<DecodedEvent, DecodeError> {
        let payload = frameless(payload, odd);
        let text = std::str::from_utf8(payload)
            .map_err(|error| DecodeError::BadUtf8 { at: error.valid_up_to() })?;
        let is_object = text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{');
        let mut json = serde_json::Deserializer::from_str(text);
        let fields = if is_object {
            json.deserialize_map(EventVisitor(&self.format.names)).map(Some)
        } else {
            json.deserialize_ignored_any(IgnoredAny).map(|_| None)
        };
        let fields = fields.and_then(|fields| json.end().map(|()| fields));
        let fields = fields
            .map_err(|error| DecodeError::BadJson { line: error.line(), column: error.column() })?;
        self.event(&fields.ok_or(DecodeError::NotAnObject)?, odd)
    }

    fn event(&self, fields: &Fields<'_>, odd: &mut Oddities) -> Result<DecodedEvent, DecodeError> {
        let Fields(values) = fields;
        let of = |field: Field| move |fault| DecodeError::Field(field.with(fault));
        let event_time = values[EVENT_TIME].nanos(self.format.event_time, odd);
        let campaign_id = values[CAMPAIGN_ID].unsigned(odd);
        let produce_time = values[PRODUCE_TIME].millis(self.format.produce_time, odd);
        Ok(DecodedEvent {
            serial: values[PAGE_ID].text().and_then(|text| Serial::from_text(text.as_bytes())),
            event_time_ns: event_time.map_err(of(Field::EventTime))?,
            window_id: values[WINDOW_ID].integer(&mut Oddities::default()).unwrap_or(0),
            campaign_id: campaign_id.map_err(of(Field::Campaign))?,
            produce_time_ms: produce_time.map_err(of(Field::ProduceTime))?,
        })
    }
}

/// Reads one event of our own format.
///
/// # Errors
/// As [`EventDecoder::decode`].
#[inline]
pub fn decode_event(payload: &[u8]) -> Result<DecodedEvent, DecodeError> {
    match layout::read(payload) {
        Some(event) if payload.len() <= MAX_EVENT_BYTES => Ok(event),
        _ => EventDecoder::new(EventFormat::default())
            .decode_unusual(payload, &mut Oddities::default()),
    }
}

/// The values of [`EVENT_FIELDS`], in that order.
struct Fields<'a>([Value<'a>; EVENT_FIELDS.len()]);

/// Reads an object whose fields have these names.
struct EventVisitor<'n>(&'n [String; EVENT_FIELDS.len()]);

impl<'de> Visitor<'de> for EventVisitor<'_> {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = [const { Value::Missing }; EVENT_FIELDS.len()];
        while let Some(key) = map.next_key_seed(KeySeed(self.0))? {
            match key {
                Some(index) => fields[index] = map.next_value()?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Fields(fields))
    }
}

/// Reads a key as its place among these names, if it has one.
struct KeySeed<'n>(&'n [String]);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| name == key))
    }
}

#[cfg(test)]
mod tests;
