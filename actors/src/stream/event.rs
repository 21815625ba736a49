//! The event: its schema, its serial number, what is random of it, and its codec.
//!
//! An event is one JSON object. [`EVENT_FIELDS`] are its keys, in the order in which we write them:
//!
//! ```json
//! {"user_id":"8c0f…","page_id":"9b1d…","ad_id":"51aa…","ad_type":"video","event_type":"view",
//!  "event_time_ns":1700000000123456789,"window_id":12,"ip_address":"192.0.2.7","campaign_id":3,
//!  "produce_time":1700000000124}
//! ```
//!
//! [`EventSource`] draws the random part, [`EventEncoder`] writes the text, [`decode_event()`]
//! reads any JSON writer's.

mod decode;
mod decode_error;
mod draw;
mod encode;
mod hex;
mod schema;
mod serial;

pub use self::decode::{EventDecoder, EventFormat, decode_event};
pub use self::decode_error::{DecodeError, MAX_EVENT_BYTES};
pub use self::draw::{Draw, EventSource};
pub use self::encode::EventEncoder;
pub use self::schema::{DecodedEvent, EVENT_FIELDS};
pub use self::serial::Serial;
