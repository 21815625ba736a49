//! Why a record is not an event.

/// The longest event that is read, in bytes: 1 MiB.
pub const MAX_EVENT_BYTES: usize = 1 << 20;

/// Why a record is not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The record has no bytes.
    #[error("the record is empty")]
    Empty,
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
    /// A key is missing.
    #[error("field `{0}` is missing")]
    MissingField(&'static str),
    /// A key's value has another type than the schema says, or does not fit into 64 bits.
    #[error("field `{0}` has the wrong type")]
    WrongType(&'static str),
}

impl DecodeError {
    /// Every [`DecodeError::reason`].
    pub const REASONS: &[&str] = &[
        "empty",
        "too_large",
        "bad_utf8",
        "bad_json",
        "not_an_object",
        "missing_field",
        "wrong_type",
    ];

    /// The reason in one word, of [`DecodeError::REASONS`]: fit for the label of a metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge { .. } => "too_large",
            Self::BadUtf8 { .. } => "bad_utf8",
            Self::BadJson { .. } => "bad_json",
            Self::NotAnObject => "not_an_object",
            Self::MissingField(_) => "missing_field",
            Self::WrongType(_) => "wrong_type",
        }
    }
}
