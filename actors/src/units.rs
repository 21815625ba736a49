//! Settings in human units: rates, times and sizes, read from text or numbers, written in the same
//! units.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::clock::{MILLISECOND, Nanos, SECOND};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Events per second: `40k/s`, `1.5M/s`, `40000`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(pub f64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!("`{text}` is no rate: write events per second, as `40000`, `40k/s` or `1.5M/s`")
        };
        let plain = text.trim();
        let number = ["/sec", "/s"]
            .iter()
            .find_map(|suffix| plain.strip_suffix(suffix))
            .unwrap_or(plain)
            .trim_end();
        let (digits, scale) = match number.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&number[..at], 1e3),
            Some((at, 'M')) => (&number[..at], 1e6),
            Some((at, 'G')) => (&number[..at], 1e9),
            _ => (number, 1.0),
        };
        // A decimal number with optional underscores; what else f64 reads ("inf", "1e5") is most
        // likely a mistake.
        let digits = digits.trim_end().replace('_', "");
        if !digits.trim_start_matches('-').chars().all(|c| c.is_ascii_digit() || c == '.') {
            return Err(refuse());
        }
        digits.parse::<f64>().map(|value| Self(value * scale)).map_err(|_| refuse())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (scale, unit) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
            // Only where the short form loses nothing.
            let scaled = self.0 / scale;
            #[allow(clippy::float_cmp, reason = "exactness is the question")]
            let exact = scaled * scale == self.0 && (scaled * 1000.0).fract() == 0.0;
            if scaled >= 1.0 && exact {
                return write!(f, "{scaled}{unit}/s");
            }
        }
        write!(f, "{}/s", self.0)
    }
}

/// A length of time: `10s`, `500ms`, `1m 30s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Nanos);

impl Span {
    /// The longest length accepted; ten years.
    const MAX: Duration = Duration::from_hours(10 * 366 * 24);

    /// So many nanoseconds.
    pub const fn from_nanos(nanos: Nanos) -> Self {
        Self(nanos)
    }

    /// In nanoseconds.
    pub const fn as_nanos(self) -> Nanos {
        self.0
    }

    /// In milliseconds, rounded down.
    pub fn as_millis(self) -> u64 {
        (self.0 / MILLISECOND) as u64
    }

    /// As the standard library has it.
    pub fn duration(self) -> Duration {
        Duration::from_nanos(self.0 as u64)
    }

    /// Whether nothing of it is shorter than a millisecond.
    pub fn is_whole_millis(self) -> bool {
        self.as_nanos() % MILLISECOND == 0
    }

    /// Whether it is 0.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.trim();
        if plain.starts_with('-') {
            return Err(format!(
                "`{text}` is negative: write a length of time, as `10s` or `500ms`"
            ));
        }
        if !plain.is_empty()
            && plain != "0"
            && plain.chars().all(|c| c.is_ascii_digit() || c == '.')
        {
            return Err(format!(
                "`{text}` has no unit: write `{plain}s` for seconds, or `{plain}ms` for \
                 milliseconds"
            ));
        }
        let duration = match plain.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok())
        {
            // Fractions of a second, which humantime does not read.
            Some(seconds) if plain.contains('.') => Duration::try_from_secs_f64(seconds).ok(),
            _ if plain == "0" => Some(Duration::ZERO),
            _ => humantime::parse_duration(plain).ok(),
        };
        match duration {
            Some(duration) if duration <= Self::MAX => Ok(Self(duration.as_nanos() as Nanos)),
            Some(_) => Err(format!("`{text}` is more than ten years")),
            None => Err(format!("`{text}` is no length of time: write `10s`, `500ms` or `1m 30s`")),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.duration()).fmt(f)
    }
}

/// A size in bytes: `64MiB`, `1GB`, `1048576`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = text.trim().parse::<bytesize::ByteSize>();
        size.map(|size| Self(size.as_u64()))
            .map_err(|_| format!("`{text}` is no size: write `64MiB`, `1GB`, or a number of bytes"))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (1 << 30, "GiB"),
            (1 << 20, "MiB"),
            (1 << 10, "KiB"),
            (1_000_000_000, "GB"),
            (1_000_000, "MB"),
        ];
        match units.iter().find(|(unit, _)| self.0 > 0 && self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

/// `auto`, or a length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoSpan {
    /// The program chooses.
    Auto,
    /// This long.
    Fixed(Span),
}

impl AutoSpan {
    /// The length; `auto` where the program chooses.
    pub fn or(self, auto: Span) -> Span {
        match self {
            Self::Auto => auto,
            Self::Fixed(span) => span,
        }
    }
}

impl FromStr for AutoSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::Fixed) }
    }
}

impl fmt::Display for AutoSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(span) => span.fmt(f),
        }
    }
}

/// A part of a whole: `0.1%`, or `0.001`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.trim();
        let (number, scale) = match plain.strip_suffix('%') {
            Some(percent) => (percent.trim_end(), 100.0),
            None => (plain, 1.0),
        };
        let share = number.parse::<f64>().ok().map(|number| number / scale);
        share
            .filter(|share| (0.0..=1.0).contains(share))
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no share: write `0.1%`, or a number from 0 to 1"))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        // Only where it is read as the same again.
        #[expect(clippy::float_cmp, reason = "exactness is the question")]
        if percent / 100.0 == self.0 { write!(f, "{percent}%") } else { write!(f, "{}", self.0) }
    }
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// Nanoseconds since the Unix epoch.
    Ns,
    /// Microseconds since the Unix epoch.
    Us,
    /// Milliseconds since the Unix epoch.
    Ms,
    /// Seconds since the Unix epoch.
    S,
    /// ISO 8601, or as SQL writes it; without a zone: UTC.
    Iso,
}

