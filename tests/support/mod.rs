//! What integration tests share.

pub mod kafka;
