//! The layers that settings come from.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::merge::Merge;
use super::presets::preset;
use super::problem::ConfigError;
use super::resolved::{Assignment, ResolvedSettings};

/// Read first of all files, where it exists.
pub const SYSTEM_FILE: &str = "/etc/streamgauge/config.toml";

/// Where settings come from, each layer over the ones before.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// A file that need not exist: [`SYSTEM_FILE`].
    pub system_file: Option<PathBuf>,
    /// A file that must exist.
    pub config_file: Option<PathBuf>,
    /// A preset's name, or a file.
    pub workload: Option<String>,
    /// The environment: names and values, those of others included.
    pub environment: BTreeMap<String, String>,
    /// Settings by flags; later ones over earlier ones.
    pub flags: Vec<Assignment>,
    /// Texts of files as they were when they were kept ([`Self::keep_texts`]): these are not read
    /// again.
    pub texts: BTreeMap<PathBuf, String>,
    /// Thresholds by flags (`--threshold`): they come on top of those that are set.
    pub thresholds: Vec<String>,
}

impl Layers {
    /// The layers of this process, with nothing set by its arguments: system file and environment.
    pub fn of_process() -> Self {
        let environment = std::env::vars_os().map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        });
        Self {
            system_file: Some(SYSTEM_FILE.into()),
            environment: environment.collect(),
            ..Self::default()
        }
    }

    /// Keeps the texts of the configuration files, and of these workloads where they are files:
    /// what is edited later is not seen. A file that cannot be read now is an error when the layers
    /// are loaded.
    pub fn keep_texts(&mut self, workloads: &[String]) {
        let files = self.system_file.iter().chain(&self.config_file).cloned();
        let workloads = workloads.iter().filter(|name| preset(name).is_none()).map(PathBuf::from);
        for path in files.chain(workloads) {
            let is_optional = self.system_file.as_ref() == Some(&path);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => Some(text),
                Err(error) if error.kind() == ErrorKind::NotFound && is_optional => {
                    Some(String::new())
                }
                Err(_) => None,
            };
            if let Some(text) = text {
                self.texts.entry(path).or_insert(text);
            }
        }
    }

    /// Merges the layers, and checks what came out.
    ///
    /// # Errors
    /// [`ConfigError`]: a file that cannot be read, an unknown key, a value of a wrong type, an
    /// impossible setting; each with file (or variable, or flag), key and what to do.
    pub fn load(&self) -> Result<ResolvedSettings, ConfigError> {
        let mut merge = Merge::new();
        merge.keep_texts(&self.texts);
        if let Some(path) = &self.system_file {
            merge.file(path, false);
        }
        if let Some(path) = &self.config_file {
            merge.file(path, true);
        }
        if let Some(workload) = &self.workload {
            merge.workload(workload);
        }
        merge.environment(&self.environment);
        merge.texts(&self.flags);
        merge.thresholds(&self.thresholds);
        merge.finish()
    }
}
