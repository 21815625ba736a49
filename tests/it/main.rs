//! Everything that needs no server but the program itself: one file per promise.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "why a test is skipped, and figures")]

mod abandoned_preparation;
mod architecture;
mod audit;
mod cli;
mod compare;
mod ctl;
mod daemon;
mod failures;
mod fuzz_settings;
mod golden;
mod grafana;
mod history;
mod http_api;
mod liars;
mod lifecycle;
mod matrix;
mod matrix_report;
mod openapi;
mod orders;
mod page_names;
mod report_html;
mod report_schema;
mod report_terminal;
mod slow_callers;
mod support;
mod thresholds;
mod tidy;
mod verdict;
