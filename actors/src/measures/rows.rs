//! The seconds of a run in a bounded number of rows: one a second at first, and where they become
//! too many, two neighbours become one, again and again.
//!
//! Sums are added, the least and the greatest stay that, and medians are taken from histograms put
//! together: these are kept with two significant digits, and their encoding is that of the `.hdr`
//! form.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};

use crate::measures::histograms::LatencyHistogram;
use crate::measures::latency_kinds::LatencyKind;
use crate::measures::series::Second;

/// Rows that are kept: two hours of seconds.
const MAX_ROWS: usize = 7200;
/// Bytes of rows that are kept.
const MAX_BYTES: usize = 16 << 20;
/// What a row takes besides its watermarks and its histograms, and what a watermark takes, bytes.
const ROW_BYTES: usize = 512;
const WATERMARK_BYTES: usize = 32;
/// Pairs that become one at a time: a moment's work.
const PAIRS_PER_PUSH: usize = 16;
/// Significant digits of a row's histograms.
const DIGITS: u8 = 2;

/// The rows of a run.
#[derive(Clone, Debug)]
pub(crate) struct SeriesRows {
    /// Rows that have been halved already, while others wait for it.
    halved: Vec<KeptRow>,
    /// The rows behind them.
    rows: VecDeque<KeptRow>,
    /// How many of `rows` are still to be halved.
    to_halve: usize,
    /// The row that the next second may belong to.
    open: Option<OpenRow>,
    /// Seconds that a new row stands for.
    span: i64,
    bytes: usize,
    max_bytes: usize,
}

/// A row, and what its quantiles are of.
#[derive(Clone, Debug)]
struct OpenRow {
    second: Second,
    samples: BTreeMap<LatencyKind, Histogram<u64>>,
}

/// The same, encoded.
#[derive(Clone, Debug)]
struct KeptRow {
    second: Second,
    samples: Vec<(LatencyKind, Vec<u8>)>,
}

impl Default for SeriesRows {
    fn default() -> Self {
        Self {
            halved: Vec::new(),
            rows: VecDeque::new(),
            to_halve: 0,
            open: None,
            span: 1,
            bytes: 0,
            max_bytes: MAX_BYTES,
        }
    }
}

impl SeriesRows {
    /// Adds a second, later than all before, with its latencies.
    pub(crate) fn push(
        &mut self,
        second: Second,
        latencies: &BTreeMap<LatencyKind, LatencyHistogram>,
    ) {
        let samples = latencies.iter().filter(|(_, samples)| samples.count() > 0);
        let samples = samples.map(|(&kind, samples)| (kind, coarse(samples))).collect();
        let next = OpenRow { second, samples };
        self.begin_to_halve(&next.second);
        self.open = match self.open.take() {
            Some(open) if open.second.place(self.span) == next.second.place(self.span) => {
                Some(open.with(next))
            }
            open => {
                self.keep(open);
                Some(next)
            }
        };
        self.halve(PAIRS_PER_PUSH);
    }

    fn keep(&mut self, open: Option<OpenRow>) {
        let row = open.map(OpenRow::encoded);
        self.bytes += row.as_ref().map_or(0, KeptRow::bytes);
        self.rows.extend(row);
    }

    /// Begins to halve the rows where they are too many, and `next` belongs to none of them.
    fn begin_to_halve(&mut self, next: &Second) {
        let count = self.halved.len() + self.rows.len();
        let is_too_much = count >= MAX_ROWS || self.bytes > self.max_bytes;
        let span = 2 * self.span;
        if is_too_much
            && self.to_halve == 0
            && self.open.as_ref().is_some_and(|open| open.second.place(span) != next.place(span))
        {
            let open = self.open.take();
            self.keep(open);
            self.span = span;
            self.to_halve = self.rows.len();
        }
    }

    /// Halves on: so many pairs at most.
    fn halve(&mut self, pairs: usize) {
        for _ in 0..pairs.min(self.to_halve) {
            let Some(mut row) = self.take_to_halve() else { return };
            let place = row.second.place(self.span);
            if self.to_halve > 0
                && self.rows.front().is_some_and(|next| next.second.place(self.span) == place)
                && let Some(next) = self.take_to_halve()
            {
                row = row.decoded().with(next.decoded()).encoded();
            }
            self.bytes += row.bytes();
            self.halved.push(row);
            if self.to_halve == 0 {
                let rest = std::mem::take(&mut self.rows);
                self.rows = std::mem::take(&mut self.halved).into_iter().chain(rest).collect();
                return;
            }
        }
    }

    fn take_to_halve(&mut self) -> Option<KeptRow> {
        let row = self.rows.pop_front()?;
        self.to_halve -= 1;
        self.bytes -= row.bytes();
        Some(row)
    }

    /// All rows, in order.
    pub(crate) fn into_seconds(mut self) -> Vec<Second> {
        while self.to_halve > 0 {
            self.halve(PAIRS_PER_PUSH);
        }
        let open = self.open.map(|open| open.second);
        self.rows.into_iter().map(|row| row.second).chain(open).collect()
    }
}

impl OpenRow {
    /// It and the row behind it.
    fn with(mut self, next: Self) -> Self {
        for (kind, samples) in next.samples {
            match self.samples.entry(kind) {
                Entry::Occupied(mut before) => *before.get_mut() += samples,
                Entry::Vacant(place) => _ = place.insert(samples),
            }
        }
        let second = self.second.with(next.second, &self.samples);
        Self { second, samples: self.samples }
    }

