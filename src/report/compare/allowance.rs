//! In what two runs that are compared may differ.

use crate::broker;
use crate::config::{is_setting, setting_keys};
use crate::nearest::nearest;

/// In what two runs that are compared may differ, besides broker and machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    across: Vec<String>,
    force: bool,
}

impl Allowance {
    /// Nothing else.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whatever there is: the comparison is forced.
    pub fn forced() -> Self {
        Self { force: true, ..Self::default() }
    }

    /// These settings, or all settings of these sections.
    ///
    /// # Errors
    /// What is wrong with a name that is no setting's.
    pub fn across(names: impl IntoIterator<Item = String>, force: bool) -> Result<Self, String> {
        let across: Vec<String> = names.into_iter().collect();
        across.iter().try_for_each(|name| check(name))?;
        Ok(Self { across, force })
    }

    /// Whether everything may differ.
    pub(super) fn is_forced(&self) -> bool {
        self.force
    }

    /// Whether this setting was named, or its section.
    pub(super) fn names(&self, key: &str) -> bool {
        self.across.iter().any(|name| {
            let rest = key.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// Refuses what is no setting's name.
///
/// # Errors
/// The nearest name there is.
pub fn check(name: &str) -> Result<(), String> {
    if is_setting(name) || broker::property(name).is_some() {
        return Ok(());
    }
    let keys = setting_keys();
    Err(match nearest(name, keys.iter().map(String::as_str)) {
        Some(nearest) => format!("there is no setting `{name}`: did you mean `{nearest}`?"),
        None => format!("there is no setting `{name}`: name one as section.key"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_names_all_of_its_settings_and_no_others() {
        let names = ["workload.rate", "broker.kafka.properties"].map(str::to_owned);
        let allowance = Allowance::across(names, false).unwrap();
        for (key, is_named) in [
            ("workload.rate", true),
            ("workload.rate_limit", false),
            ("workload", false),
            ("broker.kafka.properties.compression.type", true),
            ("broker.kafka.batch_bytes", false),
        ] {
            assert_eq!(allowance.names(key), is_named, "{key}");
        }
    }

    #[test]
    fn a_name_that_no_setting_has_is_refused_with_the_nearest() {
        let error = Allowance::across(["broker.kafka.event_linger".to_owned()], false).unwrap_err();
        assert!(error.ends_with("did you mean `broker.kafka.events_linger`?"), "{error}");
        check("broker.kafka.properties.compression.type").unwrap();
    }
}
