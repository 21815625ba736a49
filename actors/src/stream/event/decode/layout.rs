//! Reads the layouts that nearly all events have: the schema's order, with no spaces as we write
//! it, or with one space after each colon and comma as Python's `json.dumps` does.

use super::token;
use crate::stream::event::schema::DecodedEvent;
use crate::stream::event::serial::Serial;

/// The event, if it has one of these layouts, its ids are 36 characters long, and every string is
/// plain ASCII.
#[inline]
pub(super) fn read(payload: &[u8]) -> Option<DecodedEvent> {
    match payload.get(11)? {
        b'"' => compact(payload),
        b' ' => spaced(payload),
        _ => None,
    }
}

/// Defines the reader of one layout: what stands after a colon, and after a comma.
macro_rules! reader {
    ($name:ident, $colon:literal, $comma:literal) => {
        fn $name(payload: &[u8]) -> Option<DecodedEvent> {
            let rest = payload.strip_prefix(concat!("{\"user_id\":", $colon, "\"").as_bytes())?;
            let (user_id, rest) = rest.split_first_chunk()?;
            let rest =
                rest.strip_prefix(concat!("\",", $comma, "\"page_id\":", $colon, "\"").as_bytes())?;
            let (page_id, rest) = rest.split_first_chunk()?;
            let rest =
                rest.strip_prefix(concat!("\",", $comma, "\"ad_id\":", $colon, "\"").as_bytes())?;
            let (ad_id, rest) = rest.split_first_chunk()?;
            if !(token::is_plain(user_id) & token::is_plain(page_id) & token::is_plain(ad_id)) {
                return None;
            }
            let rest =
                rest.strip_prefix(concat!("\",", $comma, "\"ad_type\":", $colon, "\"").as_bytes())?;
            let (_, rest) = token::string(rest)?;
            let rest = rest
                .strip_prefix(concat!(",", $comma, "\"event_type\":", $colon, "\"").as_bytes())?;
            let (_, rest) = token::string(rest)?;
            let rest =
                rest.strip_prefix(concat!(",", $comma, "\"event_time_ns\":", $colon).as_bytes())?;
            let (event_time_ns, rest) = token::integer_of::<19>(rest)?;
            let rest =
                rest.strip_prefix(concat!(",", $comma, "\"window_id\":", $colon).as_bytes())?;
            let (window_id, rest) = token::integer(rest)?;
            let rest = rest
                .strip_prefix(concat!(",", $comma, "\"ip_address\":", $colon, "\"").as_bytes())?;
            let (_, rest) = token::string(rest)?;
            let rest =
                rest.strip_prefix(concat!(",", $comma, "\"campaign_id\":", $colon).as_bytes())?;
            let (campaign_id, rest) = token::digits(rest)?;
            let rest =
                rest.strip_prefix(concat!(",", $comma, "\"produce_time\":", $colon).as_bytes())?;
            let (produce_time_ms, rest) = token::integer_of::<13>(rest)?;
            let serial = Serial::from_text(page_id);
            (rest == b"}").then_some(DecodedEvent {
                serial,
                event_time_ns,
                window_id,
                campaign_id,
                produce_time_ms,
            })
        }
    };
}

reader!(compact, "", "");
reader!(spaced, " ", " ");
