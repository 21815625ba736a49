//! Writes events as compact JSON, at millions a second.
//!
//! The text up to `ad_id` has fixed places, and stays in the buffer from event to event: only
//! digits are written over. What follows is put together from fragments, each written once for as
//! long as its value repeats. A fragment is copied in whole blocks, past its end: copies of a fixed
//! length need no call, and the next fragment covers the rest.

use std::sync::Arc;

use super::draw::Draw;
use super::hex;
use super::serial::Serial;
use crate::workload::campaigns::Campaigns;

const USER_ID: usize = 12;
const PAGE_ID: usize = USER_ID + 36 + 13;
const AD_ID: usize = PAGE_ID + 36 + 11;
const AD_TYPE: usize = AD_ID + 36;
const HEAD: &[u8; AD_TYPE] = b"{\"user_id\":\"00000000-0000-0000-0000-000000000000\",\
    \"page_id\":\"00000000-0000-0000-0000-000000000000\",\
    \"ad_id\":\"00000000-0000-0000-0000-000000000000";

const NS_PER_SECOND: i64 = 1_000_000_000;

/// How much one block copies.
const BLOCK: usize = 32;

/// More than what follows the event type takes, blocks copied past the end included.
const REST: usize = 512;

/// Writes events, one at a time, into a buffer of its own.
#[derive(Clone, Debug)]
pub struct EventEncoder {
    buffer: Vec<u8>,
    campaigns: Arc<Campaigns>,
    ad_types: Vec<Fragment>,
    event_types: Vec<Fragment>,
    octets: Box<[Octet; 256]>,
    /// The run tag and the producer that the buffer shows.
    shown: Option<(u64, u16)>,
    second: SecondText,
    window: RepeatedNumber,
    produced: RepeatedNumber,
}

impl EventEncoder {
    /// An encoder for draws of ads of `campaigns`, and of these types: any strings, escaped here
    /// once.
    pub fn new(campaigns: Arc<Campaigns>, ad_types: &[String], event_types: &[String]) -> Self {
        let quoted = |text: &String| serde_json::Value::from(text.as_str()).to_string();
        let ad_types: Vec<Fragment> = ad_types
            .iter()
            .map(|name| Fragment::new(&format!("\",\"ad_type\":{}", quoted(name))))
            .collect();
        let event_types: Vec<Fragment> = event_types
            .iter()
            .map(|name| {
                Fragment::new(&format!(",\"event_type\":{},\"event_time_ns\":", quoted(name)))
            })
            .collect();
        let longest = |fragments: &[Fragment]| {
            fragments.iter().map(|fragment| fragment.blocks.len()).max().unwrap_or(0)
        };
        let capacity = AD_TYPE + BLOCK * (longest(&ad_types) + longest(&event_types)) + REST;
        let mut buffer = vec![0; capacity];
        buffer[..AD_TYPE].copy_from_slice(HEAD);
        Self {
            buffer,
            campaigns,
            ad_types,
            event_types,
            octets: Box::new(std::array::from_fn(|value| Octet::new(value as u8))),
            shown: None,
            second: SecondText::new(1),
            window: RepeatedNumber::new(",\"window_id\":", ",\"ip_address\":\""),
            produced: RepeatedNumber::new(",\"produce_time\":", "}"),
        }
    }

    /// The event's text, valid until the next call. `event_time_ns` is nanoseconds,
    /// `produce_time_ms` milliseconds since the Unix epoch.
    ///
    /// # Panics
    /// If `draw` names an ad or a type that this encoder was not given.
    #[inline]
    pub fn encode(
        &mut self,
        draw: &Draw,
        serial: Serial,
        event_time_ns: i64,
        window_id: i64,
        produce_time_ms: i64,
    ) -> &[u8] {
        self.put_ids(draw, serial);
        let buffer = &mut self.buffer[..];
        let mut at = self.ad_types[draw.ad_type as usize].put(buffer, AD_TYPE);
        at = self.event_types[draw.event_type as usize].put(buffer, at);
        at = self.second.put(buffer, at, event_time_ns);
        at = self.window.put(buffer, at, window_id);
        for octet in draw.ip.to_be_bytes() {
            at = self.octets[octet as usize].put(buffer, at);
        }
        // The last octet's dot is covered.
        at = put_campaign(buffer, at - 1, self.campaigns.campaign_of(draw.ad));
        at = self.produced.put(buffer, at, produce_time_ms);
        &self.buffer[..at]
    }

