//! `streamgauge topics`: creates, lists, describes and clears the program's own topics.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;
use streamgauge_actors::{
    Broker as _, PortError, StampedBy, TopicAdmin, TopicDescription, TopicSpec,
};

use super::broker::BrokerFlags;
use super::error::{CliError, CliResult};
use super::flags::{EventsTopicFlag, ResultsTopicFlag, TopicShapeFlags};
use super::output::{self, OutputArgs, Row};
use super::say::say;
use super::session::Session;
use crate::broker;
use crate::broker::topics::{ClusterIdentity, OwnTopic, OwnTopics, TopicRecord, Usage, has_prefix};
use crate::config::{ResolvedSettings, Settings};

/// Create, list, describe and clear the program's own topics
#[derive(Args)]
pub(super) struct TopicsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create an events topic and a results topic
    Create {
        #[command(flatten)]
        broker: BrokerFlags,
        #[command(flatten)]
        events: EventsTopicFlag,
        #[command(flatten)]
        results: ResultsTopicFlag,
        #[command(flatten)]
        shape: TopicShapeFlags,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Empty own topics: they stay, their records go; what a killed run left is deleted
    Clear {
        /// Own topics; all of them if none is named
        topics: Vec<String>,
        #[command(flatten)]
        broker: BrokerFlags,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Describe own topics: partitions, replicas, records
    Describe {
        /// Own topics; all of them if none is named
        topics: Vec<String>,
        #[command(flatten)]
        broker: BrokerFlags,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List own topics
    List {
        #[command(flatten)]
        broker: BrokerFlags,
        #[command(flatten)]
        output: OutputArgs,
    },
}

pub(super) fn run(session: &Session, args: &TopicsArgs) -> CliResult {
    match &args.command {
        Command::Create { broker, events, results, shape, output } => {
            let flags = [
                broker.settings(),
                events.assignments(),
                results.assignments(),
                shape.assignments(),
            ]
            .concat();
            let mut desk = Desk::open(session, &session.settings(None, flags)?)?;
            create(&mut desk, output)?;
        }
        Command::Clear { topics, broker, yes } => {
            let mut desk = Desk::open(session, &session.settings(None, broker.settings())?)?;
            clear(&mut desk, topics, *yes)?;
        }
        Command::Describe { topics, broker, output } => {
            let mut desk = Desk::open(session, &session.settings(None, broker.settings())?)?;
            let mut rows = Vec::new();
            for own in desk.chosen(topics)? {
                if let Some(found) = desk.described(&own)? {
                    rows.extend(partition_rows(&found));
                }
            }
            output::list(&rows, output.output)?;
        }
        Command::List { broker, output } => {
            let mut desk = Desk::open(session, &session.settings(None, broker.settings())?)?;
            let mut rows = Vec::new();
            for own in desk.chosen(&[])? {
                if let Some(found) = desk.described(&own)? {
                    rows.push(TopicRow::new(&own, &found));
                }
            }
            output::list(&rows, output.output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the commands work with.
struct Desk {
    settings: Settings,
    cluster: ClusterIdentity,
    record: TopicRecord,
    own: OwnTopics,
    admin: Box<dyn TopicAdmin>,
}

impl Desk {
    fn open(session: &Session, resolved: &ResolvedSettings) -> Result<Self, CliError> {
        let settings = resolved.settings.clone();
        let folder = session.state_folder();
        let broker = resolved.open_broker(session.clock.clone())?;
        let Some(own) = settings.own_topics(broker, folder.clone(), None) else {
            return Err(CliError::Usage(format!(
                "the embedded log lives only inside a run, and its topics with it: name a broker, \
                 as {}",
                broker::example_flags()
            )));
        };
        let cluster = own.cluster().map_err(|error| CliError::Unreachable(error.message))?;
        let admin = own.admin().map_err(|error| failed(&error))?;
        Ok(Self { settings, cluster, record: TopicRecord::in_folder(folder), own, admin })
    }

    /// The own topics of these names, or all of them.
    fn chosen(&self, names: &[String]) -> Result<Vec<OwnTopic>, CliError> {
        let mut own = self.record.of_cluster(&self.cluster)?;
        if let Some(foreign) = names.iter().find(|name| !own.iter().any(|own| own.name == **name)) {
            return Err(CliError::Usage(format!(
                "`{foreign}` is no topic that this program created on {}: `streamgauge topics \
                 list` shows those",
                self.cluster.address
            )));
        }
        own.retain(|own| names.is_empty() || names.contains(&own.name));
        Ok(own)
    }

    /// Describes an own topic; one that is gone is forgotten.
    fn described(&mut self, topic: &OwnTopic) -> Result<Option<TopicDescription>, CliError> {
        let found = self.admin.describe(&topic.name).map_err(|error| failed(&error))?;
        if found.is_none() {
            self.own.forget_missing(topic);
        }
        Ok(found)
    }

    /// Why `clear` leaves a topic alone, if it does.
    fn reason_to_keep(&self, topic: &OwnTopic, is_named: bool) -> Result<Option<String>, CliError> {
        let prefix = &self.settings.topics.prefix;
        if !has_prefix(&topic.name, prefix) {
            return Ok(Some(format!("it does not begin with `{prefix}.` (`topics.prefix`)")));
        }
        Ok(match self.record.usage(topic)? {
            Usage::Over => None,
            Usage::Living => Some("a run uses it: wait for its end, or stop it".to_owned()),
            Usage::Unproven(_) if is_named => None,
            Usage::Unproven(why) => {
                Some(format!("{why}; if no run uses it, name it: `streamgauge topics clear NAME`"))
            }
        })
    }
}

fn failed(error: &PortError) -> CliError {
    CliError::Runtime(anyhow::anyhow!("{}", error.message))
}

fn create(desk: &mut Desk, output: &OutputArgs) -> Result<(), CliError> {
    let topics = desk.settings.topics.clone();
    let name = |named: &str, what: &str| {
        if named.is_empty() { desk.settings.own_topic(&[what]) } else { named.to_owned() }
    };
    let retention_bytes = Some(topics.retention_bytes.0).filter(|&bytes| bytes > 0);
    let spec = |name: String, stamped_by, retention_bytes| TopicSpec {
        name,
        partitions: topics.partitions,
        replication: topics.replication,
        stamped_by,
        retention_bytes,
    };
    // Stamped as a run's own topics are: only a result's insertion time is measured.
    let specs = [
        spec(name(&topics.events, "events"), StampedBy::Client, retention_bytes),
        spec(name(&topics.results, "results"), StampedBy::Log, None),
    ];
    // Both or neither.
    for spec in &specs {
        if desk.admin.describe(&spec.name).map_err(|error| failed(&error))?.is_some() {
            return Err(CliError::Runtime(anyhow::anyhow!(
                "topic `{}` exists already: nothing was created",
                spec.name
            )));
        }
    }
    let prefix = topics.prefix.clone();
    let mut rows = Vec::new();
    for spec in specs {
        desk.admin.create(&spec).map_err(|error| failed(&error))?;
        if !has_prefix(&spec.name, &prefix) {
            say!(
                "note: `{}` does not begin with `{prefix}.`, so `topics clear` will leave it alone",
                spec.name
            );
        }
        for own in desk.chosen(std::slice::from_ref(&spec.name))? {
            rows.extend(desk.described(&own)?.map(|found| TopicRow::new(&own, &found)));
        }
    }
    output::list(&rows, output.output)
}

fn clear(desk: &mut Desk, names: &[String], yes: bool) -> Result<(), CliError> {
    let (mut topics, mut left_alone) = (Vec::new(), 0);
    for own in desk.chosen(names)? {
        if desk.described(&own)?.is_none() {
            continue;
        }
        match desk.reason_to_keep(&own, !names.is_empty())? {
            Some(reason) => {
                left_alone += 1;
                say!("left alone: `{}`: {reason}", own.name);
            }
            None => topics.push(own),
        }
    }
    if topics.is_empty() {
        say!("nothing to clear");
    } else {
        clear_all(desk, &topics, yes)?;
    }
    // What was named was to be cleared.
    if names.is_empty() || left_alone == 0 {
        Ok(())
    } else {
        Err(CliError::Runtime(anyhow::anyhow!("{left_alone} of the named topics left alone")))
    }
}

fn clear_all(desk: &mut Desk, topics: &[OwnTopic], yes: bool) -> Result<(), CliError> {
    if !yes && !confirmed(topics, &desk.cluster.address)? {
        return Err(CliError::Runtime(anyhow::anyhow!("nothing was cleared")));
    }
    for own in topics {
        let done = if own.run_id.is_some() {
            desk.admin.delete(&own.name).map(|()| "deleted")
        } else {
            desk.admin.truncate(&own.name).map(|()| "emptied")
        };
        say!("{}: `{}`", done.map_err(|error| failed(&error))?, own.name);
    }
    Ok(())
}

fn confirmed(topics: &[OwnTopic], address: &str) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "there is no terminal to ask on: add --yes to clear the topics".to_owned(),
        ));
    }
    say!("On {address}:");
    for own in topics {
        say!("  {} `{}`", if own.run_id.is_some() { "delete" } else { "empty " }, own.name);
    }
    // Nobody agrees to what could not be asked.
    let mut stderr = io::stderr().lock();
    write!(stderr, "Go on? [y/N] ").and_then(|()| stderr.flush())?;
    drop(stderr);
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[derive(Serialize)]
struct TopicRow {
    topic: String,
    partitions: usize,
    replication: u16,
    records: u64,
    run_id: Option<String>,
    created_at_ms: i64,
}

impl TopicRow {
    fn new(own: &OwnTopic, found: &TopicDescription) -> Self {
        Self {
            topic: own.name.clone(),
            partitions: found.partitions.len(),
            replication: found.replication,
            records: found.partitions.iter().map(|range| range.end - range.first).sum(),
            run_id: own.run_id.clone(),
            created_at_ms: own.created_at_ms,
        }
    }
}

impl Row for TopicRow {
    const TITLES: &'static [&'static str] =
        &["topic", "partitions", "replication", "records", "run"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.topic.clone(),
            self.partitions.to_string(),
            self.replication.to_string(),
            self.records.to_string(),
            self.run_id.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

#[derive(Serialize)]
struct PartitionRow {
    topic: String,
    partition: usize,
    replication: u16,
    stamped_by: &'static str,
    first_offset: u64,
    end_offset: u64,
    records: u64,
}

fn partition_rows(found: &TopicDescription) -> impl Iterator<Item = PartitionRow> + '_ {
    found.partitions.iter().enumerate().map(|(partition, range)| PartitionRow {
        topic: found.name.clone(),
        partition,
        replication: found.replication,
        stamped_by: match found.stamped_by {
            StampedBy::Log => "log",
            StampedBy::Client => "client",
        },
        first_offset: range.first,
        end_offset: range.end,
        records: range.end - range.first,
    })
}

impl Row for PartitionRow {
    const TITLES: &'static [&'static str] = &[
        "topic",
        "partition",
        "replication",
        "stamped by",
        "first offset",
        "end offset",
        "records",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            self.replication.to_string(),
            self.stamped_by.to_owned(),
            self.first_offset.to_string(),
            self.end_offset.to_string(),
            self.records.to_string(),
        ]
    }
}
