//! Events as other programs write them, and the plainest recount of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// An event of the schema, in its order of fields.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub event_time_ns: i64,
    pub campaign_id: u64,
    pub produce_time: i64,
}

impl Event {
    /// The fields, in the schema's order.
    pub(crate) fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("user_id", "7f1f6a52-6a0b-4f6e-8f5e-0a2f6a3a9a01".into()),
            ("page_id", "c0ffee00-1111-4222-9333-444455556666".into()),
            ("ad_id", "00000000-0000-4000-8000-000000000001".into()),
            ("ad_type", "image".into()),
            ("event_type", "view".into()),
            ("event_time_ns", self.event_time_ns.into()),
            // Whatever its writer thought.
            ("window_id", (-3).into()),
            ("ip_address", "10.0.0.1".into()),
            ("campaign_id", self.campaign_id.into()),
            ("produce_time", self.produce_time.into()),
        ]
    }

    /// As Python's `json.dumps` writes it.
    pub(crate) fn python(&self) -> String {
        let fields: Vec<String> =
            self.fields().iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        format!("{{{}}}", fields.join(", "))
    }

    /// As one of many JSON writers, `writer` being any number.
    pub(crate) fn written_by(&self, writer: usize) -> String {
        let mut fields = self.fields();
        match writer % 7 {
            0 => self.python(),
            1 => self.python().replace("\": ", "\":").replace(", ", ","),
            2 => {
                let object: Map<String, Value> =
                    fields.into_iter().map(|(name, v)| (name.to_owned(), v)).collect();
                format!(" \r\n\t{:#}\n", Value::Object(object))
            }
            3 => {
                let places = fields.len();
                fields.rotate_left(writer / 7 % places);
                fields.swap(0, writer / 70 % places);
                let fields: Vec<String> =
                    fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }
            4 => {
                let extra = json!({
                    "campaign_id": 99, "event_time_ns": [1, {"x": null}], "é": "😀\u{1f}\"\\",
                });
                self.python().replacen(
                    '{',
                    &format!("{{\"meta\": {extra}, \"score\": -1.5e300, "),
                    1,
                )
            }
            5 => {
                let escaped = |text: &str| {
                    text.chars().fold(String::new(), |all, c| format!("{all}\\u{:04x}", c as u32))
                };
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| match value {
                        Value::String(text) => {
                            format!("\"{}\":\"{}\"", escaped(name), escaped(text))
                        }
                        other => format!("\"{}\" : {other}", escaped(name)),
                    })
                    .collect();
                format!("{{{}}}", fields.join(" ,"))
            }
            _ => self
                .python()
                .replace("\"campaign_id\": ", "\"campaign_id\": 77777, \"campaign_id\": "),
        }
    }
}

/// By window and campaign: events, and their greatest produce time.
pub(crate) type Counts = BTreeMap<(i64, u64), (u64, i64)>;

/// Counts windows aligned on the epoch, as naively as can be.
pub(crate) fn recount<'a>(events: impl IntoIterator<Item = &'a Event>, window_ns: i64) -> Counts {
    let mut counts = Counts::new();
    for event in events {
        let key = (event.event_time_ns.div_euclid(window_ns), event.campaign_id);
        let (count, greatest) = counts.entry(key).or_insert((0, i64::MIN));
        *count += 1;
        *greatest = event.produce_time.max(*greatest);
    }
    counts
}
