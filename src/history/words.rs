//! States and verdicts as the tables have them.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use serde::Serialize;
use streamgauge_actors::{RunState, Verdict};

/// A state or verdict as the tables have it: as the JSON documents do.
pub(super) fn name(value: impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}

/// A state or verdict, read from its name.
pub(super) struct Word<T>(pub(super) T);

impl FromSql for Word<RunState> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        let state = RunState::ALL.into_iter().find(|&state| name(state).as_deref() == Some(text));
        state
            .map(Word)
            .ok_or_else(|| FromSqlError::Other(format!("`{text}` is no state of a run").into()))
    }
}

impl FromSql for Word<Verdict> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        let verdict = serde_json::from_value(text.into()).map(Word);
        verdict.map_err(|error| FromSqlError::Other(error.into()))
    }
}
