# What continuous integration runs, recipe by recipe (`.ci/run`).

# Everything below, in order
all: format lint features deny test

format:
    cargo fmt --all --check

lint:
    cargo clippy --workspace --all-targets -- --deny warnings

# What the container image is built with (needs OpenSSL's and libsasl2's headers), and the least
features:
    cargo check --package streamgauge --all-features
    cargo check --package streamgauge --no-default-features

# Licences, sources and bans; no network
deny:
    cargo deny --offline check bans licenses sources

# The README's test command
test:
    cargo test --workspace

# What is too slow for every change: many more seeds, quotas just below the load on a real Kafka, and
# the benches that need no server
nightly:
    STREAMGAUGE_SIM_SEEDS=20000 cargo test --package streamgauge-actors --test it -- --nocapture exactly
    cargo test --package streamgauge-actors --test it -- --nocapture --include-ignored long_runs
    just fuzz-settings
    cargo bench --bench codec --bench arrivals --bench stages --bench embedded
    cargo bench --bench daemon -- overhead
    cargo test --release --test servers -- --ignored --nocapture liars::

# A thousand random settings: each is refused at once or flows for a second, and the daemon answers
fuzz-settings:
    STREAMGAUGE_FUZZ_RUNS=1000 STREAMGAUGE_FUZZ_FLOW_MS=1000 STREAMGAUGE_FUZZ_SEED=$(date +%s) \
        cargo test --test it -- --nocapture random_settings

# Before a release: what continuous integration runs, the nightly rest, and what is packaged
release-check: all nightly
    cargo build --profile dist --locked --package streamgauge --bin streamgauge --all-features
    target/dist/streamgauge run smoke

# A benchmark in seconds
smoke:
    cargo run --release -- run smoke

# Honest runs at 60 % of the measured capacity: how many pass, and none blames the broker. On
# `embedded` or `kafka`; with neighbour 1 a process beside them burns a core
honest-runs broker="embedded" neighbour="0" runs="50" seconds="20":
    STREAMGAUGE_HONEST_BROKER={{broker}} STREAMGAUGE_HONEST_NEIGHBOUR={{neighbour}} \
    STREAMGAUGE_HONEST_RUNS={{runs}} STREAMGAUGE_HONEST_SECONDS={{seconds}} \
    cargo test --release --test servers -- --ignored --nocapture honest_runs::

# Every bench that needs no broker
bench:
    cargo bench --bench codec --bench arrivals --bench stages --bench embedded

# The Kafka benches; starts a Kafka unless STREAMGAUGE_TEST_KAFKA names one
bench-kafka:
    cargo bench --bench kafka -- produce
    cargo bench --bench kafka -- drain --records 8000000
    cargo bench --bench kafka -- paced

# The Fluvio benches, on the cluster that STREAMGAUGE_TEST_FLUVIO names
bench-fluvio:
    cargo bench --bench fluvio -- produce
    cargo bench --bench fluvio -- drain --records 2000000

# What the daemon costs; a quarter of an hour
bench-daemon:
    cargo bench --bench daemon -- overhead
