//! Finds a real Kafka for tests and benches, or starts one for the whole run of `cargo test`.
//!
//! - `STREAMGAUGE_TEST_KAFKA=host:port` names a running one.
//! - Otherwise, with `java` and `mvn` on the machine, the first test process that asks starts one
//!   (its jars come from Maven, once), and every other process of the run uses the same.
//! - Otherwise the test is skipped, and says so; with `STREAMGAUGE_REQUIRE_KAFKA=1` it fails.
//!
//! A Kafka behind a [`Proxy`] is always one that was started here: it advertises the proxy's
//! address at a listener of its own ([`proxied`]).
//!
//! The broker is the child of a shell script that outlives the test processes. It stops the broker,
//! and removes its data, once the `cargo` that began the run is gone and no test process has
//! written to the broker's `keepalive` file for a while. However a run ends, nothing stays behind.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::{CommandExt as _, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use streamgauge::broker::kafka::{KafkaBroker, KafkaSection, KafkaSettings};
use streamgauge::config::Layers;
use streamgauge_actors::{Broker as _, Clock as _, RunClock, SECOND, Span};

use crate::proxy::Proxy;

/// The address of a Kafka for tests; `None` after saying that the test is skipped, and why.
pub fn bootstrap_servers() -> Option<&'static str> {
    static NAMED: OnceLock<Option<String>> = OnceLock::new();
    let named = NAMED.get_or_init(|| std::env::var("STREAMGAUGE_TEST_KAFKA").ok());
    named.as_deref().or_else(|| own().map(|own| own.address.as_str()))
}

/// The Kafka that tests of this run started; `None` after saying that the test is skipped, and why.
fn own() -> Option<&'static OwnKafka> {
    static FOUND: OnceLock<Result<OwnKafka, String>> = OnceLock::new();
    match FOUND.get_or_init(find) {
        Ok(own) => Some(own),
        Err(why) => {
            let required =
                std::env::var("STREAMGAUGE_REQUIRE_KAFKA").is_ok_and(|value| value == "1");
            assert!(!required, "STREAMGAUGE_REQUIRE_KAFKA=1, but there is no Kafka: {why}");
            eprintln!("SKIPPED: this test needs a Kafka: {why}");
            None
        }
    }
}

/// A Kafka that was started here.
struct OwnKafka {
    address: String,
    /// The folder that it has for itself.
    instance: PathBuf,
}

/// A Kafka behind a proxy that no other test has.
pub struct ProxiedKafka {
    /// The way to it: all clients that start from its address stay on it.
    pub proxy: Proxy,
    /// The same Kafka's address, past the proxy.
    pub servers: &'static str,
    _lock: File,
}

/// The Kafka that tests of this run started, behind a proxy; `None` after saying that the test is
/// skipped, and why.
pub fn proxied() -> Option<ProxiedKafka> {
    let own = own()?;
    let mut found = None;
    crate::wait_for("a listener behind a proxy that no other test uses", || {
        found = (0..PROXIED).find_map(|n| {
            let place = own.instance.join(format!("proxied-{n}"));
            let lock = File::open(&place).expect("written when it was started");
            lock.try_lock().ok()?;
            Some((fs::read_to_string(&place).expect("written when it was started"), lock))
        });
        found.is_some()
    });
    let (place, lock) = found.expect("it was waited for");
    let (listens, advertises) = place.split_once(' ').expect("two addresses");
    Some(ProxiedKafka { proxy: Proxy::at(advertises, listens), servers: &own.address, _lock: lock })
}

/// The default settings, for a Kafka at this address.
pub fn settings_at(address: &str) -> KafkaSection {
    let defaults = Layers::default().load().expect("the defaults are valid").settings.broker.kafka;
    KafkaSection { bootstrap_servers: address.to_owned(), ..defaults }
}

/// Settings for the Kafka of this run.
pub fn settings() -> Option<KafkaSection> {
    bootstrap_servers().map(settings_at)
}

/// A broker with these settings.
pub fn broker_with(section: &KafkaSection) -> KafkaBroker {
    let settings = KafkaSettings::new(section).expect("no property comes from a file");
    KafkaBroker::new(settings).expect("valid settings")
}

/// The Kafka of this run.
pub fn broker() -> Option<KafkaBroker> {
    settings().as_ref().map(broker_with)
}

