//! A log that cannot be written harms nothing: not a run, not its exit code, not the daemon.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use streamgauge_support::wait_for;
use tempfile::TempDir;

/// Standard error that takes nothing: its reader has gone, or its disk is full.
fn unwritable() -> Vec<(&'static str, Stdio)> {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let full = File::options().write(true).open("/dev/full").unwrap();
    vec![("without a reader", writer.into()), ("on a full disk", full.into())]
}

fn streamgauge(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
    command.env_clear().env("XDG_STATE_HOME", folder.path()).current_dir(folder.path());
    command
}

#[test]
fn a_run_goes_on_and_its_exit_code_is_its_own() {
    for (how, stderr) in unwritable() {
        let folder = TempDir::new().unwrap();
        let run = ["run", "smoke", "--duration", "1s", "-vv", "-o", "json"];
        let mut command = streamgauge(&folder);
        let output = command.args(run).args(["--report", "r.md"]).stderr(stderr).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).expect(how);
        assert_eq!(report["ending"]["how"], "completed", "{how}");
        assert_eq!(Some(report["exit_code"].as_i64().unwrap() as i32), output.status.code());
        assert!(folder.path().join("r.md").exists(), "{how}");
    }
}

#[test]
fn a_refusal_keeps_its_exit_code() {
    for (how, stderr) in unwritable() {
        let folder = TempDir::new().unwrap();
        let mut command = streamgauge(&folder);
        let output = command.args(["run", "smoke", "--rate=-1"]).stderr(stderr).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{how}");
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended already where all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_daemon_goes_on() {
    for (how, stderr) in unwritable() {
        let folder = TempDir::new().unwrap();
        let serve = ["serve", "--listen", "127.0.0.1:0", "--state-dir", "state", "-vv"];
        let daemon =
            streamgauge(&folder).args(serve).stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
        let mut daemon = Killed(daemon);
        let listen = folder.path().join("state/listen");
        wait_for("the daemon to listen", || {
            assert_eq!(daemon.0.try_wait().unwrap(), None, "{how}");
            std::fs::read_to_string(&listen).is_ok_and(|address| !address.is_empty())
        });
        let url = format!("http://{}", std::fs::read_to_string(&listen).unwrap().trim());
        let ctl = |arguments: &[&str]| {
            let mut command = streamgauge(&folder);
            command.arg("ctl").args(arguments).env("STREAMGAUGE_URL", &url).output().unwrap()
        };
        let started = ctl(&["start", "smoke", "--duration", "1s"]);
        assert!(started.status.success(), "{how}: {started:?}");
        wait_for("the run to end", || {
            assert_eq!(daemon.0.try_wait().unwrap(), None, "{how}");
            let status: Value =
                serde_json::from_slice(&ctl(&["status", "-o", "json"]).stdout).unwrap();
            status["state"] == "completed"
        });
    }
}
