//! Everything that needs no server but the program itself: one file per promise.

mod architecture;
mod audit;
mod cli;
mod compare;
mod ctl;
mod daemon;
mod failures;
mod grafana;
mod history;
mod http_api;
mod lifecycle;
mod matrix;
mod matrix_report;
mod openapi;
mod orders;
mod report_html;
mod report_schema;
mod report_terminal;
mod support;
mod thresholds;
mod verdict;
