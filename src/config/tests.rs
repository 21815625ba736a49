//! Tests of the settings as a whole: layers, refusals, and what they make of a run.
#![allow(clippy::float_cmp, reason = "settings are taken over as they are")]

use std::fs;
use std::path::Path;

use streamgauge_actors::{ArrivalKind, BurstCorrelation, MILLISECOND, SECOND};

use super::*;

fn flag(key: &str, value: &str) -> Assignment {
    Assignment { origin: "flag --set".into(), key: key.into(), value: value.into() }
}

fn with_flags(flags: &[(&str, &str)]) -> Result<ResolvedSettings, ConfigError> {
    let flags = flags.iter().map(|(key, value)| flag(key, value)).collect();
    Layers { flags, ..Layers::default() }.load()
}

fn with_environment(variables: &[(&str, &str)]) -> Result<ResolvedSettings, ConfigError> {
    let environment =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Layers { environment, ..Layers::default() }.load()
}

fn with_text(text: &str) -> Result<ResolvedSettings, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "c.toml", text);
    Layers { config_file: Some(path), ..Layers::default() }.load()
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn defaults() -> Settings {
    Layers::default().load().unwrap().settings
}

#[test]
fn the_defaults_are_the_classic() {
    let plain = defaults();
    let classic =
        Layers { workload: Some("classic".into()), ..Layers::default() }.load().unwrap().settings;
    assert_eq!(plain.to_json(), classic.to_json());
    let spec = plain.run_spec("20261123-031522-7f3a").unwrap();
    assert_eq!(
        (
            spec.workload.producers,
            spec.topics.partitions,
            spec.workload.campaigns,
            spec.workload.ads_per_campaign
        ),
        (2, 2, 10, 100)
    );
    assert_eq!(
        (spec.workload.rate.0, spec.workload.arrivals),
        (40_000.0, ArrivalKind::PoissonNormalized)
    );
    assert_eq!(
        (
            spec.workload.duration.as_nanos(),
            spec.workload.warmup.as_nanos(),
            spec.workload.window.as_nanos()
        ),
        (60 * SECOND, 10 * SECOND, 10 * SECOND)
    );
    assert_eq!(spec.topics.events, "streamgauge.20261123-031522-7f3a.events");
    assert_eq!(spec.topics.results, "streamgauge.20261123-031522-7f3a.results");
    assert_eq!(
        (spec.workload.zipf(), spec.workload.burst_correlation),
        (None, BurstCorrelation::Independent)
    );
    assert_eq!((spec.aggregator.lateness_ns(), spec.workload.name.as_str()), (0, "classic"));
    assert!((1..=2).contains(&spec.aggregator.count));
}

#[test]
fn every_preset_makes_a_run_of_its_own_name() {
    for preset in PRESETS {
        let resolved =
            Layers { workload: Some(preset.name.into()), ..Layers::default() }.load().unwrap();
        let spec = resolved.settings.run_spec("r").unwrap();
        assert_eq!(spec.workload.name, preset.name);
        assert_eq!(resolved.origins["workload.name"], format!("preset {}", preset.name));
        assert_eq!(resolved.rerun_arguments(), preset.name);
    }
    let smoke = Layers { workload: Some("smoke".into()), ..Layers::default() }.load().unwrap();
    let spec = smoke.settings.run_spec("r").unwrap();
    assert_eq!(
        (
            spec.workload.duration.as_nanos(),
            spec.workload.window.as_nanos(),
            spec.workload.warmup.as_nanos()
        ),
        (5 * SECOND, SECOND, 0)
    );
}

