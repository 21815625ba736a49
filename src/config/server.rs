//! `[server]`: where the daemon listens.

use serde::{Deserialize, Serialize};
use streamgauge_actors::{Bytes, Checks, Span};

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
    /// Event streams open at once, at most.
    pub max_event_streams: u32,
    /// How long a caller may take for a request's head, and for its body.
    pub request_timeout: Span,
    /// How long a caller may take for a request and its answer together.
    pub answer_timeout: Span,
    /// Size of a request's body, at most.
    pub max_body_bytes: Bytes,
    /// What a run may take in memory, as estimated before it begins; 0: what the machine has.
    pub max_run_memory: Bytes,
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

impl ServerSection {
    /// Checks what types alone cannot.
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.must(
            self.listen.parse::<std::net::SocketAddr>().is_ok(),
            "server.listen",
            format!("must be an address and a port, as `127.0.0.1:9464`, but is `{}`", self.listen),
        );
        checks.must(
            self.token.is_empty() || self.token_file.is_empty(),
            "server.token_file",
            "and `server.token` must not both be set: one token is enough",
        );
        checks.must(
            (2..=100_000).contains(&self.max_connections),
            "server.max_connections",
            format!("must be 2 to 100000, but is {}", self.max_connections),
        );
        let most_streams = self.max_connections / 2;
        checks.must(
            (1..=most_streams.max(1)).contains(&self.max_event_streams),
            "server.max_event_streams",
            format!(
                "must be 1 to {most_streams}, half of `server.max_connections`, so that probes and \
                 scrapes find a connection, but is {}",
                self.max_event_streams
            ),
        );
        checks.must(
            !self.request_timeout.is_zero(),
            "server.request_timeout",
            "must be above 0, as `5s`",
        );
        checks.must(
            !self.answer_timeout.is_zero(),
            "server.answer_timeout",
            "must be above 0, as `60s`",
        );
        checks.must(
            (1024..=1 << 30).contains(&self.max_body_bytes.0),
            "server.max_body_bytes",
            format!("must be `1KiB` to `1GiB`, but is `{}`", self.max_body_bytes),
        );
    }
}
