//! A result's latency: from its greatest `produce_time`, or event time, to its insertion into the
//! log.

use crate::clock::{MILLISECOND, Nanos, to_millis};
use crate::failure::StageError;
use crate::ports::{Record, TimestampKind};
use crate::stream::result::ResultRecord;
use crate::workload::spec::RunSpec;

/// The log's own time of a result, nanoseconds; `None`: this broker's log stamps none.
///
/// # Errors
/// [`StageError`]: the log should have stamped the record, and has not.
pub(super) fn insertion_time(
    record: &Record<'_>,
    spec: &RunSpec,
) -> Result<Option<Nanos>, StageError> {
    match record.timestamp_kind {
        _ if !spec.log_append_time => Ok(None),
        TimestampKind::LogAppend => Ok(Some(record.timestamp_ns)),
        TimestampKind::Create | TimestampKind::None => Err(StageError::own(format!(
            "topic `{}`, partition {}, offset {}: the record's timestamp is not the log's own; set \
             message.timestamp.type=LogAppendTime on the topic and run again",
            spec.topics.results, record.partition, record.offset
        ))),
    }
}

/// Milliseconds, with their fraction.
pub(super) fn in_ms(latency_ns: Nanos) -> f64 {
    latency_ns as f64 / MILLISECOND as f64
}

/// From the greatest event time to the insertion, in whole milliseconds, as [`result_latency_ns`].
pub(super) fn intended_latency_ns(max_event_ns: Nanos, insertion_ns: Nanos) -> Nanos {
    (to_millis(insertion_ns) - to_millis(max_event_ns)).saturating_mul(MILLISECOND)
}

/// From the greatest `produce_time` to the insertion, in whole milliseconds (both sides have no
/// finer step).
pub(super) fn result_latency_ns(result: &ResultRecord, insertion_ns: Nanos) -> Nanos {
    to_millis(insertion_ns).saturating_sub(result.max_produce_time).saturating_mul(MILLISECOND)
}
