//! The topics of a run: made, found, and deleted.

use crate::ports::{PortError, StampedBy, TopicAdmin, TopicDescription, TopicSpec};
use crate::run::plan::RunPlan;

/// Makes the events topic, or finds it; gives its partitions.
///
/// # Errors
/// [`PortError`]: it cannot be made, or is missing.
pub(crate) fn prepare_events_topic(
    plan: &RunPlan,
    admin: &mut dyn TopicAdmin,
) -> Result<u32, PortError> {
    let spec = &plan.spec;
    if plan.create_events_topic {
        admin.create(&TopicSpec {
            name: spec.topics.events.clone(),
            partitions: spec.topics.partitions,
            replication: spec.topics.replication,
            stamped_by: StampedBy::Client,
            retention_bytes: plan.events_retention_bytes,
        })?;
        return Ok(spec.topics.partitions);
    }
    Ok(existing_topic(admin, &spec.topics.events, "--events-topic")?.partitions.len() as u32)
}

/// Makes the results topic, or finds it fit for its purpose; gives its partitions.
///
/// # Errors
/// [`PortError`]: it cannot be made, is missing, or does not stamp its records.
pub(crate) fn prepare_results_topic(
    plan: &RunPlan,
    admin: &mut dyn TopicAdmin,
    log_stamps: bool,
) -> Result<u32, PortError> {
    let spec = &plan.spec;
    if plan.create_results_topic {
        admin.create(&TopicSpec {
            name: spec.topics.results.clone(),
            partitions: 1,
            replication: spec.topics.replication,
            stamped_by: if log_stamps { StampedBy::Log } else { StampedBy::Client },
            retention_bytes: None,
        })?;
        return Ok(1);
    }
    let topic = existing_topic(admin, &spec.topics.results, "--results-topic")?;
    if topic.stamped_by == StampedBy::Log || !log_stamps {
        return Ok(topic.partitions.len() as u32);
    }
    Err(PortError::fatal(format!(
        "topic `{}` does not stamp its records with the insertion time, so result_latency cannot \
         be measured; set message.timestamp.type=LogAppendTime on it (kafka-configs --alter \
         --entity-type topics --entity-name {} --add-config message.timestamp.type=LogAppendTime)",
        spec.topics.results, spec.topics.results
    )))
}

fn existing_topic(
    admin: &mut dyn TopicAdmin,
    name: &str,
    flag: &str,
) -> Result<TopicDescription, PortError> {
    admin.describe(name)?.ok_or_else(|| {
        PortError::fatal(format!(
            "there is no topic `{name}`: create it (`streamgauge topics create {flag} {name}`), or \
             leave the topic's name out to have one made for the run"
        ))
    })
}

/// Deletes the topics that were made for a run.
///
/// # Errors
/// [`PortError`] of the first deletion that failed; the others were tried all the same.
pub(crate) fn delete_topics(plan: &RunPlan) -> Result<(), PortError> {
    let topics = &plan.spec.topics;
    let made = [
        (plan.create_events_topic, &plan.events_broker, &[&topics.events, &topics.malformed][..]),
        (plan.create_results_topic, &plan.results_broker, &[&topics.results]),
    ];
    let mut outcome = Ok(());
    for (_, broker, topics) in made.into_iter().filter(|(made, ..)| *made && !plan.keep_topics) {
        let mut admin = broker.admin()?;
        for topic in topics {
            let deleted = match admin.describe(topic) {
                Ok(Some(_)) => admin.delete(topic),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            outcome = outcome.and(deleted);
        }
    }
    outcome
}
