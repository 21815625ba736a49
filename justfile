# What continuous integration runs, recipe by recipe (`.ci/run`).

# Everything below, in order
all: format lint deny test

format:
    cargo fmt --all --check

lint:
    cargo clippy --workspace --all-targets -- --deny warnings

# Licences, sources and bans; no network
deny:
    cargo deny --offline check bans licenses sources

# The README's test command
test:
    cargo test --workspace

# A benchmark in seconds
smoke:
    cargo run --release -- run smoke

# Every bench that needs no broker
bench:
    cargo bench --bench codec --bench arrivals --bench stages --bench embedded

# The Kafka benches; starts a Kafka unless STREAMGAUGE_TEST_KAFKA names one
bench-kafka:
    cargo bench --bench kafka -- produce
    cargo bench --bench kafka -- drain --records 8000000
    cargo bench --bench kafka -- paced

# What the daemon costs; a quarter of an hour
bench-daemon:
    cargo bench --bench daemon -- overhead
