//! Temporary main: a smoke run.
use std::sync::Arc;
use streamgauge::broker::embedded::*;
use streamgauge_actors::{arrivals::*, clock::*, pipeline::*, spec::*};
struct No;
impl DeadLetters for No {
    fn keep(&mut self, _: streamgauge_actors::ports::Record<'_>, _: &'static str) {}
}
fn main() {
    let clock: SharedClock = Arc::new(RunClock::start());
    let arg = |i: usize, d: f64| std::env::args().nth(i).and_then(|a| a.parse().ok()).unwrap_or(d);
    let max = arg(1, 40000.0) == 0.0;
    let spec = RunSpec {
        run_id: "r1".into(),
        run_tag: 77,
        workload: "smoke".into(),
        seed: 1,
        producers: arg(3, 2.0) as u32,
        aggregators: 2,
        partitions: arg(4, 2.0) as u32,
        replication: 1,
        rate: arg(1, 40000.0).max(1.0),
        arrivals: if max { ArrivalKind::Max } else { ArrivalKind::PoissonNormalized },
        burst_correlation: BurstCorrelation::Independent,
        duration_ns: (arg(2, 5.0) * 1e9) as i64,
        warmup_ns: 0,
        window_ns: SECOND,
        campaigns: arg(5, 10.0) as u32,
        ads_per_campaign: 10,
        zipf_exponent: None,
        ad_types: ["image", "video", "carousel", "text", "story", "shopping", "collection"].map(String::from).to_vec(),
        event_types: ["view", "click", "purchase"].map(String::from).to_vec(),
        allowed_lateness_ns: 0,
        progress_interval_ns: 100 * MILLISECOND,
        progress_records: true,
        max_open_windows: 16,
        result_batch: 1000,
        events_topic: "e".into(),
        results_topic: "r".into(),
        send_delay_limit_ns: 10 * MILLISECOND,
        send_delay_share: 0.01,
        heartbeat_timeout_ns: 10 * SECOND,
        drain_timeout_ns: 60 * SECOND,
    };
    let mut spec = spec;
    spec.window_ns = arg(6, 1000.0) as i64 * MILLISECOND;
    let broker: Arc<dyn streamgauge_actors::ports::Broker> = match std::env::var("KAFKA") {
        Ok(servers) => {
            let tag = std::process::id();
            spec.events_topic = format!("sg.{tag}.e");
            spec.results_topic = format!("sg.{tag}.r");
            Arc::new(
                streamgauge::broker::kafka::KafkaBroker::new(streamgauge::broker::kafka::KafkaSettings {
                    bootstrap_servers: servers,
                    events_linger_ms: arg(7, 5.0) as u32,
                    ..Default::default()
                })
                .unwrap(),
            )
        }
        Err(_) => Arc::new(EmbeddedBroker::new(&EmbeddedSettings::default(), clock.clone())),
    };
    let plan = RunPlan {
        spec,
        mode: Mode::Run,
        broker,
        clock,
        create_events_topic: true,
        create_results_topic: true,
        events_retention_bytes: None,
        keep_topics: false,
        truth: None,
        dead_letters: Arc::new(|_| Box::new(No)),
    };
    let f = streamgauge::foreground::run(plan, &mut |s| {
        eprintln!(
            "{:?} {:.1} produced {} consumed {} lag {} w {:?}",
            s.state,
            s.elapsed_s,
            s.counters.produced,
            s.counters.consumed,
            s.counters.lag,
            s.latest_window.as_ref().map(|w| (w.window_id, w.exact, w.count))
        )
    })
    .unwrap();
    let o = f.outcome;
    println!("{:?} {:?}", o.judge(&Mode::Run), o.throughput());
    println!("{:?}", o.counters);
    println!("{:?}", o.measures.as_ref().map(|m| &m.audit));
    for (k, h) in &o.latencies {
        println!(
            "{} n {} neg {} p50 {:?} p99 {:?} max {:?}",
            k.name(),
            h.count(),
            h.negative(),
            h.quantile_ms(0.5),
            h.quantile_ms(0.99),
            h.max_ms()
        );
    }
    for w in o.measures.iter().flat_map(|m| &m.windows).take(8) {
        println!("{w:?}");
    }
    for f in o.findings.iter().take(8) {
        println!("{f}");
    }
}
