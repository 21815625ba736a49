//! Who uses a topic, told by locks. Every run that makes a topic, or reads or writes one of ours,
//! holds its file in the state folder for as long as its process lives; the system lets go of it
//! when the process ends, however that ends. Whoever gets the file for himself alone has the proof
//! that nobody uses the topic any more. A process id is no proof: another container has ids of its
//! own.
//!
//! A file tells the machines whose processes held it, by the ids of their boots. Locks of this
//! boot are this kernel's own, and reach every container on it. Of another boot, a lock proves
//! something only where none but this machine can have held it: see [`Holds::is_foreign`].

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The folder of the files, in the state folder.
const FOLDER: &str = "holds";

/// A run's hold on a topic; it ends when this is dropped, or the process ends.
#[derive(Debug)]
pub(super) struct TopicHold {
    _lock: File,
}

/// What came of asking for a topic that nobody else may use meanwhile.
#[derive(Debug)]
pub(super) enum Claim {
    /// Nobody uses it, nor will before this is dropped.
    Alone(TopicHold),
    /// Nobody has ever held it.
    NeverHeld,
    /// A living process uses it.
    Held,
    /// Nothing proves that nobody does; why.
    Unproven(String),
}

/// The files that tell who uses which topic. None of the methods waits; all are called under the
/// record's lock, so that one who only looks is in nobody's way.
#[derive(Clone, Debug)]
pub(super) struct Holds {
    folder: PathBuf,
}

impl Holds {
    pub(super) fn in_state_folder(folder: &Path) -> Self {
        Self { folder: folder.join(FOLDER) }
    }

    fn path(&self, topic: &str) -> io::Result<PathBuf> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if topic.is_empty() || !topic.chars().all(is_plain) {
            let message = format!("`{topic}` cannot be a topic's name");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(self.folder.join(format!("{topic}.lock")))
    }

