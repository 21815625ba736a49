//! Who has to be named where a load was too high, and nobody where it was not.
//!
//! Where the program's own threads did not get the processor that they asked for, because the
//! machine of the tests is busy, a run is inconclusive: nobody else is blamed.

use serde_json::Value;

/// The program waited for a processor for more of a second than it may.
const STARVED: f64 = 0.05;

/// Whether its threads lacked a processor.
fn is_starved(report: &Value) -> bool {
    let waited = |second: &Value| second["load"]["cpu_wait"].as_f64() > Some(STARVED);
    report["series"].as_array().unwrap().iter().any(waited)
}

/// A load that the broker did not take ended with this code and this report.
#[track_caller]
pub(crate) fn assert_blames_broker(code: Option<i32>, report: &Value) {
    assert_eq!(report["sustained"]["verdict"], "not_sustained", "{}", report["reasons"]);
    let found = (code, report["causes"][0].as_str(), report["sustained"]["limit"].as_str());
    let broker = (Some(99), Some("not_sustained_broker"), Some("broker"));
    let itself = (Some(5), Some("not_sustained_generator"), Some("generator"));
    let blames_nobody = is_starved(report) && found == itself;
    assert!(found == broker || blames_nobody, "{found:?}: {}", report["reasons"]);
}

/// A load that everybody took ended with this code and this report.
#[track_caller]
pub(crate) fn assert_kept_up(code: Option<i32>, report: &Value) {
    let found = (code, report["sustained"]["verdict"].as_str());
    let is_inconclusive = is_starved(report) && code == Some(5);
    assert!(found == (Some(0), Some("sustained")) || is_inconclusive, "{}", report["reasons"]);
}
