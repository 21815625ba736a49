//! What the program knows of a kind of broker: a [`Profile`], which needs no broker, and an
//! [`Adapter`], which is its section of the settings.

use std::sync::Arc;

use streamgauge_actors::{Broker, Bytes, Checks, SettingError, SharedClock, Span};

use super::remark::Remark;

/// What is known of a kind of broker without asking one.
#[derive(Debug)]
pub struct Profile {
    /// What `broker.kind` calls it, its own name first.
    pub names: &'static [KindName],
    /// Its section: `broker.kafka`.
    pub section: &'static str,
    /// Where it is; `None`: in this process.
    pub address: Option<AddressSetting>,
    /// The table of its section whose keys are free.
    pub properties: Option<PropertyTable>,
    /// Settings of its section that change nothing that is measured: where it is, how long a first
    /// answer is waited for, files. All others make runs unlike.
    pub unmeasured: &'static [&'static str],
    /// What stands between the parts of the names of own topics.
    pub topic_separator: char,
    /// The client's library; `None`: it has none.
    pub client: Option<ClientLibrary>,
    /// Directives that keep down what the client logs and nobody wants to read.
    pub quiet: &'static [&'static str],
    /// What to do where it does not answer.
    pub unreachable_fix: &'static str,
    /// What to do where it answers, and refuses to tell of its topics.
    pub refused_fix: &'static str,
}

/// A name that `broker.kind` may have.
#[derive(Debug)]
pub struct KindName {
    /// The name in settings, reports and metrics.
    pub name: &'static str,
    /// What it stands for.
    pub about: &'static str,
}

/// The setting that says where a broker is, and its flag.
#[derive(Debug)]
pub struct AddressSetting {
    /// The setting.
    pub key: &'static str,
    /// The flag, without its dashes.
    pub flag: &'static str,
    /// What the flag's help calls it.
    pub about: &'static str,
}

/// A table of a section whose keys are the client's own, and may have dots.
#[derive(Debug)]
pub struct PropertyTable {
    /// The table.
    pub key: &'static str,
    /// Whether the value of an entry must never be shown.
    pub is_secret: fn(&str) -> bool,
}

/// The library that a client stands on.
#[derive(Debug)]
pub struct ClientLibrary {
    /// Its name in reports.
    pub name: &'static str,
    /// Its version; `None`: this program was built without it.
    pub version: fn() -> Option<String>,
}

impl Profile {
    /// Its own name: other names of it have no section of theirs.
    pub fn name(&self) -> &'static str {
        self.names[0].name
    }

    /// Whether it lives in this process, and its topics end with it.
    pub fn is_in_process(&self) -> bool {
        self.address.is_none()
    }
}

/// What settings outside of its own section ask of a broker.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrokerNeeds<'a> {
    /// `broker.kind`.
    pub kind: &'a str,
    /// `topics.prefix`.
    pub prefix: &'a str,
    /// `topics.events`.
    pub events_topic: &'a str,
    /// `topics.results`.
    pub results_topic: &'a str,
    /// `topics.replication`.
    pub replication: u16,
    /// `aggregator.group`.
    pub group: &'a str,
}

/// The sizes of a run that its broker's memory follows from.
#[derive(Clone, Copy, Debug)]
pub struct RunSize {
    /// Producers.
    pub producers: u64,
    /// Partitions of the events topic.
    pub partitions: u64,
    /// Aggregators.
    pub aggregators: u64,
    /// What all events of the run take together.
    pub event_bytes: u64,
    /// What all results of the run take together.
    pub result_bytes: u64,
}

/// Memory that a run takes for one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPart {
    /// The settings that it follows from, the first one to be lowered first; none: it is there
    /// anyway.
    pub settings: &'static [&'static str],
    /// At most, as a rule.
    pub bytes: u64,
}

/// A kind of broker with its section of the settings.
pub(super) trait Adapter {
    /// What is known of it beforehand.
    fn profile(&self) -> &'static Profile;

    /// Checks what types alone cannot.
    fn check(&self, wanted: &BrokerNeeds<'_>, checks: &mut Checks);

    /// Makes the broker's ports; connects to nothing yet. A log in this process takes insertion
    /// times from `clock`.
    ///
    /// # Errors
    /// The setting that the client refuses.
    fn open(
        &self,
        wanted: &BrokerNeeds<'_>,
        clock: SharedClock,
    ) -> Result<Arc<dyn Broker>, SettingError>;

    /// The memory that its clients, or its log, take in this process.
    fn memory(&self, size: &RunSize) -> Vec<MemoryPart>;

    /// How the record of own topics knows the broker.
    fn address(&self) -> String;

    /// Whether connections show credentials, which a broker that a caller names must not see.
    fn has_credentials(&self) -> bool {
        false
    }

    /// What is to be said of a cluster besides its description; changes nothing.
    ///
    /// # Errors
    /// The setting that the client refuses.
    fn examine(&self, _wanted: &BrokerNeeds<'_>) -> Result<Vec<Remark>, SettingError> {
        Ok(Vec::new())
    }
}

/// Checks a client's time-outs and lingers: key, value, least and most in milliseconds.
pub(super) fn check_times(checks: &mut Checks, times: &[(&str, Span, u64, u64)]) {
    for &(key, span, least_ms, most_ms) in times {
        checks.must(
            (least_ms..=most_ms).contains(&span.as_millis()) && span.is_whole_millis(),
            key,
            format!(
                "must be whole milliseconds, `{least_ms}ms` to `{}s`, but is `{span}`",
                most_ms / 1000
            ),
        );
    }
}

/// Checks the sizes of a client's batches and queues: key, value and most.
pub(super) fn check_sizes(checks: &mut Checks, sizes: &[(&str, Bytes, u64)]) {
    for &(key, bytes, most) in sizes {
        checks.must(
            (1024..=most).contains(&bytes.0),
            key,
            format!("must be `1KiB` to `{}`, but is `{bytes}`", Bytes(most)),
        );
    }
}

/// Whether an address is `host:port`.
pub(super) fn has_port(address: &str) -> bool {
    address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}