#[test]
fn later_layers_win() {
    let folder = tempfile::tempdir().unwrap();
    let mut layers = Layers {
        system_file: Some(write(
            folder.path(),
            "system.toml",
            "[workload]\nrate = 1\nseed = 1\nproducers = 1",
        )),
        ..Layers::default()
    };
    let rate = |layers: &Layers| {
        let resolved = layers.load().unwrap();
        (resolved.settings.workload.rate.0, resolved.origins["workload.rate"].clone())
    };
    assert_eq!(rate(&layers).0, 1.0);
    layers.config_file = Some(write(folder.path(), "config.toml", "[workload]\nrate = \"2/s\""));
    assert_eq!(rate(&layers).0, 2.0);
    layers.workload =
        Some(write(folder.path(), "heavy.toml", "[workload]\nrate = 3.0").display().to_string());
    assert_eq!(rate(&layers).0, 3.0);
    layers.environment.insert("STREAMGAUGE__WORKLOAD__RATE".into(), "4".into());
    assert_eq!(rate(&layers), (4.0, "environment variable STREAMGAUGE__WORKLOAD__RATE".into()));
    layers.flags.push(flag("workload.rate", "5k/s"));
    layers.flags.push(Assignment { origin: "flag --rate".into(), ..flag("workload.rate", "6k/s") });
    assert_eq!(rate(&layers), (6000.0, "flag --rate".into()));
    let workload = layers.load().unwrap().settings.workload;
    assert_eq!((workload.seed, workload.producers, workload.name.as_str()), (1, 1, "heavy"));
}

#[test]
fn the_environment_reaches_settings_of_every_type() {
    let settings = with_environment(&[
        ("STREAMGAUGE__BROKER__KIND", "kafka"),
        ("STREAMGAUGE__BROKER__KAFKA__BOOTSTRAP_SERVERS", "a:1,b:2"),
        ("STREAMGAUGE__BROKER__KAFKA__PROPERTIES__SASL__PASSWORD", "1234"),
        ("STREAMGAUGE__TOPICS__KEEP", "true"),
        ("STREAMGAUGE__TOPICS__PARTITIONS", "8"),
        ("STREAMGAUGE__WORKLOAD__SEED", "18446744073709551615"),
        ("STREAMGAUGE__WORKLOAD__ZIPF_EXPONENT", "1"),
        ("STREAMGAUGE__WORKLOAD__AD_TYPES", "a, b"),
        ("STREAMGAUGE__WORKLOAD__EVENT_TYPES", "[\"x,y\"]"),
        ("STREAMGAUGE__WORKLOAD__DURATION", "1m"),
        ("STREAMGAUGE__WORKLOAD__NAME", "8"),
        // As if it were not set.
        ("STREAMGAUGE__WORKLOAD__RATE", ""),
        // Of other tools, and of this one for other purposes.
        ("STREAMGAUGE_URL", "http://x"),
        ("STREAMGAUGE_TEST_KAFKA", "x"),
        ("PATH", "/bin"),
    ])
    .unwrap()
    .settings;
    assert_eq!(
        (settings.broker.kind.name(), settings.topics.keep, settings.topics.partitions),
        ("kafka", true, 8)
    );
    assert_eq!(settings.broker.kafka.bootstrap_servers, "a:1,b:2");
    assert_eq!(settings.broker.kafka.properties["sasl.password"], "1234");
    assert_eq!((settings.workload.seed, settings.workload.zipf()), (u64::MAX, Some(1.0)));
    assert_eq!(
        (settings.workload.ad_types, settings.workload.event_types),
        (vec!["a".into(), "b".into()], vec!["x,y".into()])
    );
    assert_eq!(
        (settings.workload.duration.as_nanos(), settings.workload.name.as_str()),
        (60 * SECOND, "8")
    );
}

