//! The advertising campaigns of a run: which ads there are, whose they are, and how often each is
//! seen.

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use uuid::{Builder, Uuid};

/// The ads of a run, each of one campaign, derived from the seed alone: the same on every machine.
#[derive(Clone, Debug)]
pub struct Campaigns {
    /// As numbers, for their texts would not fit into a core's cache where there are many.
    ads: Vec<u128>,
    ads_per_campaign: u32,
    zipf: Option<AliasTable>,
}

impl Campaigns {
    /// `campaigns` campaigns of `ads_per_campaign` ads each. Ads are sampled uniformly, or, given a
    /// Zipf exponent, by campaign rank: campaign k in proportion to k^-exponent, its ads equally
    /// often.
    ///
    /// # Panics
    /// If there is no ad, or more than `u32::MAX`, or the exponent is negative or not finite.
    pub fn derive(
        seed: u64,
        campaigns: u32,
        ads_per_campaign: u32,
        zipf_exponent: Option<f64>,
    ) -> Self {
        let ads = campaigns.checked_mul(ads_per_campaign).expect("at most u32::MAX ads");
        assert!(ads > 0, "at least one campaign with one ad");
        // Any constant will do: it keeps these draws apart from the other ones made from the same
        // seed.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x6361_6d70_6169_676e);
        let ads = (0..ads)
            .map(|_| {
                let bits = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
                Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().as_u128()
            })
            .collect();
        let zipf = zipf_exponent.map(|exponent| {
            assert!(
                exponent.is_finite() && exponent >= 0.0,
                "a Zipf exponent is finite and at least 0"
            );
            AliasTable::new(
                (1..=campaigns).map(|rank| inverse_power(f64::from(rank), exponent)).collect(),
            )
        });
        Self { ads, ads_per_campaign, zipf }
    }

    /// How many ads there are; their indices count from 0.
    pub fn ads(&self) -> u32 {
        self.ads.len() as u32
    }

    /// How many campaigns there are; their ids count from 1.
    pub fn campaigns(&self) -> u32 {
        self.ads() / self.ads_per_campaign
    }

    /// The id, from 1, of the campaign that an ad belongs to.
    #[inline]
    pub fn campaign_of(&self, ad_index: u32) -> u32 {
        ad_index / self.ads_per_campaign + 1
    }

    /// The ad's UUID, of version 4.
    ///
    /// # Panics
    /// If there is no such ad.
    #[inline]
    pub fn ad_id(&self, ad_index: u32) -> Uuid {
        Uuid::from_u128(self.ads[ad_index as usize])
    }

    /// The ad map: every ad's UUID with its campaign's id, by ad index.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Uuid, u32)> {
        self.ads
            .iter()
            .enumerate()
            .map(|(index, &ad)| (Uuid::from_u128(ad), self.campaign_of(index as u32)))
    }

    /// The index of an ad, at random.
    #[inline]
    pub fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> u32 {
        match &self.zipf {
            None => scale(rng.next_u64(), self.ads()).0,
            Some(table) => {
                let campaign = table.sample(rng.next_u64());
                campaign * self.ads_per_campaign + scale(rng.next_u64(), self.ads_per_campaign).0
            }
        }
    }
}

/// Maps 64 random bits to an index below `count` and to 64 bits that say where within the index's
/// share they lie. The bias is below `count` in 2^64.
#[inline]
fn scale(bits: u64, count: u32) -> (u32, u64) {
    let product = u128::from(bits) * u128::from(count);
    ((product >> 64) as u32, product as u64)
}

/// Samples an index in proportion to its weight, in constant time (Vose, "A linear algorithm for
/// generating random numbers with a given distribution", 1991).
#[derive(Clone, Debug)]
struct AliasTable {
    /// Per index, the bits below which it is itself, and the index that it is otherwise.
    columns: Vec<(u64, u32)>,
}

impl AliasTable {
    fn new(weights: Vec<f64>) -> Self {
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        let mut shares = weights;
        for weight in &mut shares {
            *weight /= mean;
        }
        // A column left over, by rounding, keeps its whole share.
        let mut columns: Vec<(u64, u32)> =
            (0..shares.len() as u32).map(|index| (u64::MAX, index)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..shares.len()).partition(|&index| shares[index] < 1.0);
        while let (Some(&giver), Some(taker)) = (large.last(), small.pop()) {
            columns[taker] = ((shares[taker] * 2_f64.powi(64)) as u64, giver as u32);
            shares[giver] -= 1.0 - shares[taker];
            if shares[giver] < 1.0 {
                small.push(giver);
                large.pop();
            }
        }
        Self { columns }
    }

    #[inline]
    fn sample(&self, bits: u64) -> u32 {
        let (column, position) = scale(bits, self.columns.len() as u32);
        let (share, alias) = self.columns[column as usize];
        if position < share { column } else { alias }
    }
}

/// `base` to the power `-exponent`, for a base of at least 1, from IEEE 754's exact operations
/// alone: the standard library's `powf` may differ in the last bit between machines, and with it
/// every draw.
fn inverse_power(base: f64, exponent: f64) -> f64 {
    let power = -exponent * natural_logarithm(base);
    let twos = (power / std::f64::consts::LN_2).round();
    if twos < -1022.0 {
        return 0.0;
    }
    let rest = power - twos * std::f64::consts::LN_2;
    let series = (1..=20).rev().fold(1.0, |sum, term| 1.0 + sum * rest / f64::from(term));
    series * f64::from_bits(((1023 + twos as i64) as u64) << 52)
}

