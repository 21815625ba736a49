//! The codec: what one core draws, writes and reads.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use streamgauge_actors::{Campaigns, EventEncoder, EventSource, Serial, decode_event};

/// How many different events each measurement goes through.
const EVENTS: usize = 4096;

/// Mean gap of the events of a producer that makes a million a second.
const GAP_NS: i64 = 1000;

const START_NS: i64 = 1_700_000_000_000_000_000;

/// Writes an event of ours in another way.
type Layout = fn(&str) -> String;

struct Stream {
    source: EventSource,
    encoder: EventEncoder,
    serial: Serial,
    time_ns: i64,
}

impl Stream {
    fn new(campaigns: u32, ads_per_campaign: u32, zipf_exponent: Option<f64>) -> Self {
        let ad_types = ["image", "video", "carousel", "text", "story", "shopping", "collection"]
            .map(String::from);
        let event_types = ["view", "click", "purchase"].map(String::from);
        let campaigns = Arc::new(Campaigns::derive(42, campaigns, ads_per_campaign, zipf_exponent));
        Self {
            source: EventSource::new(
                42,
                1,
                Arc::clone(&campaigns),
                ad_types.len(),
                event_types.len(),
            ),
            encoder: EventEncoder::new(campaigns, &ad_types, &event_types),
            serial: Serial { run_tag: 0x1234_5678_9abc, producer: 1, partition: 0, n: 0 },
            time_ns: START_NS,
        }
    }

    fn next(&mut self) -> &[u8] {
        self.serial.n += 1;
        self.time_ns += GAP_NS;
        let window_id = (self.time_ns - START_NS) / 10_000_000_000;
        self.encoder.encode(
            &self.source.draw(),
            self.serial,
            self.time_ns,
            window_id,
            self.time_ns / 1_000_000,
        )
    }
}

/// The same event as Python's `json.dumps` writes it.
fn spaced(event: &str) -> String {
    event.replace("\":", "\": ").replace(",\"", ", \"")
}

/// The same event with its fields in another order.
fn shuffled(event: &str) -> String {
    let mut fields: Vec<&str> = event.trim_matches(['{', '}']).split(',').collect();
    fields.reverse();
    fields.swap(1, 6);
    format!("{{{}}}", fields.join(","))
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(1));
    let workloads = [
        ("classic", 10, 100, None),
        ("100k_ads", 1000, 100, None),
        ("100k_ads_zipf", 1000, 100, Some(1.0)),
    ];
    for (name, campaigns, ads_per_campaign, zipf_exponent) in workloads {
        let mut stream = Stream::new(campaigns, ads_per_campaign, zipf_exponent);
        group.bench_function(format!("draw_encode/{name}"), |bencher| {
            bencher.iter(|| {
                black_box(stream.next());
            });
        });
    }
    let mut stream = Stream::new(10, 100, None);
    let ours: Vec<String> =
        (0..EVENTS).map(|_| String::from_utf8(stream.next().to_vec()).expect("ASCII")).collect();
    let layouts: [(&str, Layout); 5] = [
        ("ours", str::to_owned),
        ("python", spaced),
        ("python_uuid4", |event| spaced(&event.replace("9abc-8001-8000-", "9abc-4001-8000-"))),
        ("shuffled", shuffled),
        ("escaped", |event| event.replace("ad_type", "ad_t\\u0079pe")),
    ];
    for (name, layout) in layouts {
        let events: Vec<String> = ours.iter().map(|event| layout(event)).collect();
        let mut events = events.iter().cycle();
        group.bench_function(format!("decode/{name}"), |bencher| {
            bencher.iter(|| decode_event(black_box(events.next().expect("a cycle").as_bytes())));
        });
    }
    group.finish();
}
