//! Settings that cannot be: each is refused with its key, where it was set, and what to write
//! instead.

use std::collections::BTreeMap;

use streamgauge_actors::{MILLISECOND, Serial};

use super::threshold::Threshold;
use super::{
    BrokerKind, Bytes, ConfigError, FluvioTls, KafkaSection, Problem, Settings, Span, THRESHOLDS,
    threshold_refusal,
};

/// Ads that the program keeps in memory at most; far beyond any real campaign, a fraction of a GiB.
const MAX_ADS: u64 = 10_000_000;

/// The longest topic name that brokers take.
const MAX_TOPIC_NAME: usize = 249;

/// The longest topic name that Fluvio takes.
const FLUVIO_TOPIC_NAME: usize = 63;

/// What a name made for a run adds to the prefix: `.20261123-031522-7f3a.results.malformed`.
const RUN_SUFFIX: usize = 40;

/// Runs of one cell of a matrix at most.
const MAX_REPETITIONS: u32 = 1000;

/// The length of a text value of an event, at most.
const MAX_TYPE_NAME: usize = 1000;

/// Checks what types alone cannot. `origins`: where each key was set, as far as known.
pub(super) fn check(
    settings: &Settings,
    origins: &BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    let mut checker = Checker { origins, problems: Vec::new() };
    checker.topics(settings);
    checker.workload(settings);
    checker.arrivals(settings);
    checker.stages(settings);
    checker.brokers(settings);
    checker.thresholds(settings);
    checker.matrix(settings);
    checker.daemon(settings);
    if checker.problems.is_empty() {
        Ok(())
    } else {
        Err(ConfigError { problems: checker.problems })
    }
}

