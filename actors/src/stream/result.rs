//! The result record: one per window and campaign with events.

/// The reason of a record that is no readable result.
pub(crate) const BAD_RESULT: &str = "bad_result";

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::clock::{MILLISECOND, Nanos};
use crate::stream::suspected_unit::suspected_unit;
use crate::stream::value::{Field, Oddities, Value, frameless};
use crate::units::TimeUnit;
use crate::workload::sections::input::InputSection;

/// A result as it stands in the results topic: JSON, with the key [`ResultRecord::key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultRecord {
    /// The run; empty where another program's results name none.
    #[serde(default)]
    pub run_id: String,
    /// The window.
    pub window_id: i64,
    /// First millisecond of the window, since the Unix epoch.
    #[serde(default)]
    pub window_start: i64,
    /// First millisecond after the window.
    #[serde(default)]
    pub window_end: i64,
    /// The campaign.
    pub campaign_id: u64,
    /// Events counted.
    pub count: u64,
    /// Greatest `produce_time` of the counted events, milliseconds since the Unix epoch.
    pub max_produce_time: i64,
}

impl ResultRecord {
    /// The record's key: `<run id>/<window id>/<campaign id>`.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.run_id, self.window_id, self.campaign_id)
    }

    /// The record's value.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain numbers and a string always serialize")
    }

    /// Reads what we wrote ourselves.
    ///
    /// # Errors
    /// When it is not JSON of this shape.
    pub fn from_json(payload: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(payload)
    }
}

/// How other processors write their results.
#[derive(Clone, Debug)]
pub(crate) struct ResultFormat {
    input: InputSection,
    /// What windows are numbered from, nanoseconds since the Unix epoch.
    base_ns: Nanos,
    /// Length of a window.
    window_ns: Nanos,
}

/// Names that engines give a window's start and end, besides ours.
const STARTS: [&str; 2] = ["start", "windowstart"];
const ENDS: [&str; 2] = ["end", "windowend"];
/// The object that Spark has them in.
const WINDOW: &str = "window";

impl ResultFormat {
    /// Results of windows of this length, numbered from `base_ns`.
    pub(crate) fn new(input: InputSection, base_ns: Nanos, window_ns: Nanos) -> Self {
        Self { input, base_ns, window_ns }
    }

    /// Reads a result. A field has the name that the settings give it, or ours, in whatever case
    /// and with or without underscores. A window is told by its number, its start or its end.
    ///
    /// # Errors
    /// Why the record is no readable result: see [`FieldFault::reason`](crate::FieldFault::reason).
    pub(crate) fn decode(
        &self,
        payload: &[u8],
        odd: &mut Oddities,
    ) -> Result<ResultRecord, &'static str> {
        let json = serde_json::from_slice(frameless(payload, odd));
        let serde_json::Value::Object(fields) = json.map_err(|_| BAD_RESULT)? else {
            return Err(BAD_RESULT);
        };
        let find = |field: &str| self.find(&fields, field);
        let fault = |field: Field| move |fault| field.with(fault).reason();
        let produced = find("max_produce_time").millis(self.input.produce_time_unit, odd);
        let (window_id, [window_start, window_end]) = self.window(&fields, odd)?;
        Ok(ResultRecord {
            run_id: find("run_id").text().unwrap_or_default().to_owned(),
            window_id,
            window_start,
            window_end,
            campaign_id: find("campaign_id").unsigned(odd).map_err(fault(Field::Campaign))?,
            count: find("count").unsigned(odd).map_err(fault(Field::Count))?,
            max_produce_time: produced.map_err(fault(Field::MaxProduceTime))?,
        })
    }

    /// The unit that a result's greatest `produce_time` looks like, if it is another one.
    pub(crate) fn suspected_unit(
        &self,
        result: &ResultRecord,
        stamped_ns: Nanos,
    ) -> Option<TimeUnit> {
        let produced_ns = result.max_produce_time.saturating_mul(MILLISECOND);
        let unit = self.input.produce_time_unit;
        suspected_unit(produced_ns, unit, stamped_ns).filter(|_| stamped_ns > 0)
    }

    fn find<'a>(&self, fields: &'a serde_json::Map<String, Json>, field: &str) -> Value<'a> {
        let exact = fields.get(self.input.name(field)).or_else(|| fields.get(field));
        exact.or_else(|| alike(fields, &[field])).map_or(Value::Missing, Value::of)
    }

    /// The window's number, and its bounds in milliseconds: what it lacks follows from the rest.
    fn window(
        &self,
        fields: &serde_json::Map<String, Json>,
        odd: &mut Oddities,
    ) -> Result<(i64, [i64; 2]), &'static str> {
        let nested = fields.get(WINDOW).and_then(Json::as_object);
        let mut bound = |field: &str, names: &[&str], of: Field| {
            let value = match self.find(fields, field) {
                Value::Missing => alike(nested.unwrap_or(fields), names)
                    .or_else(|| alike(fields, names))
                    .map_or(Value::Missing, Value::of),
                value => value,
            };
            match value {
                Value::Missing | Value::Null => Ok(None),
                value => value
                    .millis(TimeUnit::Ms, odd)
                    .map(Some)
                    .map_err(|fault| of.with(fault).reason()),
            }
        };
        let start = bound("window_start", &STARTS, Field::WindowStart)?;
        let end = bound("window_end", &ENDS, Field::WindowEnd)?;
        let length = self.window_ns / MILLISECOND;
        let from_bounds = start.or_else(|| end?.checked_sub(length));
        let window_id = match (self.find(fields, "window_id"), from_bounds) {
            (Value::Missing | Value::Null, Some(start)) => self.id_of(start),
            (value, _) => value.integer(odd).map_err(|fault| Field::Window.with(fault).reason())?,
        };
        let start = from_bounds.unwrap_or(0);
        let end = end.or_else(|| from_bounds?.checked_add(length)).unwrap_or(0);
        Ok((window_id, [start, end]))
    }

    /// The window that starts at a time, milliseconds since the Unix epoch.
    fn id_of(&self, start_ms: i64) -> i64 {
        let distance = i128::from(start_ms) * i128::from(MILLISECOND) - i128::from(self.base_ns);
        distance.div_euclid(i128::from(self.window_ns.max(1))) as i64
    }
}

