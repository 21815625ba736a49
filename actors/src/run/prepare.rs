//! Makes ready what a run stands on: its topics, then its ports.

use std::sync::Arc;

use crate::latency::LatencyTask;
use crate::ports::{BrokerDescription, EventReader, EventWriter, PortError, StartAt, WriterRole};
use crate::run::plan::RunPlan;
use crate::run::topics::{prepare_events_topic, prepare_results_topic};
use crate::workload::campaigns::Campaigns;
use crate::workload::mode::Mode;
use crate::workload::spec::RunSpec;

/// The ports of a run's stages, made and connected, and the workload as the topics' real shape
/// completes it.
pub struct Prepared {
    /// The workload, with the topics' real partition count.
    pub spec: Arc<RunSpec>,
    /// The broker of the events.
    pub broker: BrokerDescription,
    pub(crate) producers: Vec<Box<dyn EventWriter>>,
    pub(crate) campaigns: Option<Arc<Campaigns>>,
    pub(crate) aggregators: Vec<(Vec<u32>, Box<dyn EventReader>)>,
    pub(crate) result_writer: Option<(Box<dyn EventWriter>, u32)>,
    pub(crate) latency: Option<LatencyTask>,
}

/// Makes a run's topics and connects its ports: downstream first, so that every reader starts
/// before what it reads is written. Blocks; call it on a thread of its own.
///
/// # Errors
/// [`PortError`]: the broker cannot be reached, a topic is missing or is not fit for its purpose.
pub fn prepare(plan: &RunPlan) -> Result<Prepared, PortError> {
    let mut spec = plan.spec.clone();
    let description = plan.events_broker.describe()?;
    let is_one = Arc::ptr_eq(&plan.events_broker, &plan.results_broker);
    spec.log_append_time = if is_one {
        description.log_append_time
    } else {
        plan.results_broker.describe()?.log_append_time
    };
    let needs_events = plan.mode.produces() || plan.mode.writes_results();
    if needs_events {
        spec.topics.partitions = prepare_events_topic(plan, &mut *plan.events_broker.admin()?)?;
        spec.aggregator.count = spec.aggregator.count.min(spec.topics.partitions);
    }
    let mut result_partitions = 1;
    if plan.mode.writes_results() || !needs_events {
        result_partitions =
            prepare_results_topic(plan, &mut *plan.results_broker.admin()?, spec.log_append_time)?;
    }
    let spec = Arc::new(spec);
    let mut prepared = Prepared {
        broker: description,
        producers: Vec::new(),
        campaigns: None,
        aggregators: Vec::new(),
        result_writer: None,
        latency: None,
        spec: Arc::clone(&spec),
    };
    let (events, results) = (&*plan.events_broker, &*plan.results_broker);
    let results_from = |start| (0..result_partitions).map(|p| (p, start)).collect::<Vec<_>>();
    match plan.mode {
        Mode::Run => {
            let start = if plan.create_results_topic { StartAt::Earliest } else { StartAt::Latest };
            prepared.latency = Some(LatencyTask::Audit(
                results.reader(&spec.topics.results, &results_from(start))?,
            ));
        }
        Mode::Produce => prepared.latency = Some(LatencyTask::KeepTruth),
        Mode::Latency(follow) => {
            let reader = results.reader(&spec.topics.results, &results_from(follow.from))?;
            prepared.latency =
                Some(LatencyTask::Judge(reader, result_partitions, follow, plan.truth.clone()));
        }
        Mode::Aggregate(_) => {}
    }
    if plan.mode.writes_results() {
        let writer = results.writer(&spec.topics.results, WriterRole::Results)?;
        prepared.result_writer = Some((writer, result_partitions));
        let start = match plan.mode {
            Mode::Aggregate(aggregate) => aggregate.follow.from,
            _ if plan.create_events_topic => StartAt::Earliest,
            _ => StartAt::Latest,
        };
        for id in 0..spec.aggregator.count {
            let owned: Vec<u32> =
                (id..spec.topics.partitions).step_by(spec.aggregator.count as usize).collect();
            let from: Vec<_> = owned.iter().map(|&partition| (partition, start)).collect();
            prepared.aggregators.push((owned, events.reader(&spec.topics.events, &from)?));
        }
    }
    if plan.mode.produces() {
        let campaigns = Campaigns::derive(
            spec.workload.seed,
            spec.workload.campaigns,
            spec.workload.ads_per_campaign,
            spec.workload.zipf(),
        );
        prepared.campaigns = Some(Arc::new(campaigns));
        for _ in 0..spec.workload.producers {
            prepared.producers.push(events.writer(&spec.topics.events, WriterRole::Events)?);
        }
    }
    Ok(prepared)
}