    #[inline]
    fn put_ids(&mut self, draw: &Draw, serial: Serial) {
        let head: &mut [u8; AD_TYPE] = self.buffer.first_chunk_mut().expect("the buffer is longer");
        put_uuid(head, USER_ID, (draw.user_id >> 64) as u64, draw.user_id as u64);
        // Run and producer stay the same.
        if self.shown == Some((serial.run_tag, serial.producer)) {
            put_low_half(head, PAGE_ID, serial.low());
        } else {
            put_uuid(head, PAGE_ID, serial.high(), serial.low());
            self.shown = Some((serial.run_tag, serial.producer));
        }
        let (high, low) = self.campaigns.ad_id(draw.ad).as_u64_pair();
        put_uuid(head, AD_ID, high, low);
    }
}

#[inline]
fn put_uuid(head: &mut [u8; AD_TYPE], at: usize, high: u64, low: u64) {
    let second = hex::encode8(high as u32);
    head[at..at + 8].copy_from_slice(&hex::encode8((high >> 32) as u32));
    head[at + 9..at + 13].copy_from_slice(&second[..4]);
    head[at + 14..at + 18].copy_from_slice(&second[4..]);
    put_low_half(head, at, low);
}

/// The last two groups of a UUID.
#[inline]
fn put_low_half(head: &mut [u8; AD_TYPE], at: usize, low: u64) {
    let third = hex::encode8((low >> 32) as u32);
    head[at + 19..at + 23].copy_from_slice(&third[..4]);
    head[at + 24..at + 28].copy_from_slice(&third[4..]);
    head[at + 28..at + 36].copy_from_slice(&hex::encode8(low as u32));
}

/// A piece of text, filled up to whole blocks.
#[derive(Clone, Debug)]
struct Fragment {
    blocks: Box<[[u8; BLOCK]]>,
    len: usize,
}

impl Fragment {
    fn new(text: &str) -> Self {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        Self { blocks: bytes.as_chunks().0.into(), len: text.len() }
    }

    /// Writes the text at `at`; returns where it ends.
    #[inline]
    fn put(&self, buffer: &mut [u8], at: usize) -> usize {
        let mut place = at;
        for block in &self.blocks {
            buffer[place..place + BLOCK].copy_from_slice(block);
            place += BLOCK;
        }
        at + self.len
    }
}

/// A number that seldom changes, with the text around it.
#[derive(Clone, Debug)]
struct RepeatedNumber {
    before: &'static str,
    after: &'static str,
    value: i64,
    text: Fragment,
}

impl RepeatedNumber {
    fn new(before: &'static str, after: &'static str) -> Self {
        Self { before, after, value: 0, text: Fragment::new(&format!("{before}0{after}")) }
    }

    #[inline]
    fn put(&mut self, buffer: &mut [u8], at: usize, value: i64) -> usize {
        if value != self.value {
            self.change(value);
        }
        self.text.put(buffer, at)
    }

    #[cold]
    fn change(&mut self, value: i64) {
        self.value = value;
        self.text = Fragment::new(&format!("{}{value}{}", self.before, self.after));
    }
}

/// The digits of the second of the last event time.
#[derive(Clone, Debug)]
struct SecondText {
    starts_ns: i64,
    digits: [u8; 16],
    len: usize,
}

impl SecondText {
    /// `second` is at least 1.
    fn new(second: i64) -> Self {
        let text = second.to_string();
        let mut digits = [0; 16];
        digits[..text.len()].copy_from_slice(text.as_bytes());
        Self { starts_ns: second * NS_PER_SECOND, digits, len: text.len() }
    }

    #[inline]
    fn put(&mut self, buffer: &mut [u8], at: usize, time_ns: i64) -> usize {
        let mut rest = time_ns.saturating_sub(self.starts_ns);
        if !(0..NS_PER_SECOND).contains(&rest) {
            if time_ns < NS_PER_SECOND {
                return Self::put_any(buffer, at, time_ns);
            }
            *self = Self::new(time_ns / NS_PER_SECOND);
            rest = time_ns % NS_PER_SECOND;
        }
        buffer[at..at + 16].copy_from_slice(&self.digits);
        let at = at + self.len;
        let rest = rest as u32;
        buffer[at] = b'0' + (rest / 100_000_000) as u8;
        buffer[at + 1..at + 9].copy_from_slice(&decimal8(rest % 100_000_000));
        at + 9
    }

