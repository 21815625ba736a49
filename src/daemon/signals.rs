//! Signals that came since the process asked for them. The first SIGINT or SIGTERM asks for an
//! orderly end, a second one of either kind ends the process at once.
//!
//! `timeout` and shells send one signal twice: to the program, and to its process group. The same
//! signal again within a moment is the same one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// What a program ends with that a signal ended is this and the signal's number.
const SIGNALLED: i32 = 128;

/// The same signal again within this time is the same one.
const SAME_WITHIN: Duration = Duration::from_millis(300);

/// The exit codes of SIGINT and SIGTERM, for people.
pub const EXIT_CODES: &str = "130, 143";

/// What a program ends with that this signal ended.
pub fn exit_code(signal: i32) -> i32 {
    SIGNALLED + signal
}

/// The signals of this process.
pub struct Signals {
    first: Arc<AtomicUsize>,
    /// Set once any further signal ends the process at once.
    armed: [Arc<AtomicBool>; 2],
    arming: AtomicBool,
    reload: Arc<AtomicBool>,
}

impl Signals {
    /// Begins to watch SIGINT and SIGTERM.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn watch() -> anyhow::Result<Self> {
        let signals = Self {
            first: Arc::default(),
            armed: Default::default(),
            arming: AtomicBool::new(false),
            reload: Arc::default(),
        };
        for (signal, own, other) in [(SIGINT, 0, 1), (SIGTERM, 1, 0)] {
            let [own, other] = [own, other].map(|at: usize| Arc::clone(&signals.armed[at]));
            signal_hook::flag::register_conditional_shutdown(signal, exit_code(signal), own)?;
            // The other signal is another one at once.
            signal_hook::flag::register(signal, other)?;
            let first = Arc::clone(&signals.first);
            signal_hook::flag::register_usize(signal, first, signal as usize)?;
        }
        Ok(signals)
    }

    /// Watches SIGHUP, too: without it, SIGHUP ends the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn watch_reload(&self) -> anyhow::Result<()> {
        signal_hook::flag::register(SIGHUP, Arc::clone(&self.reload))?;
        Ok(())
    }

    /// 2 (SIGINT) or 15 (SIGTERM), if one came.
    pub fn received(&self) -> Option<i32> {
        match self.first.load(Ordering::Relaxed) {
            0 => None,
            signal => {
                self.arm_soon();
                Some(signal as i32)
            }
        }
    }

    /// From a moment after the first signal on, a second one ends the process at once.
    fn arm_soon(&self) {
        if self.arming.swap(true, Ordering::Relaxed) {
            return;
        }
        let arm = |armed: &[Arc<AtomicBool>; 2]| {
            for armed in armed {
                armed.store(true, Ordering::Relaxed);
            }
        };
        let armed = self.armed.clone();
        let waiting =
            thread::Builder::new().name("streamgauge-signals".to_owned()).spawn(move || {
                thread::sleep(SAME_WITHIN);
                arm(&armed);
            });
        if waiting.is_err() {
            arm(&self.armed);
        }
    }

    /// Whether SIGHUP came since the last call.
    pub fn take_reload(&self) -> bool {
        self.reload.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_the_codes_of_both_signals() {
        let codes = [SIGINT, SIGTERM].map(|signal| exit_code(signal).to_string());
        assert_eq!(EXIT_CODES, codes.join(", "));
    }
}
