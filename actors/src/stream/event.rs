//! The event: its schema, its serial number, what is random of it, and its codec.
//!
//! An event is one JSON object. [`EVENT_FIELDS`] are its keys, in the order in which we write them:
//!
//! ```json
//! {"user_id":"8c0f…","page_id":"9b1d…","ad_id":"51aa…","ad_type":"video","event_type":"view",
//!  "event_time_ns":1700000000123456789,"window_id":12,"ip_address":"192.0.2.7","campaign_id":3,
//!  "produce_time":1700000000124}
//! ```
//!
//! [`EventSource`] draws the random part, [`EventEncoder`] writes the text, [`decode_event()`]
//! reads any JSON writer's.

mod decode;
mod encode;
mod hex;

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use uuid::Uuid;

pub use self::decode::{DecodedEvent, MAX_EVENT_BYTES, Malformed, decode_event};
pub use self::encode::EventEncoder;
use crate::workload::campaigns::Campaigns;

/// The keys of an event, in the order in which [`EventEncoder`] writes them.
pub const EVENT_FIELDS: [&str; 10] = [
    "user_id",
    "page_id",
    "ad_id",
    "ad_type",
    "event_type",
    "event_time_ns",
    "window_id",
    "ip_address",
    "campaign_id",
    "produce_time",
];

/// Where an event stands in its producer's output, carried as `page_id`: a UUID version 8 (RFC
/// 9562, section 5.8).
///
/// | bits | holds |
/// |---|---|
/// | 0..48 | `run_tag` |
/// | 48..52 | the version, 8 |
/// | 52..64 | `producer` |
/// | 64..66 | the variant, binary 10 |
/// | 66..80 | `generation` |
/// | 80..128 | `n` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial {
    /// Tells this run's events from strangers; 48 bits.
    pub run_tag: u64,
    /// The producer, from 0; 12 bits.
    pub producer: u16,
    /// The pipeline's generation; 14 bits.
    pub generation: u16,
    /// Counted from 0 per (producer, partition, generation); 48 bits.
    pub n: u64,
}

impl Serial {
    /// Greatest value of [`Serial::run_tag`].
    pub const MAX_RUN_TAG: u64 = (1 << 48) - 1;
    /// Greatest value of [`Serial::producer`].
    pub const MAX_PRODUCER: u16 = (1 << 12) - 1;
    /// Greatest value of [`Serial::generation`].
    pub const MAX_GENERATION: u16 = (1 << 14) - 1;
    /// Greatest value of [`Serial::n`].
    pub const MAX_N: u64 = (1 << 48) - 1;

    /// The UUID that carries this serial. Bits past a part's width are cut off.
    pub fn to_uuid(self) -> Uuid {
        Uuid::from_u64_pair(self.high(), self.low())
    }

    /// The serial in a UUID; None unless it is of version 8 and of the RFC 9562 variant.
    pub fn from_uuid(uuid: Uuid) -> Option<Self> {
        let (high, low) = uuid.as_u64_pair();
        Self::from_halves(high, low)
    }

    /// The serial in a UUID's hyphenated text, of either case; None if it is not such a text, or
    /// not a serial.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let text: &[u8; 36] = text.try_into().ok()?;
        // Version 4, as other programs write it, is told apart by this one byte.
        if text[14] != b'8' || [text[8], text[13], text[18], text[23]] != [b'-'; 4] {
            return None;
        }
        let [a, b, c, d] = [
            [text[0], text[1], text[2], text[3], text[4], text[5], text[6], text[7]],
            [text[9], text[10], text[11], text[12], text[14], text[15], text[16], text[17]],
            [text[19], text[20], text[21], text[22], text[24], text[25], text[26], text[27]],
            [text[28], text[29], text[30], text[31], text[32], text[33], text[34], text[35]],
        ];
        Self::from_halves(hex::decode16(a, b)?, hex::decode16(c, d)?)
    }

    fn from_halves(high: u64, low: u64) -> Option<Self> {
        (high >> 12 & 0xf == 8 && low >> 62 == 0b10).then_some(Self {
            run_tag: high >> 16,
            producer: high as u16 & Self::MAX_PRODUCER,
            generation: (low >> 48) as u16 & Self::MAX_GENERATION,
            n: low & Self::MAX_N,
        })
    }

    fn high(self) -> u64 {
        self.run_tag << 16 | 8 << 12 | u64::from(self.producer & Self::MAX_PRODUCER)
    }

    fn low(self) -> u64 {
        0b10 << 62 | u64::from(self.generation & Self::MAX_GENERATION) << 48 | self.n & Self::MAX_N
    }
}

