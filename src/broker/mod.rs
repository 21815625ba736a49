//! Adapters: what each broker offers behind the ports of `streamgauge_actors::ports`.

pub mod embedded;
pub mod kafka;
