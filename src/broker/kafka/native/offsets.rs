//! Offsets of many partitions, one request to each leader.

use std::ffi::c_int;
use std::time::Duration;

use rdkafka::bindings as raw;
use rdkafka::client::Client;
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::super::logs::Logs;
use super::to_result;

/// Replaces the times in a list by the offsets of that time. What stands for a beginning and an end
/// among offsets does so among times, too. An element that could not be answered has an error of
/// its own.
pub(in super::super) fn offsets_for_times(
    client: &Client<Logs>,
    times: &mut TopicPartitionList,
    timeout: Duration,
) -> KafkaResult<()> {
    let timeout_ms = timeout.as_millis().min(c_int::MAX as u128) as c_int;
    // SAFETY: client and list are valid for the call, which writes into the list's elements only.
    to_result(unsafe {
        raw::rd_kafka_offsets_for_times(client.native_ptr(), times.ptr(), timeout_ms)
    })
}
