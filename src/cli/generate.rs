//! `streamgauge generate`: events to standard output, the ad map, the generator's speed. No broker.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use streamgauge_actors::{
    ArrivalKind, Arrivals, Campaigns, Clock, EventEncoder, EventSource, MILLISECOND, Nanos,
    RunSpec, SECOND, Serial, to_millis, window_of,
};

use super::error::{CliError, CliResult};
use super::flags::{WindowFlag, WorkloadFlags};
use super::output::{self, OutputFormat, Row};
use super::session::Session;
use crate::report::numbers::grouped;

/// Write events to standard output, as fast as it takes them
#[derive(Args)]
pub(super) struct GenerateArgs {
    /// Preset or TOML file [default: classic]
    workload: Option<String>,
    #[command(flatten)]
    load: WorkloadFlags,
    #[command(flatten)]
    window: WindowFlag,
    /// Write so many events; without it, as many as fall into the duration
    #[arg(long, value_name = "N", help_heading = "Output")]
    count: Option<u64>,
    /// Write none, and print how fast one core makes them, encoding included
    #[arg(long, conflicts_with = "campaigns_only", help_heading = "Output")]
    count_only: bool,
    /// Print the ad map: every ad with its campaign
    #[arg(long, conflicts_with = "count", help_heading = "Output")]
    campaigns_only: bool,
    /// Form of what goes to standard output [default: ndjson; table with --count-only]
    #[arg(short, long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    output: Option<OutputFormat>,
}

/// Events made by `--count-only` unless told otherwise: a few seconds' worth.
const SPEED_COUNT: u64 = 10_000_000;

/// Events made of one producer before the next one's turn.
const SPEED_BATCH: u64 = 1_000;

/// What goes to standard output at once.
const BUFFER_BYTES: usize = 1 << 20;

pub(super) fn run(session: &Session, args: &GenerateArgs) -> CliResult {
    let flags = [args.load.assignments(), args.window.assignments()].concat();
    let resolved = session.settings(args.workload.as_deref(), flags)?;
    let spec = resolved.settings.run_spec(&session.new_run_id())?;
    let campaigns = Arc::new(Campaigns::derive(
        spec.workload.seed,
        spec.workload.campaigns,
        spec.workload.ads_per_campaign,
        spec.workload.zipf(),
    ));
    if args.campaigns_only {
        let ads: Vec<Ad> = campaigns
            .iter()
            .map(|(ad_id, campaign_id)| Ad { ad_id: ad_id.to_string(), campaign_id })
            .collect();
        output::list(&ads, args.output.unwrap_or(OutputFormat::Ndjson))?;
    } else if args.count_only {
        let count = args.count.unwrap_or(SPEED_COUNT);
        let speed = measure(session.clock.as_ref(), &spec, &campaigns, count);
        output::list(&[speed], args.output.unwrap_or(OutputFormat::Table))?;
    } else {
        if args.output.is_some_and(|format| format != OutputFormat::Ndjson) {
            return Err(CliError::Usage(
                "events are written as ndjson only: leave --output out".to_owned(),
            ));
        }
        write(session.clock.as_ref(), &spec, &campaigns, args.count)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Ad {
    ad_id: String,
    campaign_id: u32,
}

impl Row for Ad {
    const TITLES: &'static [&'static str] = &["ad_id", "campaign_id"];

    fn cells(&self) -> Vec<String> {
        vec![self.ad_id.clone(), self.campaign_id.to_string()]
    }
}

#[derive(Serialize)]
struct Speed {
    events: u64,
    bytes: u64,
    seconds: f64,
    events_per_second: f64,
    bytes_per_second: f64,
}

impl Row for Speed {
    const TITLES: &'static [&'static str] =
        &["events", "bytes", "seconds", "events/s per core", "MB/s per core"];

    fn cells(&self) -> Vec<String> {
        vec![
            grouped(self.events),
            grouped(self.bytes),
            format!("{:.3}", self.seconds),
            grouped(self.events_per_second as u64),
            grouped((self.bytes_per_second / 1e6) as u64),
        ]
    }
}

/// One producer's events, without a broker: partition and generation are 0.
struct Generator {
    arrivals: Arrivals,
    source: EventSource,
    encoder: EventEncoder,
    serial: Serial,
    base_ns: Nanos,
    window_ns: Nanos,
}