#[test]
fn unknown_keys_name_origin_key_and_the_nearest_key() {
    let folder = tempfile::tempdir().unwrap();
    for (text, key, nearest) in [
        ("[workload]\nrat = 1", "workload.rat", "workload.rate"),
        ("rate = 1", "rate", "workload.rate"),
        ("[brokr]\nkind = 'kafka'", "brokr", "broker"),
        (
            "[broker]\nbootstrap_servers = 'x:1'",
            "broker.bootstrap_servers",
            "broker.kafka.bootstrap_servers",
        ),
        ("[topics]\nreplicas = 1", "topics.replicas", "topics.replication"),
        ("[workload.mmpp]\nratio = 2", "workload.mmpp.ratio", "workload.mmpp.rate_ratio"),
    ] {
        let path = write(folder.path(), "c.toml", text);
        let error =
            Layers { config_file: Some(path.clone()), ..Layers::default() }.load().unwrap_err();
        assert_eq!(error.problems.len(), 1);
        let SettingProblem { origin, key: found, message } = &error.problems[0];
        assert_eq!((origin.as_str(), found.as_str()), (path.to_str().unwrap(), key));
        assert!(message.contains(&format!("did you mean `{nearest}`?")), "{error}");
    }
    let error = with_environment(&[("STREAMGAUGE__WORKLOAD__RATTE", "1"), ("STREAMGAUGE__X", "1")])
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("environment variable STREAMGAUGE__WORKLOAD__RATTE: `workload.ratte`"),
        "{text}"
    );
    assert!(
        text.contains("environment variable STREAMGAUGE__X: `x`")
            && text.contains("`workload.rate`?"),
        "{text}"
    );
    let text = with_flags(&[("aggregator.cuont", "1")]).unwrap_err().to_string();
    assert_eq!(
        text,
        "flag --set: `aggregator.cuont` is an unknown key; did you mean `aggregator.count`?"
    );
}

#[test]
fn wrong_types_name_origin_and_key() {
    for (key, value, says) in [
        ("topics.partitions", "two", "whole number"),
        ("topics.partitions", "-1", "whole number"),
        ("topics.partitions", "4294967297", "whole number"),
        ("topics.replication", "65536", "65535"),
        ("topics.keep", "yes", "true or false"),
        ("workload.rate", "fast", "40k/s"),
        ("workload.duration", "60", "`60s`"),
        ("workload.warmup", "-1s", "negative"),
        ("workload.arrivals", "poison", "poisson_normalized"),
        ("workload.zipf_exponent", "steep", "a number"),
        ("workload.seed", "-1", "whole number"),
        ("broker.kind", "rabbit", "`embedded`"),
        ("broker.embedded.max_bytes", "much", "64MiB"),
        ("log.format", "xml", "`human`"),
        ("workload", "1", "section"),
    ] {
        let error = with_flags(&[(key, value)]).unwrap_err();
        let SettingProblem { origin, key: found, message } = &error.problems[0];
        assert_eq!((origin.as_str(), found.as_str()), ("flag --set", key), "{error}");
        assert!(message.contains(says), "{key}={value}: {message}");
    }
    let text = with_text("[topics]\npartitions = \"2\"").unwrap_err().to_string();
    assert!(text.contains("c.toml: `topics.partitions`"), "{text}");
    let text = with_text("workload = 1\n[topics.keep]\nx = 1").unwrap_err().to_string();
    assert!(
        text.contains("`workload` is a section") && text.contains("`topics.keep` is a setting"),
        "{text}"
    );
    assert!(
        with_text("[workload]\nzipf_exponent = nan").unwrap_err().to_string().contains("finite")
    );
}

