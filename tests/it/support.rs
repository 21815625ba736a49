//! What these tests share.

pub(crate) mod cases;
pub(crate) mod daemon;
pub(crate) mod outcomes;
pub(crate) mod unwritable;
