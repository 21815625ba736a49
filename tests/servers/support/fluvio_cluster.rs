//! A Fluvio cluster of a test's own, which the test may kill: `STREAMGAUGE_TEST_FLUVIO_BIN=FOLDER`
//! says where the programs `fluvio-run` and `fluvio` are. Without the variable such a test is
//! skipped, and says so.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use streamgauge_support::wait_for;

/// A cluster of one streaming unit (SPU); it ends with this value.
pub(crate) struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    ports: [u16; 4],
    controller: Process,
    unit: Process,
}

/// A process that is killed with this value.
struct Process(Child);

impl Cluster {
    /// `None` after saying that the test is skipped, and why.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = std::env::var_os("STREAMGAUGE_TEST_FLUVIO_BIN").map(PathBuf::from)
        else {
            let required =
                std::env::var("STREAMGAUGE_REQUIRE_FLUVIO").is_ok_and(|value| value == "1");
            assert!(
                !required,
                "STREAMGAUGE_REQUIRE_FLUVIO=1, but STREAMGAUGE_TEST_FLUVIO_BIN names no folder"
            );
            eprintln!(
                "SKIPPED: this test kills a Fluvio cluster: STREAMGAUGE_TEST_FLUVIO_BIN names \
                 no folder of one's programs"
            );
            return None;
        };
        let folder = TempDir::new().unwrap();
        let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        drop(listeners);
        let [public, _, unit_public, unit_private] = ports.map(address);
        let controller = controller(&programs, &folder, ports);
        let cluster_says = |order: &[&str]| say(&programs, &folder, order);
        wait_for("a profile", || {
            cluster_says(&["profile", "add", "own", &public, "local"]).is_some()
        });
        let register = ["cluster", "spu", "register", "--id", "5001"];
        let servers = ["--public-server", &unit_public, "--private-server", &unit_private];
        wait_for("the controller", || cluster_says(&[&register[..], &servers].concat()).is_some());
        let unit = unit(&programs, &folder, ports);
        wait_for("the unit", || {
            cluster_says(&["cluster", "spu", "list"]).is_some_and(|units| units.contains("Online"))
        });
        Some(Self { folder, programs, ports, controller, unit })
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Kills the unit (SIGKILL).
    pub(crate) fn kill_unit(&mut self) {
        self.unit.kill();
    }

    /// Kills the controller (SIGKILL).
    pub(crate) fn kill_controller(&mut self) {
        self.controller.kill();
    }

    /// Starts the controller anew, with what it knew, and waits until it answers. (Where both were
    /// killed at once, about every second time the unit is never told again what it leads: 0.18.2.)
    pub(crate) fn start_controller(&mut self) {
        self.controller = controller(&self.programs, &self.folder, self.ports);
        wait_for("the controller", || {
            say(&self.programs, &self.folder, &["topic", "list"])
                .is_some_and(|topics| topics.contains("events"))
        });
    }

    /// Starts the unit anew, with the records that it kept.
    pub(crate) fn start_unit(&mut self) {
        self.unit = unit(&self.programs, &self.folder, self.ports);
    }

    /// Bytes of a topic's records that the unit keeps.
    pub(crate) fn bytes_of(&self, topic_part: &str) -> u64 {
        let files = walk(&self.folder.path().join("records"));
        let of_topic = files.iter().filter(|(path, _)| path.to_string_lossy().contains(topic_part));
        of_topic
            .filter(|(path, _)| path.extension().is_some_and(|kind| kind == "log"))
            .map(|(_, bytes)| bytes)
            .sum()
    }

    /// Removes all records; the unit must not run.
    pub(crate) fn remove_records(&self) {
        std::fs::remove_dir_all(self.folder.path().join("records")).unwrap();
    }
}

impl Process {
    fn start(command: &mut Command) -> Self {
        Self(
            command
                .env("RUST_LOG", "error")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the cluster's own command line says; `None`: it failed.
fn say(programs: &Path, folder: &TempDir, order: &[&str]) -> Option<String> {
    let output = Command::new(programs.join("fluvio"))
        .args(order)
        .env("HOME", folder.path())
        .output()
        .unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn controller(programs: &Path, folder: &TempDir, [public, private, ..]: [u16; 4]) -> Process {
    let mut command = Command::new(programs.join("fluvio-run"));
    command.args(["sc", "--bind-public", &address(public), "--bind-private", &address(private)]);
    Process::start(command.arg("--local").arg(folder.path().join("metadata")))
}

fn unit(
    programs: &Path,
    folder: &TempDir,
    [_, private, unit_public, unit_private]: [u16; 4],
) -> Process {
    let mut command = Command::new(programs.join("fluvio-run"));
    command.args(["spu", "-i", "5001", "--sc-addr", &address(private)]);
    command.args(["-p", &address(unit_public), "-v", &address(unit_private)]);
    Process::start(command.arg("--log-base-dir").arg(folder.path().join("records")))
}

/// The files below a folder, with their sizes.
fn walk(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(data) if data.is_dir() => files.extend(walk(&entry.path())),
            Ok(data) => files.push((entry.path(), data.len())),
            Err(_) => {}
        }
    }
    files
}
