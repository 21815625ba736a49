//! Signals that came since the process asked for them. The first SIGINT or SIGTERM asks for an
//! orderly end, a second one of either kind ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// What a program ends with that a signal ended is this and the signal's number.
const SIGNALLED: i32 = 128;

/// The exit codes of SIGINT and SIGTERM, for people.
pub const EXIT_CODES: &str = "130, 143";

/// What a program ends with that this signal ended.
pub fn exit_code(signal: i32) -> i32 {
    SIGNALLED + signal
}

/// The signals of this process.
pub struct Signals {
    last: Arc<AtomicUsize>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    /// Begins to watch SIGINT and SIGTERM.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn watch() -> anyhow::Result<Self> {
        let signals = Self { last: Arc::default(), reload: Arc::default() };
        // Armed by the first signal of either kind: any further one ends the process at once.
        let armed = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(
                signal,
                exit_code(signal),
                Arc::clone(&armed),
            )?;
            signal_hook::flag::register(signal, Arc::clone(&armed))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&signals.last), signal as usize)?;
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
        match self.last.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
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
