//! The ready-made workloads, each a few settings over the defaults.

/// A ready-made workload.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Its name on the command line, and in reports.
    pub name: &'static str,
    /// What it is for, in a few words.
    pub about: &'static str,
    /// Its settings, TOML.
    pub settings: &'static str,
}

/// All presets. The first one is the default.
pub const PRESETS: [Preset; 5] = [
    Preset {
        name: "classic",
        about: "40k events/s for a minute, 10 s windows",
        settings: r#"
            [topics]
            partitions = 2
            [workload]
            name = "classic"
            producers = 2
            rate = "40k/s"
            arrivals = "poisson_normalized"
            duration = "60s"
            warmup = "10s"
            window = "10s"
            campaigns = 10
            ads_per_campaign = 100
        "#,
    },
    Preset {
        name: "smoke",
        about: "the classic for 5 s, 1 s windows, no warm-up",
        settings: r#"
            [topics]
            partitions = 2
            [workload]
            name = "smoke"
            producers = 2
            rate = "40k/s"
            arrivals = "poisson_normalized"
            duration = "5s"
            warmup = "0s"
            window = "1s"
            campaigns = 10
            ads_per_campaign = 100
        "#,
    },
    Preset {
        name: "high-throughput",
        about: "200k events/s from 4 producers, 4 partitions",
        settings: r#"
            [topics]
            partitions = 4
            [workload]
            name = "high-throughput"
            producers = 4
            rate = "200k/s"
        "#,
    },
    Preset {
        name: "low-latency",
        about: "1 partition, 5 s windows, small result batches",
        settings: r#"
            [topics]
            partitions = 1
            [workload]
            name = "low-latency"
            window = "5s"
            [result_writer]
            batch = 100
        "#,
    },
    Preset {
        name: "bursty",
        about: "bursts at five times the calm rate (MMPP)",
        settings: r#"
            [workload]
            name = "bursty"
            arrivals = "mmpp"
            [workload.mmpp]
            rate_ratio = 5.0
            q12 = 0.5
            q21 = 0.5
        "#,
    },
];

/// The preset of that name.
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}