/// The value of a key that is one of these names but for case and underscores.
fn alike<'a>(fields: &'a serde_json::Map<String, Json>, names: &[&str]) -> Option<&'a Json> {
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    let names: Vec<String> = names.iter().map(|name| plain(name)).collect();
    fields.iter().find(|(key, _)| names.contains(&plain(key))).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::clock::SECOND;
    use crate::testing::small_spec;

    const BASE_MS: i64 = 1_700_000_000_000;

    fn format(fields: &[(&str, &str)]) -> ResultFormat {
        let mut input = small_spec("results").input;
        input.fields = fields
            .iter()
            .map(|&(ours, theirs)| (ours.into(), theirs.into()))
            .collect::<BTreeMap<_, _>>();
        ResultFormat::new(input, BASE_MS * MILLISECOND, 10 * SECOND)
    }

    fn read(json: &str) -> Result<ResultRecord, &'static str> {
        format(&[("count", "events")]).decode(json.as_bytes(), &mut Oddities::default())
    }

    fn expected(run_id: &str) -> ResultRecord {
        ResultRecord {
            run_id: run_id.to_owned(),
            window_id: 3,
            window_start: BASE_MS + 30_000,
            window_end: BASE_MS + 40_000,
            campaign_id: 7,
            count: 5,
            max_produce_time: BASE_MS + 39_000,
        }
    }

    /// 2023-11-14T22:13:20Z is the base.
    #[test]
    fn results_are_read_as_engines_write_them() {
        let all = [
            r#"{"run_id":"r","window_id":3,"window_start":1700000030000,
                "window_end":1700000040000,"campaign_id":7,"count":5,
                "max_produce_time":1700000039000}"#,
            r#"{"run_id":"r","window_id":"3","window_start":"2023-11-14 22:13:50",
                "window_end":null,"campaign_id":7.0,"events":5.0,
                "max_produce_time":1.700000039e12}"#,
            r#"{"RUN_ID":"r","WINDOWSTART":1700000030000,"WINDOWEND":1700000040000,
                "CAMPAIGN_ID":7,"COUNT":5,"MAX_PRODUCE_TIME":1700000039000}"#,
            r#"{"runId":"r","window":{"start":"2023-11-14T22:13:50.000Z",
                "end":"2023-11-14T22:14:00.000Z"},"campaignId":7,"count":5,
                "maxProduceTime":1700000039000,"extra":[]}"#,
            r#"{"run_id":"r","window_start":"2023-11-14T23:13:50+01:00","campaign_id":"7",
                "count":"5","max_produce_time":"2023-11-14 22:13:59"}"#,
            r#"{"run_id":"r","end":1700000040000,"campaign_id":7,"count":5,
                "max_produce_time":1700000039000}"#,
        ];
        for json in all {
            assert_eq!(read(json), Ok(expected("r")), "{json}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let without = |field: &str| {
            let mut json = serde_json::to_value(expected("r")).unwrap();
            let fields = json.as_object_mut().unwrap();
            fields.remove(field);
            if field == "window_id" {
                fields.remove("window_start");
                fields.remove("window_end");
            }
            read(&json.to_string())
        };
        for (field, reason) in [
            ("window_id", "window_id: missing"),
            ("campaign_id", "campaign_id: missing"),
            ("count", "count: missing"),
            ("max_produce_time", "max_produce_time: missing"),
        ] {
            assert_eq!(without(field), Err(reason));
        }
        assert_eq!(read("[]"), Err(BAD_RESULT));
        assert_eq!(read("{"), Err(BAD_RESULT));
        let odd = r#"{"window_start":"then","campaign_id":7,"count":5,"max_produce_time":1}"#;
        assert_eq!(read(odd), Err("window_start: text"));
        let negative = r#"{"window_id":1,"campaign_id":7,"count":-5,"max_produce_time":1}"#;
        assert_eq!(read(negative), Err("count: negative"));
        let nobody =
            r#"{"run_id":null,"window_id":3,"campaign_id":7,"count":5,"max_produce_time":1}"#;
        assert_eq!(read(nobody).map(|result| result.run_id), Ok(String::new()));
    }
}
