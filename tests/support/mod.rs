//! What integration tests share.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod cases;
pub mod daemon;
pub mod door;
pub mod events;
pub mod fluvio;
pub mod fluvio_cluster;
pub mod kafka;
pub mod kafka2;
pub mod lab;
pub mod outcomes;
pub mod runs;
pub mod webdriver;
