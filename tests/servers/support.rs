//! What these tests share.

pub(crate) mod blame;
pub(crate) mod compose;
pub(crate) mod container;
pub(crate) mod door;
pub(crate) mod events;
pub(crate) mod fluvio_cluster;
pub(crate) mod kafka2;
pub(crate) mod lab;
pub(crate) mod prometheus;
pub(crate) mod quota;
pub(crate) mod webdriver;