#[test]
fn impossible_settings_name_origin_and_key() {
    for (key, value) in [
        ("topics.partitions", "0"),
        ("topics.partitions", "10001"),
        ("topics.replication", "0"),
        ("topics.prefix", ""),
        ("topics.prefix", "a b"),
        ("topics.prefix", &"x".repeat(240)),
        ("topics.events", "ä"),
        ("topics.events", ".."),
        ("topics.results", &"x".repeat(250)),
        ("topics.retention_bytes", "1KiB"),
        ("workload.name", " "),
        ("workload.producers", "0"),
        ("workload.producers", "4097"),
        ("workload.rate", "0"),
        ("workload.rate", "-1/s"),
        ("workload.rate", "0.000001/s"),
        ("workload.rate", "2G/s"),
        ("workload.duration", "0s"),
        ("workload.window", "0s"),
        ("workload.window", "999us"),
        ("workload.window", "1500us"),
        ("workload.campaigns", "0"),
        ("workload.campaigns", "1000000"),
        ("workload.ads_per_campaign", "0"),
        ("workload.zipf_exponent", "-1"),
        ("workload.ad_types", ""),
        ("workload.event_types", "[\"\"]"),
        ("workload.progress_interval", "0s"),
        ("workload.send_delay_share", "1.5"),
        ("workload.mmpp.q12", "1e9"),
        ("workload.mmpp.q21", "10001"),
        ("workload.mmpp.rate_ratio", "0"),
        ("workload.mmpp.rate_ratio", "-5"),
        ("workload.mmpp.q12", "-1"),
        ("aggregator.max_open_windows", "0"),
        ("result_writer.batch", "0"),
        ("supervisor.heartbeat_timeout", "1ms"),
        ("supervisor.drain_timeout", "0s"),
        ("broker.embedded.max_bytes", "1"),
        ("log.level", ""),
    ] {
        let error = with_flags(&[(key, value)]).unwrap_err();
        let SettingProblem { origin, key: found, message } = &error.problems[0];
        assert_eq!((origin.as_str(), found.as_str()), ("flag --set", key), "{error}");
        assert!(message.contains("must") && error.problems.len() == 1, "{key}={value}: {error}");
    }
    let error = with_flags(&[("topics.events", "same"), ("topics.results", "same")]).unwrap_err();
    assert!(error.to_string().contains("`topics.results` must not be the events topic"), "{error}");
    let still = with_flags(&[("workload.mmpp.q12", "0"), ("workload.mmpp.q21", "0")]).unwrap_err();
    assert!(still.to_string().contains("must not both be 0"), "{still}");
    for address in ["", "host", "host:port"] {
        let flags = [("broker.kind", "kafka"), ("broker.kafka.bootstrap_servers", address)];
        assert!(with_flags(&flags).unwrap_err().to_string().contains("host:port"), "{address}");
    }
    for (key, value) in [
        ("broker.kafka.connect_timeout", "0s"),
        ("broker.kafka.admin_timeout", "1h"),
        ("broker.kafka.events_linger", "1500us"),
        ("broker.kafka.queue_bytes", "3GB"),
        ("broker.kafka.queue_records", "0"),
    ] {
        let error = with_flags(&[("broker.kind", "kafka"), (key, value)]).unwrap_err();
        assert!(error.to_string().contains(&format!("`{key}` must be")), "{error}");
    }
    let all = with_flags(&[("workload.rate", "0"), ("topics.partitions", "0")]).unwrap_err();
    assert_eq!(all.problems.len(), 2, "all are named at once");
}

#[test]
fn a_run_gets_what_was_set() {
    let resolved = with_flags(&[
        ("workload.warmup", "11s"),
        ("workload.arrivals", "mmpp"),
        ("workload.mmpp.rate_ratio", "7"),
        ("workload.burst_correlation", "shared"),
        ("workload.zipf_exponent", "0.5"),
        ("aggregator.count", "64"),
        ("aggregator.allowed_lateness", "250ms"),
        ("topics.events", "mine"),
        ("topics.prefix", "p"),
    ])
    .unwrap();
    let spec = resolved.settings.run_spec("id").unwrap();
    assert_eq!(spec.workload.warmup.as_nanos(), 20 * SECOND, "whole windows");
    assert!(
        spec.workload.arrivals == ArrivalKind::Mmpp
            && spec.workload.mmpp.rate_ratio == 7.0
            && spec.workload.mmpp.q12 == 0.5
    );
    assert_eq!(
        (spec.workload.burst_correlation, spec.workload.zipf()),
        (BurstCorrelation::Shared, Some(0.5))
    );
    assert_eq!(spec.aggregator.lateness_ns(), 250 * MILLISECOND);
    assert_eq!(
        (spec.topics.events.as_str(), spec.topics.results.as_str()),
        ("mine", "p.id.results")
    );
    assert_eq!(spec.aggregator.count, 64, "a topic that is there may have as many partitions");
    let own = with_flags(&[("aggregator.count", "64"), ("topics.partitions", "4")]).unwrap();
    assert_eq!(own.settings.run_spec("id").unwrap().aggregator.count, 4);
    assert_eq!(own.settings.aggregators(1), 4);
    assert_eq!(defaults().aggregators(1), 1);
}

