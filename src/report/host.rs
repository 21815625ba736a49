//! The machine that a run was made on.

use serde::{Deserialize, Serialize};

/// The machine; `null` where the system does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Host {
    /// Cores that this process may use.
    pub cores: Option<u64>,
    /// The kernel's name and release.
    pub kernel: Option<String>,
    /// The processor's model.
    pub cpu: Option<String>,
    /// Main memory.
    pub memory_bytes: Option<u64>,
}

impl Host {
    /// Describes this machine.
    pub fn describe() -> Self {
        Self {
            cores: std::thread::available_parallelism().ok().map(|cores| cores.get() as u64),
            kernel: system::kernel(),
            cpu: system::cpu(),
            memory_bytes: system::memory_bytes(),
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use procfs::Current;

    pub(super) fn kernel() -> Option<String> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
        Some(format!("Linux {}", release.trim()))
    }

    pub(super) fn cpu() -> Option<String> {
        let info = procfs::CpuInfo::current().ok()?;
        // Arm kernels give no model name.
        info.model_name(0).map(str::to_owned)
    }

    pub(super) fn memory_bytes() -> Option<u64> {
        procfs::Meminfo::current().ok().map(|memory| memory.mem_total)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::process::Command;

    fn answer(program: &str, arguments: &[&str]) -> Option<String> {
        let output = Command::new(program)
            .args(arguments)
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    pub fn kernel() -> Option<String> {
        answer("uname", &["-sr"])
    }

    pub fn cpu() -> Option<String> {
        answer("sysctl", &["-n", "machdep.cpu.brand_string"])
    }

    pub fn memory_bytes() -> Option<u64> {
        answer("sysctl", &["-n", "hw.memsize"])?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores_and_a_kernel() {
        let host = Host::describe();
        assert!(host.cores.is_some_and(|cores| cores >= 1));
        assert!(host.kernel.is_some());
    }
}
