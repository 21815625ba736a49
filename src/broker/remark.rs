//! What is to be said of a broker, or of the machine, when it is asked whether a benchmark makes
//! sense on it.

use serde::Serialize;

/// How much a remark matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// It is as it should be.
    Ok,
    /// Figures may mislead whoever does not know it.
    Warn,
    /// Runs fail.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// What was looked at, in a word or two.
    pub check: &'static str,
    /// How much it matters.
    #[serde(rename = "health")]
    pub weight: Weight,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub fix: Option<String>,
}

impl Remark {
    /// Something that is as it should be.
    pub fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, weight: Weight::Ok, found: found.into(), fix: None }
    }

    /// Something that is not.
    pub fn bad(
        check: &'static str,
        weight: Weight,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { check, weight, found: found.into(), fix: Some(fix.into()) }
    }

    /// What nobody can mend, and what it means.
    pub fn limit(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, weight: Weight::Warn, found: found.into(), fix: None }
    }
}
