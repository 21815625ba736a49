//! The latencies' percentile distributions as text, one block each, in the layout of the HDR
//! histogram family's `.hgrm` files (values in milliseconds).

use std::fmt::Write;

use hdrhistogram::Histogram;

use super::Report;
use super::latency::LatencyFigures;

/// Steps per halving of the distance to 100 %, as the family's tools use.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// All distributions.
///
/// # Errors
/// When a stored histogram cannot be read.
pub fn render(report: &Report) -> anyhow::Result<String> {
    let mut text =
        format!("# run {}, started {}; values in milliseconds\n", report.run_id, report.started_at);
    for (kind, figures) in report.latency.iter() {
        let _ = writeln!(text, "\n# {}", kind.name());
        match figures {
            None => text.push_str("# nothing was measured\n"),
            Some(figures) => distribution(&mut text, figures)?,
        }
    }
    Ok(text)
}

fn distribution(text: &mut String, figures: &LatencyFigures) -> anyhow::Result<()> {
    let histogram: Histogram<u64> = figures.decode_histogram()?;
    if figures.negative > 0 {
        let _ = writeln!(text, "# {} negative sample(s) are not in it", figures.negative);
    }
    if histogram.is_empty() {
        return Ok(());
    }
    let _ = writeln!(
        text,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        total += step.count_since_last_iteration();
        let value = step.value_iterated_to() as f64 / 1000.0;
        let quantile = step.quantile_iterated_to();
        let _ = write!(text, "{value:>12.3} {quantile:>14.12} {total:>10}");
        if quantile < 1.0 {
            let _ = write!(text, " {:>14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let (mean, deviation) = (histogram.mean() / 1000.0, histogram.stdev() / 1000.0);
    let (max, count) = (histogram.max() as f64 / 1000.0, histogram.len());
    let _ = writeln!(text, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]");
    let _ = writeln!(text, "#[Max     = {max:>12.3}, Total count    = {count:>12}]");
    Ok(())
}
