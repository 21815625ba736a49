//! Progress of a run, on a terminal only: phase, rate against target, consumer lag, last window's
//! result latency.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use streamgauge_actors::{RunState, RunStatus};

use crate::report::numbers::grouped;

/// One line on standard error.
pub(super) struct Progress {
    bar: ProgressBar,
    label: String,
}

impl Progress {
    /// A line that is drawn only on a terminal, and not when unwelcome.
    /// `label`: what stands before everything, as which of several runs it is.
    pub(super) fn new(is_quiet: bool, label: &str) -> Self {
        let shown = !is_quiet && std::io::stderr().is_terminal();
        let target = if shown {
            ProgressDrawTarget::stderr_with_hz(8)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:12} {wide_msg}") {
            bar.set_style(style);
        }
        if shown {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Self { bar, label: label.to_owned() }
    }

    /// Shows how the run is.
    pub(super) fn show(&self, status: &RunStatus) {
        if self.bar.is_hidden() {
            return;
        }
        if status.planned_s > 0.0 {
            self.bar.set_length((status.planned_s * 10.0) as u64);
            self.bar.set_position((status.elapsed_s.clamp(0.0, status.planned_s) * 10.0) as u64);
        }
        self.bar.set_message(format!("{}{}", self.label, line(status)));
    }

    /// Clears the line.
    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// The state of a run, in one line.
fn line(status: &RunStatus) -> String {
    let mut line = phase(status.state).to_owned();
    if let Some(second) = &status.latest {
        let _ = write!(
            line,
            "  {}/s of {}/s",
            grouped(second.produced),
            grouped(status.target_per_second as u64)
        );
        let _ = write!(line, "  lag {}", grouped(second.lag));
    }
    if let Some(window) = &status.latest_window {
        let verdict = if window.exact { "exact" } else { "WRONG" };
        let _ = write!(line, "  window {} {verdict}", window.window_id);
        if let Some(latency_ms) = window.result_latency_ms_avg {
            let _ = write!(line, ", {latency_ms:.1} ms");
        }
    }
    line
}

fn phase(state: RunState) -> &'static str {
    match state {
        RunState::Idle => "starting",
        RunState::Preparing => "preparing",
        RunState::WarmingUp => "warming up",
        RunState::Running => "running",
        RunState::Draining => "draining",
        RunState::Completed => "completed",
        RunState::Failed => "failed",
        RunState::Stopped => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_phase_before_anything_is_measured() {
        assert_eq!(
            line(&RunStatus { state: RunState::Preparing, ..RunStatus::default() }),
            "preparing"
        );
    }
}
