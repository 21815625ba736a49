//! Topics are safe: a record of the topics that the program created, and a broker that deletes no
//! others.
//!
//! The record is `topics.json` in the state folder, replaced atomically under a lock that all
//! processes share. A topic is recorded before it is created, so that a process killed in between
//! leaves nothing unaccounted for.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use streamgauge_actors::{
    Broker, BrokerDescription, Clock, EventReader, EventWriter, PortError, Retry, RunClock,
    StartAt, TopicAdmin, TopicDescription, TopicSpec, WriterRole, to_millis,
};

/// What a name made for a run adds to the prefix, at most:
/// `.20261123-031522-7f3a.results.malformed`.
pub const RUN_SUFFIX: usize = 40;

/// A topic that the program created.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct OwnTopic {
    /// The broker, as in the settings.
    pub broker: String,
    /// The topic.
    pub name: String,
    /// When it was created, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// The run it was created for; `None`: it was asked for by name.
    pub run_id: Option<String>,
    /// The process that created it.
    pub pid: u32,
}

impl OwnTopic {
    /// Whether it belongs to a run whose process is still there.
    pub fn is_in_use(&self) -> bool {
        self.run_id.is_some() && Path::new("/proc").join(self.pid.to_string()).exists()
    }
}

#[derive(Default, Deserialize, Serialize)]
struct Contents {
    version: u32,
    topics: Vec<OwnTopic>,
}

/// The record of all topics that the program created and did not delete.
#[derive(Clone, Debug)]
pub struct TopicRecord {
    folder: PathBuf,
}

impl TopicRecord {
    /// The record in this folder, which is made when it is first needed.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("topics.json")
    }

    /// All recorded topics of a broker, by name.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn of_broker(&self, broker: &str) -> io::Result<Vec<OwnTopic>> {
        let mut topics = self.read()?.topics;
        topics.retain(|topic| topic.broker == broker);
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    fn add(&self, topic: OwnTopic) -> io::Result<()> {
        self.change(|topics| {
            topics.retain(|known| (&known.broker, &known.name) != (&topic.broker, &topic.name));
            topics.push(topic);
        })
    }

    /// Forgets a topic that is no more.
    ///
    /// # Errors
    /// When the record cannot be read or written.
    pub fn forget(&self, broker: &str, name: &str) -> io::Result<()> {
        self.change(|topics| {
            topics.retain(|known| (known.broker.as_str(), known.name.as_str()) != (broker, name));
        })
    }

    fn read(&self) -> io::Result<Contents> {
        let text = match fs::read(self.path()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::default()),
            Err(error) => return Err(self.explained(&error)),
        };
        serde_json::from_slice(&text).map_err(|error| self.explained(&error.into()))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<OwnTopic>)) -> io::Result<()> {
        let write = || {
            fs::create_dir_all(&self.folder)?;
            let lock = File::create(self.folder.join("topics.lock"))?;
            lock.lock()?;
            Ok(lock)
        };
        let _lock = write().map_err(|error| self.explained(&error))?;
        let mut contents = self.read()?;
        contents.version = 1;
        change(&mut contents.topics);
        let replace = || {
            let new = self.folder.join("topics.json.new");
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec_pretty(&contents)?)?;
            file.sync_all()?;
            fs::rename(&new, self.path())?;
            File::open(&self.folder)?.sync_all()
        };
        replace().map_err(|error: io::Error| self.explained(&error))
    }

    fn explained(&self, error: &io::Error) -> io::Error {
        let path = self.path();
        io::Error::new(
            error.kind(),
            format!("the record of own topics, {}: {error}", path.display()),
        )
    }
}

/// A broker on which only the program's own topics can be deleted or emptied, and whose new topics
/// are recorded.
pub struct OwnTopics {
    broker: Arc<dyn Broker>,
    guard: TopicGuard,
}

#[derive(Clone)]
struct TopicGuard {
    record: TopicRecord,
    address: String,
    prefix: String,
    run_id: Option<String>,
}

impl OwnTopics {
    /// Guards `broker`, known in the record by its `address`. Topics created are recorded for the
    /// run, if there is one.
    pub fn new(
        broker: Arc<dyn Broker>,
        record: TopicRecord,
        address: impl Into<String>,
        prefix: impl Into<String>,
        run_id: Option<String>,
    ) -> Self {
        Self {
            broker,
            guard: TopicGuard { record, address: address.into(), prefix: prefix.into(), run_id },
        }
    }
}

impl Broker for OwnTopics {
    fn describe(&self) -> Result<BrokerDescription, PortError> {
        self.broker.describe()
    }

    fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
        Ok(Box::new(OwnAdmin { inner: self.broker.admin()?, guard: self.guard.clone() }))
    }

    fn writer(&self, topic: &str, role: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
        self.broker.writer(topic, role)
    }

    fn writers(
        &self,
        topic: &str,
        role: WriterRole,
        count: u32,
    ) -> Result<Vec<Box<dyn EventWriter>>, PortError> {
        self.broker.writers(topic, role, count)
    }

    fn reader(
        &self,
        topic: &str,
        start: &[(u32, StartAt)],
    ) -> Result<Box<dyn EventReader>, PortError> {
        self.broker.reader(topic, start)
    }
}

struct OwnAdmin {
    inner: Box<dyn TopicAdmin>,
    guard: TopicGuard,
}

impl TopicGuard {
    /// Refuses what is not ours.
    fn check(&self, topic: &str, action: &str) -> Result<(), PortError> {
        let recorded = self
            .record
            .of_broker(&self.address)
            .map_err(|error| PortError::fatal(error.to_string()))?;
        if !recorded.iter().any(|own| own.name == topic) {
            return Err(PortError::fatal(format!(
                "refused to {action} topic `{topic}`: this program did not create it; use the \
                 broker's own tools"
            )));
        }
        if !has_prefix(topic, &self.prefix) {
            return Err(PortError::fatal(format!(
                "refused to {action} topic `{topic}`: it does not begin with `{}.`; check \
                 `topics.prefix`",
                self.prefix
            )));
        }
        Ok(())
    }