/// ln(x) of a normal x of at least 1: x is split into 2^twos * m, and ln(m) = 2 artanh((m - 1) / (m
/// + 1)).
fn natural_logarithm(x: f64) -> f64 {
    let bits = x.to_bits();
    let twos = (bits >> 52) as i64 - 1023;
    let mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let series =
        (0..20).rev().fold(0.0, |sum, term| sum * ratio * ratio + 1.0 / f64::from(2 * term + 1));
    twos as f64 * std::f64::consts::LN_2 + 2.0 * ratio * series
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use uuid::{Uuid, Version};

    use super::*;

    fn counts(campaigns: &Campaigns, samples: u32) -> Vec<u32> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
        let mut counts = vec![0; campaigns.ads() as usize];
        for _ in 0..samples {
            counts[campaigns.sample(&mut rng) as usize] += 1;
        }
        counts
    }

    #[test]
    fn ads_are_distinct_random_uuids_in_campaign_order() {
        let campaigns = Campaigns::derive(1, 10, 100, None);
        assert_eq!((campaigns.ads(), campaigns.campaigns()), (1000, 10));
        let ads: HashSet<Uuid> = campaigns.iter().map(|(ad, _)| ad).collect();
        assert_eq!(ads.len(), 1000);
        for (index, (ad, campaign)) in campaigns.iter().enumerate() {
            assert_eq!(ad.get_version(), Some(Version::Random));
            assert_eq!(campaign as usize, index / 100 + 1);
            assert_eq!(campaigns.campaign_of(index as u32), campaign);
            assert_eq!(campaigns.ad_id(index as u32), ad);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_ads_and_samples_on_every_machine() {
        let campaigns = Campaigns::derive(42, 10, 100, Some(1.1));
        let ads: Vec<String> = campaigns.iter().take(2).map(|(ad, _)| ad.to_string()).collect();
        assert_eq!(
            ads,
            ["f9f74e7c-26b2-412c-8f52-27ce9aea24f3", "d8a89fcf-3553-4775-a1fe-abd5b25c52b0"]
        );
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(42);
        let samples: Vec<u32> = (0..12).map(|_| campaigns.sample(&mut rng)).collect();
        assert_eq!(samples, [831, 270, 58, 160, 293, 85, 6, 454, 205, 46, 86, 52]);
        let weight = inverse_power(7.0, 1.1);
        assert_eq!(weight.to_bits(), 0x3fbe_1ac3_b46a_5438, "{weight}");
        assert_ne!(Campaigns::derive(43, 1, 1, None).ad_id(0), campaigns.ad_id(0));
    }

    #[test]
    fn uniform_samples_see_every_ad_equally_often() {
        let counts = counts(&Campaigns::derive(1, 5, 20, None), 1_000_000);
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 500), "{counts:?}");
    }

    #[test]
    fn zipf_samples_follow_the_rank_of_the_campaign() {
        for exponent in [0.0, 0.5, 1.0, 2.3] {
            let counts = counts(&Campaigns::derive(1, 50, 4, Some(exponent)), 1_000_000);
            let total: f64 = (1..=50).map(|rank| f64::from(rank).powf(-exponent)).sum();
            for (campaign, ads) in counts.chunks(4).enumerate() {
                let expected = 1e6 * ((campaign + 1) as f64).powf(-exponent) / total;
                let seen = f64::from(ads.iter().sum::<u32>());
                assert!(
                    (seen - expected).abs() < 5.0 * expected.sqrt() + 1.0,
                    "{exponent} {campaign} {seen} {expected}"
                );
                let share = expected / 4.0;
                let even =
                    ads.iter().all(|&ad| (f64::from(ad) - share).abs() < 6.0 * share.sqrt() + 1.0);
                assert!(even, "{exponent} {campaign} {ads:?}");
            }
        }
    }

    #[test]
    fn a_steep_exponent_leaves_the_first_campaign_alone() {
        let counts = counts(&Campaigns::derive(1, 100, 1, Some(1000.0)), 1000);
        assert_eq!(counts[0], 1000);
    }

    #[test]
    fn the_table_gives_every_index_exactly_its_share() {
        let weights: Vec<f64> =
            (1..=1000).map(|rank| inverse_power(f64::from(rank), 0.9)).collect();
        let total: f64 = weights.iter().sum();
        let table = AliasTable::new(weights.clone());
        let mut shares = vec![0.0; weights.len()];
        for (index, &(share, alias)) in table.columns.iter().enumerate() {
            let own = share as f64 / 2_f64.powi(64);
            shares[index] += own / 1000.0;
            shares[alias as usize] += (1.0 - own) / 1000.0;
        }
        for (share, weight) in shares.iter().zip(&weights) {
            assert!((share - weight / total).abs() < 1e-15);
        }
    }

    #[test]
    fn powers_agree_with_the_standard_library() {
        for base in [1.0, 2.0, 3.0, 10.0, 1000.0, 99_999.0, 4_294_967_295.0] {
            for exponent in [0.0, 0.3, 1.0, 1.5, 2.0, 7.25] {
                let (ours, theirs) = (inverse_power(base, exponent), f64::powf(base, -exponent));
                assert!((ours / theirs - 1.0).abs() < 1e-13, "{base} {exponent} {ours} {theirs}");
            }
        }
    }
}