    fn encoded(self) -> KeptRow {
        let samples = self.samples.iter().map(|(&kind, samples)| (kind, encoded(samples)));
        KeptRow { second: self.second, samples: samples.collect() }
    }
}

impl KeptRow {
    /// What it takes, bytes.
    fn bytes(&self) -> usize {
        let samples: usize = self.samples.iter().map(|(_, samples)| samples.len()).sum();
        ROW_BYTES + WATERMARK_BYTES * self.second.watermarks_ms.len() + samples
    }

    fn decoded(self) -> OpenRow {
        let samples = self.samples.iter().map(|(kind, samples)| (*kind, decoded(samples)));
        OpenRow { second: self.second, samples: samples.collect() }
    }
}

/// The samples with fewer digits.
fn coarse(samples: &LatencyHistogram) -> Histogram<u64> {
    let buckets = samples.buckets();
    let greatest = buckets.last().map_or(0, |&(micros, _)| micros);
    let mut coarse = Histogram::new_with_max(greatest.max(2), DIGITS).unwrap_or_else(|_| empty());
    coarse.auto(true);
    for (micros, count) in buckets {
        coarse.record_n(micros, count).expect("the histogram grows by itself");
    }
    coarse
}

fn empty() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("two significant digits are legal")
}

fn encoded(samples: &Histogram<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(samples, &mut bytes).expect("writing to memory does not fail");
    bytes.shrink_to_fit();
    bytes
}

fn decoded(bytes: &[u8]) -> Histogram<u64> {
    let mut decoded = Deserializer::new().deserialize(&mut &*bytes).unwrap_or_else(|_| empty());
    decoded.auto(true);
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLISECOND;
    use crate::measures::backlog::{Backlog, Load};
    use crate::measures::latency_kinds::PerLatency;
    use crate::measures::series::Quantiles;

    /// A second of `produced` events, whose latencies are 1 ms to so many.
    fn second(second: i64, produced: u64) -> (Second, BTreeMap<LatencyKind, LatencyHistogram>) {
        let mut histogram = LatencyHistogram::default();
        (1..=produced as i64).for_each(|ms| histogram.record(ms * MILLISECOND));
        let latency = PerLatency::from_fn(|kind| {
            Some(&histogram).filter(|_| kind == LatencyKind::PublishDelay).and_then(Quantiles::of)
        });
        let row = Second {
            second,
            seconds: 1,
            start_ms: second * 1000,
            target: Some(10.0),
            produced,
            acknowledged: produced,
            consumed: produced,
            results: 1,
            lag: second as u64,
            in_flight: 0,
            behind_ms: Some(second as f64),
            backlog: Backlog::default(),
            load: Load { reader_busy: 0.1 * produced as f64, ..Load::default() },
            watermarks_ms: BTreeMap::from([(0, Some(second))]),
            latency,
        };
        (row, BTreeMap::from([(LatencyKind::PublishDelay, histogram)]))
    }

    fn rows(count: i64, max_bytes: usize) -> SeriesRows {
        let mut rows = SeriesRows { max_bytes, ..SeriesRows::default() };
        for at in 0..count {
            let (row, latencies) = second(at, 1 + at as u64 % 2);
            rows.push(row, &latencies);
        }
        rows
    }

    #[test]
    fn two_neighbours_become_one_that_says_what_both_said() {
        let [(a, of_a), (b, of_b)] = [second(4, 1), second(5, 3)];
        let mut rows = SeriesRows { span: 2, ..SeriesRows::default() };
        rows.push(a, &of_a);
        rows.push(b, &of_b);
        let [row] = rows.into_seconds().try_into().unwrap();
        assert_eq!((row.second, row.seconds, row.start_ms), (4, 2, 4000));
        assert_eq!((row.produced, row.results, row.target), (4, 2, Some(20.0)));
        assert_eq!((row.lag, row.behind_ms), (5, Some(4.0)), "the last, and the least");
        assert!((row.load.reader_busy - 0.2).abs() < 1e-9, "the mean");
        assert_eq!(row.watermarks_ms[&0], Some(5));
        let delay = row.latency.get(LatencyKind::PublishDelay).unwrap();
        assert_eq!(
            (delay.count, delay.max_ms),
            (4, Quantiles::of(&of_b[&LatencyKind::PublishDelay]).unwrap().max_ms)
        );
        assert!((delay.p50_ms - 1.0).abs() < 0.02, "1, 1, 2, 3: {}", delay.p50_ms);
    }

    #[test]
    fn however_long_a_run_its_rows_are_few_and_lose_nothing() {
        let count = 10_007;
        for max_bytes in [usize::MAX, 100 * (ROW_BYTES + WATERMARK_BYTES)] {
            let kept = rows(count, max_bytes);
            let series = kept.clone().into_seconds();
            assert!(
                kept.bytes <= max_bytes.saturating_add(4 * ROW_BYTES) && series.len() <= MAX_ROWS,
                "{}",
                series.len()
            );
            assert_eq!(
                kept.bytes,
                kept.rows.iter().chain(&kept.halved).map(KeptRow::bytes).sum::<usize>()
            );
            assert_eq!(series.iter().map(|row| row.produced).sum::<u64>(), 15_010);
            assert_eq!(series.iter().map(|row| i64::from(row.seconds)).sum::<i64>(), count);
            let whole = &series[..series.len() - 1];
            assert!(whole.iter().all(|row| row.seconds == series[0].seconds));
            assert!(series.is_sorted_by_key(|row| row.second));
        }
    }
}
