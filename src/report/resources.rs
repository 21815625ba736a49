//! What the program itself used during a run.

use serde::{Deserialize, Serialize};

use crate::process_usage::{self, ProcessUsage};

/// The step in which older programs counted processor time, seconds: user and system time apart, in
/// ticks of 10 ms each.
const TICKS_S: f64 = 0.02;

/// What the program used during a run; `null` where the system does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Resources {
    /// Processor time of the whole process during the run (user and system), seconds.
    pub cpu_seconds: Option<f64>,
    /// The step in which it is counted, seconds: differences up to it mean nothing.
    #[serde(default)]
    pub cpu_resolution_s: Option<f64>,
    /// Processor time per event sent (or read, where others sent), microseconds.
    pub cpu_us_per_event: Option<f64>,
    /// Greatest resident memory of the process during the run.
    pub peak_rss_bytes: Option<u64>,
    /// How the greatest resident memory was found; `null` in a report of an older program, whose
    /// peak is since the process started.
    #[serde(default)]
    pub peak_rss_by: Option<PeakSource>,
    /// Most threads seen at once.
    pub threads: Option<u64>,
}

/// How the greatest resident memory of a run was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PeakSource {
    /// The kernel's high-water mark, begun anew with the run: nothing is missed.
    HighWaterMark,
    /// The greatest of samples, one a second: what came and went between two is missed.
    Samples,
}

impl Resources {
    /// With the processor time per event: of everything sent, or, where others sent, read.
    pub(super) fn per_event(&self, produced: u64, consumed: u64) -> Self {
        let cpu_us_per_event =
            self.cpu_seconds.and_then(|seconds| us_per_event(seconds, produced, consumed));
        Self { cpu_us_per_event, ..self.clone() }
    }

    /// The step in which processor time per event is counted, microseconds; `None` where there is
    /// no such time.
    pub(super) fn step_us_per_event(&self, produced: u64, consumed: u64) -> Option<f64> {
        self.cpu_us_per_event?;
        us_per_event(self.cpu_resolution_s.unwrap_or(TICKS_S), produced, consumed)
    }
}

fn us_per_event(seconds: f64, produced: u64, consumed: u64) -> Option<f64> {
    let handled = if produced > 0 { produced } else { consumed };
    (handled > 0).then(|| seconds * 1e6 / handled as f64)
}

/// Measures a run's [`Resources`]: from [`Self::start`] to [`Self::finish`].
#[derive(Clone, Debug)]
pub struct ResourceMeter {
    cpu_seconds_before: Option<f64>,
    most_threads: Option<u64>,
    peak_rss_bytes: Option<u64>,
    peak_rss_by: PeakSource,
}

impl ResourceMeter {
    /// Starts measuring.
    pub fn start() -> Self {
        let is_restarted = process_usage::restart_peak();
        let now = ProcessUsage::now();
        Self::new(now, now.cpu_seconds, is_restarted)
    }

    /// For a process that makes one run: counts from the process's own start.
    pub fn since_process_start() -> Self {
        Self::new(ProcessUsage::now(), Some(0.0), true)
    }

    fn new(now: ProcessUsage, cpu_seconds_before: Option<f64>, peak_is_own: bool) -> Self {
        let peak_rss_by = if peak_is_own && now.peak_rss_bytes.is_some() {
            PeakSource::HighWaterMark
        } else {
            PeakSource::Samples
        };
        let mut meter =
            Self { cpu_seconds_before, most_threads: None, peak_rss_bytes: None, peak_rss_by };
        meter.note(now);
        meter
    }

    /// Looks once; call it about once a second while the run is on, since threads are gone at its
    /// end.
    pub fn sample(&mut self) {
        self.note(ProcessUsage::now());
    }

    /// Ends the measurement.
    pub fn finish(mut self) -> Resources {
        let now = ProcessUsage::now();
        self.note(now);
        Resources {
            cpu_seconds: now
                .cpu_seconds
                .zip(self.cpu_seconds_before)
                .map(|(now, before)| (now - before).max(0.0)),
            cpu_resolution_s: now
                .cpu_seconds
                .map(|_| process_usage::cpu_resolution().as_secs_f64()),
            cpu_us_per_event: None,
            peak_rss_bytes: self.peak_rss_bytes,
            peak_rss_by: self.peak_rss_bytes.map(|_| self.peak_rss_by),
            threads: self.most_threads,
        }
    }

