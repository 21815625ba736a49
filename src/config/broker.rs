//! What the settings make of the broker: its ports, and what is said of it.

use std::path::PathBuf;
use std::sync::Arc;

use streamgauge_actors::{Broker, SharedClock};

use super::problem::ConfigError;
use super::resolved::ResolvedSettings;
use super::settings::Settings;
use crate::broker::topics::{MadeFor, OwnTopics};
use crate::broker::{BrokerNeeds, Remark};

impl Settings {
    /// What settings outside of `[broker]` ask of it.
    pub fn wanted(&self) -> BrokerNeeds<'_> {
        BrokerNeeds {
            kind: self.broker.kind.name(),
            prefix: &self.topics.prefix,
            events_topic: &self.topics.events,
            results_topic: &self.topics.results,
            replication: self.topics.replication,
            group: &self.aggregator.group,
        }
    }

    /// The same broker, with every topic that is made recorded in `folder`, and all others safe
    /// from deletion.
    pub fn guard(
        &self,
        broker: Arc<dyn Broker>,
        folder: PathBuf,
        made_for: Option<MadeFor>,
    ) -> Arc<dyn Broker> {
        let guarded = self.own_topics(Arc::clone(&broker), folder, made_for);
        guarded.map_or(broker, |guarded| Arc::new(guarded))
    }

    /// That broker, if its topics outlive the process.
    pub fn own_topics(
        &self,
        broker: Arc<dyn Broker>,
        folder: PathBuf,
        made_for: Option<MadeFor>,
    ) -> Option<OwnTopics> {
        self.broker.own_topics(broker, folder, &self.topics.prefix, made_for)
    }
}

impl ResolvedSettings {
    /// Makes the ports of the broker; connects to nothing yet. The embedded log takes insertion
    /// times from `clock`.
    ///
    /// # Errors
    /// [`ConfigError`]: the adapter refuses its settings.
    pub fn open_broker(&self, clock: SharedClock) -> Result<Arc<dyn Broker>, ConfigError> {
        let Settings { broker, .. } = &self.settings;
        broker.open(&self.settings.wanted(), clock).map_err(|error| self.located(error))
    }

    /// What is to be said of the broker besides its description, for `doctor`; changes nothing.
    ///
    /// # Errors
    /// [`ConfigError`]: the adapter refuses its settings.
    pub fn examine_broker(&self) -> Result<Vec<Remark>, ConfigError> {
        let Settings { broker, .. } = &self.settings;
        broker.examine(&self.settings.wanted()).map_err(|error| self.located(error))
    }
}
