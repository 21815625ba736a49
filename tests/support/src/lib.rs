//! What more than one binary of tests or benches needs: brokers, faulty ways to them, Grafana's
//! files, runs in this process, waiting, and comparisons side by side.
//!
//! What only one binary needs lies in that binary's own `support`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures, and why a test is skipped")]

use std::time::Duration;

use streamgauge_actors::{Clock as _, RunClock};

pub mod fluvio;
pub mod grafana;
pub mod kafka;
pub mod liar;
pub mod ours;
pub mod proxy;
pub mod runs;
pub mod side_by_side;

/// Longer than anything takes that is waited for.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Waits until something holds.
///
/// # Panics
/// It did not within [`DEADLINE`].
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = RunClock::start();
    let deadline = clock.now() + DEADLINE.as_nanos() as i64;
    while !holds() {
        assert!(clock.now() < deadline, "waited {DEADLINE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
