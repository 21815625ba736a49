//! A Fluvio cluster of a test's own, which the test may kill: `STREAMGAUGE_TEST_FLUVIO_BIN=FOLDER` says where the programs
//! `fluvio-run` and `fluvio` are. Without the variable such a test is skipped, and says so.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::runs::wait_for;

/// A cluster of one streaming unit (SPU); it ends with this value.
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    ports: [u16; 4],
    controller: Child,
    unit: Child,
}

impl Cluster {
    /// `None` after saying that the test is skipped, and why.
    pub fn start() -> Option<Self> {
        let Some(programs) = std::env::var_os("STREAMGAUGE_TEST_FLUVIO_BIN").map(PathBuf::from) else {
            eprintln!(
                "SKIPPED: this test kills a Fluvio cluster: STREAMGAUGE_TEST_FLUVIO_BIN names no folder of one's programs"
            );
            return None;
        };
        let folder = TempDir::new().unwrap();
        let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        drop(listeners);
        let [public, private, unit_public, unit_private] = ports.map(|port| format!("127.0.0.1:{port}"));
        let metadata = folder.path().join("metadata");
        let order = ["sc", "--bind-public", &public, "--bind-private", &private, "--local", metadata.to_str().unwrap()];
        let controller = background(Command::new(programs.join("fluvio-run")).args(order));
        let cluster_says = |order: &[&str]| -> Option<String> {
            let mut command = Command::new(programs.join("fluvio"));
            let output = command.args(order).env("HOME", folder.path()).output().unwrap();
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        };
        wait_for("a profile", || cluster_says(&["profile", "add", "own", &public, "local"]).is_some());
        let register = ["cluster", "spu", "register", "--id", "5001"];
        let servers = ["--public-server", &unit_public, "--private-server", &unit_private];
        wait_for("the controller", || cluster_says(&[&register[..], &servers].concat()).is_some());
        let unit = unit(&programs, &folder, ports);
        wait_for("the unit", || {
            cluster_says(&["cluster", "spu", "list"]).is_some_and(|units| units.contains("Online"))
        });
        Some(Self { folder, programs, ports, controller, unit })
    }

    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Kills the unit (SIGKILL).
    pub fn kill_unit(&mut self) {
        self.unit.kill().unwrap();
        self.unit.wait().unwrap();
    }

    /// Starts the unit anew, with the records that it kept.
    pub fn start_unit(&mut self) {
        self.unit = unit(&self.programs, &self.folder, self.ports);
    }

    /// Bytes of a topic's records that the unit keeps.
    pub fn bytes_of(&self, topic_part: &str) -> u64 {
        let files = walk(&self.folder.path().join("records"));
        let of_topic = files.iter().filter(|(path, _)| path.to_string_lossy().contains(topic_part));
        of_topic.filter(|(path, _)| path.extension().is_some_and(|kind| kind == "log")).map(|(_, bytes)| bytes).sum()
    }

    /// Removes all records; the unit must not run.
    pub fn remove_records(&self) {
        std::fs::remove_dir_all(self.folder.path().join("records")).unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in [&mut self.unit, &mut self.controller] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn unit(programs: &Path, folder: &TempDir, [_, private, unit_public, unit_private]: [u16; 4]) -> Child {
    let address = |port: u16| format!("127.0.0.1:{port}");
    let mut command = Command::new(programs.join("fluvio-run"));
    command.args(["spu", "-i", "5001", "--sc-addr", &address(private)]);
    command.args(["-p", &address(unit_public), "-v", &address(unit_private)]);
    background(command.arg("--log-base-dir").arg(folder.path().join("records")))
}

fn background(command: &mut Command) -> Child {
    command.env("RUST_LOG", "error").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
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
