//! What the operating system knows of this process. (The Prometheus library's own collector counts
//! whole seconds of processor time.)

use std::time::Duration;

use rustix::time::{ClockId, clock_getres, clock_gettime};
use serde::Serialize;

/// The process at one moment; `None` where the system does not tell. Serialized, it has what the
/// daemon's status shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ProcessUsage {
    /// User and system time since the start, seconds.
    pub cpu_seconds: Option<f64>,
    /// Resident memory.
    pub rss_bytes: Option<u64>,
    /// The high-water mark of resident memory: since the start, or since [`restart_peak`].
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

/// User and system time of this process since its start: what the scheduler gave all its threads,
/// those that have ended too. (The kernel's files have it in ticks of 10 ms, or only for threads
/// that still are.)
fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// The step in which processor time is counted.
pub fn cpu_resolution() -> Duration {
    let step = clock_getres(ClockId::ProcessCPUTime);
    Duration::new(step.tv_sec.max(0) as u64, u32::try_from(step.tv_nsec).unwrap_or(0))
}

/// Lets the high-water mark of resident memory begin anew at what is resident now; `false` where
/// the system does not, or may not.
pub fn restart_peak() -> bool {
    // Linux, proc_pid_clear_refs(5): "5" is for the peak of the resident set size.
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

#[cfg(target_os = "linux")]
mod system {
    use procfs::CurrentSI;
    use procfs::process::{LimitValue, Process};

    use super::{ProcessUsage, cpu_seconds};

    impl ProcessUsage {
        /// This process, now.
        pub fn now() -> Self {
            let own_time = Some(cpu_seconds());
            let Ok(process) = Process::myself() else {
                return Self { cpu_seconds: own_time, ..Self::default() };
            };
            let stat = process.stat().ok();
            let limit = process.limits().ok().map(|limits| limits.max_open_files.soft_limit);
            let peak = process.status().ok().and_then(|status| status.vmhwm);
            Self {
                cpu_seconds: own_time,
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

    use super::{ProcessUsage, cpu_seconds};

    impl ProcessUsage {
        /// What `ps` tells.
        pub fn now() -> Self {
            let pid = std::process::id().to_string();
            let output = Command::new("ps").args(["-o", "rss=", "-p", &pid]).output().ok();
            let kib = output.and_then(|output| {
                String::from_utf8_lossy(&output.stdout).trim().parse::<u64>().ok()
            });
            Self {
                cpu_seconds: Some(cpu_seconds()),
                rss_bytes: kib.map(|kib| kib * 1024),
                ..Self::default()
            }
        }
    }

    /// Nothing is known of it.
    pub fn started_at_s() -> Option<f64> {
        None
    }
}

pub use self::system::started_at_s;
