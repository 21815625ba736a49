//! The record of own topics: `topics.json` in the state folder, replaced atomically under a lock
//! that all processes share.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::hold::{Claim, Holds, TopicHold};

/// A cluster, as topics know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterIdentity {
    /// Its address, as in the settings.
    pub address: String,
    /// What it calls itself; `None`: it does not say.
    pub id: Option<String>,
}

/// A topic that the program created.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct OwnTopic {
    /// The broker's address, as in the settings.
    pub broker: String,
    /// The cluster's own id; `None`: it has none, or an older version recorded the topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// The topic.
    pub name: String,
    /// When it was created, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// The run it was created for; `None`: it was asked for by name.
    pub run_id: Option<String>,
    /// Whether it is to outlive its run.
    #[serde(default)]
    pub keep: bool,
    /// The process that created it, to be told of: in its own container, and no proof of anything.
    pub pid: u32,
}

impl OwnTopic {
    /// Whether it lies in this cluster. The id decides, whatever the address; where the record has
    /// none, the address does.
    pub fn lies_in(&self, cluster: &ClusterIdentity) -> bool {
        match &self.cluster_id {
            Some(id) => cluster.id.as_ref() == Some(id),
            None => self.broker == cluster.address,
        }
    }
}

/// Whether a topic is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// No living process uses it: that is proved.
    Over,
    /// A living process uses it.
    Living,
    /// Nothing proves that none does; why.
    Unproven(String),
}

#[derive(Default, Deserialize, Serialize)]
struct Contents {
    version: u32,
    topics: Vec<OwnTopic>,
}

/// The version of the record that this program writes. 2 added `cluster_id`, `keep` and the holds;
/// it reads 1 as well.
const VERSION: u32 = 2;

/// The record of all topics that the program created and did not delete.
#[derive(Clone, Debug)]
pub struct TopicRecord {
    folder: PathBuf,
    holds: Holds,
}

impl TopicRecord {
    /// The record in this folder, which is made when it is first needed.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self { holds: Holds::in_state_folder(&folder), folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("topics.json")
    }

    /// All recorded topics of a cluster, by name.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn of_cluster(&self, cluster: &ClusterIdentity) -> io::Result<Vec<OwnTopic>> {
        let mut topics = self.read()?.topics;
        topics.retain(|topic| topic.lies_in(cluster));
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    /// Records a topic that is about to be made, with a hold on it.
    pub(super) fn add(&self, topic: OwnTopic) -> io::Result<TopicHold> {
        self.locked(|| {
            let hold = self.holds.share(&topic.name)?;
            let cluster =
                ClusterIdentity { address: topic.broker.clone(), id: topic.cluster_id.clone() };
            self.change(|topics| {
                topics.retain(|known| known.name != topic.name || !known.lies_in(&cluster));
                topics.push(topic);
            })?;
            Ok(hold)
        })
    }

    /// Takes a hold on a topic that some cluster has from this program; `None`: none has.
    pub(super) fn hold(&self, name: &str) -> io::Result<Option<TopicHold>> {
        let is_known = |contents: Contents| contents.topics.iter().any(|topic| topic.name == name);
        if !is_known(self.read()?) {
            return Ok(None);
        }
        // It may have been forgotten since.
        self.locked(|| {
            if is_known(self.read()?) { self.holds.share(name).map(Some) } else { Ok(None) }
        })
    }

    /// Whether a living process uses a topic. Where that is not told, it is taken for used.
    ///
    /// # Errors
    /// When the state folder cannot be written.
    pub fn usage(&self, topic: &OwnTopic) -> io::Result<Usage> {
        self.locked(|| {
            Ok(match self.holds.claim(&topic.name)? {
                Claim::Alone(_) => Usage::Over,
                // Made by name, and never used.
                Claim::NeverHeld if topic.run_id.is_none() => Usage::Over,
                Claim::NeverHeld => Usage::Unproven(
                    "nothing proves that its run is over (an older version of this program \
                     recorded it)"
                        .to_owned(),
                ),
                Claim::Held => Usage::Living,
                Claim::Unproven(why) => Usage::Unproven(why),
            })
        })
    }

    /// Keeps others from using a topic; `None`: nothing can, though no living process is known to
    /// use it.
    ///
    /// # Errors
    /// When a living process uses it, or the state folder cannot be written.
    pub(super) fn claim(&self, name: &str) -> io::Result<Option<TopicHold>> {
        match self.locked(|| self.holds.claim(name))? {
            Claim::Alone(hold) => Ok(Some(hold)),
            Claim::NeverHeld | Claim::Unproven(_) => Ok(None),
            Claim::Held => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("a living process uses topic `{name}`"),
            )),
        }
    }

    /// Forgets a topic that is no more.
    ///
    /// # Errors
    /// When the record cannot be read or written.
    pub fn forget(&self, cluster: &ClusterIdentity, name: &str) -> io::Result<()> {
        self.locked(|| {
            let mut is_elsewhere = false;
            self.change(|topics| {
                topics.retain(|known| known.name != name || !known.lies_in(cluster));
                is_elsewhere = topics.iter().any(|known| known.name == name);
            })?;
            if is_elsewhere { Ok(()) } else { self.holds.forget(name) }
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

    /// Works while no other process changes the record, or asks who uses a topic.
    fn locked<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let lock = || {
            fs::create_dir_all(&self.folder)?;
            let lock = File::create(self.folder.join("topics.lock"))?;
            lock.lock()?;
            Ok(lock)
        };
        let _lock = lock().map_err(|error| self.explained(&error))?;
        work()
    }

    /// Changes the record, under its lock.
    fn change(&self, change: impl FnOnce(&mut Vec<OwnTopic>)) -> io::Result<()> {
        let mut contents = self.read()?;
        contents.version = VERSION;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_record_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("topics.json"), "{").unwrap();
        let cluster = ClusterIdentity { address: "here:1".to_owned(), id: None };
        let error = TopicRecord::in_folder(folder.path()).of_cluster(&cluster).unwrap_err();
        assert!(error.to_string().contains("topics.json"), "{error}");
    }
}