impl Generator {
    fn new(spec: &RunSpec, producer: u32, base_ns: Nanos, campaigns: &Arc<Campaigns>) -> Self {
        let (ad_types, event_types) =
            (spec.workload.ad_types.len(), spec.workload.event_types.len());
        Self {
            arrivals: spec.arrivals(producer),
            source: EventSource::new(
                spec.workload.seed,
                producer,
                Arc::clone(campaigns),
                ad_types,
                event_types,
            ),
            encoder: EventEncoder::new(
                Arc::clone(campaigns),
                &spec.workload.ad_types,
                &spec.workload.event_types,
            ),
            serial: Serial { run_tag: spec.run_tag, producer: producer as u16, partition: 0, n: 0 },
            base_ns,
            window_ns: spec.workload.window.as_nanos(),
        }
    }

    fn of_all(spec: &RunSpec, base_ns: Nanos, campaigns: &Arc<Campaigns>) -> Vec<Self> {
        (0..spec.workload.producers)
            .map(|producer| Self::new(spec, producer, base_ns, campaigns))
            .collect()
    }

    /// The event at an offset from the base. It is produced when it is intended: nothing is paced
    /// here.
    fn event(&mut self, offset_ns: Nanos) -> &[u8] {
        let event_time_ns = self.base_ns + offset_ns;
        let window_id = window_of(event_time_ns, self.base_ns, self.window_ns);
        let serial = self.serial;
        self.serial.n += 1;
        self.encoder.encode(
            &self.source.draw(),
            serial,
            event_time_ns,
            window_id,
            to_millis(event_time_ns),
        )
    }
}

/// Makes events on this thread, producer by producer, and throws them away.
fn measure(clock: &dyn Clock, spec: &RunSpec, campaigns: &Arc<Campaigns>, count: u64) -> Speed {
    let is_max = spec.workload.arrivals == ArrivalKind::Max;
    let mut generators = Generator::of_all(spec, base(clock), campaigns);
    let (mut events, mut bytes) = (0, 0);
    let started_ns = clock.now();
    while events < count {
        for generator in &mut generators {
            let batch = SPEED_BATCH.min(count - events);
            for _ in 0..batch {
                let offset_ns = if is_max { 0 } else { generator.arrivals.next() };
                bytes += std::hint::black_box(generator.event(offset_ns)).len() as u64;
            }
            events += batch;
        }
    }
    let seconds = ((clock.now() - started_ns).max(1)) as f64 / SECOND as f64;
    Speed {
        events,
        bytes,
        seconds,
        events_per_second: events as f64 / seconds,
        bytes_per_second: bytes as f64 / seconds,
    }
}

/// Writes the events of all producers in the order of their times.
fn write(
    clock: &dyn Clock,
    spec: &RunSpec,
    campaigns: &Arc<Campaigns>,
    count: Option<u64>,
) -> Result<(), CliError> {
    let base_ns = base(clock);
    let mut generators = Generator::of_all(spec, base_ns, campaigns);
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
    let mut left = count.unwrap_or(u64::MAX);
    // Without a count the schedule's length is the limit.
    let end_ns = if count.is_some() { Nanos::MAX } else { spec.workload.duration.as_nanos() };
    if spec.workload.arrivals == ArrivalKind::Max {
        let mut turn = 0;
        while left > 0 {
            let offset_ns = clock.now() - base_ns;
            if offset_ns >= end_ns {
                break;
            }
            out.write_all(generators[turn].event(offset_ns.max(0)))?;
            out.write_all(b"\n")?;
            turn = (turn + 1) % generators.len();
            left -= 1;
        }
    } else {
        let next =
            |generator: &Generator, index: usize| Reverse((generator.arrivals.peek(), index));
        let mut upcoming: BinaryHeap<_> = generators
            .iter()
            .enumerate()
            .map(|(index, generator)| next(generator, index))
            .collect();
        while left > 0
            && let Some(Reverse((offset_ns, index))) = upcoming.pop()
            && offset_ns < end_ns
        {
            let generator = &mut generators[index];
            generator.arrivals.next();
            out.write_all(generator.event(offset_ns))?;
            out.write_all(b"\n")?;
            upcoming.push(next(generator, index));
            left -= 1;
        }
    }
    out.flush()?;
    Ok(())
}

/// The whole millisecond that has just begun.
fn base(clock: &dyn Clock) -> Nanos {
    clock.now() / MILLISECOND * MILLISECOND
}
