//! A quota on the producers of one client id, set by Kafka's protocol (`AlterClientQuotas`, version
//! 0): librdkafka has no call for it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// The key of `AlterClientQuotas`.
const ALTER_CLIENT_QUOTAS: i16 = 49;

/// A quota on what the producers of a client id write. It is taken back when this is dropped.
pub(crate) struct Quota {
    servers: &'static str,
    client_id: String,
}

impl Quota {
    /// So many bytes a second may be written under this client id.
    pub(crate) fn set(servers: &'static str, client_id: &str, bytes_per_second: f64) -> Self {
        let quota = Self { servers, client_id: client_id.to_owned() };
        assert_eq!(quota.alter(Some(bytes_per_second)).unwrap(), 0, "Kafka's error code");
        quota
    }

    /// Sets it, or takes it back; gives Kafka's error code.
    fn alter(&self, bytes_per_second: Option<f64>) -> std::io::Result<i16> {
        let mut request = Vec::new();
        let text = |request: &mut Vec<u8>, text: &str| {
            request.extend((text.len() as i16).to_be_bytes());
            request.extend(text.as_bytes());
        };
        request.extend([ALTER_CLIENT_QUOTAS, 0].map(i16::to_be_bytes).concat());
        request.extend(1_i32.to_be_bytes()); // correlation id
        text(&mut request, "streamgauge-tests");
        request.extend([1, 1].map(i32::to_be_bytes).concat()); // one entry, of one entity
        text(&mut request, "client-id");
        text(&mut request, &self.client_id);
        request.extend(1_i32.to_be_bytes()); // one change
        text(&mut request, "producer_byte_rate");
        request.extend(bytes_per_second.unwrap_or(0.0).to_be_bytes());
        // Whether it is removed; and not only tried.
        request.extend([u8::from(bytes_per_second.is_none()), 0]);
        let mut broker = TcpStream::connect(self.servers)?;
        broker.write_all(&(request.len() as i32).to_be_bytes())?;
        broker.write_all(&request)?;
        // Size, correlation id, throttle time, count of entries, and the first one's error code.
        let mut answer = [0; 18];
        broker.read_exact(&mut answer)?;
        Ok(i16::from_be_bytes([answer[16], answer[17]]))
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // The broker may be gone already.
        let _ = self.alter(None);
    }
}