impl TimeUnit {
    /// The units of numbers.
    pub(crate) const NUMBERS: [Self; 4] = [Self::Ns, Self::Us, Self::Ms, Self::S];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::Us => "us",
            Self::Ms => "ms",
            Self::S => "s",
            Self::Iso => "iso",
        }
    }

    /// Its length, nanoseconds; of text, which says it itself: 1.
    pub(crate) fn nanos(self) -> Nanos {
        match self {
            Self::Ns | Self::Iso => 1,
            Self::Us => 1000,
            Self::Ms => MILLISECOND,
            Self::S => SECOND,
        }
    }
}

/// Reads text by `FromStr`, and numbers as their text.
struct TextOrNumber<T> {
    expecting: &'static str,
    value: std::marker::PhantomData<T>,
}

impl<T: FromStr<Err = String>> Visitor<'_> for TextOrNumber<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

macro_rules! text_or_number {
    ($($unit:ty, $expecting:literal;)*) => {$(
        impl<'de> Deserialize<'de> for $unit {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let value = std::marker::PhantomData;
                from.deserialize_any(TextOrNumber { expecting: $expecting, value })
            }
        }

        impl Serialize for $unit {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $unit {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($unit).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": ["string", "number"], "description": $expecting })
            }
        }
    )*};
}

text_or_number! {
    Rate, "events per second, as 40000, \"40k/s\" or \"1.5M/s\"";
    Span, "a length of time, as \"10s\", \"500ms\" or \"1m 30s\"";
    Bytes, "a size, as \"64MiB\", \"1GB\" or a number of bytes";
    Share, "a share, as \"0.1%\" or 0.001";
    AutoSpan, "\"auto\", or a length of time, as \"10s\" or \"500ms\"";
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates() {
        for (text, rate) in [
            ("40000", 40_000.0),
            ("40_000", 40_000.0),
            ("50k/s", 50_000.0),
            ("50 k/s", 50_000.0),
            ("1.5M/s", 1_500_000.0),
            ("1.5M", 1_500_000.0),
            ("2K/sec", 2_000.0),
            ("0.5/s", 0.5),
            ("-3/s", -3.0),
        ] {
            assert_eq!(text.parse(), Ok(Rate(rate)), "{text}");
        }
        for text in ["", "k", "/s", "fast", "inf", "NaN", "1e5", "40k/m", "1,5k", "m"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        assert_eq!(serde_json::from_str::<Rate>("40000").unwrap(), Rate(40_000.0));
        assert_eq!(serde_json::from_str::<Rate>("0.25").unwrap(), Rate(0.25));
        assert!(
            serde_json::from_str::<Rate>("true")
                .unwrap_err()
                .to_string()
                .contains("events per second")
        );
    }

    #[test]
    fn spans() {
        for (text, millis) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("1m 30s", 90_000),
            ("1h", 3_600_000),
            ("0.5s", 500),
            ("0", 0),
        ] {
            assert_eq!(text.parse(), Ok(Span::from_nanos(millis * MILLISECOND)), "{text}");
        }
        for (text, hint) in [
            ("10", "`10s`"),
            ("1.5", "`1.5s`"),
            ("-1s", "negative"),
            ("", "`10s`"),
            ("ten", "`10s`"),
            ("11y", "ten years"),
        ] {
            let error = text.parse::<Span>().unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
        assert!(serde_json::from_str::<Span>("10").unwrap_err().to_string().contains("`10s`"));
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1GB", 1_000_000_000), ("12", 12), ("1 KiB", 1024), ("0", 0)]
        {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "-1", "MiB", "much"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn shares() {
        for (text, share) in
            [("0.1%", 0.001), ("5 %", 0.05), ("0.25", 0.25), ("0", 0.0), ("1", 1.0)]
        {
            assert_eq!(text.parse(), Ok(Share(share)), "{text}");
            assert_eq!(Share(share).to_string().parse(), Ok(Share(share)), "{text}");
        }
        for text in ["", "%", "-1%", "101%", "2", "NaN", "few"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        assert_eq!(Share(0.001).to_string(), "0.1%");
    }

    #[test]
    fn auto_spans() {
        assert_eq!("auto".parse(), Ok(AutoSpan::Auto));
        assert_eq!("1s".parse(), Ok(AutoSpan::Fixed(Span::from_nanos(SECOND))));
        assert_eq!(AutoSpan::Auto.or(Span::from_nanos(7 * SECOND)).as_nanos(), 7_000_000_000);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            rate in 0.0..1e9_f64, whole in 0..10_000_000_u64,
            nanos in 0..10_i64.pow(17), bytes: u32,
        ) {
            prop_assert_eq!(Rate(rate).to_string().parse(), Ok(Rate(rate)));
            prop_assert_eq!(Rate(whole as f64).to_string().parse(), Ok(Rate(whole as f64)));
            let span = Span::from_nanos(nanos);
            prop_assert_eq!(span.to_string().parse(), Ok(span));
            let size = Bytes(u64::from(bytes) << 10);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