    #[cold]
    fn put_any(buffer: &mut [u8], at: usize, time_ns: i64) -> usize {
        let text = time_ns.to_string();
        buffer[at..at + text.len()].copy_from_slice(text.as_bytes());
        at + text.len()
    }
}

/// The campaign's id, with its key: put together anew, since a text for each of many would not fit
/// into a core's cache.
#[inline]
fn put_campaign(buffer: &mut [u8], at: usize, id: u32) -> usize {
    const KEY: &[u8; 16] = b"\",\"campaign_id\":";
    buffer[at..at + 16].copy_from_slice(KEY);
    let mut at = at + 16;
    if id >= 100_000_000 {
        let front = (id / 100_000_000).to_string();
        buffer[at..at + front.len()].copy_from_slice(front.as_bytes());
        at += front.len();
        buffer[at..at + 8].copy_from_slice(&decimal8(id % 100_000_000));
        return at + 8;
    }
    let digits = u64::from_le_bytes(decimal8(id));
    // Leading zeros are the lowest bytes; a zero alone stays.
    let zeros = ((digits ^ 0x3030_3030_3030_3030) | 1 << 56).trailing_zeros() / 8;
    buffer[at..at + 8].copy_from_slice(&(digits >> (8 * zeros)).to_le_bytes());
    at + 8 - zeros as usize
}

/// The eight decimal digits of a number below 10^8, halved three times over in one register.
#[inline]
fn decimal8(value: u32) -> [u8; 8] {
    let fours = u64::from(value / 10_000) | u64::from(value % 10_000) << 32;
    // x * 10486 >> 20 is x / 100 below 10^4, and x * 103 >> 10 is x / 10 below 100.
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    let ones = tens | (twos - 10 * tens) << 8;
    (ones | 0x3030_3030_3030_3030).to_le_bytes()
}

/// One part of an IPv4 address, with the dot after it.
#[derive(Clone, Copy, Debug)]
struct Octet {
    text: [u8; 4],
    len: u8,
}

impl Octet {
    fn new(value: u8) -> Self {
        let digits = format!("{value}.");
        let mut text = [0; 4];
        text[..digits.len()].copy_from_slice(digits.as_bytes());
        Self { text, len: digits.len() as u8 }
    }

    #[inline]
    fn put(self, buffer: &mut [u8], at: usize) -> usize {
        buffer[at..at + 4].copy_from_slice(&self.text);
        at + self.len as usize
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use proptest::prelude::*;
    use serde::Deserializer as _;
    use serde::de::{MapAccess, Visitor};
    use serde_json::Value;
    use uuid::{Uuid, Version};

    use super::*;
    use crate::stream::event::{DecodedEvent, EVENT_FIELDS, EventSource, decode_event};

    /// Reads an object as its keys and values, in their order.
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, Value)>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    fn members(text: &[u8]) -> Vec<(String, Value)> {
        let mut json = serde_json::Deserializer::from_slice(text);
        let members = json.deserialize_map(Members).expect("an object");
        json.end().expect("nothing more");
        members
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn types() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(prop_oneof![any::<String>(), "[a-z]{0,80}"], 1..4)
    }

    fn serials() -> impl Strategy<Value = Serial> {
        let n = prop_oneof![0..10_u64, 0..=Serial::MAX_N];
        (0..2_u64, 0..2_u16, 0..2_u16, n).prop_map(|(run_tag, producer, partition, n)| Serial {
            run_tag: Serial::MAX_RUN_TAG - run_tag,
            producer,
            partition,
            n,
        })
    }

    fn times() -> impl Strategy<Value = i64> {
        prop_oneof![
            any::<i64>(),
            -5..5_i64,
            (1_700_000_000_000_000_000..1_700_000_003_000_000_000_i64),
            (-3..3_i64).prop_map(|second| second * NS_PER_SECOND),
            (-3..3_i64).prop_map(|second| second * NS_PER_SECOND - 1),
            Just(i64::MIN),
            Just(i64::MAX),
        ]
    }

