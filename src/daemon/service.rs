//! What the service manager is told (systemd's `sd_notify`). Without one, nothing.

use sd_notify::NotifyState;

fn notify(states: &[NotifyState<'_>]) {
    // Nobody may be listening; a service manager that is gone is no reason to stop.
    drop(sd_notify::notify(states));
}

/// The daemon listens, or has read its configuration again.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The daemon reads its configuration again.
pub fn reloading() {
    notify(&[
        NotifyState::Reloading,
        NotifyState::monotonic_usec_now().unwrap_or(NotifyState::Reloading),
    ]);
}

/// The daemon drains, and ends.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// What the daemon does, in a line.
pub fn status(line: &str) {
    notify(&[NotifyState::Status(line)]);
}

/// The daemon's main loop turns (`WatchdogSec`).
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}
