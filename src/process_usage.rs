//! What the operating system knows of this process. (The Prometheus library's own collector counts
//! whole seconds of processor time.)

use serde::Serialize;

/// The process at one moment; `None` where the system does not tell. Serialized, it has what the
/// daemon's status shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ProcessUsage {
    /// User and system time since the start, seconds.
    pub cpu_seconds: Option<f64>,
    /// Resident memory.
    pub rss_bytes: Option<u64>,
    /// Greatest resident memory since the start; outside of Linux: the present one.
    #[serde(skip)]
    pub peak_rss_bytes: Option<u64>,
    /// Address space.
    #[serde(skip)]
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// File descriptors allowed.
    #[serde(skip)]
    pub max_fds: Option<u64>,
}

#[cfg(target_os = "linux")]
mod system {
    use procfs::CurrentSI;
    use procfs::process::{LimitValue, Process};

    use super::ProcessUsage;

    impl ProcessUsage {
        /// This process, now.
        pub fn now() -> Self {
            let Ok(process) = Process::myself() else { return Self::default() };
            let stat = process.stat().ok();
            let limit = process.limits().ok().map(|limits| limits.max_open_files.soft_limit);
            let peak = process.status().ok().and_then(|status| status.vmhwm);
            Self {
                cpu_seconds: stat.as_ref().map(|stat| {
                    (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
                }),
                rss_bytes: stat.as_ref().map(|stat| stat.rss * procfs::page_size()),
                // Linux counts VmHWM in KiB.
                peak_rss_bytes: peak.map(|kib| kib * 1024),
                virtual_bytes: stat.as_ref().map(|stat| stat.vsize),
                threads: stat.and_then(|stat| u64::try_from(stat.num_threads).ok()),
                open_fds: process.fd_count().ok().map(|count| count as u64),
                max_fds: limit.and_then(|limit| match limit {
                    LimitValue::Value(value) => Some(value),
                    LimitValue::Unlimited => None,
                }),
            }
        }
    }

    /// Start of this process, seconds since the Unix epoch.
    pub fn started_at_s() -> Option<f64> {
        let stat = Process::myself().ok()?.stat().ok()?;
        let boot = procfs::KernelStats::current().ok()?.btime;
        Some(boot as f64 + stat.starttime as f64 / procfs::ticks_per_second() as f64)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::process::Command;

    use super::ProcessUsage;

    impl ProcessUsage {
        /// What `ps` tells.
        pub fn now() -> Self {
            let pid = std::process::id().to_string();
            let Ok(output) = Command::new("ps").args(["-o", "rss=,time=", "-p", &pid]).output()
            else {
                return Self::default();
            };
            let text = String::from_utf8_lossy(&output.stdout);
            let mut fields = text.split_whitespace();
            let kib = fields.next().and_then(|kib| kib.parse::<u64>().ok());
            let rss_bytes = kib.map(|kib| kib * 1024);
            Self {
                cpu_seconds: fields.next().and_then(clock_time),
                rss_bytes,
                peak_rss_bytes: rss_bytes,
                ..Self::default()
            }
        }
    }

    /// Nothing is known of it.
    pub fn started_at_s() -> Option<f64> {
        None
    }

    /// Seconds of `[hours:]minutes:seconds`.
    fn clock_time(text: &str) -> Option<f64> {
        text.split(':')
            .try_fold(0.0, |sum, part| part.parse::<f64>().ok().map(|value| sum * 60.0 + value))
    }
}

pub use self::system::started_at_s;
