//! Finds a second implementation of Kafka's protocol for tests: `STREAMGAUGE_TEST_KAFKA2=host:port`
//! names it.
//!
//! It is neither part of the project nor started by it. Run one test at a time (`kafka2 --
//! --test-threads=1`): Tansu 0.6 on SQLite has stopped answering in a run of parallel tests.
//! Without the variable a test is skipped, and says so; with `STREAMGAUGE_REQUIRE_KAFKA2=1` it
//! fails.

use streamgauge::broker::kafka::KafkaSection;
use streamgauge::config::Layers;

/// Its address; `None` after saying that the test is skipped, and why.
pub(crate) fn bootstrap_servers() -> Option<String> {
    let address = std::env::var("STREAMGAUGE_TEST_KAFKA2").ok();
    if address.is_none() {
        let required = std::env::var("STREAMGAUGE_REQUIRE_KAFKA2").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "STREAMGAUGE_REQUIRE_KAFKA2=1, but STREAMGAUGE_TEST_KAFKA2 names no broker"
        );
        eprintln!(
            "SKIPPED: this test needs another broker of Kafka's protocol: \
             STREAMGAUGE_TEST_KAFKA2 names none"
        );
    }
    address
}

/// The default settings, for the broker of this run.
pub(crate) fn settings() -> Option<KafkaSection> {
    let defaults = Layers::default().load().expect("the defaults are valid").settings.broker.kafka;
    Some(KafkaSection { bootstrap_servers: bootstrap_servers()?, ..defaults })
}