fn find() -> Result<OwnKafka, String> {
    for (program, flag) in [("java", "-version"), ("mvn", "-version")] {
        let ran =
            Command::new(program).arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !ran.is_ok_and(|status| status.success()) {
            return Err(format!(
                "STREAMGAUGE_TEST_KAFKA is not set, and `{program}` is not there to start one with"
            ));
        }
    }
    let home = temporary_folder()?.join("kafka");
    fs::create_dir_all(&home)
        .map_err(|error| format!("cannot make {}: {error}", home.display()))?;
    // One process starts the broker; the others wait here, and find it running.
    let lock = File::create(home.join("lock")).and_then(|lock| lock.lock().map(|()| lock));
    let _lock = lock.map_err(|error| format!("cannot lock {}: {error}", home.display()))?;
    if let Some(own) = join(&home) {
        return Ok(own);
    }
    let jars = jars(&home)?;
    remove_stopped(&home);
    // Ports are free when chosen, and may be taken when used: a second try is enough.
    start(&home, &jars).or_else(|_| start(&home, &jars))
}

/// `tmp` in the folder of what cargo builds: tests and benches lie in `<folder>/<profile>/deps`.
fn temporary_folder() -> Result<PathBuf, String> {
    let binary = std::env::current_exe().map_err(|error| format!("no path of this: {error}"))?;
    let target = binary.ancestors().nth(3);
    Ok(target.ok_or_else(|| format!("{} lies in no target folder", binary.display()))?.join("tmp"))
}

/// Removes what brokers of earlier runs left: their logs.
fn remove_stopped(home: &Path) {
    let Ok(entries) = fs::read_dir(home) else { return };
    for entry in entries.flatten().filter(|entry| entry.path().join("stopped").exists()) {
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// Joins a broker that another process started.
fn join(home: &Path) -> Option<OwnKafka> {
    let state_file = home.join("state");
    let state = fs::read_to_string(&state_file).ok()?;
    let (address, instance) = state.trim().split_once(' ')?;
    let keepalive = Path::new(instance).join("keepalive");
    if !keepalive.exists() {
        return None;
    }
    beat(&keepalive);
    // The watchdog removes the state before it looks at the keepalive for the last time: if the
    // state is still there after our beat, the broker stays.
    if fs::read_to_string(&state_file).ok()? != state || TcpStream::connect(address).is_err() {
        return None;
    }
    keep_alive(keepalive);
    Some(OwnKafka { address: address.to_owned(), instance: instance.into() })
}

/// The folder with Kafka's jars; filled by Maven when it is not complete.
fn jars(home: &Path) -> Result<PathBuf, String> {
    let folder = home.join("jars");
    let complete = folder.join("complete-4.1.0");
    if complete.exists() {
        return Ok(folder.join("lib"));
    }
    let io = |error: std::io::Error| format!("cannot write to {}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(io)?;
    fs::write(folder.join("pom.xml"), POM).map_err(io)?;
    let mvn = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run mvn: {error}"))?;
    if !mvn.status.success() {
        return Err(format!("mvn could not fetch Kafka: {}", String::from_utf8_lossy(&mvn.stdout)));
    }
    fs::write(complete, "").map_err(io)?;
    Ok(folder.join("lib"))
}

const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>streamgauge</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>4.1.0</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId>
      <version>4.1.0</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"#;

/// Starts a broker in a folder of its own, and waits until it answers.
fn start(home: &Path, jars: &Path) -> Result<OwnKafka, String> {
    let clock = RunClock::start();
    let instance = home.join(format!("broker-{}-{}", std::process::id(), clock.now()));
    let io = |error: std::io::Error| format!("cannot prepare {}: {error}", instance.display());
    fs::create_dir_all(&instance).map_err(io)?;
    let properties = instance.join("server.properties");
    let (address, text) = server_properties(&instance).map_err(io)?;
    fs::write(&properties, text).map_err(io)?;
    let watchdog = instance.join("watchdog.sh");
    fs::write(&watchdog, WATCHDOG).map_err(io)?;

    let classpath = format!("{}/*", jars.display());
    let format = Command::new("java")
        .args([
            "-Xmx128m",
            "-cp",
            &classpath,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            CLUSTER_ID,
            "-c",
        ])
        .arg(&properties)
        .stdin(Stdio::null())
        .output()
        .map_err(io)?;
    if !format.status.success() {
        let text = String::from_utf8_lossy(&format.stderr);
        return Err(format!("Kafka's storage could not be formatted: {text}"));
    }

    let keepalive = instance.join("keepalive");
    beat(&keepalive);
    keep_alive(keepalive);
    Command::new("sh")
        .arg(&watchdog)
        .args([&instance, &home.join("state")])
        .arg(cargo_above().map_or_else(String::new, |pid| pid.to_string()))
        .args([
            "java",
            "-Xms256m",
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=4",
            "-cp",
            &classpath,
        ])
        .args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "kafka.Kafka"])
        .arg(&properties)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // An interrupt at the terminal is for the tests; the watchdog then cleans up.
        .process_group(0)
        .spawn()
        .map_err(io)?;

    wait_until_it_answers(&address, &instance, &clock)?;
    fs::write(home.join("state"), format!("{address} {}", instance.display())).map_err(io)?;
    Ok(OwnKafka { address, instance })
}

fn wait_until_it_answers(address: &str, instance: &Path, clock: &RunClock) -> Result<(), String> {
    let connect_timeout = Span::from_nanos(2 * SECOND);
    let broker = broker_with(&KafkaSection { connect_timeout, ..settings_at(address) });
    let deadline = clock.now() + 90 * SECOND;
    let log = instance.join("kafka.log");
    while clock.now() < deadline {
        if instance.join("stopped").exists() {
            return Err(format!("Kafka ended while it started: see {}", log.display()));
        }
        if TcpStream::connect(address).is_ok() && broker.describe().is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(100));
    }
    let _ = fs::write(instance.join("stop"), "");
    Err(format!("Kafka does not answer after 90 s: see {}", log.display()))
}

