//! The states of a run, and what each order does in each of them: one table.

use serde::{Deserialize, Serialize};

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Nothing runs, and nothing ran.
    #[default]
    Idle,
    /// Topics and stages are being made.
    Preparing,
    /// Events flow, outside the figures.
    WarmingUp,
    /// Events flow and are measured.
    Running,
    /// Producers are done; what they sent is aggregated and audited.
    Draining,
    /// Played to its end.
    Completed,
    /// Ended by an error.
    Failed,
    /// Ended on request.
    Stopped,
}

impl RunState {
    /// All states, in the order of a run's life.
    pub const ALL: [RunState; 8] = [
        Self::Idle,
        Self::Preparing,
        Self::WarmingUp,
        Self::Running,
        Self::Draining,
        Self::Completed,
        Self::Failed,
        Self::Stopped,
    ];

    /// The name in HTTP, metrics and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Preparing => "preparing",
            Self::WarmingUp => "warming_up",
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Whether a run is under way.
    pub fn is_busy(self) -> bool {
        matches!(self, Self::Preparing | Self::WarmingUp | Self::Running | Self::Draining)
    }
}

/// An order from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKind {
    /// `StartRun`
    Start,
    /// `StopRun { mode: Drain }`
    StopDrain,
    /// `StopRun { mode: Abandon }`
    StopAbandon,
    /// `RestartRun`
    Restart,
    /// `SetRate`
    SetRate,
}

impl OrderKind {
    /// All orders.
    pub const ALL: [OrderKind; 5] =
        [Self::Start, Self::StopDrain, Self::StopAbandon, Self::Restart, Self::SetRate];
}

/// What an order does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A new run begins to be prepared.
    Begin,
    /// Producers stop; what was sent is aggregated and audited.
    Drain,
    /// Everything stops.
    Abandon,
    /// The present run is stopped as the order says; then the new one begins.
    StopThenBegin,
    /// The producers change their rate.
    ChangeRate,
    /// Nothing; the reason.
    Refuse(&'static str),
}

/// The whole table: a row per state, a column per order of [`OrderKind::ALL`].
pub const RUN_STATE_TABLE: [(RunState, [Effect; 5]); 8] = {
    use Effect::{Abandon, Begin, ChangeRate, Drain, Refuse, StopThenBegin};
    const BUSY: Effect = Refuse("a run is under way: stop it first, or restart it");
    const NOTHING_RUNS: Effect = Refuse("no run is under way: start one first");
    const NO_RATE_YET: Effect =
        Refuse("the run is still being prepared: its rate can be set once events flow");
    const NO_RATE_ANY_MORE: Effect = Refuse("the run is draining: its producers have stopped");
    const IS_DRAINING: Effect = Refuse("the run is draining already: abandon it to stop at once");
    [
        (RunState::Idle, [Begin, NOTHING_RUNS, NOTHING_RUNS, Begin, NOTHING_RUNS]),
        (RunState::Preparing, [BUSY, Abandon, Abandon, StopThenBegin, NO_RATE_YET]),
        (RunState::WarmingUp, [BUSY, Drain, Abandon, StopThenBegin, ChangeRate]),
        (RunState::Running, [BUSY, Drain, Abandon, StopThenBegin, ChangeRate]),
        (RunState::Draining, [BUSY, IS_DRAINING, Abandon, StopThenBegin, NO_RATE_ANY_MORE]),
        (RunState::Completed, [Begin, NOTHING_RUNS, NOTHING_RUNS, Begin, NOTHING_RUNS]),
        (RunState::Failed, [Begin, NOTHING_RUNS, NOTHING_RUNS, Begin, NOTHING_RUNS]),
        (RunState::Stopped, [Begin, NOTHING_RUNS, NOTHING_RUNS, Begin, NOTHING_RUNS]),
    ]
};

/// What `order` does in `state`.
pub fn order_effect(state: RunState, order: OrderKind) -> Effect {
    RUN_STATE_TABLE[state as usize].1[order as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_row_and_every_order_its_column() {
        for (i, state) in RunState::ALL.into_iter().enumerate() {
            assert_eq!(RUN_STATE_TABLE[i].0, state);
            for (j, order) in OrderKind::ALL.into_iter().enumerate() {
                assert_eq!(order_effect(state, order), RUN_STATE_TABLE[i].1[j]);
            }
        }
    }

    #[test]
    fn a_run_begins_only_when_none_is_under_way_and_is_stopped_only_when_one_is() {
        for state in RunState::ALL {
            assert_eq!(
                order_effect(state, OrderKind::Start) == Effect::Begin,
                !state.is_busy(),
                "{state:?}"
            );
            assert_eq!(
                order_effect(state, OrderKind::StopAbandon) == Effect::Abandon,
                state.is_busy(),
                "{state:?}"
            );
            assert!(
                !matches!(order_effect(state, OrderKind::Restart), Effect::Refuse(_)),
                "{state:?}"
            );
            let flowing = matches!(state, RunState::WarmingUp | RunState::Running);
            assert_eq!(
                order_effect(state, OrderKind::SetRate) == Effect::ChangeRate,
                flowing,
                "{state:?}"
            );
        }
    }
}
