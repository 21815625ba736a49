//! Makes ready what a run stands on: its topics, then its ports.

use std::sync::Arc;

use crate::ports::{
    Broker, BrokerDescription, EventReader, EventWriter, PortError, StartAt, WriterRole,
};
use crate::run::plan::RunPlan;
use crate::run::topics::{prepare_events_topic, prepare_results_topic};
use crate::workload::campaigns::Campaigns;
use crate::workload::mode::{Aggregate, Follow, Mode};
use crate::workload::spec::RunSpec;

/// The ports of a run's stages, made and connected, and the workload as the topics' real shape
/// completes it.
pub struct RunBasis {
    /// The workload, with the topics' real partition count.
    pub spec: Arc<RunSpec>,
    /// The broker.
    pub broker: BrokerDescription,
    /// The ports of the stages.
    pub ports: StagePorts,
}

/// The ports of the stages that a mode has.
pub enum StagePorts {
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
pub struct ResultPort {
    /// Writes to the results topic.
    pub writer: Box<dyn EventWriter>,
    /// The topic's partitions.
    pub partitions: u32,
}

/// An aggregator's port, and the partitions that it owns.
pub struct AggregatorPort {
    /// Partitions of the events topic.
    pub owned: Vec<u32>,
    /// Reads them.
    pub reader: Box<dyn EventReader>,
}

/// The producers' ports, and the campaigns that they all draw from.
pub struct ProducerPorts {
    /// The campaigns and their ads.
    pub campaigns: Arc<Campaigns>,
    /// A writer for each producer.
    pub writers: Vec<Box<dyn EventWriter>>,
}

/// Makes a run's topics and connects its ports: downstream first, so that every reader starts
/// before what it reads is written. Blocks; call it on a thread of its own.
///
/// # Errors
/// [`PortError`]: the broker cannot be reached, a topic is missing or is not fit for its purpose.
pub fn prepare(plan: &RunPlan) -> Result<RunBasis, PortError> {
    let mut spec = plan.spec.clone();
    let description = plan.broker.describe()?;
    spec.log_append_time = description.log_append_time;
    let mut admin = plan.broker.admin()?;
    let needs_events = plan.mode.produces() || plan.mode.writes_results();
    if needs_events {
        spec.partitions = prepare_events_topic(plan, &mut *admin)?;
        spec.aggregators = spec.aggregators.min(spec.partitions);
    }
    let mut result_partitions = 1;
    if plan.mode.writes_results() || !needs_events {
        result_partitions = prepare_results_topic(plan, &mut *admin, spec.log_append_time)?;
    }
    let spec = Arc::new(spec);
    let ports =
        Connector { broker: &*plan.broker, spec: &spec, result_partitions }.connect(plan)?;
    Ok(RunBasis { broker: description, ports, spec })
}

/// Connects the ports of one run.
struct Connector<'a> {
    broker: &'a dyn Broker,
    spec: &'a RunSpec,
    result_partitions: u32,
}

impl Connector<'_> {
    fn connect(&self, plan: &RunPlan) -> Result<StagePorts, PortError> {
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
        let from: Vec<_> = (0..self.result_partitions).map(|id| (id, start)).collect();
        self.broker.reader(&self.spec.results_topic, &from)
    }

    fn result_writer(&self) -> Result<ResultPort, PortError> {
        let writer = self.broker.writer(&self.spec.results_topic, WriterRole::Results)?;
        Ok(ResultPort { writer, partitions: self.result_partitions })
    }

    fn aggregators(&self, start: StartAt) -> Result<Vec<AggregatorPort>, PortError> {
        let Self { spec, broker, .. } = self;
        let port = |id: u32| {
            let owned: Vec<u32> =
                (id..spec.partitions).step_by(spec.aggregators as usize).collect();
            let from: Vec<_> = owned.iter().map(|&partition| (partition, start)).collect();
            Ok(AggregatorPort { owned, reader: broker.reader(&spec.events_topic, &from)? })
        };
        (0..spec.aggregators).map(port).collect()
    }

    fn producers(&self) -> Result<ProducerPorts, PortError> {
        let Self { spec, broker, .. } = self;
        let campaigns =
            Campaigns::derive(spec.seed, spec.campaigns, spec.ads_per_campaign, spec.zipf_exponent);
        let writer = |_| broker.writer(&spec.events_topic, WriterRole::Events);
        let writers = (0..spec.producers).map(writer).collect::<Result<_, _>>()?;
        Ok(ProducerPorts { campaigns: Arc::new(campaigns), writers })
    }
}
