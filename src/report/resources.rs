//! What the program itself used during a run.

use serde::{Deserialize, Serialize};

/// What the program used during a run; `null` where the system does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Resources {
    /// Processor time of the whole process during the run (user and system), seconds.
    pub cpu_seconds: Option<f64>,
    /// The same per event sent (or read, where others sent), microseconds.
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

/// The process at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    cpu_seconds: Option<f64>,
    peak_rss_bytes: Option<u64>,
    threads: Option<u64>,
}

impl ResourceMeter {
    /// Starts measuring.
    pub fn start() -> Self {
        let now = system::usage();
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
        self.note(system::usage());
    }

    /// Ends the measurement.
    pub fn finish(mut self) -> Resources {
        let now = system::usage();
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

    fn note(&mut self, now: Usage) {
        self.most_threads = self.most_threads.max(now.threads);
        self.peak_rss_bytes = self.peak_rss_bytes.max(now.peak_rss_bytes);
    }
}

#[cfg(target_os = "linux")]
mod system {
    use procfs::process::Process;

    use super::Usage;

    pub(super) fn usage() -> Usage {
        let Ok(process) = Process::myself() else { return Usage::default() };
        let stat = process.stat().ok();
        Usage {
            cpu_seconds: stat
                .as_ref()
                .map(|s| (s.utime + s.stime) as f64 / procfs::ticks_per_second() as f64),
            // Linux counts VmHWM in KiB.
            peak_rss_bytes: process
                .status()
                .ok()
                .and_then(|status| status.vmhwm)
                .map(|kib| kib * 1024),
            threads: stat.and_then(|stat| u64::try_from(stat.num_threads).ok()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::process::Command;

    use super::Usage;

    /// What `ps` tells: the present resident memory (the meter keeps the greatest seen) and the
    /// processor time.
    pub fn usage() -> Usage {
        let pid = std::process::id().to_string();
        let Ok(output) = Command::new("ps").args(["-o", "rss=,time=", "-p", &pid]).output() else {
            return Usage::default();
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let mut fields = text.split_whitespace();
        Usage {
            peak_rss_bytes: fields
                .next()
                .and_then(|kib| kib.parse::<u64>().ok())
                .map(|kib| kib * 1024),
            cpu_seconds: fields.next().and_then(clock_time),
            threads: None,
        }
    }

    /// Seconds of `[hours:]minutes:seconds`.
    fn clock_time(text: &str) -> Option<f64> {
        text.split(':')
            .try_fold(0.0, |sum, part| part.parse::<f64>().ok().map(|value| sum * 60.0 + value))
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
