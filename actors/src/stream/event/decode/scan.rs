//! Reads any event of plain strings and integers in one pass: any order, any white space, unknown
//! fields.

use super::token;
use crate::stream::event::schema::DecodedEvent;
use crate::stream::event::serial::Serial;

/// The marks of the fields that are needed.
const NEEDED: u16 = 1 << 5 | 1 << 8 | 1 << 9;

/// The event, unless something in it is not plain: an escape, a character past ASCII, a nested
/// value, a fraction, or any fault.
pub(super) fn read(payload: &[u8]) -> Option<DecodedEvent> {
    let mut event = DecodedEvent {
        serial: None,
        event_time_ns: 0,
        window_id: 0,
        campaign_id: 0,
        produce_time_ms: 0,
    };
    let mut seen = 0_u16;
    let mut rest = after(skip_space(payload), b'{')?;
    loop {
        let (key, text) = token::string(after(skip_space(rest), b'"')?)?;
        let value = skip_space(after(skip_space(text), b':')?);
        let bit;
        (bit, rest) = match key {
            b"user_id" => (0, id(value)?.1),
            b"page_id" => {
                let (text, rest) = id(value)?;
                event.serial = Serial::from_text(text);
                (1, rest)
            }
            b"ad_id" => (2, id(value)?.1),
            b"ad_type" => (3, string(value)?.1),
            b"event_type" => (4, string(value)?.1),
            b"event_time_ns" => (5, integer(value, &mut event.event_time_ns)?),
            b"window_id" => (6, integer(value, &mut event.window_id)?),
            b"ip_address" => (7, string(value)?.1),
            b"campaign_id" => {
                let (id, rest) = token::digits(value)?;
                event.campaign_id = id;
                (8, rest)
            }
            b"produce_time" => (9, integer(value, &mut event.produce_time_ms)?),
            _ => (10, unknown(value)?),
        };
        seen |= 1 << bit;
        rest = skip_space(rest);
        match rest.split_first()? {
            (b',', more) => rest = more,
            (b'}', end) => {
                return (skip_space(end).is_empty() && seen & NEEDED == NEEDED).then_some(event);
            }
            _ => return None,
        }
    }
}

#[inline]
fn skip_space(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

#[inline]
fn after(text: &[u8], byte: u8) -> Option<&[u8]> {
    text.split_first().filter(|&(&first, _)| first == byte).map(|(_, rest)| rest)
}

/// Like [`string`], and faster for those of 36 characters.
#[inline]
fn id(text: &[u8]) -> Option<(&[u8], &[u8])> {
    match after(text, b'"')?.split_first_chunk() {
        Some((id, [b'"', rest @ ..])) if token::is_plain(id) => Some((id, rest)),
        _ => string(text),
    }
}

#[inline]
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    token::string(after(text, b'"')?)
}

#[inline]
fn integer<'a>(text: &'a [u8], value: &mut i64) -> Option<&'a [u8]> {
    let (read, rest) = token::integer(text)?;
    *value = read;
    Some(rest)
}

fn unknown(text: &[u8]) -> Option<&[u8]> {
    match text.first()? {
        b'"' => string(text).map(|(_, rest)| rest),
        b't' => text.strip_prefix(b"true"),
        b'f' => text.strip_prefix(b"false"),
        b'n' => text.strip_prefix(b"null"),
        _ => token::integer(text).map(|(_, rest)| rest),
    }
}
