//! Whether a report satisfies its thresholds.

use serde_json::Value;

use super::{Report, ThresholdRow};
use crate::config::Threshold;

/// Judges a report by all thresholds.
pub(super) fn judge(thresholds: &[Threshold], report: &Report) -> Vec<ThresholdRow> {
    if thresholds.is_empty() {
        return Vec::new();
    }
    // Once a run, and whole: a path means the very value that the reader of the JSON finds there.
    let json = serde_json::to_value(report).unwrap_or(Value::Null);
    let row = |threshold: &Threshold| {
        let (observed, passed) = threshold.judge(&json);
        ThresholdRow { expression: threshold.text().to_owned(), observed, passed }
    };
    thresholds.iter().map(row).collect()
}