struct Checker<'a> {
    origins: &'a BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    /// Unless it holds: a problem with the key.
    fn must(&mut self, holds: bool, key: &str, message: impl Into<String>) {
        if !holds {
            let origin = self.origins.get(key).map_or("settings", String::as_str);
            self.problems.push(Problem {
                origin: origin.to_owned(),
                key: key.to_owned(),
                message: message.into(),
            });
        }
    }

    fn topics(&mut self, settings: &Settings) {
        let topics = &settings.topics;
        let many = |what: &str| format!("must be at least 1: {what}");
        self.must(topics.partitions > 0, "topics.partitions", many("a topic has partitions"));
        self.must(topics.partitions <= 10_000, "topics.partitions", "must be at most 10000");
        self.must(topics.replication > 0, "topics.replication", many("1 keeps a single copy"));
        let longest_prefix = MAX_TOPIC_NAME - RUN_SUFFIX;
        self.must(
            is_topic_name(&topics.prefix) && topics.prefix.len() <= longest_prefix,
            "topics.prefix",
            format!(
                "must be 1 to {longest_prefix} of the characters a-z, A-Z, 0-9, `.`, `_` and `-`"
            ),
        );
        for (key, name) in [("topics.events", &topics.events), ("topics.results", &topics.results)]
        {
            self.must(
                name.is_empty() || is_topic_name(name),
                key,
                format!(
                    "must be a topic's name, 1 to {MAX_TOPIC_NAME} of the characters a-z, A-Z, 0-9, `.`, `_` and `-` \
                     (and not `.` or `..`), or empty for a topic of the run's own, but is `{name}`"
                ),
            );
        }
        self.must(
            topics.events.is_empty() || topics.events != topics.results,
            "topics.results",
            "must not be the events topic: give results a topic of their own",
        );
        self.must(
            topics.retention_bytes.0 == 0 || topics.retention_bytes.0 >= 1 << 20,
            "topics.retention_bytes",
            "must be at least 1MiB, or 0 for the broker's default",
        );
    }

    fn workload(&mut self, settings: &Settings) {
        let workload = &settings.workload;
        let most = u32::from(Serial::MAX_PRODUCER) + 1;
        self.must(
            !workload.name.trim().is_empty(),
            "workload.name",
            "must not be empty: write a name for reports",
        );
        self.must(
            (1..=most).contains(&workload.producers),
            "workload.producers",
            format!("must be 1 to {most}, but is {}", workload.producers),
        );
        self.must(!workload.duration.is_zero(), "workload.duration", "must be above 0, as `60s`");
        let window_ns = workload.window.as_nanos();
        self.must(
            window_ns >= MILLISECOND && window_ns % MILLISECOND == 0,
            "workload.window",
            format!(
                "must be whole milliseconds, at least `1ms`, as `10s`, but is `{}`",
                workload.window
            ),
        );
        self.must(workload.campaigns > 0, "workload.campaigns", "must be at least 1");
        self.must(workload.ads_per_campaign > 0, "workload.ads_per_campaign", "must be at least 1");
        self.must(
            u64::from(workload.campaigns) * u64::from(workload.ads_per_campaign) <= MAX_ADS,
            "workload.campaigns",
            format!("times `workload.ads_per_campaign` must be at most {MAX_ADS} ads"),
        );
        let exponent = workload.zipf_exponent;
        self.must(
            exponent.is_finite() && exponent >= 0.0,
            "workload.zipf_exponent",
            format!("must not be negative (0: all campaigns equally often), but is {exponent}"),
        );
        for (key, names) in [
            ("workload.ad_types", &workload.ad_types),
            ("workload.event_types", &workload.event_types),
        ] {
            self.must(!names.is_empty(), key, "must have at least one value, as [\"view\"]");
            self.must(
                names.iter().all(|name| !name.is_empty() && name.len() <= MAX_TYPE_NAME),
                key,
                format!("must have values of 1 to {MAX_TYPE_NAME} bytes"),
            );
        }
        self.must(
            workload.progress_interval.as_nanos() >= MILLISECOND,
            "workload.progress_interval",
            "must be at least `1ms`",
        );
        self.must(
            (0.0..=1.0).contains(&workload.send_delay_share),
            "workload.send_delay_share",
            format!("must be 0 to 1, but is {}", workload.send_delay_share),
        );
    }

    fn arrivals(&mut self, settings: &Settings) {
        let workload = &settings.workload;
        let rate = workload.rate.0;
        self.must(
            rate.is_finite() && rate > 0.0,
            "workload.rate",
            format!("must be above 0 events per second, as `40k/s`, but is `{}`", workload.rate),
        );
        // The slowest rate that the arrival processes play.
        let least = 1e-6 * f64::from(workload.producers);
        self.must(
            !(rate > 0.0 && rate < least),
            "workload.rate",
            format!("must be at least {least}/s: less than one event in twelve days from a producer is none"),
        );
        self.must(
            rate.is_nan() || rate <= 1e9,
            "workload.rate",
            "must be at most `1G/s`: no two events share a nanosecond",
        );
        let mmpp = workload.mmpp;
        let ratio = mmpp.rate_ratio;
        self.must(
            ratio.is_finite() && ratio > 0.0,
            "workload.mmpp.rate_ratio",
            format!("must be above 0, as 5.0, but is {ratio}"),
        );
        for (key, switches) in [("workload.mmpp.q12", mmpp.q12), ("workload.mmpp.q21", mmpp.q21)] {
            self.must(
                switches.is_finite() && switches >= 0.0,
                key,
                format!("must not be negative, as 0.5 per second, but is {switches}"),
            );
        }
        let still = mmpp.q12 == 0.0 && mmpp.q21 == 0.0;
        self.must(
            !still,
            "workload.mmpp.q12",
            "and `workload.mmpp.q21` must not both be 0: nothing would ever switch",
        );
    }

    fn stages(&mut self, settings: &Settings) {
        self.must(
            settings.aggregator.max_open_windows > 0,
            "aggregator.max_open_windows",
            "must be at least 1",
        );
        self.must(settings.result_writer.batch > 0, "result_writer.batch", "must be at least 1");
        self.must(
            settings.supervisor.heartbeat_timeout.as_millis() >= 1000,
            "supervisor.heartbeat_timeout",
            "must be at least `1s`: a stage reports about once a second",
        );
        self.must(
            !settings.supervisor.drain_timeout.is_zero(),
            "supervisor.drain_timeout",
            "must be above 0, as `60s`",
        );
        self.must(
            !settings.log.level.trim().is_empty(),
            "log.level",
            "must not be empty, as `info`",
        );
    }

    fn thresholds(&mut self, settings: &Settings) {
        for expression in &settings.thresholds.expressions {
            if let Err(message) = Threshold::parse(expression) {
                self.must(false, THRESHOLDS, threshold_refusal(&message));
            }
        }
    }

    fn matrix(&mut self, settings: &Settings) {
        let repetitions = settings.matrix.repetitions;
        self.must(
            (1..=MAX_REPETITIONS).contains(&repetitions),
            "matrix.repetitions",
            format!("must be 1 to {MAX_REPETITIONS}, but is {repetitions}"),
        );
    }

    fn daemon(&mut self, settings: &Settings) {
        let Settings { server, schedule, history, .. } = settings;
        self.must(
            server.listen.parse::<std::net::SocketAddr>().is_ok(),
            "server.listen",
            format!(
                "must be an address and a port, as `127.0.0.1:9464`, but is `{}`",
                server.listen
            ),
        );
        self.must(
            server.token.is_empty() || server.token_file.is_empty(),
            "server.token_file",
            "and `server.token` must not both be set: one token is enough",
        );
        self.must(
            (1..=100_000).contains(&server.max_connections),
            "server.max_connections",
            format!("must be 1 to 100000, but is {}", server.max_connections),
        );
        self.must(
            !server.request_timeout.is_zero(),
            "server.request_timeout",
            "must be above 0, as `5s`",
        );
        self.must(
            (1024..=1 << 30).contains(&server.max_body_bytes.0),
            "server.max_body_bytes",
            format!("must be `1KiB` to `1GiB`, but is `{}`", server.max_body_bytes),
        );
        self.must(
            !schedule.workloads.is_empty(),
            "schedule.workloads",
            "must have at least one, as [\"classic\"]",
        );
        for (key, span) in [
            ("schedule.every", schedule.every),
            ("schedule.probe_interval", schedule.probe_interval),
            ("schedule.retry_min", schedule.retry_min),
        ] {
            self.must(
                span.as_millis() >= 100,
                key,
                format!("must be at least `100ms`, but is `{span}`"),
            );
        }
        self.must(
            schedule.retry_max >= schedule.retry_min,
            "schedule.retry_max",
            "must not be shorter than `schedule.retry_min`",
        );
        self.must(!history.keep.is_zero(), "history.keep", "must be above 0, as `30d`");
        self.must(history.keep_bytes.0 >= 1 << 20, "history.keep_bytes", "must be at least `1MiB`");
    }

    fn brokers(&mut self, settings: &Settings) {
        let embedded = &settings.broker.embedded;
        self.must(
            embedded.max_bytes.0 >= 1 << 20,
            "broker.embedded.max_bytes",
            "must be at least `1MiB`",
        );
        match settings.broker.kind {
            BrokerKind::Embedded => {}
            BrokerKind::Kafka | BrokerKind::Redpanda => self.kafka(&settings.broker.kafka),
            BrokerKind::Fluvio => self.fluvio(settings),
        }
    }

    fn client_times(&mut self, times: &[(&str, Span, u64, u64)]) {
        for &(key, span, least_ms, most_ms) in times {
            self.must(
                (least_ms..=most_ms).contains(&span.as_millis())
                    && span.as_nanos() % MILLISECOND == 0,
                key,
                format!(
                    "must be whole milliseconds, `{least_ms}ms` to `{}s`, but is `{span}`",
                    most_ms / 1000
                ),
            );
        }
    }

    fn client_bytes(&mut self, sizes: &[(&str, Bytes, u64)]) {
        for &(key, bytes, most) in sizes {
            self.must(
                (1024..=most).contains(&bytes.0),
                key,
                format!("must be `1KiB` to `{}`, but is `{bytes}`", Bytes(most)),
            );
        }
    }

    fn kafka(&mut self, kafka: &KafkaSection) {
        let addresses = || {
            kafka.bootstrap_servers.split(',').map(str::trim).filter(|address| !address.is_empty())
        };
        self.must(
            addresses().next().is_some(),
            "broker.kafka.bootstrap_servers",
            "must not be empty: give at least one broker as host:port",
        );
        let odd = addresses().find(|address| !has_port(address)).map(str::to_owned);
        self.must(
            odd.is_none(),
            "broker.kafka.bootstrap_servers",
            format!("must be host:port, but has `{}`", odd.unwrap_or_default()),
        );
        self.client_times(&[
            ("broker.kafka.connect_timeout", kafka.connect_timeout, 100, 600_000),
            ("broker.kafka.admin_timeout", kafka.admin_timeout, 100, 600_000),
            ("broker.kafka.events_linger", kafka.events_linger, 0, 60_000),
            ("broker.kafka.results_linger", kafka.results_linger, 0, 60_000),
        ]);
        self.client_bytes(&[
            ("broker.kafka.batch_bytes", kafka.batch_bytes, 2_000_000_000),
            ("broker.kafka.queue_bytes", kafka.queue_bytes, 2_000_000_000),
            ("broker.kafka.prefetch_bytes", kafka.prefetch_bytes, 2_000_000_000),
        ]);
        self.must(kafka.queue_records > 0, "broker.kafka.queue_records", "must be at least 1");
    }

    fn fluvio(&mut self, settings: &Settings) {
        let (fluvio, topics) = (&settings.broker.fluvio, &settings.topics);
        self.must(
            has_port(&fluvio.endpoint),
            "broker.fluvio.endpoint",
            format!("must be host:port, but is `{}`", fluvio.endpoint),
        );
        self.client_times(&[
            ("broker.fluvio.connect_timeout", fluvio.connect_timeout, 100, 600_000),
            ("broker.fluvio.admin_timeout", fluvio.admin_timeout, 100, 600_000),
            ("broker.fluvio.events_linger", fluvio.events_linger, 0, 60_000),
            ("broker.fluvio.results_linger", fluvio.results_linger, 0, 60_000),
        ]);
        self.client_bytes(&[
            // What the client sends at once, at most, with room for a record's own head.
            ("broker.fluvio.batch_bytes", fluvio.batch_bytes, 1_000_000),
            ("broker.fluvio.queue_bytes", fluvio.queue_bytes, 2_000_000_000),
            ("broker.fluvio.fetch_bytes", fluvio.fetch_bytes, 1 << 30),
        ]);
        self.must(
            fluvio.fetch_bytes.0 >= 2 << 20,
            "broker.fluvio.fetch_bytes",
            "must be at least `2MiB`: a fetch holds a whole batch, which may have 1 MiB",
        );
        self.must(fluvio.queue_records > 0, "broker.fluvio.queue_records", "must be at least 1");
        let names = [
            ("topics.prefix", &topics.prefix, FLUVIO_TOPIC_NAME - RUN_SUFFIX),
            ("topics.events", &topics.events, FLUVIO_TOPIC_NAME),
            ("topics.results", &topics.results, FLUVIO_TOPIC_NAME),
        ];
        for (key, name, longest) in names {
            self.must(
                name.is_empty() || is_fluvio_name(name, longest),
                key,
                format!(
                    "must be 1 to {longest} of the characters a-z, 0-9 and `-`, and neither begin nor end with `-`, on \
                     Fluvio, but is `{name}`"
                ),
            );
        }
        if fluvio.tls.mode == FluvioTls::Verified {
            for (key, value) in [
                ("broker.fluvio.tls.domain", &fluvio.tls.domain),
                ("broker.fluvio.tls.ca_file", &fluvio.tls.ca_file),
                ("broker.fluvio.tls.cert_file", &fluvio.tls.cert_file),
                ("broker.fluvio.tls.key_file", &fluvio.tls.key_file),
            ] {
                self.must(
                    !value.is_empty(),
                    key,
                    "must not be empty where `broker.fluvio.tls.mode` is `verified`",
                );
            }
        }
    }
}

fn has_port(address: &str) -> bool {
    address
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Whether Fluvio takes the name for a topic.
fn is_fluvio_name(name: &str, longest: usize) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=longest).contains(&name.len())
        && name.chars().all(legal)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Whether brokers take the name for a topic.
pub(super) fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=MAX_TOPIC_NAME).contains(&name.len())
        && name.chars().all(legal)
        && !matches!(name, "." | "..")
}
