//! Streams that take nothing.

use std::fs::File;
use std::process::Stdio;

/// Standard error whose reader has gone, and on a full disk.
pub(crate) fn unwritable() -> [(&'static str, Stdio); 2] {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let full = File::options().write(true).open("/dev/full").unwrap();
    [("without a reader", writer.into()), ("on a full disk", full.into())]
}
