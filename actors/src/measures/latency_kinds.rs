//! The latencies: one table. A row is all there is to declare of one; reports, metrics, tables,
//! charts and the history follow from it.

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is known of a latency.
#[derive(Clone, Copy, Debug)]
pub struct LatencyRow {
    /// The name in reports and metrics.
    pub name: &'static str,
    /// Where it begins.
    pub from: &'static str,
    /// Where it ends.
    pub to: &'static str,
    /// Both ends in few letters.
    pub brief: &'static str,
    /// What it is a latency of.
    pub of: Subject,
    /// The latency at whose end it begins, where that is on the same way.
    pub after: Option<LatencyKind>,
    /// The finest step that a sample can show, milliseconds: `produce_time` is in whole
    /// milliseconds, all else is the run clock, recorded in microseconds.
    pub resolution_ms: f64,
    /// Whether a step of the wall clock spoils it: one of its ends is another clock's.
    pub spoiled_by_clock_step: bool,
}

/// What a latency is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An event: samples come all the time.
    Event,
    /// A window: samples come where one closes.
    Window,
}

macro_rules! latencies {
    ($($(#[doc = $about:literal])+ $kind:ident { $($field:ident: $value:expr),* $(,)? })*) => {
        /// A latency of a run; its definition is its row ([`LatencyKind::row`]).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum LatencyKind {
            $($(#[doc = $about])+ $kind,)*
        }

        impl LatencyKind {
            /// How many there are.
            pub const COUNT: usize = [$(Self::$kind),*].len();

            /// All kinds, in the order of a report.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$kind),*];

            const ROWS: [LatencyRow; Self::COUNT] = [
                $(LatencyRow { $($field: $value,)* ..LatencyRow::USUAL },)*
            ];
        }
    };
}

impl LatencyRow {
    /// What most rows have in common.
    const USUAL: Self = Self {
        name: "",
        from: "",
        to: "",
        brief: "",
        of: Subject::Event,
        after: None,
        resolution_ms: 0.001,
        spoiled_by_clock_step: false,
    };
}

latencies! {
    /// Intended time -> handed to the client.
    PublishDelay {
        name: "publish_delay",
        from: "the event's intended time",
        to: "handed to the client",
        brief: "intended→sent",
    }
    /// Handed to the client -> acknowledged.
    PublishLatency {
        name: "publish_latency",
        from: "handed to the client",
        to: "acknowledged by the broker",
        brief: "sent→acknowledged",
        after: Some(LatencyKind::PublishDelay),
    }
    /// Intended time -> consumed by the aggregator.
    EventLatency {
        name: "event_latency",
        from: "the event's intended time",
        to: "consumed by the aggregator",
        brief: "intended→consumed",
    }
    /// Window end -> result handed to the client.
    CloseLatency {
        name: "close_latency",
        from: "the window's end",
        to: "result handed to the client",
        brief: "window end→sent",
        of: Subject::Window,
    }
    /// A result's `max_produce_time` -> its insertion time: the headline.
    ResultLatency {
        name: "result_latency",
        from: "the greatest produce time in the result",
        to: "the result's insertion time",
        brief: "produced→inserted",
        of: Subject::Window,
        resolution_ms: 1.0,
        spoiled_by_clock_step: true,
    }
    /// A result's greatest event time -> its insertion time: as the headline, with the waiting
    /// before the hand-over.
    ResultLatencyIntended {
        name: "result_latency_intended",
        from: "the greatest event time in the result",
        to: "the result's insertion time",
        brief: "intended→inserted",
        of: Subject::Window,
        resolution_ms: 1.0,
        spoiled_by_clock_step: true,
    }
    /// Window end -> result read back.
    EndToEnd {
        name: "end_to_end",
        from: "the window's end",
        to: "result read back",
        brief: "window end→read",
        of: Subject::Window,
    }
}

impl LatencyKind {
    /// The latency that the program is about.
    pub const HEADLINE: Self = Self::ResultLatency;

    /// The program's own lateness, which no broker has a part in.
    pub const OWN_DELAY: Self = Self::PublishDelay;

    /// All there is to know of it.
    pub fn row(self) -> &'static LatencyRow {
        &Self::ROWS[self as usize]
    }

    /// The name in reports and metrics.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The name for people, where it stands among latencies: `publish delay`, `result`.
    pub fn label(self) -> String {
        let name = self.name();
        name.strip_suffix("_latency").unwrap_or(name).replace('_', " ")
    }

    /// The finest step that a sample can show, milliseconds.
    pub fn resolution_ms(self) -> f64 {
        self.row().resolution_ms
    }

    /// Whether its samples mean nothing, the wall clock having been stepped or not.
    pub fn is_spoiled(self, clock_stepped: bool) -> bool {
        clock_stepped && self.row().spoiled_by_clock_step
    }
}

/// One value per latency; `None` where nothing was measured. In documents a map by name, in which
/// every latency is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerLatency<T>([Option<T>; LatencyKind::COUNT]);

impl<T> Default for PerLatency<T> {
    fn default() -> Self {
        Self([const { None }; LatencyKind::COUNT])
    }
}

impl<T> PerLatency<T> {
    /// Makes each value from its kind.
    pub fn from_fn(of: impl FnMut(LatencyKind) -> Option<T>) -> Self {
        Self(LatencyKind::ALL.map(of))
    }

    /// The value of one kind.
    pub fn get(&self, kind: LatencyKind) -> Option<&T> {
        self.0[kind as usize].as_ref()
    }

    /// Puts the value of one kind.
    pub fn set(&mut self, kind: LatencyKind, value: Option<T>) {
        self.0[kind as usize] = value;
    }

    /// All kinds with their values, in the order of a report.
    pub fn iter(&self) -> impl Iterator<Item = (LatencyKind, Option<&T>)> {
        LatencyKind::ALL.into_iter().map(|kind| (kind, self.get(kind)))
    }

    /// Leaves out what a step of the wall clock spoils.
    #[must_use]
    pub fn unspoiled(mut self, clock_stepped: bool) -> Self {
        LatencyKind::ALL
            .into_iter()
            .filter(|kind| kind.is_spoiled(clock_stepped))
            .for_each(|kind| self.set(kind, None));
        self
    }
}

impl<T: Serialize> Serialize for PerLatency<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(LatencyKind::COUNT))?;
        for (kind, value) in self.iter() {
            map.serialize_entry(kind.name(), &value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for PerLatency<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByName<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ByName<T> {
            type Value = PerLatency<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("latencies by name")
            }

            // What is not there was not measured, and what this program does not know is left out:
            // another version may have written it.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut values = PerLatency::default();
                while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    match LatencyKind::ALL.into_iter().find(|kind| kind.name() == name) {
                        Some(kind) => values.set(kind, map.next_value()?),
                        None => _ = map.next_value::<IgnoredAny>()?,
                    }
                }
                Ok(values)
            }
        }

        deserializer.deserialize_map(ByName(std::marker::PhantomData))
    }
}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for PerLatency<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("PerLatency_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut properties = serde_json::Map::new();
        for kind in LatencyKind::ALL {
            let row = kind.row();
            let mut schema = generator.subschema_for::<Option<T>>();
            let spoiled = if row.spoiled_by_clock_step {
                " Null also after a step of the wall clock (see `notes`)."
            } else {
                ""
            };
            let about = format!("From {} to: {}.{spoiled}", row.from, row.to);
            schema.insert("description".to_owned(), about.into());
            properties.insert(kind.name().to_owned(), schema.into());
        }
        let names = LatencyKind::ALL.map(LatencyKind::name);
        schemars::json_schema!({ "type": "object", "properties": properties, "required": names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_whole_and_has_its_own_name() {
        for (at, kind) in LatencyKind::ALL.into_iter().enumerate() {
            let row = kind.row();
            assert_eq!(kind as usize, at);
            assert!([row.name, row.from, row.to, row.brief].iter().all(|text| !text.is_empty()));
            let alike = LatencyKind::ALL.into_iter().filter(|other| other.name() == row.name);
            assert_eq!(alike.count(), 1, "{}", row.name);
        }
    }

    #[test]
    fn a_map_of_another_version_is_read() {
        let text = r#"{"close_latency": 7, "a_newer_one": {"x": 1}, "end_to_end": null}"#;
        let read: PerLatency<u32> = serde_json::from_str(text).unwrap();
        let expected = PerLatency::from_fn(|kind| (kind == LatencyKind::CloseLatency).then_some(7));
        assert_eq!(read, expected);
        let written = serde_json::to_value(read).unwrap();
        assert_eq!(written.as_object().unwrap().len(), LatencyKind::COUNT);
    }

    #[test]
    fn a_stepped_clock_spoils_what_another_clock_ends() {
        let all = PerLatency::from_fn(|_| Some(1));
        assert_eq!(all.unspoiled(false), all);
        let left = all.unspoiled(true);
        let gone: Vec<LatencyKind> =
            left.iter().filter(|(_, value)| value.is_none()).map(|(kind, _)| kind).collect();
        assert_eq!(gone, [LatencyKind::ResultLatency, LatencyKind::ResultLatencyIntended]);
    }
}