#[test]
fn unreadable_files_and_unknown_workloads_are_named() {
    let missing = Layers { config_file: Some("/no/such.toml".into()), ..Layers::default() }
        .load()
        .unwrap_err();
    assert!(missing.to_string().contains("/no/such.toml: cannot be read"), "{missing}");
    let absent = Layers { system_file: Some("/no/such.toml".into()), ..Layers::default() };
    absent.load().unwrap();
    let near = Layers { workload: Some("smok".into()), ..Layers::default() }.load().unwrap_err();
    assert!(near.to_string().contains("did you mean `smoke`?"), "{near}");
    let file =
        Layers { workload: Some("none.toml".into()), ..Layers::default() }.load().unwrap_err();
    assert!(file.to_string().contains("none.toml: cannot be read"), "{file}");
    let broken = with_text("[broker.kafka.properties]\n\"sasl.password\" = hunter2")
        .unwrap_err()
        .to_string();
    assert!(
        broken.contains("c.toml") && broken.contains("line 2") && !broken.contains("hunter2"),
        "{broken}"
    );
}

#[test]
fn secrets_are_shown_nowhere() {
    let text = "[broker.kafka.properties]\nsasl.password = \"hunter2\"\n\"ssl.key.password\" = \
                \"hunter2\"\n\
                compression.type = \"zstd\"";
    let resolved = with_text(text).unwrap();
    assert_eq!(resolved.settings.broker.kafka.properties["sasl.password"], "hunter2");
    let shown = format!(
        "{} {} {:?} {}",
        resolved.to_toml(),
        resolved.settings.to_json(),
        resolved.settings,
        resolved.rerun_arguments()
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("\"sasl.password\" = \"<redacted>\" # ") && shown.contains("\"zstd\""),
        "{shown}"
    );
    let list = with_text("[broker.kafka.properties]\n\"sasl.password\" = [\"hunter2\"]")
        .unwrap_err()
        .to_string();
    assert!(!list.contains("hunter2") && list.contains("sasl.password"), "{list}");
}

#[test]
fn secrets_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let secret = write(folder.path(), "secret", "hunter2\n").display().to_string();
    let resolved = with_flags(&[("broker.kafka.properties.sasl.password_file", &secret)]).unwrap();
    let properties = resolved.settings.broker.kafka.resolved_properties().unwrap();
    assert_eq!(
        properties.into_iter().collect::<Vec<_>>(),
        [("sasl.password".to_owned(), "hunter2".to_owned())]
    );
    assert!(resolved.to_toml().contains(&secret), "the path is no secret");
    let gone = with_flags(&[("broker.kafka.properties.sasl.password_file", "/no/such")]).unwrap();
    let error = gone.settings.broker.kafka.resolved_properties().unwrap_err();
    assert!(error.message.contains("/no/such"), "{error:?}");
}

#[test]
fn what_is_shown_is_read_again() {
    let resolved = with_flags(&[
        ("workload.rate", "1234567"),
        ("workload.event_types", "[\"a'b\", \"c\\\"d\", \"e\\u007f\\n\"]"),
        ("workload.seed", "9223372036854775807"),
        ("broker.kafka.properties.compression.type", "lz4"),
    ])
    .unwrap();
    let again = with_text(&resolved.to_toml()).unwrap();
    assert_eq!(again.settings.to_json(), resolved.settings.to_json());
    for line in [
        "rate = \"1234.567k/s\" # flag --set",
        "duration = \"1m\"\n",
        "\"compression.type\" = \"lz4\" # flag",
    ] {
        assert!(resolved.to_toml().contains(line), "{}", resolved.to_toml());
    }
}

