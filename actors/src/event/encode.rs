//! Writes events as compact JSON, at millions a second.
//!
//! The text up to `ad_id` has fixed places, and stays in the buffer from event to event: only digits are written over.
//! What follows is put together from fragments, each written once for as long as its value repeats. A fragment is
//! copied in whole blocks, past its end: copies of a fixed length need no call, and the next fragment covers the rest.

use std::sync::Arc;

use super::{Draw, Serial, hex};
use crate::campaigns::Campaigns;

const USER_ID: usize = 12;
const PAGE_ID: usize = USER_ID + 36 + 13;
const AD_ID: usize = PAGE_ID + 36 + 11;
const AD_TYPE: usize = AD_ID + 36;
const HEAD: &[u8; AD_ID] = b"{\"user_id\":\"00000000-0000-0000-0000-000000000000\",\
    \"page_id\":\"00000000-0000-0000-0000-000000000000\",\"ad_id\":\"";

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
    campaign_ids: Vec<Fragment>,
    octets: Box<[Octet; 256]>,
    /// The serial whose run, producer and generation the buffer shows.
    shown: Option<Serial>,
    second: Second,
    window: Repeated,
    produced: Repeated,
}

impl EventEncoder {
    /// An encoder for draws of ads of `campaigns`, and of these types: any strings, escaped here once.
    pub fn new(campaigns: Arc<Campaigns>, ad_types: &[String], event_types: &[String]) -> Self {
        let quoted = |text: &String| serde_json::Value::from(text.as_str()).to_string();
        let ad_types: Vec<Fragment> =
            ad_types.iter().map(|name| Fragment::new(&format!("\",\"ad_type\":{}", quoted(name)))).collect();
        let event_types: Vec<Fragment> = event_types
            .iter()
            .map(|name| Fragment::new(&format!(",\"event_type\":{},\"event_time_ns\":", quoted(name))))
            .collect();
        let campaign_ids = (1..=campaigns.campaigns()).map(|id| Fragment::new(&format!("\",\"campaign_id\":{id}")));
        let longest =
            |fragments: &[Fragment]| fragments.iter().map(|fragment| fragment.blocks.len()).max().unwrap_or(0);
        let capacity = AD_TYPE + BLOCK * (longest(&ad_types) + longest(&event_types)) + REST;
        let mut buffer = vec![0; capacity];
        buffer[..AD_ID].copy_from_slice(HEAD);
        Self {
            buffer,
            campaign_ids: campaign_ids.collect(),
            campaigns,
            ad_types,
            event_types,
            octets: Box::new(std::array::from_fn(|value| Octet::new(value as u8))),
            shown: None,
            second: Second::new(1),
            window: Repeated::new(",\"window_id\":", ",\"ip_address\":\""),
            produced: Repeated::new(",\"produce_time\":", "}"),
        }
    }

    /// The event's text, valid until the next call. `event_time_ns` is nanoseconds, `produce_time_ms` milliseconds since
    /// the Unix epoch.
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
        let campaign = self.campaigns.campaign_of(draw.ad) as usize;
        at = self.campaign_ids[campaign - 1].put(buffer, at - 1);
        at = self.produced.put(buffer, at, produce_time_ms);
        &self.buffer[..at]
    }

    #[inline]
    fn put_ids(&mut self, draw: &Draw, serial: Serial) {
        let head: &mut [u8; AD_TYPE] = self.buffer.first_chunk_mut().expect("the buffer is longer");
        put_uuid(head, USER_ID, (draw.user_id >> 64) as u64, draw.user_id as u64);
        let same = self.shown.is_some_and(|shown| Serial { n: serial.n, ..shown } == serial);
        if same {
            let n = serial.n << 16;
            head[PAGE_ID + 24..PAGE_ID + 32].copy_from_slice(&hex::encode8((n >> 32) as u32));
            head[PAGE_ID + 32..PAGE_ID + 36].copy_from_slice(&hex::encode8(n as u32)[..4]);
        } else {
            put_uuid(head, PAGE_ID, serial.high(), serial.low());
            self.shown = Some(serial);
        }
        head[AD_ID..].copy_from_slice(self.campaigns.ad_text(draw.ad));
    }
}

#[inline]
fn put_uuid(head: &mut [u8; AD_TYPE], at: usize, high: u64, low: u64) {
    let second = hex::encode8(high as u32);
    let third = hex::encode8((low >> 32) as u32);
    head[at..at + 8].copy_from_slice(&hex::encode8((high >> 32) as u32));
    head[at + 9..at + 13].copy_from_slice(&second[..4]);
    head[at + 14..at + 18].copy_from_slice(&second[4..]);
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
struct Repeated {
    before: &'static str,
    after: &'static str,
    value: i64,
    text: Fragment,
}

impl Repeated {
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
struct Second {
    starts_ns: i64,
    digits: [u8; 16],
    len: usize,
}

impl Second {
    /// `second` is at least 1.
    fn new(second: i64) -> Self {
        let text = second.to_string();
        let mut digits = [0; 16];
        digits[..text.len()].copy_from_slice(text.as_bytes());
        Self { starts_ns: second * NS_PER_SECOND, digits, len: text.len() }
    }

    #[inline]
    fn put(&mut self, buffer: &mut [u8], at: usize, time_ns: i64) -> usize {
        // Times before this second wrap around to great numbers.
        let mut rest = time_ns.wrapping_sub(self.starts_ns) as u64;
        if rest >= NS_PER_SECOND as u64 {
            if time_ns < NS_PER_SECOND {
                return Self::put_any(buffer, at, time_ns);
            }
            *self = Self::new(time_ns / NS_PER_SECOND);
            rest = (time_ns % NS_PER_SECOND) as u64;
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
