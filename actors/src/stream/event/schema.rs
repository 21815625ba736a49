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

/// The places in [`EVENT_FIELDS`] of what is needed of an event, and of what may tell its serial.
pub(super) const PAGE_ID: usize = 1;
pub(super) const EVENT_TIME: usize = 5;
pub(super) const WINDOW_ID: usize = 6;
pub(super) const CAMPAIGN_ID: usize = 8;
pub(super) const PRODUCE_TIME: usize = 9;

/// What the pipeline needs of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodedEvent {
    /// The serial number in `page_id`; None if that is no UUID of ours.
    pub serial: Option<Serial>,
    /// The intended time, nanoseconds since the Unix epoch.
    pub event_time_ns: i64,
    /// The window's number, as its writer computed it; 0 where it did not.
    pub window_id: i64,
    /// The campaign.
    pub campaign_id: u64,
    /// When the record was handed to the client, milliseconds since the Unix epoch.
    pub produce_time_ms: i64,
}
