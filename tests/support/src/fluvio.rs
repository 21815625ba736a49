//! Finds a real Fluvio cluster for tests and benches: `STREAMGAUGE_TEST_FLUVIO=host:port` names its
//! controller (SC).
//!
//! There is no package to start one from. Without the variable a test is skipped, and says so; with
//! `STREAMGAUGE_REQUIRE_FLUVIO=1` it fails. How to reach it otherwise (TLS) is said as to the
//! program, by `STREAMGAUGE__BROKER__FLUVIO__...`.

use streamgauge::broker::fluvio::FluvioSection;
use streamgauge::config::Layers;

/// The address of the controller; `None` after saying that the test is skipped, and why.
pub fn endpoint() -> Option<String> {
    let endpoint = std::env::var("STREAMGAUGE_TEST_FLUVIO").ok();
    if endpoint.is_none() {
        let required = std::env::var("STREAMGAUGE_REQUIRE_FLUVIO").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "STREAMGAUGE_REQUIRE_FLUVIO=1, but STREAMGAUGE_TEST_FLUVIO names no cluster"
        );
        eprintln!("SKIPPED: this test needs a Fluvio cluster: STREAMGAUGE_TEST_FLUVIO names none");
    }
    endpoint
}

/// The settings for the cluster of this run: the environment's over the defaults.
pub fn settings() -> Option<FluvioSection> {
    let endpoint = endpoint()?;
    let environment = std::env::vars()
        .filter(|(name, _)| name.starts_with("STREAMGAUGE__BROKER__FLUVIO__"))
        .collect();
    let layers = Layers { environment, ..Layers::default() };
    let settings = layers.load().expect("the environment is valid").settings.broker.fluvio;
    Some(FluvioSection { endpoint, ..settings })
}
