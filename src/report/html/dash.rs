//! A figure that was not measured, in print.

/// Nothing measured is a dash of the page's own.
pub(crate) fn dash(text: String) -> String {
    if text == "-" { "–".to_owned() } else { text }
}
