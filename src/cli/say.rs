//! Lines for people on standard error. One that cannot be written is lost, and harms nothing: the
//! reader of a pipe may have gone, or a disk may be full.

use std::io::Write;

/// Writes a line to standard error.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::say::line(&format!($($text)*)) };
}
pub(super) use say;

pub(super) fn line(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}