#[test]
fn a_rerun_names_what_differs() {
    let resolved = Layers {
        workload: Some("smoke".into()),
        flags: vec![
            flag("workload.rate", "50k/s"),
            flag("workload.event_types", "a b,c"),
            flag("workload.seed", "42"),
        ],
        ..Layers::default()
    };
    let arguments = resolved.load().unwrap().rerun_arguments();
    assert_eq!(
        arguments,
        "smoke --set 'workload.event_types=[\"a b\", \"c\"]' --set workload.rate=50k/s"
    );
}

/// The schema of a configuration file: every key may be left out, and the defaults are those of the
/// defaults' file.
fn generated_schema() -> serde_json::Value {
    let mut schema = serde_json::to_value(schemars::schema_for!(Settings)).unwrap();
    optional(&mut schema);
    schema["title"] = "streamgauge configuration".into();
    schema["description"] = "A configuration or workload file of streamgauge (TOML).".into();
    schema
}

fn optional(schema: &mut serde_json::Value) {
    match schema {
        serde_json::Value::Object(map) => {
            map.remove("required");
            if let Some(serde_json::Value::String(text)) = map.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            map.values_mut().for_each(optional);
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(optional),
        _ => {}
    }
}

#[test]
fn the_schema_is_up_to_date_and_takes_the_defaults() {
    let generated = generated_schema();
    crate::report::schema::check("config.schema.json", SCHEMA, &generated);
    let validator = jsonschema::validator_for(&generated).unwrap();
    let mut sources = vec![DEFAULTS];
    sources.extend(PRESETS.iter().map(|preset| preset.settings));
    for source in sources {
        let file = ::config::File::from_str(source, ::config::FileFormat::Toml);
        let value: serde_json::Value = ::config::Config::builder()
            .add_source(file)
            .build()
            .unwrap()
            .try_deserialize()
            .unwrap();
        assert!(
            validator.is_valid(&value),
            "{:?}",
            validator.iter_errors(&value).map(|e| e.to_string()).collect::<Vec<_>>()
        );
    }
    assert!(!validator.is_valid(&serde_json::json!({"workload": {"rat": 1}})));
    assert!(!validator.is_valid(&serde_json::json!({"topics": {"partitions": "2"}})));
}

#[test]
fn settings_that_fluvio_cannot_take_are_named() {
    let refused = |settings: &[(&str, &str)]| {
        let kind = [("broker.kind", "fluvio")];
        let loaded = with_flags(&[&kind, settings].concat());
        loaded
            .and_then(|resolved| resolved.settings.run_spec("20261123-031522-7f3a").map(drop))
            .unwrap_err()
            .to_string()
    };
    for (key, value) in [
        ("broker.fluvio.endpoint", "nowhere"),
        ("broker.fluvio.batch_bytes", "2MB"),
        ("broker.fluvio.events_linger", "1us"),
        ("broker.fluvio.queue_records", "0"),
        ("broker.fluvio.fetch_bytes", "1MiB"),
        ("topics.prefix", "with.dots"),
        ("topics.prefix", "a-prefix-that-leaves-no-room"),
        ("topics.events", "Upper"),
        ("topics.results", "ends-"),
    ] {
        let error = refused(&[(key, value)]);
        assert!(error.contains(key), "{key} = {value}: {error}");
    }
    let error =
        refused(&[("broker.fluvio.tls.mode", "verified"), ("broker.fluvio.tls.domain", "d")]);
    assert!(
        error.contains("broker.fluvio.tls.ca_file") && !error.contains("broker.fluvio.tls.domain"),
        "{error}"
    );
}
