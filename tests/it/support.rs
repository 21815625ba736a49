//! What these tests share.

pub mod daemon;
pub mod outcomes;
pub mod runs;
