//! The event's fields, and what the pipeline needs of them.

use super::serial::Serial;

/// The keys of an event, in the order in which they are written.
pub const EVENT_FIELDS: [&str; 10] = [
    "user_id",
    "page_id",
    "ad_id",
    "ad_type",
    "event_type",
    "event_time_ns",
    "window_id",
    "ip_address",
    "campaign_id",
    "produce_time",
];

/// What the pipeline needs of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodedEvent {
    /// The serial number in `page_id`; None if that is no UUID of ours.
    pub serial: Option<Serial>,
    /// The intended time, nanoseconds since the Unix epoch.
    pub event_time_ns: i64,
    /// The window's number, as its writer computed it.
    pub window_id: i64,
    /// The campaign.
    pub campaign_id: u64,
    /// When the record was handed to the client, milliseconds since the Unix epoch.
    pub produce_time_ms: i64,
}