/// What is random of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The user: a UUID version 4, most significant byte first.
    pub user_id: u128,
    /// The ad, an index into [`Campaigns`].
    pub ad: u32,
    /// The ad's type, an index into the configured list.
    pub ad_type: u32,
    /// What the user did, an index into the configured list.
    pub event_type: u32,
    /// The IPv4 address, most significant byte first.
    pub ip: u32,
}

/// Draws the random part of one producer's events: the same seed gives the same draws on every
/// machine.
#[derive(Clone, Debug)]
pub struct EventSource {
    rng: Xoshiro256PlusPlus,
    campaigns: Arc<Campaigns>,
    ad_types: u32,
    event_types: u32,
}

impl EventSource {
    /// A source for producer `producer` (from 0) of a run with this `seed`, drawing an ad of
    /// `campaigns` and one of `ad_types` and `event_types` (how many there are).
    ///
    /// The producers' streams are disjoint parts, 2^128 draws long each, of one sequence (Blackman
    /// and Vigna, "Scrambled linear pseudorandom number generators", 2021: the generator's jump).
    pub fn new(
        seed: u64,
        producer: u32,
        campaigns: Arc<Campaigns>,
        ad_types: usize,
        event_types: usize,
    ) -> Self {
        // Any constant will do: it keeps these draws apart from the other ones made from the same
        // seed.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x6576_656e_7473_0001);
        for _ in 0..producer {
            rng.jump();
        }
        Self { rng, campaigns, ad_types: ad_types as u32, event_types: event_types as u32 }
    }

