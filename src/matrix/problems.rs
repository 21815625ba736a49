//! What is wrong with a matrix, all of it.

use crate::config::{ConfigError, SettingProblem};

/// All that is wrong, each once.
#[derive(Default)]
pub(super) struct Problems(Vec<SettingProblem>);

impl Problems {
    pub(super) fn take<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                for problem in error.problems {
                    self.push(problem);
                }
                None
            }
        }
    }

    pub(super) fn add(&mut self, origin: &str, key: &str, message: impl Into<String>) {
        self.push(SettingProblem {
            origin: origin.to_owned(),
            key: key.to_owned(),
            message: message.into(),
        });
    }

    fn push(&mut self, problem: SettingProblem) {
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_error(self) -> ConfigError {
        ConfigError { problems: self.0 }
    }
}
