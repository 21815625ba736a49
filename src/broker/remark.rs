//! What an adapter has to say of its broker when it is asked whether a benchmark makes sense on it.

/// How much a remark matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It is as it should be.
    Ok,
    /// Figures may mislead whoever does not know it.
    Warn,
    /// Runs fail.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What was looked at, in a word or two.
    pub check: &'static str,
    /// How much it matters.
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
}
