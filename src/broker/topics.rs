//! Topics are safe: a record of the topics that the program created (`topics/record.rs`), locks
//! that tell who uses them (`topics/hold.rs`), and a broker that deletes no others, and none that
//! somebody uses. A topic is recorded before it is created, so that a process killed in between
//! leaves nothing unaccounted for.

mod hold;
mod record;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use streamgauge_actors::{
    Broker, BrokerDescription, Clock, EventReader, EventWriter, PortError, Retry, RunClock,
    StartAt, TopicAdmin, TopicDescription, TopicSpec, WriterRole, to_millis,
};

use self::hold::TopicHold;
pub use self::record::{ClusterIdentity, OwnTopic, TopicRecord, Usage};

/// What a name made for a run adds to the prefix, at most:
/// `.20261123-031522-7f3a.results.malformed`.
pub const RUN_SUFFIX: usize = 40;

/// The run that topics are made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeFor {
    /// The run.
    pub run_id: String,
    /// Whether they are to outlive it.
    pub keep: bool,
}

/// A broker on which only the program's own topics can be deleted or emptied, and those only while
/// no other process uses them. New topics are recorded. It holds what it makes, and each own topic
/// that it reads or writes, until it is dropped.
pub struct OwnTopics {
    guard: TopicGuard,
}

#[derive(Clone)]
struct TopicGuard {
    broker: Arc<dyn Broker>,
    record: TopicRecord,
    address: String,
    prefix: String,
    made_for: Option<MadeFor>,
    shared: Arc<Mutex<GuardState>>,
}

/// What a guard shares with its administrators.
#[derive(Default)]
struct GuardState {
    /// Once the broker was asked.
    cluster: Option<ClusterIdentity>,
    /// By topic.
    holds: BTreeMap<String, TopicHold>,
}

/// What became of a topic that a run has left.
#[derive(Debug)]
pub struct Leftover {
    /// The topic.
    pub topic: OwnTopic,
    /// Why it is still there; `None`: it is deleted.
    pub kept_because: Option<String>,
}

impl OwnTopics {
    /// Guards `broker`, known in the record by its cluster's id, or by its `address` if it has
    /// none. Topics created are recorded for the run, if there is one.
    pub fn new(
        broker: Arc<dyn Broker>,
        record: TopicRecord,
        address: impl Into<String>,
        prefix: impl Into<String>,
        made_for: Option<MadeFor>,
    ) -> Self {
        let (address, prefix) = (address.into(), prefix.into());
        let shared = Arc::default();
        Self { guard: TopicGuard { broker, record, address, prefix, made_for, shared } }
    }

    /// The cluster; it is asked once.
    ///
    /// # Errors
    /// [`PortError`] when it does not answer.
    pub fn cluster(&self) -> Result<ClusterIdentity, PortError> {
        self.guard.cluster()
    }

    /// Deletes the topics of runs that are over and were to delete them: those of killed ones, for
    /// no run can be resumed. What cannot be proved to be over stays.
    ///
    /// # Errors
    /// [`PortError`] when the broker does not answer, or the record cannot be read.
    pub fn delete_leftovers(&self) -> Result<Vec<Leftover>, PortError> {
        let guard = &self.guard;
        let cluster = guard.cluster()?;
        let mut own = guard.record.of_cluster(&cluster).map_err(|error| fatal(&error))?;
        own.retain(|topic| {
            topic.run_id.is_some() && !topic.keep && has_prefix(&topic.name, &guard.prefix)
        });
        if own.is_empty() {
            return Ok(Vec::new());
        }
        let mut admin = self.admin()?;
        let mut leftovers = Vec::new();
        for topic in own {
            let mut is_away = false;
            let mut reason = |error: PortError| {
                is_away = error.retry != Retry::GiveUp;
                error.message
            };
            let kept_because = match guard.record.usage(&topic).map_err(|error| fatal(&error))? {
                Usage::Living => continue,
                Usage::Unproven(why) => Some(why),
                Usage::Over => match admin.describe(&topic.name) {
                    Ok(Some(_)) => admin.delete(&topic.name).err().map(&mut reason),
                    Ok(None) => {
                        guard.forget_missing(&topic);
                        continue;
                    }
                    Err(error) => Some(reason(error)),
                },
            };
            leftovers.push(Leftover { topic, kept_because });
            if is_away {
                break;
            }
        }
        Ok(leftovers)
    }

