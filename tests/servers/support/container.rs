//! A daemon in the environment of its container, tried on the program itself.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::compose::{Compose, Dockerfile, Service, read, words};
use super::prometheus::{Running, client, wait_for};

/// Where the containers keep their state.
pub(crate) const STATE: &str = "/var/lib/streamgauge";

/// The environment of a profile's daemon: the image's, and the service's over it.
pub(crate) fn environment(daemon: &Service) -> BTreeMap<String, String> {
    let mut environment = Dockerfile::read().environment();
    environment.retain(|name, _| !name.starts_with("CARGO_"));
    environment.extend(daemon.environment());
    environment
}

fn program(environment: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgauge"));
    command.env_clear().envs(environment).stdin(Stdio::null());
    command
}

/// The settings as the program resolves them in an environment.
pub(crate) fn settings(environment: &BTreeMap<String, String>) -> Value {
    let output = program(environment).args(["config", "show", "-o", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The port of an address.
pub(crate) fn port(address: &str) -> u16 {
    let (_, port) = address.rsplit_once(':').unwrap_or_else(|| panic!("{address} has no port"));
    port.parse().unwrap_or_else(|_| panic!("{address} has no port"))
}

/// A daemon in the environment of a container, whose root is a folder here.
pub(crate) struct Container {
    pub process: Running,
    pub environment: BTreeMap<String, String>,
    /// The address at which it can be reached.
    address: String,
    folder: TempDir,
}

impl Container {
    pub(crate) fn start(profile: &str) -> Self {
        let compose = Compose::read();
        let folder = TempDir::new().unwrap();
        let state = folder.path().join("state");
        fs::create_dir(&state).unwrap();
        make_token(&compose.service("token"), &state);
        let mut environment = environment(&compose.daemon(profile));
        for value in environment.values_mut() {
            *value = value.replace(STATE, state.to_str().unwrap());
        }
        let dockerfile = Dockerfile::read();
        assert_eq!(dockerfile.exec("ENTRYPOINT"), ["streamgauge"]);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut command = program(&environment);
        command
            .args(dockerfile.exec("CMD"))
            .args(["--listen", "0.0.0.0:0"])
            .current_dir(folder.path());
        let process = Running(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let mut container = Self { process, environment, address: String::new(), folder };
        let listen = wait_for("the daemon to listen", 30, || {
            assert!(
                container.process.0.try_wait().unwrap().is_none(),
                "the daemon ended: {}",
                container.log()
            );
            fs::read_to_string(state.join("listen")).ok().filter(|text| !text.trim().is_empty())
        });
        container.address = format!("127.0.0.1:{}", port(listen.trim()));
        container
    }

    pub(crate) fn log(&self) -> String {
        read(&self.folder.path().join("log"))
    }

    pub(crate) fn status(&self, path: &str, host: &str, token: Option<&str>) -> u16 {
        let mut request =
            client().get(format!("http://{}{path}", self.address)).header("Host", host);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        request.call().unwrap().status().as_u16()
    }

    /// Whether the image's health check finds it healthy.
    pub(crate) fn is_healthy(&self) -> bool {
        let check = Dockerfile::read().exec("HEALTHCHECK");
        assert_eq!(check[0], "streamgauge");
        let mut command = program(&self.environment);
        command.env("STREAMGAUGE_URL", format!("http://{}", self.address)).args(&check[1..]);
        command.output().unwrap().status.success()
    }
}

/// Runs the script of the service `token` in the state folder, twice; only the first time makes
/// one.
fn make_token(service: &Service, state: &Path) {
    let run = || {
        let script = words(&service.json["command"]).concat();
        assert!(
            Command::new("sh")
                .args(["-euc", &script])
                .current_dir(state)
                .status()
                .unwrap()
                .success()
        );
        read(&state.join("token"))
    };
    let token = run();
    assert!(token.trim().len() >= 32, "{token}");
    assert_eq!(run(), token);
    assert_eq!(fs::metadata(state.join("token")).unwrap().permissions().mode() & 0o777, 0o600);
}
