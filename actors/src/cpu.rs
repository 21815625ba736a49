//! Whose processor time it was, as the Linux kernel counts it. Where it does not tell, nothing is
//! known, and nothing is concluded from it.

use std::fs;

use crate::clock::{MILLISECOND, Nanos};

/// A kernel's tick in the files that count in ticks: Linux fixes it for programs.
const TICK_NS: u64 = 10 * MILLISECOND as u64;

/// A thread's processor time since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadCpu {
    /// Nanoseconds that it ran.
    pub(crate) ran_ns: u64,
    /// Nanoseconds that it could have run, and waited for a processor.
    pub(crate) waited_ns: u64,
}

impl ThreadCpu {
    /// Of the calling thread; `None`: the kernel does not tell.
    pub(crate) fn of_this_thread() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/thread-self/schedstat").ok()?)
    }

    /// From `schedstat`: nanoseconds run, nanoseconds waited, time slices.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace().map(str::parse::<u64>);
        Some(Self { ran_ns: words.next()?.ok()?, waited_ns: words.next()?.ok()? })
    }
}

/// Processor time of this process and of all others on the machine, since they were started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MachineCpu {
    /// Nanoseconds that this process ran.
    pub(crate) own_ns: u64,
    /// Nanoseconds that anything ran, this process included.
    pub(crate) all_ns: u64,
}

impl MachineCpu {
    /// At present; `None`: the kernel does not tell.
    pub(crate) fn read() -> Option<Self> {
        let own = own_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let all = all_ticks(&fs::read_to_string("/proc/stat").ok()?)?;
        Some(Self { own_ns: own * TICK_NS, all_ns: all * TICK_NS })
    }

    /// What ran since `before`, as shares of one processor over `span_ns`: this process, and all
    /// others.
    pub(crate) fn shares_since(self, before: Self, span_ns: Nanos) -> (f64, f64) {
        let own_ns = self.own_ns.saturating_sub(before.own_ns);
        let all_ns = self.all_ns.saturating_sub(before.all_ns);
        let share = |ns: u64| ns as f64 / span_ns.max(1) as f64;
        (share(own_ns), share(all_ns.saturating_sub(own_ns)))
    }
}

/// From `/proc/self/stat`: user and system ticks. (The name in parentheses may hold spaces.)
fn own_ticks(text: &str) -> Option<u64> {
    let mut words =
        text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    Some(words.next()?.ok()? + words.next()?.ok()?)
}

/// From the first line of `/proc/stat`: the ticks of every processor that it did not idle.
fn all_ticks(text: &str) -> Option<u64> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; a guest's time is in the user's.
    let [user, nice, system, _, _, irq, softirq, steal] = *ticks.first_chunk()?;
    Some(user + nice + system + irq + softirq + steal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        assert_eq!(
            ThreadCpu::parse("117795 104265 2\n"),
            Some(ThreadCpu { ran_ns: 117_795, waited_ns: 104_265 })
        );
        assert_eq!(ThreadCpu::parse(""), None);
        let stat = "7 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 100 200 300";
        assert_eq!(own_ticks(stat), Some(300));
        assert_eq!(all_ticks("cpu  1 2 4 800 900 8 16 32 64 0\ncpu0 1 1 1 1\n"), Some(63));
        assert_eq!(all_ticks("intr 1"), None);
    }

    #[test]
    fn what_others_ran_is_all_but_the_own() {
        let before = MachineCpu { own_ns: 100, all_ns: 1000 };
        let now = MachineCpu { own_ns: 600, all_ns: 2500 };
        assert_eq!(now.shares_since(before, 1000), (0.5, 1.0));
    }
}
