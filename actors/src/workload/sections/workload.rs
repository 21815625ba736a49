//! `[workload]`: what is produced.

use crate::checks::Checks;
use crate::clock::{MILLISECOND, Nanos};
use crate::units::{Rate, Span};
use crate::workload::arrivals::{ArrivalKind, BurstCorrelation, Mmpp};
use serde::{Deserialize, Serialize};

/// Ads that the program keeps in memory at most; far beyond any real campaign, a fraction of a GiB.
const MAX_ADS: u64 = 10_000_000;

/// Producers at most: the serial number of an event has 12 bits for its producer.
const MAX_PRODUCERS: u32 = 1 << 12;

/// Switches of a modulated process per second at most. Each is drawn, events or not.
const MAX_SWITCHES: f64 = 10_000.0;

/// The length of a text value of an event, at most.
const MAX_TYPE_NAME: usize = 1000;

/// `[workload]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WorkloadSection {
    /// A name for reports.
    pub name: String,
    /// Producers.
    pub producers: u32,
    /// Events per second over all producers.
    pub rate: Rate,
    /// How the events are spread over time.
    pub arrivals: ArrivalKind,
    /// Whether all producers burst together.
    pub burst_correlation: BurstCorrelation,
    /// Length of the measured part.
    pub duration: Span,
    /// Length of the warm-up before it.
    pub warmup: Span,
    /// Length of a tumbling window.
    pub window: Span,
    /// Campaigns.
    pub campaigns: u32,
    /// Ads of each campaign.
    pub ads_per_campaign: u32,
    /// Exponent of the Zipf distribution over campaigns; 0: all equally often.
    pub zipf_exponent: f64,
    /// Values of an event's `ad_type`.
    pub ad_types: Vec<String>,
    /// Values of an event's `event_type`.
    pub event_types: Vec<String>,
    /// Everything random derives from it.
    pub seed: u64,
    /// Whether progress records are written.
    pub progress_records: bool,
    /// Longest silence of a producer on a partition before it writes one.
    pub progress_interval: Span,
    /// Delay past which an event counts as late sent.
    pub send_delay_limit: Span,
    /// Share of late sent events past which the run is generator-limited or broker-limited.
    pub send_delay_share: f64,
    /// Whether what was sent is compared with the schedule, drawn again.
    pub check_schedule: bool,
    /// A shorter measured part leaves it open whether the run kept up, and that is inconclusive.
    pub least_judged: Span,
    /// The bursts of `mmpp` and `mmpp_windowed`.
    pub mmpp: Mmpp,
}

impl WorkloadSection {
    /// The Zipf exponent over campaigns; `None`: uniform.
    pub fn zipf(&self) -> Option<f64> {
        (self.zipf_exponent > 0.0).then_some(self.zipf_exponent)
    }

    /// The warm-up in nanoseconds, rounded up to whole windows.
    pub fn warmup_ns(&self) -> Nanos {
        let window_ns = self.window.as_nanos().max(1);
        (self.warmup.as_nanos() + window_ns - 1) / window_ns * window_ns
    }

    /// Checks what types alone cannot.
    pub fn check(&self, checks: &mut Checks) {
        self.check_shape(checks);
        self.check_arrivals(checks);
    }

    fn check_shape(&self, checks: &mut Checks) {
        let most = MAX_PRODUCERS;
        checks.must(
            !self.name.trim().is_empty(),
            "workload.name",
            "must not be empty: write a name for reports",
        );
        checks.must(
            (1..=most).contains(&self.producers),
            "workload.producers",
            format!("must be 1 to {most}, but is {}", self.producers),
        );
        checks.must(!self.duration.is_zero(), "workload.duration", "must be above 0, as `60s`");
        let window_ns = self.window.as_nanos();
        checks.must(
            window_ns >= MILLISECOND && window_ns % MILLISECOND == 0,
            "workload.window",
            format!(
                "must be whole milliseconds, at least `1ms`, as `10s`, but is `{}`",
                self.window
            ),
        );
        checks.must(self.campaigns > 0, "workload.campaigns", "must be at least 1");
        checks.must(self.ads_per_campaign > 0, "workload.ads_per_campaign", "must be at least 1");
        checks.must(
            u64::from(self.campaigns) * u64::from(self.ads_per_campaign) <= MAX_ADS,
            "workload.campaigns",
            format!("times `workload.ads_per_campaign` must be at most {MAX_ADS} ads"),
        );
        let exponent = self.zipf_exponent;
        checks.must(
            exponent.is_finite() && exponent >= 0.0,
            "workload.zipf_exponent",
            format!("must not be negative (0: all campaigns equally often), but is {exponent}"),
        );
        for (key, names) in
            [("workload.ad_types", &self.ad_types), ("workload.event_types", &self.event_types)]
        {
            checks.must(!names.is_empty(), key, "must have at least one value, as [\"view\"]");
            checks.must(
                names.iter().all(|name| !name.is_empty() && name.len() <= MAX_TYPE_NAME),
                key,
                format!("must have values of 1 to {MAX_TYPE_NAME} bytes"),
            );
        }
        checks.must(
            self.progress_interval.as_nanos() >= MILLISECOND,
            "workload.progress_interval",
            "must be at least `1ms`",
        );
        checks.must(
            (0.0..=1.0).contains(&self.send_delay_share),
            "workload.send_delay_share",
            format!("must be 0 to 1, but is {}", self.send_delay_share),
        );
    }

    fn check_arrivals(&self, checks: &mut Checks) {
        let rate = self.rate.0;
        checks.must(
            rate.is_finite() && rate > 0.0,
            "workload.rate",
            format!("must be above 0 events per second, as `40k/s`, but is `{}`", self.rate),
        );
        // The slowest rate that the arrival processes play.
        let least = 1e-6 * f64::from(self.producers);
        checks.must(
            !(rate > 0.0 && rate < least),
            "workload.rate",
            format!(
                "must be at least {least}/s: less than one event in twelve days from a \
                     producer is none"
            ),
        );
        checks.must(
            rate.is_nan() || rate <= 1e9,
            "workload.rate",
            "must be at most `1G/s`: no two events share a nanosecond",
        );
        let mmpp = self.mmpp;
        let ratio = mmpp.rate_ratio;
        checks.must(
            ratio.is_finite() && ratio > 0.0,
            "workload.mmpp.rate_ratio",
            format!("must be above 0, as 5.0, but is {ratio}"),
        );
        for (key, switches) in [("workload.mmpp.q12", mmpp.q12), ("workload.mmpp.q21", mmpp.q21)] {
            checks.must(
                switches.is_finite() && switches >= 0.0,
                key,
                format!("must not be negative, as 0.5 per second, but is {switches}"),
            );
            checks.must(
                switches.is_nan() || switches <= MAX_SWITCHES,
                key,
                format!(
                    "must be at most {MAX_SWITCHES} per second: no burst is shorter than a tenth \
                     of a millisecond"
                ),
            );
        }
        let still = mmpp.q12 == 0.0 && mmpp.q21 == 0.0;
        checks.must(
            !still,
            "workload.mmpp.q12",
            "and `workload.mmpp.q21` must not both be 0: nothing would ever switch",
        );
    }
}
