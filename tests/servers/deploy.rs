//! `deploy/`: every value that its files share with the program, or with one another, is the same
//! in both.
//!
//! No container engine is needed. What the daemon's containers say is tried on the program itself:
//! their environment is resolved by it, and a daemon is started in it. The compose file is loaded
//! by the reference implementation of the Compose Specification (`compose-spec` on the path;
//! `.ci/run` installs it); without it that test is skipped and says so, with
//! `STREAMGAUGE_REQUIRE_COMPOSE=1` it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use streamgauge_support::grafana;

use crate::support::compose::{
    Compose, Dockerfile, Service, Source, folder, read, root, words, yaml,
};
use crate::support::container::{Container, STATE, environment, port, settings};
use crate::support::prometheus::{is_there, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

const PROFILES: [&str; 3] = ["kafka", "redpanda", "fluvio"];

const REQUIRE: &str = "STREAMGAUGE_REQUIRE_COMPOSE";

fn seconds(text: &str) -> Duration {
    humantime::parse_duration(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A value of the systemd unit.
fn of_unit(key: &str) -> String {
    let unit = read(&folder().join("streamgauge.service"));
    let found: Vec<_> =
        unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect();
    assert_eq!(found.len(), 1, "the unit has one {key}");
    found[0].to_owned()
}

#[test]
fn the_compose_file_keeps_to_the_specification() {
    if Command::new("compose-spec").arg("-h").output().is_err() {
        let required = std::env::var(REQUIRE).is_ok_and(|value| value == "1");
        assert!(!required, "{REQUIRE}=1, but there is no `compose-spec`");
        eprintln!("SKIPPED: this test needs `compose-spec` (see .ci/run)");
        return;
    }
    let load = |folder: &Path| {
        let mut command = Command::new("compose-spec");
        command.args(["--format", "json", "compose.yaml"]).current_dir(folder).output().unwrap()
    };
    let output = load(&folder());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let loaded: Value = serde_json::from_slice(&output.stdout).unwrap();
    // The other tests read the file as the specification's own loader does.
    let services = Compose::read().services();
    assert_eq!(loaded["services"].as_object().unwrap().len(), services.len());
    for service in services {
        let theirs =
            Service { name: service.name.clone(), json: loaded["services"][&service.name].clone() };
        assert_eq!(theirs.environment(), service.environment(), "{}", service.name);
        for mount in service.mounts() {
            let Source::Path(path) = mount.source else { continue };
            let path = fs::canonicalize(path).unwrap();
            let theirs = theirs.json["volumes"]
                .as_array()
                .unwrap()
                .iter()
                .find(|v| v["target"] == mount.target.as_str());
            assert_eq!(theirs.unwrap()["source"], json!(path), "{}", service.name);
        }
    }
    // It would not take anything.
    let spoiled = TempDir::new().unwrap();
    let text = read(&folder().join("compose.yaml")).replacen("healthcheck:", "healthchecks:", 1);
    fs::write(spoiled.path().join("compose.yaml"), text).unwrap();
    assert!(!load(spoiled.path()).status.success());
}

#[test]
fn every_profile_brings_up_a_broker_its_daemon_prometheus_and_grafana() {
    let compose = Compose::read();
    let profiles: BTreeSet<_> =
        compose.services().iter().flat_map(|s| words(&s.json["profiles"])).collect();
    assert_eq!(profiles, PROFILES.map(str::to_owned).into());
    for service in compose.services() {
        assert!(
            !words(&service.json["profiles"]).is_empty(),
            "{} comes up with no profile",
            service.name
        );
    }
    for profile in PROFILES {
        let services = compose.profile(profile);
        let names: BTreeSet<_> = services.iter().map(|service| service.name.as_str()).collect();
        let kind = environment(&compose.daemon(profile))["STREAMGAUGE__BROKER__KIND"].clone();
        assert_eq!(kind, profile);
        for wanted in ["token", "prometheus", "grafana"] {
            assert!(names.contains(wanted), "{profile} has no {wanted}");
        }
        assert!(
            names.iter().any(|name| name.starts_with(profile)),
            "{profile} has no broker: {names:?}"
        );
        for service in &services {
            for (needed, condition) in service.needs() {
                let what = format!("{}: {needed}", service.name);
                let needed = services
                    .iter()
                    .find(|s| s.name == needed)
                    .unwrap_or_else(|| panic!("{what} is not there"));
                // One that ends is waited for; one that stays is probed.
                let expected = if stays(needed) {
                    "service_healthy"
                } else {
                    "service_completed_successfully"
                };
                assert_eq!(condition, expected, "{what}");
            }
        }
        let needs = compose.daemon(profile).needs();
        assert!(needs.iter().any(|(name, _)| name == "token"), "{profile}: {needs:?}");
        assert!(needs.iter().any(|(name, _)| name.starts_with(profile)), "{profile}: {needs:?}");
    }
}

/// Whether a service stays up, and is not over once it has prepared something.
fn stays(service: &Service) -> bool {
    service.json["network_mode"] != "none"
}

#[test]
fn whatever_stays_up_is_probed_seldom_limited_and_stopped_in_time() {
    let of_image = Dockerfile::read().one("HEALTHCHECK").to_owned();
    for service in Compose::read().services() {
        assert_eq!(
            service.json["security_opt"],
            json!(["no-new-privileges:true"]),
            "{}",
            service.name
        );
        if !stays(&service) {
            continue;
        }
        assert!(service.json["mem_limit"].is_string(), "{} may take all memory", service.name);
        let check = &service.json["healthcheck"];
        let is_ours = service.json.get("build").is_some();
        assert_ne!(
            is_ours,
            check.is_object(),
            "{}: one health check, the image's or the service's",
            service.name
        );
        let (interval, often) = if is_ours {
            let of = |name| {
                of_image
                    .split_whitespace()
                    .find_map(|word| word.strip_prefix(name))
                    .expect("a time")
            };
            (of("--interval="), of("--start-interval="))
        } else {
            (service.text("/healthcheck/interval"), service.text("/healthcheck/start_interval"))
        };
        assert!(
            seconds(interval) >= Duration::from_mins(1),
            "{}: probes disturb what is measured",
            service.name
        );
        assert!(seconds(often) <= Duration::from_secs(5), "{}: others wait for it", service.name);
    }
    for profile in PROFILES {
        let daemon = Compose::read().daemon(profile);
        let grace = seconds(daemon.text("/stop_grace_period"));
        let drain = settings(&environment(&daemon))["supervisor"]["drain_timeout"]
            .as_str()
            .map(seconds)
            .unwrap();
        assert!(
            grace > drain,
            "{profile}: killed after {grace:?}, while a run may drain for {drain:?}"
        );
        let unit = of_unit("TimeoutStopSec").parse().map(Duration::from_secs).unwrap();
        assert_eq!(grace, unit, "as the systemd unit has it");
    }
}

#[test]
fn images_are_pinned() {
    let dockerfile = Dockerfile::read();
    let services = Compose::read().services();
    let foreign = services.iter().filter(|service| service.json.get("build").is_none());
    let images = foreign.map(|service| service.text("/image"));
    let bases = dockerfile.all("FROM").into_iter().map(|from| from.split(' ').next().unwrap());
    let mut versions: BTreeMap<&str, &str> = BTreeMap::new();
    for image in images.chain(bases) {
        let (name, tag) =
            image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no version"));
        // Three numbers, or a day.
        let is_day = |part: &str| part.len() == 8 && part.parse::<u32>().is_ok();
        let is_exact = tag.matches('.').count() >= 2 || tag.split('-').any(is_day);
        assert!(is_exact && !name.ends_with('/'), "{image} is not pinned");
        let other = versions.insert(name, tag);
        assert!(other.is_none_or(|other| other == tag), "{name} comes in two versions");
    }
    let manifest = read(&root().join("Cargo.toml"));
    let rust = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""))
        .unwrap()
        .trim_end_matches('"');
    assert!(versions["rust"].starts_with(&format!("{rust}.")), "Cargo.toml asks for Rust {rust}");
    // The Grafana whose schema the dashboards keep to.
    let schema = format!("(\"@grafana/schema\", \"{}\")", versions["grafana/grafana"]);
    assert!(
        read(&root().join("tests/servers/grafana_schema.rs")).contains(&schema),
        "tests/servers/grafana_schema.rs has no {schema}"
    );
    // Ours carries the program's version.
    for service in services.iter().filter(|service| service.json.get("build").is_some()) {
        assert_eq!(
            service.text("/image"),
            format!("streamgauge:{}", env!("CARGO_PKG_VERSION")),
            "{}",
            service.name
        );
        let context = folder().join(service.text("/build/context"));
        assert_eq!(fs::canonicalize(&context).unwrap(), fs::canonicalize(root()).unwrap());
        assert!(context.join(service.text("/build/dockerfile")).is_file());
    }
}

#[test]
fn ports_are_published_to_this_machine_alone_and_are_the_programs_own() {
    let compose = Compose::read();
    for profile in PROFILES {
        let mut taken = BTreeSet::new();
        for service in compose.profile(profile) {
            for port in service.ports() {
                assert_eq!(port.address, "127.0.0.1", "{} is open to others", service.name);
                assert!(
                    taken.insert(port.published),
                    "{profile}: port {} comes twice",
                    port.published
                );
            }
        }
        assert_eq!(taken, [3000, 9090, 9464].into(), "the ports that the documentation names");
        let daemon = compose.daemon(profile);
        let listen =
            settings(&environment(&daemon))["server"]["listen"].as_str().map(port).unwrap();
        let default = settings(&BTreeMap::new())["server"]["listen"].as_str().map(port).unwrap();
        let published = &daemon.ports()[0];
        assert_eq!([listen, published.target, published.published], [default; 3], "{profile}");
        assert_eq!(Dockerfile::read().one("EXPOSE"), default.to_string());
    }
}

#[test]
fn every_variable_is_a_setting_and_says_what_the_file_means() {
    let compose = Compose::read();
    let default = settings(&BTreeMap::new());
    for profile in PROFILES {
        let daemon = compose.daemon(profile);
        let environment = environment(&daemon);
        let resolved = settings(&environment);
        assert_eq!(resolved["broker"]["kind"], profile);
        assert_eq!(resolved["server"]["listen"], "0.0.0.0:9464");
        assert_eq!(resolved["schedule"]["mode"], "continuous");
        assert_eq!(resolved["log"]["format"], "json");
        let token = format!("{STATE}/token");
        assert_eq!(resolved["server"]["token_file"], token, "{profile}");
        assert_eq!(
            environment["STREAMGAUGE_TOKEN_FILE"], token,
            "what `ctl` shows is what the daemon asks for"
        );
        let aliases = daemon.json.pointer("/networks/default/aliases").unwrap();
        assert_eq!(resolved["server"]["allowed_hosts"], *aliases, "{profile}");
        // Each run makes topics of its own, on the one broker that there is.
        assert_eq!(resolved["topics"], default["topics"], "{profile}");
        assert_eq!(resolved["topics"]["replication"], 1);
    }
}

#[test]
fn daemons_find_their_brokers() {
    let compose = Compose::read();
    let default = settings(&BTreeMap::new());
    let kafka = default["broker"]["kafka"]["bootstrap_servers"].as_str().unwrap();
    let told = |profile: &str, name: &str| environment(&compose.daemon(profile))[name].clone();

    let address = told("kafka", "STREAMGAUGE__BROKER__KAFKA__BOOTSTRAP_SERVERS");
    let broker = compose.service("kafka").environment();
    assert_eq!(address, format!("kafka:{}", port(kafka)));
    assert_eq!(
        broker["KAFKA_ADVERTISED_LISTENERS"],
        format!("PLAINTEXT://{address}"),
        "clients come back to it"
    );
    let listeners = &broker["KAFKA_LISTENERS"];
    assert!(
        listeners.split(',').any(|one| one == format!("PLAINTEXT://:{}", port(kafka))),
        "{listeners}"
    );
    let controller = port(&broker["KAFKA_CONTROLLER_QUORUM_VOTERS"]);
    assert!(
        listeners.split(',').any(|one| one == format!("CONTROLLER://:{controller}")),
        "{listeners}"
    );
    let data = compose.service("kafka").mounts().remove(0);
    assert_eq!(broker["KAFKA_LOG_DIRS"], data.target, "what it stores is in the volume");
    assert_eq!(broker["KAFKA_AUTO_CREATE_TOPICS_ENABLE"], "false");

    let address = told("redpanda", "STREAMGAUGE__BROKER__KAFKA__BOOTSTRAP_SERVERS");
    let broker = compose.service("redpanda");
    assert_eq!(address, format!("redpanda:{}", port(kafka)));
    assert_eq!(broker.flag("--advertise-kafka-addr"), format!("PLAINTEXT://{address}"));
    assert_eq!(port(&broker.flag("--kafka-addr")), port(&address));
    let script = words(&broker.json["command"]).concat();
    assert!(
        script.starts_with("rpk redpanda mode production\n") && !script.contains("dev-container"),
        "{script}"
    );
}

#[test]
fn fluvio_is_registered_as_it_listens() {
    let compose = Compose::read();
    let (setup, sc, spu) = (
        compose.service("fluvio-setup"),
        compose.service("fluvio-sc"),
        compose.service("fluvio-spu"),
    );
    let address =
        environment(&compose.daemon("fluvio"))["STREAMGAUGE__BROKER__FLUVIO__ENDPOINT"].clone();
    assert_eq!(address, format!("fluvio-sc:{}", port(&sc.flag("--bind-public"))));
    let default = settings(&BTreeMap::new());
    assert_eq!(port(default["broker"]["fluvio"]["endpoint"].as_str().unwrap()), port(&address));
    assert_eq!(spu.flag("--sc-addr"), format!("fluvio-sc:{}", port(&sc.flag("--bind-private"))));

    let registered = yaml("fluvio-spu.yaml");
    let spec = &registered["spec"];
    assert_eq!(spec["spuId"].to_string(), spu.flag("--id"));
    assert_eq!(spec["publicEndpoint"]["ingress"][0]["hostname"], "fluvio-spu");
    assert_eq!(spec["publicEndpoint"]["port"], port(&spu.flag("--public-server")));
    assert_eq!(spec["privateEndpoint"]["host"], "fluvio-spu");
    assert_eq!(spec["privateEndpoint"]["port"], port(&spu.flag("--private-server")));
    let id = format!("custom-spu-{}", spec["spuId"]);
    assert_eq!((&registered["meta"]["id"], &registered["key"]), (&json!(id), &json!(id)));

    // The script, in a folder that stands for the container's root.
    let container = TempDir::new().unwrap();
    let inside = |path: &str| container.path().join(path.trim_start_matches('/'));
    let metadata = sc.flag("--local");
    fs::create_dir_all(inside(&metadata)).unwrap();
    let from =
        setup.mounts().into_iter().find(|mount| matches!(mount.source, Source::Path(_))).unwrap();
    fs::copy(setup.file_behind(&from.target).unwrap(), inside(&from.target)).unwrap();
    let script = words(&setup.json["command"])
        .concat()
        .replace("/fluvio/", &format!("{}/", inside("fluvio").display()));
    let laid = inside(&metadata).join(format!("SPU/{id}.yaml"));
    let run = || assert!(Command::new("sh").args(["-euc", &script]).status().unwrap().success());
    run();
    assert_eq!(read(&laid), read(&folder().join("fluvio-spu.yaml")));
    // What the SC has written since is kept.
    fs::write(&laid, "changed").unwrap();
    run();
    assert_eq!(read(&laid), "changed");
    for (service, folder) in
        [(&setup, &metadata), (&sc, &metadata), (&spu, &spu.flag("--log-base-dir"))]
    {
        let is_kept = service
            .mounts()
            .iter()
            .any(|m| matches!(m.source, Source::Volume(_)) && &m.target == folder);
        assert!(is_kept, "{}: {folder} is no volume", service.name);
    }
}

#[test]
fn everything_mounted_exists_and_no_file_of_ours_can_be_written() {
    let compose = Compose::read();
    let mut used = BTreeSet::new();
    for service in compose.services() {
        for mount in service.mounts() {
            match mount.source {
                Source::Path(path) => {
                    assert!(path.exists(), "{}: {} does not exist", service.name, path.display());
                    assert!(
                        mount.is_read_only,
                        "{}: {} can be written",
                        service.name,
                        path.display()
                    );
                }
                Source::Volume(name) => {
                    used.insert(name);
                }
            }
        }
    }
    let declared: BTreeSet<_> =
        compose.json["volumes"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(used, declared);
    for profile in PROFILES {
        let daemon = compose.daemon(profile);
        for service in [&daemon, &compose.service("token")] {
            assert_eq!(
                (&service.json["read_only"], &service.json["cap_drop"]),
                (&json!(true), &json!(["ALL"]))
            );
            let state: Vec<_> = service.mounts().into_iter().map(|mount| mount.target).collect();
            assert_eq!(state, [STATE], "{}", service.name);
        }
        assert_eq!(
            daemon.json["ulimits"]["nofile"].to_string(),
            of_unit("LimitNOFILE"),
            "as the systemd unit has it"
        );
    }
}

#[test]
fn prometheus_in_its_container_scrapes_the_daemon_and_knows_the_alerts() {
    let compose = Compose::read();
    let service = compose.service("prometheus");
    let ours = yaml("prometheus.yml");
    let target = &ours["scrape_configs"][0]["static_configs"][0];
    let daemon = compose.daemon("kafka");
    let published = &daemon.ports()[0];
    assert_eq!(target["targets"], json!([format!("streamgauge:{}", published.target)]));
    // The dashboard's links lead to the instance.
    assert_eq!(
        target["labels"]["instance"],
        format!("{}:{}", published.address, published.published)
    );
    // All else is as on bare metal.
    let mut bare = grafana::yaml("prometheus.yml");
    bare["scrape_configs"][0]["static_configs"] =
        ours["scrape_configs"][0]["static_configs"].clone();
    assert_eq!(ours, bare);

    let config = service.flag("--config.file");
    let place = Path::new(&config).parent().unwrap();
    let container = TempDir::new().unwrap();
    let rules = ours["rule_files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap());
    for file in rules.chain(["prometheus.yml"]) {
        let path = place.join(file);
        let source = service.file_behind(path.to_str().unwrap());
        let source = source.unwrap_or_else(|| panic!("{} is not mounted", path.display()));
        fs::copy(source, container.path().join(file)).unwrap();
    }
    let storage = service.flag("--storage.tsdb.path");
    assert!(
        service
            .mounts()
            .iter()
            .any(|m| matches!(m.source, Source::Volume(_)) && m.target == storage),
        "{storage}"
    );
    if is_there("promtool") {
        let check = ["check", "config", "prometheus.yml"];
        let output =
            Command::new("promtool").args(check).current_dir(container.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 rule files found"), "{said}");
    }
}

#[test]
fn grafana_in_its_container_finds_prometheus_dashboards_and_alerts() {
    let compose = Compose::read();
    let service = compose.service("grafana");
    let behind =
        |path: &str| service.file_behind(path).unwrap_or_else(|| panic!("{path} is not mounted"));
    for kind in ["datasources", "dashboards", "alerting"] {
        let file = behind(&format!("/etc/grafana/provisioning/{kind}/streamgauge.yml"));
        assert!(file.is_file(), "{}", file.display());
    }
    let provider = grafana::yaml("provisioning/dashboards/streamgauge.yml");
    let dashboards = grafana::text(&provider, "/providers/0/options/path").to_owned();
    for (file, _) in grafana::dashboards() {
        assert!(behind(&format!("{dashboards}/{file}")).is_file());
    }
    assert!(behind(&service.environment()["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).is_file());

    let (ours, mut bare) =
        (yaml("datasource.yml"), grafana::yaml("provisioning/datasources/streamgauge.yml"));
    let url = &ours["datasources"][0]["url"];
    let prometheus = &compose.service("prometheus").ports()[0];
    assert_eq!(*url, format!("http://prometheus:{}", prometheus.target));
    bare["datasources"][0]["url"] = url.clone();
    assert_eq!(ours, bare, "all else is as on bare metal");
}

#[test]
fn the_image_is_what_the_unit_and_the_manifest_say() {
    let dockerfile = Dockerfile::read();
    let user: Vec<u32> =
        dockerfile.one("USER").split(':').map(|id| id.parse().expect("a number")).collect();
    assert!(user.iter().all(|id| *id > 0) && user.len() == 2, "{user:?}");
    let install = dockerfile.all("RUN").concat();
    assert!(
        install.contains(&format!("-o {} -g {} -m 0750 {STATE}", user[0], user[1])),
        "its owner: {install}"
    );
    assert_eq!(dockerfile.environment()["STATE_DIRECTORY"], STATE);
    assert_eq!(
        (dockerfile.one("VOLUME"), *dockerfile.all("WORKDIR").last().unwrap()),
        (STATE, STATE)
    );
    assert_eq!(of_unit("StateDirectory"), STATE.trim_start_matches("/var/lib/"));
    assert_eq!(of_unit("KillSignal"), dockerfile.one("STOPSIGNAL"));
    assert_eq!(of_unit("Environment"), "STREAMGAUGE__LOG__FORMAT=json");
    assert_eq!(dockerfile.environment()["STREAMGAUGE__LOG__FORMAT"], "json");
    let start: Vec<_> = [dockerfile.exec("ENTRYPOINT"), dockerfile.exec("CMD")].concat();
    assert_eq!(of_unit("ExecStart"), format!("/usr/local/bin/{}", start.join(" ")));
    let copied = dockerfile.all("COPY").last().unwrap().split(' ').next_back().unwrap().to_owned();
    assert_eq!(copied, "/usr/local/bin/streamgauge");

    let build = install.split("&&").find(|part| part.contains("cargo build")).unwrap();
    let program = "--package streamgauge --bin streamgauge";
    for flag in ["--profile dist", "--locked", "--all-features", program] {
        assert!(build.contains(flag), "{build} has no {flag}");
    }
    // "All features" are the program's: none is for tests alone.
    let manifest = read(&root().join("Cargo.toml"));
    let features = manifest.split("\n[features]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let names = features.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
    for name in names {
        let known = ["default", "kafka-security", "fluvio"];
        assert!(
            known.contains(&name),
            "the image gets the feature `{name}`: does it need a library (Dockerfile)?"
        );
    }
}

#[test]
fn the_build_finds_all_that_it_reads_and_is_sent_nothing_else() {
    let ignored = read(&root().join(".dockerignore"));
    let lines: Vec<_> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines[0], "*", "what is not listed is left out");
    let sent: BTreeSet<_> =
        lines[1..].iter().map(|line| line.strip_prefix('!').expect(line).to_owned()).collect();
    let mut wanted: BTreeSet<String> =
        ["Cargo.toml", "Cargo.lock", "actors", "src"].map(str::to_owned).into();
    // Cargo wants the file of every target that the manifest names.
    if read(&root().join("Cargo.toml")).contains("[[bench]]") {
        wanted.insert("benches".to_owned());
    }
    // What only tests read, in files of their own, the build does not.
    for path in sources(&root().join("src")).into_iter().filter(|path| !path.ends_with("tests.rs"))
    {
        for part in read(&path).split("include_str!(\"").skip(1) {
            let file =
                fs::canonicalize(path.parent().unwrap().join(part.split('"').next().unwrap()))
                    .unwrap();
            let below = file.strip_prefix(fs::canonicalize(root()).unwrap()).unwrap().to_owned();
            wanted.insert(below.iter().next().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(sent, wanted);
    for name in sent {
        assert!(root().join(&name).exists(), "{name}");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

#[test]
fn every_script_can_be_read_by_its_shell() {
    let parse = |shell: &str, script: &str| {
        let output = Command::new(shell).args(["-n", "-c", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    };
    for run in Dockerfile::read().all("RUN") {
        let words = run.split_whitespace().skip_while(|word| word.starts_with("--"));
        parse("sh", &words.collect::<Vec<_>>().join(" "));
    }
    for service in Compose::read().services() {
        if let [shell, flags] = &words(&service.json["entrypoint"])[..] {
            assert_eq!(flags, "-euc", "{}", service.name);
            let script = words(&service.json["command"]).concat();
            parse(shell, &script);
            // Compose would put values of its own there.
            assert!(!script.replace("$$", "").contains('$'), "{}: {script}", service.name);
        }
        if let [kind, script] = &words(&service.json["healthcheck"]["test"])[..]
            && kind == "CMD-SHELL"
        {
            parse("sh", script);
        }
    }
}

/// The daemon of a profile, started: who may ask it under which name, whether it is found healthy,
/// how it ends.
fn see_daemon(profile: &str) {
    let compose = Compose::read();
    let default = settings(&BTreeMap::new())["server"]["listen"].as_str().map(port).unwrap();
    let mut container = Container::start(profile);
    let token = read(Path::new(&container.environment["STREAMGAUGE__SERVER__TOKEN_FILE"]));
    let token = Some(token.trim());
    let target =
        yaml("prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"][0].clone();
    let target = target.as_str().unwrap();
    let published = &compose.daemon(profile).ports()[0];
    // Containers ask for its name, people for the published port.
    for host in
        [target, &format!("127.0.0.1:{}", published.published), &format!("localhost:{default}")]
    {
        assert_eq!(container.status("/api/v1/status", host, token), 200, "{host}");
        assert_eq!(container.status("/api/v1/status", host, None), 401, "{host}");
        assert_eq!(container.status("/", host, None), 200, "{host}");
        assert_eq!(container.status("/metrics", host, None), 200, "{host}");
    }
    assert_eq!(container.status("/api/v1/status", "evil.example:9464", token), 403);
    assert!(container.is_healthy(), "{profile}: {}", container.log());
    let signal = Dockerfile::read().one("STOPSIGNAL").trim_start_matches("SIG").to_owned();
    let order = format!("kill -{signal} {}", container.process.0.id());
    assert!(Command::new("sh").args(["-c", &order]).status().unwrap().success());
    let ended = wait_for("the daemon's end", 30, || container.process.0.try_wait().unwrap());
    assert_eq!(ended.code(), Some(143), "{}", container.log());
    assert!(!container.is_healthy(), "a daemon that is gone is not healthy");
}

#[test]
fn the_daemon_of_kafka_answers_under_its_names_and_stops_when_told() {
    see_daemon("kafka");
}

#[test]
fn the_daemon_of_redpanda_answers_under_its_names_and_stops_when_told() {
    see_daemon("redpanda");
}

#[test]
fn the_daemon_of_fluvio_answers_under_its_names_and_stops_when_told() {
    see_daemon("fluvio");
}