    /// Forgets a topic that was not found. Under another address than it was made at, the cluster
    /// may be another one that was given the same id: then it stays recorded.
    pub fn forget_missing(&self, topic: &OwnTopic) {
        self.guard.forget_missing(topic);
    }
}

impl Broker for OwnTopics {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        self.guard.describe()
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        let inner = self.guard.broker.admin()?;
        Ok(Box::new(OwnAdmin { inner, guard: self.guard.clone() }))
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        self.guard.hold(topic)?;
        self.guard.broker.writer(topic, role)
    }

    fn writers(
        &self,
        topic: &str,
        role: WriterRole,
        count: u32,
    ) -> Result<Vec<Box<dyn EventWriter>>, PortError> {
        self.guard.hold(topic)?;
        self.guard.broker.writers(topic, role, count)
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        self.guard.hold(topic)?;
        self.guard.broker.reader(topic, start)
    }
}

struct OwnAdmin {
    inner: Box<dyn TopicAdmin>,
    guard: TopicGuard,
}

fn fatal(error: &io::Error) -> PortError {
    PortError::fatal(error.to_string())
}

impl TopicGuard {
    fn state(&self) -> MutexGuard<'_, GuardState> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self) -> Result<BrokerDescription, PortError> {
        let description = self.broker.describe()?;
        let id = description.cluster_id.clone();
        self.state().cluster = Some(ClusterIdentity { address: self.address.clone(), id });
        Ok(description)
    }

    fn cluster(&self) -> Result<ClusterIdentity, PortError> {
        if let Some(cluster) = self.state().cluster.clone() {
            return Ok(cluster);
        }
        let id = self.describe()?.cluster_id;
        Ok(ClusterIdentity { address: self.address.clone(), id })
    }

    /// Holds a topic, if it is an own one: then nobody deletes or empties it under the run.
    fn hold(&self, topic: &str) -> Result<(), PortError> {
        if self.state().holds.contains_key(topic) {
            return Ok(());
        }
        if let Some(hold) = self.record.hold(topic).map_err(|error| fatal(&error))? {
            self.state().holds.insert(topic.to_owned(), hold);
        }
        Ok(())
    }

    /// Refuses what is not ours, or in use by others; keeps others from it meanwhile.
    fn check(&self, topic: &str, action: &str) -> Result<Option<TopicHold>, PortError> {
        let refused =
            |why: String| PortError::fatal(format!("refused to {action} topic `{topic}`: {why}"));
        let recorded = self.record.of_cluster(&self.cluster()?).map_err(|error| fatal(&error))?;
        if !recorded.iter().any(|own| own.name == topic) {
            return Err(refused(
                "this program did not create it; use the broker's own tools".to_owned(),
            ));
        }
        if !has_prefix(topic, &self.prefix) {
            let prefix = &self.prefix;
            return Err(refused(format!(
                "it does not begin with `{prefix}.`; check `topics.prefix`"
            )));
        }
        if self.state().holds.contains_key(topic) {
            return Ok(None);
        }
        self.record.claim(topic).map_err(|error| refused(error.to_string()))
    }

    /// A topic that is no more.
    fn forget(&self, topic: &str) {
        self.state().holds.remove(topic);
        let forgotten = self
            .cluster()
            .and_then(|cluster| self.record.forget(&cluster, topic).map_err(|error| fatal(&error)));
        if let Err(error) = forgotten {
            tracing::warn!("topic `{topic}` stays recorded: {}", error.message);
        }
    }

    fn forget_missing(&self, topic: &OwnTopic) {
        if topic.broker == self.address {
            self.forget(&topic.name);
        }
    }
}

/// Whether a topic's name begins with the prefix and what may stand behind it.
pub fn has_prefix(topic: &str, prefix: &str) -> bool {
    topic.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(['.', '-']))
}

impl TopicAdmin for OwnAdmin {
    fn create(&mut self, topic: &TopicSpec) -> Result<(), PortError> {
        // Somebody else's topic must never get into the record.
        if self.inner.describe(&topic.name)?.is_some() {
            return Err(PortError::fatal(format!(
                "topic `{}` exists already: choose another name",
                topic.name
            )));
        }
        let guard = &self.guard;
        let ClusterIdentity { address, id } = guard.cluster()?;
        let own = OwnTopic {
            broker: address,
            cluster_id: id,
            name: topic.name.clone(),
            created_at_ms: to_millis(RunClock::start().now()),
            run_id: guard.made_for.as_ref().map(|of| of.run_id.clone()),
            keep: guard.made_for.as_ref().is_some_and(|of| of.keep),
            pid: std::process::id(),
        };
        let hold = guard.record.add(own).map_err(|error| fatal(&error))?;
        guard.state().holds.insert(topic.name.clone(), hold);
        let created = self.inner.create(topic);
        // After a time-out it may still come to be: then it stays recorded.
        if matches!(&created, Err(error) if error.retry == Retry::GiveUp) {
            self.guard.forget(&topic.name);
        }
        created
    }