    fn forget(&self, topic: &str) {
        if let Err(error) = self.record.forget(&self.address, topic) {
            tracing::warn!("topic `{topic}` stays recorded: {error}");
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
        let own = OwnTopic {
            broker: guard.address.clone(),
            name: topic.name.clone(),
            created_at_ms: to_millis(RunClock::start().now()),
            run_id: guard.run_id.clone(),
            pid: std::process::id(),
        };
        guard.record.add(own).map_err(|error| PortError::fatal(error.to_string()))?;
        let created = self.inner.create(topic);
        // After a time-out it may still come to be: then it stays recorded.
        if matches!(&created, Err(error) if error.retry == Retry::GiveUp) {
            self.guard.forget(&topic.name);
        }
        created
    }

    fn delete(&mut self, topic: &str) -> Result<(), PortError> {
        self.guard.check(topic, "delete")?;
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
        self.guard.check(topic, "empty")?;
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
    use std::sync::Mutex;

    use streamgauge_actors::StampedBy;

    use super::*;

    /// A broker that has topics and nothing else.
    #[derive(Clone, Default)]
    struct Names(Arc<Mutex<BTreeSet<String>>>);

    impl Broker for Names {
        fn describe(&self) -> Result<BrokerDescription, PortError> {
            Err(PortError::fatal("not asked"))
        }
        fn admin(&self) -> Result<Box<dyn TopicAdmin>, PortError> {
            Ok(Box::new(self.clone()))
        }
        fn writer(&self, _: &str, _: WriterRole) -> Result<Box<dyn EventWriter>, PortError> {
            Err(PortError::fatal("not asked"))
        }
        fn reader(&self, _: &str, _: &[(u32, StartAt)]) -> Result<Box<dyn EventReader>, PortError> {
            Err(PortError::fatal("not asked"))
        }
    }

    impl TopicAdmin for Names {
        fn create(&mut self, topic: &TopicSpec) -> Result<(), PortError> {
            if topic.name.contains("refused") {
                return Err(PortError::fatal("refused"));
            }
            self.0.lock().unwrap().insert(topic.name.clone());
            if topic.name.contains("slow") {
                Err(PortError::again("no answer in time"))
            } else {
                Ok(())
            }
        }
        fn delete(&mut self, topic: &str) -> Result<(), PortError> {
            self.0.lock().unwrap().remove(topic);
            Ok(())
        }
        fn describe(&mut self, topic: &str) -> Result<Option<TopicDescription>, PortError> {
            let description = |name: &String| TopicDescription {
                name: name.clone(),
                partitions: Vec::new(),
                replication: 1,
                stamped_by: StampedBy::Log,
            };
            Ok(self.0.lock().unwrap().get(topic).map(description))
        }
        fn list(&mut self) -> Result<Vec<String>, PortError> {
            Ok(self.0.lock().unwrap().iter().cloned().collect())
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

    fn recorded(folder: &Path) -> Vec<String> {
        let topics = TopicRecord::in_folder(folder).of_broker("here:1").unwrap();
        topics.into_iter().map(|topic| topic.name).collect()
    }

    #[test]
    fn only_recorded_topics_with_the_prefix_are_deleted_or_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::default();
        names.0.lock().unwrap().insert("gauge.foreign".to_owned());
        let guarded = |address: &str| {
            OwnTopics::new(
                Arc::new(names.clone()),
                TopicRecord::in_folder(folder.path()),
                address,
                "gauge",
                None,
            )
        };
        let mut admin = guarded("here:1").admin().unwrap();
        assert!(
            admin.create(&spec("gauge.foreign")).unwrap_err().message.contains("exists already")
        );
        for refused in [admin.delete("gauge.foreign"), admin.truncate("gauge.foreign")] {
            assert!(refused.unwrap_err().message.contains("did not create it"));
        }
        admin.create(&spec("gauge.own")).unwrap();
        admin.create(&spec("other")).unwrap();
        assert_eq!(recorded(folder.path()), ["gauge.own", "other"]);
        assert!(admin.delete("other").unwrap_err().message.contains("`gauge.`"));
        assert!(
            guarded("there:1").admin().unwrap().delete("gauge.own").is_err(),
            "another broker's topic"
        );
        admin.truncate("gauge.own").unwrap();
        admin.delete("gauge.own").unwrap();
        assert_eq!(recorded(folder.path()), ["other"]);
        assert_eq!(admin.list().unwrap(), ["gauge.foreign", "other"]);
    }

    #[test]
    fn a_topic_that_may_still_come_stays_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let record = TopicRecord::in_folder(folder.path().join("deep/er"));
        let guarded = OwnTopics::new(
            Arc::new(Names::default()),
            record.clone(),
            "here:1",
            "gauge",
            Some("r".into()),
        );
        let mut admin = guarded.admin().unwrap();
        admin.create(&spec("gauge.refused")).unwrap_err();
        admin.create(&spec("gauge.slow")).unwrap_err();
        let topics = record.of_broker("here:1").unwrap();
        assert_eq!(topics.len(), 1);
        assert_eq!(
            (topics[0].name.as_str(), topics[0].run_id.as_deref()),
            ("gauge.slow", Some("r"))
        );
    }

    #[test]
    fn a_broken_record_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("topics.json"), "{").unwrap();
        let error = TopicRecord::in_folder(folder.path()).of_broker("here:1").unwrap_err();
        assert!(error.to_string().contains("topics.json"), "{error}");
    }
}
