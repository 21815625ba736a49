//! Fluvio: what the program knows of it, and its settings. The client is a feature of the build.

#[cfg(feature = "fluvio")]
mod client;
mod section;

use std::sync::Arc;

use streamgauge_actors::{Broker, Checks, SettingError, SharedClock};

#[cfg(feature = "fluvio")]
pub use self::client::FluvioBroker;
pub use self::section::FluvioSection;
use self::section::{ENDPOINT, FluvioTls, NAME};
use super::adapter::{
    Adapter, AddressSetting, BrokerNeeds, ClientLibrary, KindName, MemoryPart, Profile, RunSize,
};

/// What is known of Fluvio without asking one.
pub(super) const PROFILE: Profile = Profile {
    names: &[KindName { name: NAME, about: "Fluvio." }],
    section: "broker.fluvio",
    address: Some(AddressSetting {
        key: ENDPOINT,
        flag: "fluvio-endpoint",
        about: "Where Fluvio's controller listens",
    }),
    properties: None,
    unmeasured: &[
        "endpoint",
        "connect_timeout",
        "admin_timeout",
        "tls.domain",
        "tls.ca_file",
        "tls.cert_file",
        "tls.key_file",
    ],
    // Its names have no dots.
    topic_separator: '-',
    client: Some(ClientLibrary { name: NAME, version: || CLIENT_VERSION.map(str::to_owned) }),
    quiet: &["fluvio=warn", "fluvio_socket=off"],
    unreachable_fix: "start the cluster, or check `broker.fluvio.endpoint` and \
                      `broker.fluvio.tls.mode`",
    refused_fix: "look at the broker's own log",
};

/// A producer's part of the client.
const CLIENT_BYTES: u64 = 64 << 10;
/// What it keeps for a partition.
const CLIENT_PARTITION_BYTES: u64 = 64 << 10;
/// Queues that producers have at most: beyond so many they share.
const QUEUES: u64 = 8;

impl Adapter for FluvioSection {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn check(&self, wanted: &BrokerNeeds<'_>, checks: &mut Checks) {
        self.check_section(wanted, checks);
    }

    fn open(&self, _: &BrokerNeeds<'_>, _: SharedClock) -> Result<Arc<dyn Broker>, SettingError> {
        open(self)
    }

    fn memory(&self, size: &RunSize) -> Vec<MemoryPart> {
        let readers = size.aggregators + 1;
        vec![
            MemoryPart {
                settings: &["broker.fluvio.queue_bytes", "workload.producers"],
                bytes: size
                    .event_bytes
                    .min(size.producers.min(QUEUES).saturating_mul(self.queue_bytes.0))
                    .saturating_add(size.result_bytes.min(self.queue_bytes.0)),
            },
            MemoryPart {
                settings: &["broker.fluvio.fetch_bytes", "aggregator.count"],
                bytes: size.event_bytes.min(readers.saturating_mul(2 * self.fetch_bytes.0)),
            },
            MemoryPart { settings: &["workload.producers"], bytes: size.producers * CLIENT_BYTES },
            MemoryPart {
                settings: &["topics.partitions", "workload.producers"],
                bytes: size.producers * size.partitions * CLIENT_PARTITION_BYTES,
            },
        ]
    }

    fn address(&self) -> String {
        format!("{NAME}://{}", self.endpoint)
    }

    fn has_credentials(&self) -> bool {
        self.tls.mode != FluvioTls::Disabled
    }
}

#[cfg(feature = "fluvio")]
fn open(section: &FluvioSection) -> Result<Arc<dyn Broker>, SettingError> {
    match FluvioBroker::new(section.clone()) {
        Ok(broker) => Ok(Arc::new(broker)),
        Err(error) => {
            Err(SettingError::new("broker.fluvio.tls", format!("is refused: {}", error.message)))
        }
    }
}

#[cfg(not(feature = "fluvio"))]
fn open(_: &FluvioSection) -> Result<Arc<dyn Broker>, SettingError> {
    let message = "is `fluvio`, which this program was built without: build it with `cargo build \
                   --release --features fluvio`";
    Err(SettingError::new("broker.kind", message))
}

#[cfg(feature = "fluvio")]
const CLIENT_VERSION: Option<&str> = Some(client::CLIENT_VERSION);
#[cfg(not(feature = "fluvio"))]
const CLIENT_VERSION: Option<&str> = None;
