//! What needs Kafka, Fluvio, Prometheus, Chromium, or another program from outside: one file per
//! promise.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says why it is skipped, or prints a table"
)]

mod aggregate;
mod bad_input;
mod broker_contract;
mod cli_kafka;
mod deploy;
mod doctor;
mod faulty_link;
mod fluvio;
mod foreign_streams;
mod grafana_schema;
mod honest_runs;
mod kafka;
mod liars;
mod live_page;
mod prometheus;
mod proxy;
mod support;
mod topic_safety;
