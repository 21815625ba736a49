//! The daemon's answers, read.

use serde_json::Value as Json;

/// A text of an answer; `-` where there is none.
pub(super) fn text(value: &Json) -> &str {
    value.as_str().unwrap_or("-")
}