/// Any 16 bytes, in base 64.
const CLUSTER_ID: &str = "c3RyZWFtZ2F1Z2UtdGVzdA";

/// Listeners that advertise a proxy's address.
const PROXIED: usize = 4;

/// Chooses addresses; gives that of the broker, and its properties. Of each listener behind a proxy
/// a file says where it listens, and what it advertises.
fn server_properties(instance: &Path) -> std::io::Result<(String, String)> {
    // All are held until all are known, so that they differ.
    let mut held = Vec::new();
    let mut free = |host: &str| {
        let door = TcpListener::bind((host, 0))?;
        let address = door.local_addr()?.to_string();
        held.push(door);
        Ok::<_, std::io::Error>(address)
    };
    let (address, controller) = (free("127.0.0.1")?, free("127.0.0.1")?);
    let mut listeners = format!("PLAINTEXT://{address},CONTROLLER://{controller}");
    let mut advertised = format!("PLAINTEXT://{address}");
    let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    for n in 0..PROXIED {
        // A host of its own: nobody else takes one of its ports until a proxy does.
        let (listens, way) = (free("127.0.0.1")?, free("127.0.0.2")?);
        fs::write(instance.join(format!("proxied-{n}")), format!("{listens} {way}"))?;
        let _ = write!(listeners, ",PROXIED{n}://{listens}");
        let _ = write!(advertised, ",PROXIED{n}://{way}");
        let _ = write!(protocols, ",PROXIED{n}:PLAINTEXT");
    }
    let properties = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@{controller}\n\
         listeners={listeners}\n\
         advertised.listeners={advertised}\n\
         listener.security.protocol.map={protocols}\n\
         inter.broker.listener.name=PLAINTEXT\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={}\n\
         offsets.topic.replication.factor=1\n\
         offsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.num.partitions=1\n\
         transaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\n\
         log.segment.delete.delay.ms=1000\n",
        instance.join("data").display()
    );
    Ok((address, properties))
}

/// Arguments: the broker's folder, the file that tells others of it, the process id of cargo (may
/// be empty), the broker's command line.
const WATCHDOG: &str = r#"
dir=$1; state=$2; cargo=$3; shift 3
"$@" >"$dir/kafka.log" 2>&1 &
kafka=$!
trap 'kill $kafka 2>/dev/null' TERM INT HUP
last=; still=0
needed() {
    [ -e "$dir/stop" ] && return 1
    beat=$(cat "$dir/keepalive" 2>/dev/null)
    if [ "$beat" != "$last" ]; then last=$beat; still=0; else still=$((still + 1)); fi
    [ -n "$cargo" ] && kill -0 "$cargo" 2>/dev/null && return 0
    [ $still -lt 10 ]
}
while kill -0 $kafka 2>/dev/null; do
    if ! needed; then
        grep -qs " $dir\$" "$state" && rm -f "$state"
        needed || break
    fi
    sleep 1
done
kill $kafka 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 $kafka 2>/dev/null || break; sleep 1; done
kill -9 $kafka 2>/dev/null
wait $kafka 2>/dev/null
grep -qs " $dir\$" "$state" && rm -f "$state"
rm -rf "$dir/data" "$dir/keepalive"
touch "$dir/stopped"
"#;

/// The cargo that runs this test, so that the broker lives as long as the whole run does.
fn cargo_above() -> Option<u32> {
    let pid = parent_id();
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    matches!(name.trim(), "cargo" | "cargo-nextest").then_some(pid)
}

/// Writes to the keepalive file once a second until this process ends.
fn keep_alive(file: PathBuf) {
    thread::spawn(move || {
        while file.exists() {
            beat(&file);
            thread::sleep(Duration::from_secs(1));
        }
    });
}

/// The watchdog notices that the file's content changes.
fn beat(file: &Path) {
    if let Ok(mut file) = File::create(file) {
        let _ = writeln!(file, "{} {}", std::process::id(), RunClock::start().now());
    }
}