    #[test]
    fn a_campaigns_id_has_its_digits_and_no_more() {
        for id in [0, 1, 9, 10, 99, 100, 12_345, 99_999_999, 100_000_000, 1_234_567_890, u32::MAX] {
            let mut buffer = [b'x'; 64];
            let end = put_campaign(&mut buffer, 3, id);
            assert_eq!(
                std::str::from_utf8(&buffer[3..end]).unwrap(),
                format!("\",\"campaign_id\":{id}")
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_was_given(
            seed: u64,
            (ad_types, event_types) in (types(), types()),
            events in prop::collection::vec((serials(), times(), times(), times()), 1..20),
        ) {
            let campaigns = Arc::new(Campaigns::derive(seed, 12, 3, None));
            let ads = Arc::clone(&campaigns);
            let mut source = EventSource::new(seed, 0, ads, ad_types.len(), event_types.len());
            let mut encoder = EventEncoder::new(Arc::clone(&campaigns), &ad_types, &event_types);
            for (serial, event_time_ns, window_id, produce_time_ms) in events {
                let draw = source.draw();
                let text = encoder.encode(&draw, serial, event_time_ns, window_id, produce_time_ms);
                let campaign_id = campaigns.campaign_of(draw.ad).into();
                let decoded = DecodedEvent {
                    serial: Some(serial),
                    event_time_ns,
                    window_id,
                    campaign_id,
                    produce_time_ms,
                };
                let shown = String::from_utf8_lossy(text);
                prop_assert_eq!(decode_event(text), Ok(decoded), "{}", shown);
                let user_id = Uuid::from_u128(draw.user_id);
                prop_assert_eq!(user_id.get_version(), Some(Version::Random));
                let ad_id = campaigns.ad_id(draw.ad);
                prop_assert_eq!(ad_id.get_version(), Some(Version::Random));
                let values = [
                    Value::from(user_id.to_string()),
                    Value::from(serial.to_uuid().to_string()),
                    Value::from(ad_id.to_string()),
                    Value::from(ad_types[draw.ad_type as usize].as_str()),
                    Value::from(event_types[draw.event_type as usize].as_str()),
                    Value::from(event_time_ns),
                    Value::from(window_id),
                    Value::from(std::net::Ipv4Addr::from_bits(draw.ip).to_string()),
                    Value::from(campaign_id),
                    Value::from(produce_time_ms),
                ];
                let fields = EVENT_FIELDS.iter().map(|&field| field.to_owned());
                let expected: Vec<_> = fields.zip(values).collect();
                prop_assert_eq!(members(text), expected);
            }
        }

        #[test]
        fn eight_digits_are_those_of_the_formatter(value in 0..100_000_000_u32) {
            prop_assert_eq!(decimal8(value).to_vec(), format!("{value:08}").into_bytes());
        }
    }

    #[test]
    fn the_text_is_compact_and_the_same_on_every_machine() {
        let campaigns = Arc::new(Campaigns::derive(42, 10, 100, None));
        let mut encoder =
            EventEncoder::new(campaigns, &strings(&["image", "a \"b\"\n"]), &strings(&["view"]));
        let draw = Draw {
            user_id: 0x8c0f_b28c_7d1c_4b7a_9b1f_3a52_c7a0_d9e4,
            ad: 250,
            ad_type: 1,
            event_type: 0,
            ip: 0xc000_020a,
        };
        let serial = Serial { run_tag: 0x0123_4567_89ab, producer: 0xcde, partition: 0x48d0, n: 7 };
        let text = encoder.encode(&draw, serial, 1_700_000_000_123_456_789, 17, 1_700_000_000_124);
        let expected = "{\"user_id\":\"8c0fb28c-7d1c-4b7a-9b1f-3a52c7a0d9e4\",\
            \"page_id\":\"01234567-89ab-8cde-9234-000000000007\",\
            \"ad_id\":\"36c8753f-a2e2-4b00-92e7-d44d31de97b1\",\
            \"ad_type\":\"a \\\"b\\\"\\n\",\"event_type\":\"view\",\
            \"event_time_ns\":1700000000123456789,\"window_id\":17,\
            \"ip_address\":\"192.0.2.10\",\"campaign_id\":3,\"produce_time\":1700000000124}";
        assert_eq!(std::str::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn parts_past_their_width_are_cut_off_as_in_the_uuid() {
        let campaigns = Arc::new(Campaigns::derive(42, 1, 1, None));
        let mut encoder = EventEncoder::new(campaigns, &strings(&["image"]), &strings(&["view"]));
        let draw = Draw { user_id: 0, ad: 0, ad_type: 0, event_type: 0, ip: 0 };
        let wide =
            Serial { run_tag: u64::MAX, producer: u16::MAX, partition: u16::MAX, n: u64::MAX };
        for _ in 0..2 {
            let page_id = members(encoder.encode(&draw, wide, 0, 0, 0))[1].1.clone();
            assert_eq!(page_id, Value::from(wide.to_uuid().to_string()));
        }
    }
}
