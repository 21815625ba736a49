//! Where and how the daemon listens: `[server]`, with the token read.

use std::net::SocketAddr;
use std::time::Duration;

use crate::config::{ConfigError, ResolvedSettings};
use crate::secrets::{check_token, read_secret};

/// Where and how the daemon listens.
#[derive(Clone)]
pub struct ServerSettings {
    /// The address; port 0 is any free one.
    pub listen: SocketAddr,
    /// What callers must show; `None`: nothing.
    pub token: Option<String>,
    /// Names of this host besides its addresses.
    pub allowed_hosts: Vec<String>,
    /// Connections at most.
    pub max_connections: usize,
    /// Event streams among them, at most.
    pub max_event_streams: usize,
    /// How long a request may take to come.
    pub request_timeout: Duration,
    /// How long a request and its answer may take together.
    pub answer_timeout: Duration,
    /// Size of a request's body at most.
    pub max_body_bytes: usize,
}

impl ServerSettings {
    /// What the settings say; the token is read from its file.
    ///
    /// # Errors
    /// [`ConfigError`]: a token file that cannot be read, or an address for everybody without a
    /// token.
    pub fn new(resolved: &ResolvedSettings) -> Result<Self, ConfigError> {
        let server = &resolved.settings.server;
        let origin =
            |key: &str| resolved.origins.get(key).cloned().unwrap_or_else(|| "settings".to_owned());
        let error = |key: &str, message: String| ConfigError::one(origin(key), key, message);
        let listen: SocketAddr = server
            .listen
            .parse()
            .map_err(|why| error("server.listen", format!("cannot be read: {why}")))?;
        let token = match (server.token.as_str(), server.token_file.as_str()) {
            ("", "") => None,
            ("", file) => {
                let token = read_secret(file).map_err(|why| {
                    error(
                        "server.token_file",
                        format!("names a file that cannot be read: {why}; check the path"),
                    )
                })?;
                check_token(&token).map_err(|why| {
                    error("server.token_file", format!("names `{file}`, whose token {why}"))
                })?;
                Some(token)
            }
            (token, _) => {
                check_token(token).map_err(|why| error("server.token", why.to_owned()))?;
                Some(token.to_owned())
            }
        };
        if !listen.ip().is_loopback() && token.is_none() {
            let message = format!(
                "is `{listen}`, which others can reach: set `server.token_file` (or \
                 `server.token`), or listen on 127.0.0.1"
            );
            return Err(error("server.listen", message));
        }
        Ok(Self {
            listen,
            token,
            allowed_hosts: server.allowed_hosts.clone(),
            max_connections: server.max_connections as usize,
            max_event_streams: server.max_event_streams as usize,
            request_timeout: server.request_timeout.duration(),
            answer_timeout: server.answer_timeout.duration(),
            max_body_bytes: server.max_body_bytes.0 as usize,
        })
    }
}
