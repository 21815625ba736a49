//! The sections of the settings that a run is made of, each with its checks. Every default stands
//! in the program's `config/default.toml`.

pub(crate) mod aggregator;
pub(crate) mod input;
pub(crate) mod result_writer;
pub(crate) mod supervisor;
pub(crate) mod workload;
