//! The record of own topics: `topics.json` in the state folder, replaced atomically under a lock
//! that all processes share.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

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

    pub(super) fn add(&self, topic: OwnTopic) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_record_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("topics.json"), "{").unwrap();
        let error = TopicRecord::in_folder(folder.path()).of_broker("here:1").unwrap_err();
        assert!(error.to_string().contains("topics.json"), "{error}");
    }
}