    /// Takes a hold on a topic, which others may share.
    pub(super) fn share(&self, topic: &str) -> io::Result<TopicHold> {
        let path = self.path(topic)?;
        let at = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot hold `{}`: {error}", path.display()))
        };
        fs::create_dir_all(&self.folder).map_err(at)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(at)?;
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("topic `{topic}` is being cleared: try again");
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
            }
            Err(TryLockError::Error(error)) => return Err(at(error)),
        }
        let mut boots = boots_in(&file).map_err(at)?;
        boots.extend(boot_id());
        // Written even if nothing is new: the time of the last hold is the file's.
        write_boots(&file, &boots).map_err(at)?;
        Ok(TopicHold { _lock: file })
    }

    /// Asks for a topic to be nobody else's.
    pub(super) fn claim(&self, topic: &str) -> io::Result<Claim> {
        let path = self.path(topic)?;
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Claim::NeverHeld),
            Err(error) => return Ok(unproven(&path, &error)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Claim::Held),
            Err(TryLockError::Error(error)) => return Ok(unproven(&path, &error)),
        }
        Ok(match self.is_foreign(&file) {
            Ok(false) => Claim::Alone(TopicHold { _lock: file }),
            Ok(true) => Claim::Unproven(
                "it was used on another machine, or before this one was started, and the locks in \
                 the state folder do not tell whether it still is"
                    .to_owned(),
            ),
            Err(error) => unproven(&path, &error),
        })
    }

    /// Whether the file may be held where its lock is not seen: by a process of another boot,
    /// unless that was this machine's before the present one. Then the file is older than the
    /// present boot, and lies on a file system that only one machine can have.
    fn is_foreign(&self, file: &File) -> io::Result<bool> {
        let boots = boots_in(file)?;
        let own = boot_id();
        if !boots.is_empty() && boots.iter().all(|boot| Some(boot) == own.as_ref()) {
            return Ok(false);
        }
        let is_older =
            booted_at_s().is_some_and(|booted| file.metadata().is_ok_and(|of| of.mtime() < booted));
        Ok(!(is_older && is_of_one_machine(&self.folder)))
    }

    /// Forgets who used a topic that is no more.
    pub(super) fn forget(&self, topic: &str) -> io::Result<()> {
        match fs::remove_file(self.path(topic)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn unproven(path: &Path, error: &io::Error) -> Claim {
    Claim::Unproven(format!("`{}` cannot be locked: {error}", path.display()))
}

fn boots_in(mut file: &File) -> io::Result<BTreeSet<String>> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn write_boots(mut file: &File, boots: &BTreeSet<String>) -> io::Result<()> {
    let text: String = boots.iter().flat_map(|boot| [boot, "\n"]).collect();
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)?;
    file.sync_all()
}

/// The id of the kernel's present life, the same in all its containers.
fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// When that began, in seconds since the Unix epoch.
fn booted_at_s() -> Option<i64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

/// File systems that one kernel at a time can mount.
const OF_ONE_MACHINE: [&str; 11] = [
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs",
];

fn is_of_one_machine(folder: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    file_system(&mounts, &folder).is_some_and(|kind| OF_ONE_MACHINE.contains(&kind))
}

/// The kind of file system that a folder lies on, of the mounts as `/proc/self/mountinfo` has them.
fn file_system<'a>(mounts: &'a str, folder: &Path) -> Option<&'a str> {
    let mount = |line: &'a str| {
        let (of_mount, of_source) = line.split_once(" - ")?;
        // Spaces are written as octal escapes.
        let point = of_mount.split(' ').nth(4)?.replace("\\040", " ");
        let depth = Path::new(&point).components().count();
        folder.starts_with(&point).then_some((depth, of_source.split(' ').next()?))
    };
    // Of two at the same point the later one hides the earlier.
    mounts.lines().filter_map(mount).max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds() -> (tempfile::TempDir, Holds) {
        let folder = tempfile::tempdir().unwrap();
        let holds = Holds::in_state_folder(folder.path());
        (folder, holds)
    }

    #[test]
    fn a_topic_is_claimed_only_once_nobody_holds_it() {
        let (_folder, holds) = holds();
        assert!(matches!(holds.claim("t").unwrap(), Claim::NeverHeld));
        let first = holds.share("t").unwrap();
        let second = holds.share("t").unwrap();
        assert!(matches!(holds.claim("t").unwrap(), Claim::Held));
        drop(first);
        assert!(matches!(holds.claim("t").unwrap(), Claim::Held), "one of two still holds it");
        drop(second);
        let Claim::Alone(claimed) = holds.claim("t").unwrap() else { panic!("nobody holds it") };
        assert!(holds.share("t").unwrap_err().to_string().contains("being cleared"));
        drop(claimed);
        holds.share("t").unwrap();
        holds.forget("t").unwrap();
        holds.forget("t").unwrap();
        assert!(matches!(holds.claim("t").unwrap(), Claim::NeverHeld));
    }

    #[test]
    fn the_hold_of_another_boot_is_no_proof_unless_it_is_older_than_this_one() {
        let (_folder, holds) = holds();
        drop(holds.share("t").unwrap());
        let path = holds.path("t").unwrap();
        let write = |text: &str, age_s: Option<u64>| {
            fs::write(&path, text).unwrap();
            if let Some(age_s) = age_s {
                let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(age_s);
                File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            }
        };
        let is_unproven = || matches!(holds.claim("t").unwrap(), Claim::Unproven(_));
        write("another-boot\n", None);
        assert!(is_unproven());
        write(&format!("another-boot\n{}\n", boot_id().unwrap()), None);
        assert!(is_unproven(), "held on both");
        write("", None);
        assert!(is_unproven(), "whose it was is not told");
        write("another-boot\n", Some(1000));
        assert_eq!(is_unproven(), !is_of_one_machine(&holds.folder));
        write(&format!("{}\n", boot_id().unwrap()), Some(1000));
        assert!(!is_unproven());
    }

    #[test]
    fn what_cannot_be_locked_is_no_proof() {
        let (_folder, holds) = holds();
        fs::create_dir_all(holds.path("t").unwrap()).unwrap();
        let claim = holds.claim("t").unwrap();
        assert!(matches!(&claim, Claim::Unproven(why) if why.contains("t.lock")), "{claim:?}");
    }

    #[test]
    fn names_stay_in_the_folder() {
        let (_folder, holds) = holds();
        for name in ["../t", "a/b", "", "a\0"] {
            assert!(holds.share(name).is_err() && holds.claim(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_innermost_mount_tells_the_file_system() {
        let mounts = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                      30 22 0:40 / /mnt/nfs\\040share rw - nfs4 host:/export rw\n\
                      31 22 0:41 / /var rw - ext4 /dev/sda2 rw\n\
                      32 31 0:42 / /var rw - fuse.x x rw\n";
        let kind = |folder: &str| file_system(mounts, Path::new(folder));
        assert_eq!(kind("/home/state"), Some("ext4"));
        assert_eq!(kind("/mnt/nfs share/state"), Some("nfs4"));
        assert_eq!(kind("/mnt/nfs"), Some("ext4"));
        assert_eq!(kind("/var/lib"), Some("fuse.x"));
        assert_eq!(file_system("", Path::new("/")), None);
    }
}
