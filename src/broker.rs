//! Where the events go: the list of the kinds of brokers, one adapter for each, behind the ports of
//! `streamgauge_actors`; and the choice among them that the settings make.

mod adapter;
pub mod dead_letters;
mod deadline;
pub mod embedded;
pub mod fluvio;
pub mod kafka;
mod remark;
pub mod topics;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use streamgauge_actors::{Broker, Checks, SettingError, SharedClock};

use self::adapter::Adapter;
pub use self::adapter::{
    AddressSetting, BrokerNeeds, ClientLibrary, KindName, MemoryPart, Profile, PropertyTable,
    RunSize,
};
use self::embedded::EmbeddedSection;
use self::fluvio::FluvioSection;
use self::kafka::KafkaSection;
pub use self::remark::{Remark, Weight};
use self::topics::{MadeFor, OwnTopics, TopicRecord};

/// All kinds of brokers, in the order in which they are shown.
pub const PROFILES: [&Profile; 3] =
    [&self::embedded::PROFILE, &self::kafka::PROFILE, &self::fluvio::PROFILE];

/// `[broker]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BrokerSection {
    /// Which broker.
    pub kind: BrokerKind,
    /// A Kafka (or Redpanda) cluster.
    pub kafka: KafkaSection,
    /// A Fluvio cluster.
    pub fluvio: FluvioSection,
    /// The log in this process.
    pub embedded: EmbeddedSection,
}

impl BrokerSection {
    fn adapters(&self) -> [&dyn Adapter; PROFILES.len()] {
        [&self.embedded, &self.kafka, &self.fluvio]
    }

    /// The adapter that the settings name.
    fn adapter(&self) -> &dyn Adapter {
        let profile = self.kind.profile();
        self.adapters()
            .into_iter()
            .find(|adapter| adapter.profile().section == profile.section)
            .expect("every kind has an adapter")
    }

    /// Checks the section of the broker in use, and of the one that every matrix may use.
    pub fn check(&self, wanted: &BrokerNeeds<'_>, checks: &mut Checks) {
        let used = self.kind.profile().section;
        for adapter in self.adapters() {
            if adapter.profile().section == used || adapter.profile().is_in_process() {
                adapter.check(wanted, checks);
            }
        }
    }

    /// Makes the broker's ports; connects to nothing yet. The embedded log takes insertion times
    /// from `clock`.
    ///
    /// # Errors
    /// The setting that the adapter refuses.
    pub fn open(
        &self,
        wanted: &BrokerNeeds<'_>,
        clock: SharedClock,
    ) -> Result<Arc<dyn Broker>, SettingError> {
        self.adapter().open(wanted, clock)
    }

    /// What is to be said of a cluster besides its description, for `doctor`; changes nothing.
    ///
    /// # Errors
    /// The setting that the adapter refuses.
    pub fn examine(&self, wanted: &BrokerNeeds<'_>) -> Result<Vec<Remark>, SettingError> {
        self.adapter().examine(wanted)
    }

    /// The memory that the broker in use takes in this process.
    pub fn memory(&self, size: &RunSize) -> Vec<MemoryPart> {
        self.adapter().memory(size)
    }

    /// How the record of own topics knows the broker.
    pub fn address(&self) -> String {
        self.adapter().address()
    }

    /// Whether connections to any broker show credentials.
    pub fn has_credentials(&self) -> bool {
        self.adapters().iter().any(|adapter| adapter.has_credentials())
    }

    /// The same broker, with every topic that is made recorded in `folder`, and all others safe
    /// from deletion; `None`: its topics end with the process.
    pub fn own_topics(
        &self,
        broker: Arc<dyn Broker>,
        folder: PathBuf,
        prefix: &str,
        made_for: Option<MadeFor>,
    ) -> Option<OwnTopics> {
        let record = TopicRecord::in_folder(folder);
        let is_in_process = self.kind.profile().is_in_process();
        (!is_in_process).then(|| OwnTopics::new(broker, record, self.address(), prefix, made_for))
    }
}

/// A kind of broker, by one of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerKind(&'static str);

impl BrokerKind {
    /// The log in this process.
    pub fn in_process() -> Self {
        Self(self::embedded::PROFILE.name())
    }

    /// The name in settings, reports and metrics.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// What is known of it without asking one.
    pub fn profile(self) -> &'static Profile {
        let is_its = |profile: &&&Profile| profile.names.iter().any(|name| name.name == self.0);
        PROFILES.iter().find(is_its).expect("a kind is made from the list alone")
    }
}

/// The names that `broker.kind` may have.
pub fn kind_names() -> impl Iterator<Item = &'static KindName> {
    PROFILES.iter().flat_map(|profile| profile.names)
}

impl FromStr for BrokerKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        kind_names().find(|known| known.name == text).map(|known| Self(known.name)).ok_or_else(
            || {
                let names: Vec<String> =
                    kind_names().map(|known| format!("`{}`", known.name)).collect();
                format!("unknown variant `{text}`, expected one of {}", names.join(", "))
            },
        )
    }
}

impl fmt::Display for BrokerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'de> Deserialize<'de> for BrokerKind {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for BrokerKind {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0)
    }
}

#[cfg(test)]
impl schemars::JsonSchema for BrokerKind {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BrokerKind".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<serde_json::Value> = kind_names()
            .map(|known| {
                serde_json::json!({
                    "const": known.name, "description": known.about, "type": "string",
                })
            })
            .collect();
        schemars::json_schema!({ "description": "The kinds of brokers.", "oneOf": names })
    }
}

/// The settings that say where a broker is, with their flags.
pub fn addresses() -> impl Iterator<Item = (&'static Profile, &'static AddressSetting)> {
    PROFILES.iter().filter_map(|profile| Some((*profile, profile.address.as_ref()?)))
}

/// The flags that name a broker other than the one in this process, as an example.
pub fn example_flags() -> String {
    addresses().next().map_or_else(String::new, |(profile, address)| {
        format!("--broker {} --{} HOST:PORT", profile.name(), address.flag)
    })
}

/// The tables whose keys are the clients' own.
pub fn property_tables() -> impl Iterator<Item = &'static PropertyTable> {
    PROFILES.iter().filter_map(|profile| profile.properties.as_ref())
}

/// The table that a setting is an entry of, and the entry's name.
pub fn property(key: &str) -> Option<(&'static PropertyTable, &str)> {
    property_tables().find_map(|table| {
        let name = key.strip_prefix(table.key)?.strip_prefix('.')?;
        (!name.is_empty()).then_some((table, name))
    })
}

/// Whether the value of a setting must never be shown.
pub fn is_secret_setting(key: &str) -> bool {
    property(key).is_some_and(|(table, name)| (table.is_secret)(name))
}

/// The libraries that the clients stand on, with their versions; `None`: built without.
pub fn client_versions() -> impl Iterator<Item = (&'static str, Option<String>)> {
    PROFILES
        .iter()
        .filter_map(|profile| profile.client.as_ref())
        .map(|client| (client.name, (client.version)()))
}
