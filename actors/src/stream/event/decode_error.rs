//! Why a record is not an event.

use crate::stream::value::FieldFault;

/// The longest event that is read, in bytes: 1 MiB.
pub const MAX_EVENT_BYTES: usize = 1 << 20;

/// Why a record is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The record is longer than [`MAX_EVENT_BYTES`].
    #[error("the record has {bytes} bytes, more than {MAX_EVENT_BYTES}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The record is not UTF-8.
    #[error("not UTF-8 at byte {at}")]
    BadUtf8 {
        /// How many bytes before that are UTF-8.
        at: usize,
    },
    /// The record is not JSON.
    #[error("not JSON at line {line}, column {column}")]
    BadJson {
        /// From 1; 0 if unknown.
        line: usize,
        /// In bytes, from 1; 0 before the line's first.
        column: usize,
    },
    /// The record is JSON, but not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// A field that counting needs is not what it should be.
    #[error("field {}", .0.reason())]
    Field(FieldFault),
}

impl DecodeError {
    /// The reasons that no single field has.
    pub const REASONS: &[&str] = &["too_large", "bad_utf8", "bad_json", "not_an_object"];

    /// The reason in a few words: of [`DecodeError::REASONS`], or [`FieldFault::reason`]. Few
    /// enough for the label of a metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::BadUtf8 { .. } => "bad_utf8",
            Self::BadJson { .. } => "bad_json",
            Self::NotAnObject => "not_an_object",
            Self::Field(fault) => fault.reason(),
        }
    }
}
