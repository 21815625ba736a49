//! Fluvio.

mod client;

pub use self::client::{CLIENT_VERSION, FluvioBroker};
