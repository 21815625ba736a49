//! The sections that the daemon alone reads: `[server]`, `[schedule]`, `[history]`; and
//! `[thresholds]`.

use serde::{Deserialize, Serialize};

use crate::units::{Bytes, Span};

/// `[thresholds]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ThresholdsSection {
    /// What a run's report must satisfy, as `latency.result_latency.p99_ms < 50`.
    pub expressions: Vec<String>,
}

/// `[server]`
#[derive(Clone, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ServerSection {
    /// Address and port to listen on.
    pub listen: String,
    /// The token that callers must show; empty: none.
    pub token: String,
    /// A file that holds it; empty: none.
    pub token_file: String,
    /// Names that callers may use for this host, besides its address and localhost.
    pub allowed_hosts: Vec<String>,
    /// Connections open at once, at most.
    pub max_connections: u32,
    /// How long a caller may take for a request's head, and for its body.
    pub request_timeout: Span,
    /// Size of a request's body, at most.
    pub max_body_bytes: Bytes,
}

impl std::fmt::Debug for ServerSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerSection")
            .field("listen", &self.listen)
            .field("token_file", &self.token_file)
            .field("allowed_hosts", &self.allowed_hosts)
            .finish_non_exhaustive()
    }
}

/// When the daemon starts runs by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ScheduleMode {
    /// Never.
    OnRequest,
    /// One after the other.
    Continuous,
    /// One every so often.
    Every,
}

/// `[schedule]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScheduleSection {
    /// When runs are started.
    pub mode: ScheduleMode,
    /// From the start of one run to the start of the next (`every`).
    pub every: Span,
    /// What is run, in turn: presets and workload files.
    pub workloads: Vec<String>,
    /// How often the broker is asked whether it is there.
    pub probe_interval: Span,
    /// How long the daemon waits after a broker's first failure; twice as long after each further
    /// one.
    pub retry_min: Span,
    /// How long it waits at most.
    pub retry_max: Span,
}

/// `[history]`
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HistorySection {
    /// How long a run is kept.
    pub keep: Span,
    /// What all runs may take on disk; the oldest go first.
    pub keep_bytes: Bytes,
}
