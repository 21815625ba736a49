//! What is random of an event.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::workload::campaigns::Campaigns;

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
    use uuid::{Uuid, Version};

    use super::*;

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
