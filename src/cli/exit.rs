//! What the program ends with: what a run's verdict says ([`Grade`]), and what else there is.

use std::process::ExitCode;

use streamgauge_actors::Grade;

use crate::daemon::signals;
use crate::report::numbers::wrap;
use crate::report::terminal::WIDTH;

/// Arguments that make no sense.
pub(super) const USAGE: u8 = 2;
/// The broker does not answer.
pub(super) const UNREACHABLE: u8 = 3;
/// The configuration cannot be used (`EX_CONFIG` of `sysexits.h`).
pub(super) const BAD_CONFIGURATION: u8 = 78;

/// What runs end with. Where nothing is wrong, a signal that stopped them is told.
pub(super) fn of_runs(grade: Grade, signal: Option<i32>) -> ExitCode {
    match (grade, signal) {
        (Grade::Stopped, Some(signal)) => by_signal(signal),
        _ => ExitCode::from(grade.exit_code()),
    }
}

/// What a program ends with that a signal ended.
pub(super) fn by_signal(signal: i32) -> ExitCode {
    ExitCode::from(signals::exit_code(signal) as u8)
}

/// The exit codes, for a help text.
pub(super) fn help() -> String {
    let own = [
        (USAGE, "usage"),
        (UNREACHABLE, "broker unreachable"),
        (BAD_CONFIGURATION, "bad configuration"),
    ];
    let graded = Grade::TABLE.into_iter().filter(|(grade, ..)| *grade != Grade::Stopped);
    let mut codes: Vec<_> = graded.map(|(_, _, code, words)| (code, words)).chain(own).collect();
    codes.sort_unstable();
    let codes = codes.into_iter().map(|(code, words)| format!("{code} {words}"));
    let codes = codes.collect::<Vec<_>>().join("; ");
    let text = format!("Exit codes: {codes}; {} signals.", signals::EXIT_CODES);
    wrap(&text, WIDTH, "").join("\n")
}
