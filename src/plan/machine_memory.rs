//! What memory this process can have, with what it has already.

/// What memory this process can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MachineMemory {
    /// Bytes.
    pub(super) bytes: u64,
    /// What bounds it.
    pub(super) what: &'static str,
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs;
    use std::path::{Path, PathBuf};

    use procfs::{Current, Meminfo};

    use super::MachineMemory;
    use crate::process_usage::ProcessUsage;

    /// Where control groups are shown.
    const GROUPS: &str = "/sys/fs/cgroup";

    impl MachineMemory {
        /// The least of what the machine has left and what control groups leave. What the process
        /// itself has is counted as its own: a run that takes another's place has it. `None` where
        /// the system does not tell.
        pub(in crate::plan) fn read() -> Option<Self> {
            let own = ProcessUsage::now().rss_bytes.unwrap_or(0);
            let machine = Meminfo::current().ok()?.mem_available.map(|bytes| Self {
                bytes: bytes.saturating_add(own),
                what: "the memory that this machine has available",
            });
            let group = left_in_groups(Path::new(GROUPS), &own_groups()).map(|left| Self {
                bytes: left.saturating_add(own),
                what: "the memory that the control group of this process leaves",
            });
            machine.into_iter().chain(group).min_by_key(|memory| memory.bytes)
        }
    }

    /// The control groups of this process with memory, below [`GROUPS`] (cgroups(7)).
    fn own_groups() -> Vec<PathBuf> {
        let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        groups_in(&text)
    }

    /// Version 2 has one line, `0::/path`; version 1 one of its own for memory.
    fn groups_in(text: &str) -> Vec<PathBuf> {
        let group = |line: &str| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
            match controllers {
                "" => Some(PathBuf::from(path)),
                _ if controllers.split(',').any(|name| name == "memory") => {
                    Some(Path::new("memory").join(path))
                }
                _ => None,
            }
        };
        text.lines().filter_map(group).collect()
    }

    /// The least that any of the groups, or of those above them, leaves.
    pub(super) fn left_in_groups(root: &Path, groups: &[PathBuf]) -> Option<u64> {
        // In a container the group's own folder is the root, whatever its path is called.
        let folders = groups.iter().flat_map(|group| group.ancestors());
        folders.filter_map(|folder| left_in(&root.join(folder))).min()
    }

    /// What one group leaves; `None`: it has no limit. Files that it read can be dropped.
    fn left_in(folder: &Path) -> Option<u64> {
        let number =
            |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        let limit = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
        let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"))?;
        let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let droppable = |line: &str| line.strip_prefix("inactive_file ")?.trim().parse().ok();
        let files: u64 = stat.lines().find_map(droppable).unwrap_or(0);
        Some(limit.saturating_sub(used.saturating_sub(files)))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_groups_with_memory_are_found_in_both_versions() {
            let both = "12:pids:/a\n4:cpu,memory:/docker/b\n0::/user.slice/c\n";
            let expected = ["memory/docker/b", "user.slice/c"].map(PathBuf::from);
            assert_eq!(groups_in(both), expected);
        }

        #[test]
        fn the_tightest_group_counts_and_files_that_were_read_do_not() {
            let root = tempfile::tempdir().unwrap();
            let inner = root.path().join("outer/inner");
            fs::create_dir_all(&inner).unwrap();
            let group = [PathBuf::from("outer/inner")];
            assert_eq!(left_in_groups(root.path(), &group), None);
            let write = |folder: &Path, limit: &str, used: &str| {
                fs::write(folder.join("memory.max"), format!("{limit}\n")).unwrap();
                fs::write(folder.join("memory.current"), format!("{used}\n")).unwrap();
            };
            write(&inner, "max", "700");
            write(&root.path().join("outer"), "1000", "700");
            assert_eq!(left_in_groups(root.path(), &group), Some(300));
            fs::write(root.path().join("outer/memory.stat"), "anon 1\ninactive_file 200\n")
                .unwrap();
            assert_eq!(left_in_groups(root.path(), &group), Some(500));
            write(&inner, "100", "150");
            assert_eq!(left_in_groups(root.path(), &group), Some(0));
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl MachineMemory {
    /// Nothing is known of it.
    pub(super) fn read() -> Option<Self> {
        None
    }
}
