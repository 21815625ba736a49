//! What the program itself used during a run.

use serde::{Deserialize, Serialize};

use crate::process_usage::ProcessUsage;

/// What the program used during a run; `null` where the system does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Resources {
    /// Processor time of the whole process during the run (user and system), seconds.
    pub cpu_seconds: Option<f64>,
    /// Processor time per event sent (or read, where others sent), microseconds.
    pub cpu_us_per_event: Option<f64>,
    /// Greatest resident memory since the process started.
    pub peak_rss_bytes: Option<u64>,
    /// Most threads seen at once.
    pub threads: Option<u64>,
}

impl Resources {
    /// With the processor time per event: of everything sent, or, where others sent, read.
    pub(super) fn per_event(&self, produced: u64, consumed: u64) -> Self {
        let handled = if produced > 0 { produced } else { consumed };
        let cpu_seconds = self.cpu_seconds.filter(|_| handled > 0);
        let cpu_us_per_event = cpu_seconds.map(|seconds| seconds * 1e6 / handled as f64);
        Self { cpu_us_per_event, ..self.clone() }
    }
}

/// Measures a run's [`Resources`]: from [`Self::start`] to [`Self::finish`].
#[derive(Clone, Debug)]
pub struct ResourceMeter {
    cpu_seconds_before: Option<f64>,
    most_threads: Option<u64>,
    peak_rss_bytes: Option<u64>,
}

impl ResourceMeter {
    /// Starts measuring.
    pub fn start() -> Self {
        let now = ProcessUsage::now();
        Self {
            cpu_seconds_before: now.cpu_seconds,
            most_threads: now.threads,
            peak_rss_bytes: now.peak_rss_bytes,
        }
    }

    /// For a process that makes one run: counts processor time from the process's own start.
    pub fn since_process_start() -> Self {
        Self { cpu_seconds_before: Some(0.0), ..Self::start() }
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
            cpu_us_per_event: None,
            peak_rss_bytes: self.peak_rss_bytes,
            threads: self.most_threads,
        }
    }

    fn note(&mut self, now: ProcessUsage) {
        self.most_threads = self.most_threads.max(now.threads);
        self.peak_rss_bytes = self.peak_rss_bytes.max(now.peak_rss_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        if cfg!(target_os = "linux") {
            assert!(resources.cpu_seconds.is_some());
            assert!(resources.threads.is_some_and(|threads| threads >= 2));
            assert!(resources.peak_rss_bytes.is_some_and(|bytes| bytes > 100_000));
        }
    }
}
