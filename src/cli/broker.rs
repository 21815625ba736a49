//! The broker that flags and settings name.

use std::sync::Arc;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use streamgauge_actors::{Broker, SharedClock};

use super::error::CliError;
use crate::broker;
use crate::config::{Assignment, ResolvedSettings};

/// The flag that says which broker.
const KIND: &str = "broker";

/// The setting that says which broker.
const KIND_SETTING: &str = "broker.kind";

/// Which broker: `--broker`, and a flag for each setting that holds an address.
#[derive(Clone, Default)]
pub(super) struct BrokerFlags {
    kind: Option<String>,
    addresses: Vec<Address>,
}

/// A flag with an address.
#[derive(Clone)]
struct Address {
    assignment: Assignment,
    /// The broker that it implies.
    kind: &'static str,
}

impl BrokerFlags {
    /// The settings that the given flags stand for; an address names the broker too.
    pub(super) fn settings(&self) -> Vec<Assignment> {
        let kind = |origin: &str, value: &str| Assignment {
            origin: origin.to_owned(),
            key: KIND_SETTING.to_owned(),
            value: value.to_owned(),
        };
        let given = self.kind.as_ref().map(|name| kind(&format!("flag --{KIND}"), name));
        let implied = match &self.addresses[..] {
            [only] if given.is_none() => Some(kind(&only.assignment.origin, only.kind)),
            _ => None,
        };
        let addresses = self.addresses.iter().map(|address| address.assignment.clone());
        given.into_iter().chain(addresses).chain(implied).collect()
    }
}

impl Args for BrokerFlags {
    fn augment_args(command: Command) -> Command {
        let names: Vec<&str> = broker::kind_names().map(|known| known.name).collect();
        let (last, first) = names.split_last().expect("there are brokers");
        let first = first.join(", ").replacen("embedded", "embedded (a log in this process)", 1);
        let kind = flag(KIND, "KIND", format!("Broker: {first} or {last}"));
        let addresses = broker::addresses().map(|(profile, address)| {
            let help = format!("{}; implies --{KIND} {}", address.about, profile.name());
            flag(address.flag, "HOST:PORT", help)
        });
        command.args([kind].into_iter().chain(addresses))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(name: &'static str, value: &'static str, help: String) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .help(help)
        .allow_hyphen_values(true)
        .help_heading("Broker")
}

impl FromArgMatches for BrokerFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name: &str| matches.get_one::<String>(name).cloned();
        let addresses = broker::addresses().filter_map(|(profile, address)| {
            let origin = format!("flag --{}", address.flag);
            let value = given(address.flag)?;
            let assignment = Assignment { origin, key: address.key.to_owned(), value };
            Some(Address { assignment, kind: profile.name() })
        });
        Ok(Self { kind: given(KIND), addresses: addresses.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The broker, which has just answered.
pub(super) fn connect(
    resolved: &ResolvedSettings,
    clock: SharedClock,
) -> Result<Arc<dyn Broker>, CliError> {
    let broker = resolved.open_broker(clock)?;
    broker.describe().map_err(|error| CliError::Unreachable(error.message))?;
    Ok(broker)
}