    /// The next event's random part.
    #[inline]
    pub fn draw(&mut self) -> Draw {
        const VERSION_4: u128 = 4 << 76 | 0b10 << 62;
        const KEPT: u128 = !(0xf << 76 | 0b11 << 62);
        let user_id = u128::from(self.rng.next_u64()) << 64 | u128::from(self.rng.next_u64());
        let ad = self.campaigns.sample(&mut self.rng);
        let types = self.rng.next_u64();
        let ip = (self.rng.next_u64() >> 32) as u32;
        // A multiplication maps 32 random bits to an index; its bias is below one in 2^32 / count.
        let index = |bits: u64, count: u32| ((bits * u64::from(count)) >> 32) as u32;
        Draw {
            user_id: user_id & KEPT | VERSION_4,
            ad,
            ad_type: index(types >> 32, self.ad_types),
            event_type: index(types & 0xffff_ffff, self.event_types),
            ip,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::{Variant, Version};

    use super::*;

    fn serials() -> impl Strategy<Value = Serial> {
        (
            0..=Serial::MAX_RUN_TAG,
            0..=Serial::MAX_PRODUCER,
            0..=Serial::MAX_GENERATION,
            0..=Serial::MAX_N,
        )
            .prop_map(|(run_tag, producer, generation, n)| Serial {
                run_tag,
                producer,
                generation,
                n,
            })
    }

    proptest! {
        #[test]
        fn a_serial_survives_its_uuid_and_its_text(serial in serials()) {
            let uuid = serial.to_uuid();
            prop_assert_eq!(uuid.get_version(), Some(Version::Custom));
            prop_assert_eq!(uuid.get_variant(), Variant::RFC4122);
            prop_assert_eq!(Serial::from_uuid(uuid), Some(serial));
            prop_assert_eq!(Serial::from_text(uuid.to_string().as_bytes()), Some(serial));
            prop_assert_eq!(Serial::from_text(uuid.to_string().to_uppercase().as_bytes()), Some(serial));
        }

        #[test]
        fn text_and_uuid_are_judged_alike(bits: u128, eight: bool) {
            let version = if eight { 8 << 76 } else { bits & 0xf << 76 };
            let uuid = Uuid::from_u128(bits & !(0xf << 76) | version);
            prop_assert_eq!(Serial::from_text(uuid.to_string().as_bytes()), Serial::from_uuid(uuid));
        }

        #[test]
        fn no_text_but_hyphenated_hexadecimal_is_a_serial(serial in serials(), place in 0..36_usize, byte: u8) {
            let mut text = serial.to_uuid().to_string().into_bytes();
            text[place] = byte;
            let expected = std::str::from_utf8(&text).ok().and_then(|text| Uuid::try_parse(text).ok());
            prop_assert_eq!(Serial::from_text(&text), expected.and_then(Serial::from_uuid));
        }
    }

    #[test]
    fn a_serial_lies_where_the_table_says() {
        let serial = Serial {
            run_tag: 0x0123_4567_89ab,
            producer: 0xcde,
            generation: 0x1234,
            n: 0xfedc_ba98_7654,
        };
        assert_eq!(serial.to_uuid().to_string(), "01234567-89ab-8cde-9234-fedcba987654");
    }

    #[test]
    fn other_versions_and_lengths_are_no_serials() {
        assert_eq!(Serial::from_uuid(Uuid::nil()), None);
        assert_eq!(Serial::from_text(b"01234567-89ab-4cde-9234-fedcba987654"), None);
        assert_eq!(
            Serial::from_text(b"01234567-89ab-8cde-1234-fedcba987654"),
            None,
            "another variant"
        );
        assert_eq!(Serial::from_text(b"0123456789ab8cde9234fedcba987654"), None);
        assert_eq!(Serial::from_text(b""), None);
    }

    fn source(seed: u64, producer: u32) -> EventSource {
        EventSource::new(seed, producer, Arc::new(Campaigns::derive(seed, 10, 100, None)), 7, 3)
    }

    #[test]
    fn the_same_seed_draws_the_same_on_every_machine() {
        let mut source = source(42, 1);
        let draws = [source.draw(), source.draw(), source.draw()];
        assert_eq!(
            draws,
            [
                Draw {
                    user_id: 0x1bcc_4c22_80f5_47c8_8db9_2ed1_3e24_e891,
                    ad: 557,
                    ad_type: 3,
                    event_type: 0,
                    ip: 0xd6e1_a0fb
                },
                Draw {
                    user_id: 0xf6e8_366b_66bf_446b_9260_f79d_7892_aad6,
                    ad: 632,
                    ad_type: 5,
                    event_type: 0,
                    ip: 0x4e91_3a21
                },
                Draw {
                    user_id: 0x75c0_5cce_f5f6_462f_aeee_9b0f_113e_51ee,
                    ad: 865,
                    ad_type: 6,
                    event_type: 0,
                    ip: 0x2727_a64d
                }
            ]
        );
    }

    #[test]
    fn producers_and_seeds_draw_apart() {
        let first = |seed, producer| source(seed, producer).draw();
        assert_eq!(first(1, 0), first(1, 0));
        assert_ne!(first(1, 0), first(1, 1));
        assert_ne!(first(1, 0), first(2, 0));
    }

    #[test]
    fn every_index_is_drawn_about_equally_often() {
        let mut source = source(7, 0);
        let (mut ad_types, mut event_types, mut addresses) = ([0_u32; 7], [0_u32; 3], [0_u32; 4]);
        for _ in 0..84_000 {
            let draw = source.draw();
            assert!(draw.ad < 1000);
            assert_eq!(Uuid::from_u128(draw.user_id).get_version(), Some(Version::Random));
            ad_types[draw.ad_type as usize] += 1;
            event_types[draw.event_type as usize] += 1;
            addresses[(draw.ip >> 30) as usize] += 1;
        }
        assert!(ad_types.iter().all(|count| count.abs_diff(12_000) < 600), "{ad_types:?}");
        assert!(event_types.iter().all(|count| count.abs_diff(28_000) < 800), "{event_types:?}");
        assert!(addresses.iter().all(|count| count.abs_diff(21_000) < 700), "{addresses:?}");
    }
}
