//! The same work done in several ways, in turns, so that a noisy machine falls on all of them
//! alike.

use streamgauge_actors::{Clock as _, RunClock, SECOND};

/// What the whole program says of itself, in its report.
pub struct Figures {
    per_second: f64,
    processor_per_million: f64,
}

/// A way to do the same work.
pub struct Side<'a> {
    name: &'static str,
    run: Box<dyn Fn(u64) -> Option<Figures> + 'a>,
    rates: Vec<f64>,
    processor: Vec<f64>,
}

impl<'a> Side<'a> {
    /// Work in this process, measured from outside.
    pub fn new(name: &'static str, run: impl Fn(u64) + 'a) -> Self {
        let run = Box::new(move |records| {
            run(records);
            None
        });
        Self { name, run, rates: vec![], processor: vec![] }
    }

    /// Work of the program in a process of its own.
    pub fn program(name: &'static str, run: impl Fn() -> Figures + 'a) -> Self {
        Self { name, run: Box::new(move |_| Some(run())), rates: vec![], processor: vec![] }
    }
}

impl Figures {
    /// From a report, and the rate in it that counts.
    pub fn of(report: &serde_json::Value, per_second: &serde_json::Value) -> Self {
        let number = |value: &serde_json::Value| value.as_f64().expect("a figure");
        Self {
            per_second: number(per_second),
            processor_per_million: number(&report["resources"]["cpu_us_per_event"]),
        }
    }
}

/// Runs the sides in turns (in another order each round), and prints medians and the ratio to the
/// first side.
pub fn compare(mut sides: Vec<Side<'_>>, records: u64, rounds: u64, mut between: impl FnMut()) {
    let clock = RunClock::start();
    for round in 0..rounds {
        let count = sides.len();
        for turn in 0..count {
            between();
            let side = &mut sides[(turn + round as usize) % count];
            let (start, processor) = (clock.now(), processor_seconds());
            let figures = (side.run)(records).unwrap_or_else(|| Figures {
                per_second: records as f64 * SECOND as f64 / (clock.now() - start) as f64,
                processor_per_million: (processor_seconds() - processor) / records as f64 * 1e6,
            });
            side.rates.push(figures.per_second);
            side.processor.push(figures.processor_per_million);
            println!(
                "round {round} {:14} {:9.0} records/s  {:.3} processor seconds per million",
                side.name, side.rates[round as usize], side.processor[round as usize]
            );
        }
    }
    let base = median(&sides[0].rates);
    for side in &sides {
        let rate = median(&side.rates);
        println!(
            "median  {:14} {rate:9.0} records/s  {:.3} processor seconds per million  ratio {:.3}",
            side.name,
            median(&side.processor),
            rate / base
        );
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Processor time of this process, user and system, in seconds (a resolution of 10 ms).
pub fn processor_seconds() -> f64 {
    let stat = procfs::process::Process::myself()
        .and_then(|process| process.stat())
        .expect("/proc/self/stat");
    (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64
}
