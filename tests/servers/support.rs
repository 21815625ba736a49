//! What these tests share.

pub mod compose;
pub mod container;
pub mod door;
pub mod events;
pub mod fluvio_cluster;
pub mod kafka2;
pub mod lab;
pub mod prometheus;
pub mod webdriver;