    fn note(&mut self, now: ProcessUsage) {
        self.most_threads = self.most_threads.max(now.threads);
        let resident = match self.peak_rss_by {
            PeakSource::HighWaterMark => now.peak_rss_bytes,
            PeakSource::Samples => now.rss_bytes,
        };
        self.peak_rss_bytes = self.peak_rss_bytes.max(resident);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_meter_counts_this_process() {
        let mut meter = ResourceMeter::since_process_start();
        std::thread::scope(|scope| {
            let (release, released) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || released.recv());
            meter.sample();
            drop(release);
        });
        let resources = meter.finish();
        // Some microseconds have gone already, which ticks would not show.
        assert!(resources.cpu_seconds.is_some_and(|seconds| seconds > 0.0));
        assert!(resources.cpu_resolution_s.is_some_and(|step| step > 0.0 && step <= 0.01));
        if cfg!(target_os = "linux") {
            assert!(resources.threads.is_some_and(|threads| threads >= 2));
            assert!(resources.peak_rss_bytes.is_some_and(|bytes| bytes > 100_000));
        }
    }

    #[test]
    fn processor_time_of_threads_that_ended_counts_too() {
        let meter = ResourceMeter::start();
        let spin = || (0..3_000_000_u64).fold(0, |sum, i| std::hint::black_box(sum ^ i));
        std::thread::scope(|scope| _ = scope.spawn(spin));
        let used = meter.finish().cpu_seconds.unwrap();
        assert!(used > 0.000_5, "{used} s");
    }

    /// A process that has `was` MiB as its high-water mark, `is` MiB now.
    fn usage(was: u64, is: u64) -> ProcessUsage {
        ProcessUsage {
            peak_rss_bytes: Some(was * MIB),
            rss_bytes: Some(is * MIB),
            ..ProcessUsage::default()
        }
    }

    #[test]
    fn where_the_high_water_mark_stays_samples_count() {
        let peak = |is_restarted: bool, samples: &[ProcessUsage]| {
            let mut meter = ResourceMeter::new(samples[0], None, is_restarted);
            for &sample in samples {
                meter.note(sample);
            }
            (meter.peak_rss_bytes, meter.peak_rss_by)
        };
        // An earlier run had 900 MiB.
        let found = peak(false, &[usage(900, 20), usage(900, 70), usage(900, 30)]);
        assert_eq!(found, (Some(70 * MIB), PeakSource::Samples));
        let found = peak(true, &[usage(20, 20), usage(300, 70), usage(300, 30)]);
        assert_eq!(found, (Some(300 * MIB), PeakSource::HighWaterMark));
        // A system that keeps none.
        let none = ProcessUsage { peak_rss_bytes: None, ..usage(0, 40) };
        assert_eq!(peak(true, &[none]), (Some(40 * MIB), PeakSource::Samples));
    }

    #[test]
    fn a_run_has_its_own_peak_whatever_was_before_it() {
        const BLOCK: u64 = 96 * MIB;
        // Of this size memory goes back to the system when it is freed.
        drop(std::hint::black_box(vec![1_u8; BLOCK as usize]));
        let before = ProcessUsage::now().peak_rss_bytes;
        let resources = ResourceMeter::start().finish();
        if resources.peak_rss_by == Some(PeakSource::HighWaterMark) {
            let (before, own) = (before.unwrap(), resources.peak_rss_bytes.unwrap());
            assert!(own + BLOCK / 2 < before, "{own} of {before}");
        }
    }

    #[test]
    fn the_step_of_processor_time_is_spread_over_the_events() {
        // Of an older program, which says nothing of ticks.
        let ticks = Resources { cpu_us_per_event: Some(3.0), ..Resources::default() };
        assert_eq!(ticks.step_us_per_event(40_000, 7), Some(0.5));
        assert_eq!(ticks.step_us_per_event(0, 20_000), Some(1.0));
        let fine = Resources { cpu_resolution_s: Some(1e-9), ..ticks };
        assert_eq!(fine.step_us_per_event(1000, 0), Some(1e-6));
        assert_eq!(Resources::default().step_us_per_event(1000, 0), None);
    }
}
