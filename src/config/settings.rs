//! Every setting, and the run that settings describe.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use streamgauge_actors::{
    AggregatorSection, Checks, InputSection, ResultWriterSection, RunSpec, RunTopics, Span,
    SupervisorSection, WorkloadSection,
};

use super::history::HistorySection;
use super::log::LogSection;
use super::matrix::MatrixSection;
use super::problem::{ConfigError, SettingProblem, located};
use super::run_id::run_tag;
use super::schedule::ScheduleSection;
use super::server::ServerSection;
use super::threshold::Threshold;
use super::thresholds::{EXPRESSIONS, ThresholdsSection, refusal};
use super::topics::TopicsSection;
use crate::broker::BrokerSection;

/// Every setting, resolved.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the events go.
    pub broker: BrokerSection,
    /// Names and shape of the topics.
    pub topics: TopicsSection,
    /// What is produced.
    pub workload: WorkloadSection,
    /// How it is aggregated.
    pub aggregator: AggregatorSection,
    /// How results are written.
    pub result_writer: ResultWriterSection,
    /// What records of others may look like.
    pub input: InputSection,
    /// When a run is given up.
    pub supervisor: SupervisorSection,
    /// What a run must satisfy.
    pub thresholds: ThresholdsSection,
    /// Where the daemon listens.
    pub server: ServerSection,
    /// What `matrix` varies.
    pub matrix: MatrixSection,
    /// When the daemon starts runs by itself.
    pub schedule: ScheduleSection,
    /// How long runs are kept.
    pub history: HistorySection,
    /// What is logged.
    pub log: LogSection,
}

impl Settings {
    /// Checks what types alone cannot. `origins`: where each key was set, as far as known.
    ///
    /// # Errors
    /// [`ConfigError`]: everything that cannot be.
    pub(super) fn check(&self, origins: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        let mut checks = Checks::default();
        self.topics.check(&mut checks);
        self.workload.check(&mut checks);
        self.aggregator.check(&mut checks);
        self.result_writer.check(&mut checks);
        self.input.check(&mut checks);
        self.supervisor.check(&mut checks);
        self.log.check(&mut checks);
        self.broker.check(&self.wanted(), &mut checks);
        self.thresholds.check(&mut checks);
        self.matrix.check(&mut checks);
        self.server.check(&mut checks);
        self.schedule.check(&mut checks);
        self.history.check(&mut checks);
        let problems: Vec<SettingProblem> =
            checks.into_errors().into_iter().map(|error| located(error, origins)).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }

    /// What a run's report must satisfy.
    ///
    /// # Errors
    /// [`ConfigError`] when an expression cannot be read; [`Layers::load`] has checked it before.
    pub fn thresholds(&self) -> Result<Vec<Threshold>, ConfigError> {
        let refused =
            |message: String| ConfigError::one("settings", EXPRESSIONS, refusal(&message));
        let expressions = self.thresholds.expressions.iter();
        expressions.map(|text| Threshold::parse(text).map_err(refused)).collect()
    }

    /// The run that these settings describe. Topics without a name of their own are named after the
    /// run.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting is impossible; [`Layers::load`] has checked it before.
    pub fn run_spec(&self, run_id: &str) -> Result<RunSpec, ConfigError> {
        self.check(&BTreeMap::new())?;
        let Self { topics, workload, aggregator, .. } = self;
        let topic = |named: &str, what: &str| {
            if named.is_empty() { self.own_topic(&[run_id, what]) } else { named.to_owned() }
        };
        let events = topic(&topics.events, "events");
        let separator = self.broker.kind.profile().topic_separator;
        Ok(RunSpec {
            run_id: run_id.to_owned(),
            run_tag: run_tag(run_id),
            workload: WorkloadSection {
                warmup: Span::from_nanos(workload.warmup_ns()),
                ..workload.clone()
            },
            aggregator: AggregatorSection {
                count: self.aggregators(cores()),
                ..aggregator.clone()
            },
            result_writer: self.result_writer.clone(),
            input: self.input.clone(),
            supervisor: self.supervisor.clone(),
            topics: RunTopics {
                malformed: format!("{events}{separator}malformed"),
                events,
                results: topic(&topics.results, "results"),
                partitions: topics.partitions,
                replication: topics.replication,
            },
            // Known once the broker is reached.
            log_append_time: true,
        })
    }

    /// The name of a topic of the program's own: the prefix, then the parts.
    pub fn own_topic(&self, parts: &[&str]) -> String {
        let separator = self.broker.kind.profile().topic_separator.to_string();
        [&[self.topics.prefix.as_str()], parts].concat().join(&separator)
    }

    /// How many aggregators there will be: at least 1, at most one per partition of a topic made
    /// for the run. (A topic that is there already may have more.)
    pub(super) fn aggregators(&self, cores: u32) -> u32 {
        let wanted = if self.aggregator.count == 0 { cores } else { self.aggregator.count };
        let most = if self.topics.events.is_empty() { self.topics.partitions } else { u32::MAX };
        wanted.clamp(1, most)
    }
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}
