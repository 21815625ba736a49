//! What the kernel says of this process. (The Prometheus library's own collector counts whole
//! seconds of processor time, too coarse to tell a benchmark's share of a core.)

/// The process at one moment; `None` where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessUsage {
    /// User and system time since the start, seconds.
    pub cpu_seconds: Option<f64>,
    /// Resident memory.
    pub rss_bytes: Option<u64>,
    /// Address space.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// File descriptors allowed.
    pub max_fds: Option<u64>,
    /// Start of the process, seconds since the Unix epoch.
    pub start_time_s: Option<f64>,
}

#[cfg(target_os = "linux")]
impl ProcessUsage {
    /// This process, now.
    pub fn now() -> Self {
        use procfs::CurrentSI;
        use procfs::process::{LimitValue, Process};

        let Ok(process) = Process::myself() else { return Self::default() };
        let stat = process.stat().ok();
        let ticks = procfs::ticks_per_second() as f64;
        let boot = procfs::KernelStats::current().ok().map(|kernel| kernel.btime as f64);
        let limit = process.limits().ok().map(|limits| limits.max_open_files.soft_limit);
        Self {
            cpu_seconds: stat.as_ref().map(|s| (s.utime + s.stime) as f64 / ticks),
            rss_bytes: stat.as_ref().map(|s| s.rss * procfs::page_size()),
            virtual_bytes: stat.as_ref().map(|s| s.vsize),
            threads: stat.as_ref().and_then(|s| u64::try_from(s.num_threads).ok()),
            open_fds: process.fd_count().ok().map(|count| count as u64),
            max_fds: limit.and_then(|limit| match limit {
                LimitValue::Value(value) => Some(value),
                LimitValue::Unlimited => None,
            }),
            start_time_s: stat.zip(boot).map(|(s, boot)| boot + s.starttime as f64 / ticks),
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl ProcessUsage {
    /// Nothing is known of this process.
    pub fn now() -> Self {
        Self::default()
    }
}
