//! Settings that cannot be, by their keys. Whoever checks a section does not know where it was
//! set: whoever reads the settings adds that.

/// A setting that cannot be as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// The setting: `workload.rate`.
    pub key: String,
    /// What is wrong and what to do, in words that follow the key.
    pub message: String,
}

impl SettingError {
    /// What is wrong with a setting.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

/// What came out of checking settings: everything that is wrong, in the order of the checks.
#[derive(Debug, Default)]
pub struct Checks {
    errors: Vec<SettingError>,
}

impl Checks {
    /// Unless it holds: an error of this key.
    pub fn must(&mut self, holds: bool, key: &str, message: impl Into<String>) {
        if !holds {
            self.errors.push(SettingError::new(key, message));
        }
    }

    /// All that does not hold.
    pub fn into_errors(self) -> Vec<SettingError> {
        self.errors
    }
}
