//! Makes ready what a run stands on: its topics, then its ports.

use std::sync::Arc;

use crate::ports::{BrokerDescription, EventReader, EventWriter, PortError, StartAt, WriterRole};
use crate::run::abandonment::Abandonment;
use crate::run::plan::RunPlan;
use crate::run::topics::{prepare_events_topic, prepare_results_topic};
use crate::workload::campaigns::Campaigns;
use crate::workload::mode::{Aggregate, Follow, Mode};
use crate::workload::spec::RunSpec;

/// The ports of a run's stages, made and connected, and the workload as the topics' real shape
/// completes it.
pub(crate) struct RunBasis {
    /// The workload, with the topics' real partition count.
    pub spec: Arc<RunSpec>,
    /// The broker of the events.
    pub broker: BrokerDescription,
    /// The ports of the stages.
    pub ports: StagePorts,
}

/// The ports of the stages that a mode has.
pub(crate) enum StagePorts {
    /// The ports of a whole run.
    Run {
        /// Reads the results back.
        results: Box<dyn EventReader>,
        /// Writes them.
        writer: ResultPort,
        /// Each aggregator's.
        aggregators: Vec<AggregatorPort>,
        /// The producers'.
        producers: ProducerPorts,
    },
    /// The ports of producers alone.
    Produce(ProducerPorts),
    /// The ports of aggregators and result writer alone.
    Aggregate {
        /// How the events topic is read.
        aggregate: Aggregate,
        /// Writes the results.
        writer: ResultPort,
        /// Each aggregator's.
        aggregators: Vec<AggregatorPort>,
    },
    /// The port of the latency actor alone.
    Latency {
        /// How the results topic is read.
        follow: Follow,
        /// Reads it.
        results: Box<dyn EventReader>,
        /// Its partitions.
        partitions: u32,
    },
}

/// The result writer's port, and the partitions of its topic.
pub(crate) struct ResultPort {
    /// Writes to the results topic.
    pub writer: Box<dyn EventWriter>,
    /// The topic's partitions.
    pub partitions: u32,
}

/// An aggregator's port, and the partitions that it owns.
pub(crate) struct AggregatorPort {
    /// Partitions of the events topic.
    pub owned: Vec<u32>,
    /// Reads them.
    pub reader: Box<dyn EventReader>,
}

/// The producers' ports, and the campaigns that they all draw from.
pub(crate) struct ProducerPorts {
    /// The campaigns and their ads.
    pub campaigns: Arc<Campaigns>,
    /// A writer for each producer.
    pub writers: Vec<Box<dyn EventWriter>>,
}

/// Makes a run's topics and connects its ports: downstream first, so that every reader starts
/// before what it reads is written. Blocks; call it on a thread of its own.
///
/// # Errors
/// [`PortError`]: the broker cannot be reached, a topic is missing or is not fit for its purpose,
/// or the run is wanted no more.
pub(crate) fn prepare(plan: &RunPlan, abandonment: &Abandonment) -> Result<RunBasis, PortError> {
    let mut spec = plan.spec.clone();
    let description = plan.events_broker.describe()?;
    let is_one = Arc::ptr_eq(&plan.events_broker, &plan.results_broker);
    spec.log_append_time = if is_one {
        description.log_append_time
    } else {
        plan.results_broker.describe()?.log_append_time
    };
    let needs_events = plan.mode.produces() || plan.mode.writes_results();
    abandonment.check()?;
    abandonment.makes_topics();
    if needs_events {
        spec.topics.partitions = prepare_events_topic(plan, &mut *plan.events_broker.admin()?)?;
        spec.aggregator.count = spec.aggregator.count.min(spec.topics.partitions);
    }
    abandonment.check()?;
    let mut result_partitions = 1;
    if plan.mode.writes_results() || !needs_events {
        result_partitions =
            prepare_results_topic(plan, &mut *plan.results_broker.admin()?, spec.log_append_time)?;
    }
    let spec = Arc::new(spec);
    let ports = Connector { plan, abandonment, spec: &spec, result_partitions }.connect()?;
    Ok(RunBasis { broker: description, ports, spec })
}

/// Connects the ports of one run.
struct Connector<'a> {
    plan: &'a RunPlan,
    abandonment: &'a Abandonment,
    spec: &'a RunSpec,
    result_partitions: u32,
}

impl Connector<'_> {
    fn connect(&self) -> Result<StagePorts, PortError> {
        let plan = self.plan;
        let start = |is_new: bool| if is_new { StartAt::Earliest } else { StartAt::Latest };
        Ok(match plan.mode {
            Mode::Run => StagePorts::Run {
                results: self.results_from(start(plan.create_results_topic))?,
                writer: self.result_writer()?,
                aggregators: self.aggregators(start(plan.create_events_topic))?,
                producers: self.producers()?,
            },
            Mode::Produce => StagePorts::Produce(self.producers()?),
            Mode::Aggregate(aggregate) => StagePorts::Aggregate {
                aggregate,
                writer: self.result_writer()?,
                aggregators: self.aggregators(aggregate.follow.from)?,
            },
            Mode::Latency(follow) => StagePorts::Latency {
                follow,
                results: self.results_from(follow.from)?,
                partitions: self.result_partitions,
            },
        })
    }

    fn results_from(&self, start: StartAt) -> Result<Box<dyn EventReader>, PortError> {
        self.abandonment.check()?;
        let from: Vec<_> = (0..self.result_partitions).map(|id| (id, start)).collect();
        self.plan.results_broker.reader(&self.spec.topics.results, &from)
    }

    fn result_writer(&self) -> Result<ResultPort, PortError> {
        self.abandonment.check()?;
        let writer =
            self.plan.results_broker.writer(&self.spec.topics.results, WriterRole::Results)?;
        Ok(ResultPort { writer, partitions: self.result_partitions })
    }

    fn aggregators(&self, start: StartAt) -> Result<Vec<AggregatorPort>, PortError> {
        let Self { spec, plan, .. } = self;
        let port = |id: u32| {
            self.abandonment.check()?;
            let owned: Vec<u32> =
                (id..spec.topics.partitions).step_by(spec.aggregator.count as usize).collect();
            let from: Vec<_> = owned.iter().map(|&partition| (partition, start)).collect();
            Ok(AggregatorPort {
                owned,
                reader: plan.events_broker.reader(&spec.topics.events, &from)?,
            })
        };
        (0..spec.aggregator.count).map(port).collect()
    }

    fn producers(&self) -> Result<ProducerPorts, PortError> {
        let Self { spec, plan, .. } = self;
        self.abandonment.check()?;
        let campaigns = Campaigns::derive(
            spec.workload.seed,
            spec.workload.campaigns,
            spec.workload.ads_per_campaign,
            spec.workload.zipf(),
        );
        self.abandonment.check()?;
        let writers = plan.events_broker.writers(
            &spec.topics.events,
            WriterRole::Events,
            spec.workload.producers,
        )?;
        Ok(ProducerPorts { campaigns: Arc::new(campaigns), writers })
    }
}