    fn delete(&mut self, topic: &str) -> Result<(), PortError> {
        let _claim = self.guard.check(topic, "delete")?;
        self.inner.delete(topic)?;
        self.guard.forget(topic);
        Ok(())
    }

    fn describe(&mut self, topic: &str) -> Result<Option<TopicDescription>, PortError> {
        self.inner.describe(topic)
    }

    fn list(&mut self) -> Result<Vec<String>, PortError> {
        self.inner.list()
    }

    fn truncate(&mut self, topic: &str) -> Result<(), PortError> {
        let _claim = self.guard.check(topic, "empty")?;
        self.inner.truncate(topic)
    }
}

/// Where state is kept: `$STATE_DIRECTORY` (set for services), else `$XDG_STATE_HOME/streamgauge`,
/// else `~/.local/state/streamgauge`.
pub fn state_folder() -> PathBuf {
    let set =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("STATE_DIRECTORY")
        .or_else(|| set("XDG_STATE_HOME").map(|home| home.join("streamgauge")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/streamgauge")))
        .unwrap_or_else(|| PathBuf::from("/var/lib/streamgauge"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Mutex;

    use streamgauge_actors::StampedBy;

    use super::*;

    /// A cluster that has topics and an id, and nothing else.
    #[derive(Clone, Default)]
    struct Names {
        id: Option<&'static str>,
        topics: Arc<Mutex<BTreeSet<String>>>,
    }

    impl Names {
        fn of_cluster(id: &'static str) -> Self {
            Self { id: Some(id), ..Self::default() }
        }

        fn names(&self) -> Vec<String> {
            self.topics.lock().unwrap().iter().cloned().collect()
        }
    }

    impl Broker for Names {
        fn describe(&self) -> Result<BrokerDescription, PortError> {
            let cluster_id = self.id.map(str::to_owned);
            Ok(BrokerDescription { cluster_id, ..BrokerDescription::default() })
        }
        fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
            Ok(Box::new(self.clone()))
        }
        fn writer(&self, _: &str, _: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
            Err(PortError::fatal("it only has names"))
        }
        fn reader(&self, _: &str, _: &[(u32, StartAt)]) -> Result<Box<dyn EventReader>, PortError> {
            Err(PortError::fatal("it only has names"))
        }
    }

    impl TopicAdmin for Names {
        fn create(&mut self, topic: &TopicSpec) -> Result<(), PortError> {
            if topic.name.contains("refused") {
                return Err(PortError::fatal("refused"));
            }
            self.topics.lock().unwrap().insert(topic.name.clone());
            if topic.name.contains("slow") {
                Err(PortError::again("no answer in time"))
            } else {
                Ok(())
            }
        }
        fn delete(&mut self, topic: &str) -> Result<(), PortError> {
            self.topics.lock().unwrap().remove(topic);
            Ok(())
        }
        fn describe(&mut self, topic: &str) -> Result<Option<TopicDescription>, PortError> {
            let description = |name: &String| TopicDescription {
                name: name.clone(),
                partitions: Vec::new(),
                replication: 1,
                stamped_by: StampedBy::Log,
            };
            Ok(self.topics.lock().unwrap().get(topic).map(description))
        }
        fn list(&mut self) -> Result<Vec<String>, PortError> {
            Ok(self.names())
        }
        fn truncate(&mut self, _: &str) -> Result<(), PortError> {
            Ok(())
        }
    }

    fn spec(name: &str) -> TopicSpec {
        let name = name.to_owned();
        TopicSpec {
            name,
            partitions: 1,
            replication: 1,
            stamped_by: StampedBy::Log,
            retention_bytes: None,
        }
    }

    /// The cluster at this address, as one process sees it.
    fn guarded(
        names: &Names,
        folder: &Path,
        address: &str,
        run: Option<(&str, bool)>,
    ) -> OwnTopics {
        let made_for = run.map(|(run_id, keep)| MadeFor { run_id: run_id.to_owned(), keep });
        let record = TopicRecord::in_folder(folder);
        OwnTopics::new(Arc::new(names.clone()), record, address, "gauge", made_for)
    }

    fn own_topics(of: &OwnTopics) -> Vec<OwnTopic> {
        of.guard.record.of_cluster(&of.cluster().unwrap()).unwrap()
    }

    fn own_names(of: &OwnTopics) -> Vec<String> {
        own_topics(of).into_iter().map(|topic| topic.name).collect()
    }

    fn usage(of: &OwnTopics, name: &str) -> Usage {
        let topic = own_topics(of).into_iter().find(|topic| topic.name == name).unwrap();
        of.guard.record.usage(&topic).unwrap()
    }

    #[test]
    fn only_recorded_topics_with_the_prefix_are_deleted_or_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::default();
        names.topics.lock().unwrap().insert("gauge.foreign".to_owned());
        let here = guarded(&names, folder.path(), "here:1", None);
        let mut admin = here.admin().unwrap();
        assert!(
            admin.create(&spec("gauge.foreign")).unwrap_err().message.contains("exists already")
        );
        for refused in [admin.delete("gauge.foreign"), admin.truncate("gauge.foreign")] {
            assert!(refused.unwrap_err().message.contains("did not create it"));
        }
        admin.create(&spec("gauge.own")).unwrap();
        admin.create(&spec("other")).unwrap();
        assert_eq!(own_names(&here), ["gauge.own", "other"]);
        assert!(admin.delete("other").unwrap_err().message.contains("`gauge.`"));
        let there = guarded(&names, folder.path(), "there:1", None);
        assert!(there.admin().unwrap().delete("gauge.own").is_err(), "another broker's topic");
        admin.truncate("gauge.own").unwrap();
        admin.delete("gauge.own").unwrap();
        assert_eq!(own_names(&here), ["other"]);
        assert_eq!(admin.list().unwrap(), ["gauge.foreign", "other"]);
    }

    #[test]
    fn a_topic_that_may_still_come_stays_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::default();
        let here = guarded(&names, &folder.path().join("deep/er"), "here:1", Some(("r", false)));
        let mut admin = here.admin().unwrap();
        admin.create(&spec("gauge.refused")).unwrap_err();
        admin.create(&spec("gauge.slow")).unwrap_err();
        let topics = own_topics(&here);
        assert_eq!(topics.len(), 1);
        assert_eq!(
            (topics[0].name.as_str(), topics[0].run_id.as_deref()),
            ("gauge.slow", Some("r"))
        );
    }

    #[test]
    fn a_clusters_id_tells_whose_topics_they_are_and_its_address_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Names::of_cluster("one"), Names::of_cluster("other"));
        let here = guarded(&one, folder.path(), "here:1", None);
        here.admin().unwrap().create(&spec("gauge.own")).unwrap();
        other.topics.lock().unwrap().insert("gauge.own".to_owned());
        let impostor = guarded(&other, folder.path(), "here:1", None);
        assert!(own_names(&impostor).is_empty());
        let refused = impostor.admin().unwrap().delete("gauge.own").unwrap_err();
        assert!(refused.message.contains("did not create it"), "{}", refused.message);
        let unnamed = guarded(&Names::default(), folder.path(), "here:1", None);
        assert!(own_names(&unnamed).is_empty(), "it does not say that it is the same");
        drop(here);
        let elsewhere = guarded(&one, folder.path(), "there:2", None);
        assert_eq!(own_names(&elsewhere), ["gauge.own"]);
        elsewhere.admin().unwrap().delete("gauge.own").unwrap();
        assert!(own_names(&elsewhere).is_empty() && one.names().is_empty());
        assert_eq!(other.names(), ["gauge.own"]);
    }

    #[test]
    fn what_is_missing_under_another_address_stays_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let one = Names::of_cluster("the default of a compose file");
        let here = guarded(&one, folder.path(), "here:1", None);
        here.admin().unwrap().create(&spec("gauge.own")).unwrap();
        let topic = own_topics(&here).remove(0);
        guarded(&one, folder.path(), "there:2", None).forget_missing(&topic);
        assert_eq!(own_names(&here), ["gauge.own"]);
        here.forget_missing(&topic);
        assert!(own_names(&here).is_empty());
    }

    #[test]
    fn a_topic_in_use_is_neither_deleted_nor_emptied_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::of_cluster("one");
        let of = |run| guarded(&names, folder.path(), "here:1", run);
        let run = of(Some(("r", false)));
        run.admin().unwrap().create(&spec("gauge.r.events")).unwrap();
        let others = of(None);
        let mut admin = others.admin().unwrap();
        for refused in [admin.delete("gauge.r.events"), admin.truncate("gauge.r.events")] {
            assert!(refused.unwrap_err().message.contains("a living process"));
        }
        assert_eq!(usage(&others, "gauge.r.events"), Usage::Living);
        drop(run);
        assert_eq!(usage(&others, "gauge.r.events"), Usage::Over);
        admin.create(&spec("gauge.named")).unwrap();
        drop((admin, others));
        let user = of(Some(("s", false)));
        assert!(user.reader("gauge.named", &[]).is_err() && user.reader("foreign", &[]).is_err());
        let others = of(None);
        assert_eq!(usage(&others, "gauge.named"), Usage::Living, "a run reads it");
        others.admin().unwrap().truncate("gauge.named").unwrap_err();
        drop(user);
        others.admin().unwrap().truncate("gauge.named").unwrap();
    }

    #[test]
    fn a_run_deletes_what_it_made_though_others_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::of_cluster("one");
        let run = guarded(&names, folder.path(), "here:1", Some(("r", false)));
        run.admin().unwrap().create(&spec("gauge.r.events")).unwrap();
        let reader = guarded(&names, folder.path(), "here:1", Some(("s", false)));
        drop(reader.reader("gauge.r.events", &[]));
        run.admin().unwrap().delete("gauge.r.events").unwrap();
        assert!(names.names().is_empty() && own_names(&run).is_empty());
    }

    #[test]
    fn only_what_runs_that_are_over_were_to_delete_is_left_over() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::of_cluster("one");
        let make = |run: Option<(&str, bool)>, topic: &str| {
            let maker = guarded(&names, folder.path(), "here:1", run);
            maker.admin().unwrap().create(&spec(topic)).unwrap();
            maker
        };
        let _living = make(Some(("l", false)), "gauge.l.events");
        drop(make(Some(("k", true)), "gauge.k.events"));
        drop(make(Some(("d", false)), "gauge.d.events"));
        drop(make(Some(("o", false)), "other.o.events"));
        drop(make(Some(("g", false)), "gauge.g.gone"));
        drop(make(None, "gauge.events"));
        names.topics.lock().unwrap().remove("gauge.g.gone");
        let daemon = guarded(&names, folder.path(), "moved:2", None);
        let leftovers = daemon.delete_leftovers().unwrap();
        let told = leftovers.iter().map(|left| (left.topic.name.as_str(), &left.kept_because));
        assert_eq!(told.collect::<Vec<_>>(), [("gauge.d.events", &None)]);
        assert_eq!(
            names.names(),
            ["gauge.events", "gauge.k.events", "gauge.l.events", "other.o.events"]
        );
        assert!(daemon.delete_leftovers().unwrap().is_empty(), "nothing is told twice");
    }

    #[test]
    fn what_an_older_version_recorded_is_read_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::of_cluster("one");
        let topics = ["gauge.r.events", "gauge.events"];
        names.topics.lock().unwrap().extend(topics.map(str::to_owned));
        let record = r#"{"version": 1, "topics": [
            {"broker": "here:1", "name": "gauge.r.events", "created_at_ms": 1, "run_id": "r",
             "pid": 4194304},
            {"broker": "here:1", "name": "gauge.events", "created_at_ms": 1, "run_id": null,
             "pid": 4194304}
        ]}"#;
        std::fs::write(folder.path().join("topics.json"), record).unwrap();
        let here = guarded(&names, folder.path(), "here:1", None);
        assert_eq!(own_names(&here), ["gauge.events", "gauge.r.events"]);
        assert!(own_names(&guarded(&names, folder.path(), "there:2", None)).is_empty());
        assert_eq!(usage(&here, "gauge.events"), Usage::Over, "no run was to end with it");
        let leftovers = here.delete_leftovers().unwrap();
        let told = leftovers[0].kept_because.as_deref().unwrap();
        assert!(leftovers.len() == 1 && told.contains("older version"), "{told}");
        // Whoever says so by name may.
        here.admin().unwrap().delete("gauge.r.events").unwrap();
        assert_eq!(names.names(), ["gauge.events"]);
    }
}
