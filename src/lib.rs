//! The program around the pipeline: broker adapters.

pub mod broker;
