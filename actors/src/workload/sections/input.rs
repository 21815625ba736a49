//! `[input]`: what records of others may look like.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checks::Checks;
use crate::clock::{Nanos, SECOND};
use crate::units::{AutoSpan, Share, Span, TimeUnit};

/// The fields of events and results that may have other names.
pub(crate) const NAMED_FIELDS: [&str; 10] = [
    "event_time_ns",
    "campaign_id",
    "produce_time",
    "page_id",
    "run_id",
    "window_id",
    "window_start",
    "window_end",
    "count",
    "max_produce_time",
];

/// The least distance that is ahead, unless it is set.
const LEAST_AHEAD_NS: Nanos = 60 * SECOND;

/// `[input]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InputSection {
    /// Where a greater share of the records cannot be read, a run is inconclusive.
    pub max_malformed: Share,
    /// How far an event may be ahead of its partition, and of the wall clock.
    pub max_ahead: AutoSpan,
    /// The unit of event times.
    pub event_time_unit: TimeUnit,
    /// The unit of `produce_time` and `max_produce_time`.
    pub produce_time_unit: TimeUnit,
    /// What others call the fields, by our names; empty: the same.
    pub fields: BTreeMap<String, String>,
}

impl InputSection {
    /// How far an event may be ahead, with windows of this length.
    pub fn max_ahead_ns(&self, window_ns: Nanos) -> Nanos {
        self.max_ahead.or(Span::from_nanos(window_ns.max(LEAST_AHEAD_NS))).as_nanos()
    }

    /// What others call a field.
    pub fn name<'a>(&'a self, field: &'a str) -> &'a str {
        self.fields.get(field).filter(|name| !name.is_empty()).map_or(field, String::as_str)
    }

    /// Checks what types alone cannot.
    pub fn check(&self, checks: &mut Checks) {
        let unknown = self.fields.keys().find(|field| !NAMED_FIELDS.contains(&field.as_str()));
        checks.must(
            unknown.is_none(),
            "input.fields",
            format!(
                "`{}` is no field that is read; those are {}",
                unknown.map_or("", String::as_str),
                NAMED_FIELDS.join(", ")
            ),
        );
        let ahead_ns = self.max_ahead.or(Span::from_nanos(1)).as_nanos();
        checks.must(ahead_ns > 0, "input.max_ahead", "must be above 0, as `1m`, or `auto`");
    }
}
