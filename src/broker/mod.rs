//! The brokers: one adapter of the ports (`streamgauge_actors::ports`) per file.

pub mod embedded;
pub mod kafka;
