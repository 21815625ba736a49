//! The tables and lines that people read, in the terminal, in Markdown and in HTML alike.

use streamgauge_actors::LatencyKind;

use super::cell_report::CellReport;
use super::figures::{CellFigure, Figure};
use super::report::MatrixReport;
use super::significance::{CellComparison, NO_RESULT};
use crate::report::Host;
use crate::report::compare::{MetricRow, MetricVerdict, OTHER_TARGET, words};
use crate::report::numbers::{bytes, compact, millis};
use crate::report::tables::{Rows, verdict};

/// Stands where a cell is the one that others are compared with.
pub const BASELINE: &str = "baseline";

/// Columns for a cell's number and name in the terminal; a longer one is cut.
const TITLE_WIDTH: usize = 22;

impl Figure {
    /// Its name and unit for people.
    pub fn title(self) -> String {
        let latency = |kind: LatencyKind, which: &str| format!("{} {which}, ms", kind.name());
        match self {
            Self::Produced => "produced per second".to_owned(),
            Self::Consumed => "consumed per second".to_owned(),
            Self::Cpu => "CPU per event, µs".to_owned(),
            Self::Median(kind) => latency(kind, "p50"),
            Self::P99(kind) => latency(kind, "p99"),
        }
    }

    /// A value of it.
    pub fn text(self, value: Option<f64>) -> String {
        match (self, value) {
            (Self::Produced | Self::Consumed, Some(rate)) if rate >= 10.0 => {
                compact(rate.round() as u64)
            }
            _ => millis(value),
        }
    }

    /// The least and the greatest of a cell's runs.
    pub fn range(self, figure: &CellFigure) -> String {
        match (figure.least, figure.greatest) {
            (Some(_), Some(_)) if figure.runs == 1 => "one run".to_owned(),
            (Some(least), Some(greatest)) => {
                format!("{}..{}", self.text(Some(least)), self.text(Some(greatest)))
            }
            _ => "-".to_owned(),
        }
    }
}

/// A cell's number and name, cut to a column: values are left out from the second one on, the last
/// one never; where that is not enough, the end of the name is what stays.
fn cut(cell: &CellReport) -> String {
    let fits = |title: &String| title.chars().count() <= TITLE_WIDTH;
    let whole = cell.title();
    if fits(&whole) {
        return whole;
    }
    let values: Vec<&str> = cell.name.split(", ").collect();
    let (first, last) = (values[0], values[values.len() - 1]);
    let shorter = (2..values.len())
        .map(|from| format!("#{} {first}, …, {}", cell.cell, values[from..].join(", ")));
    let bare = (values.len() > 1).then(|| format!("#{} …, {last}", cell.cell));
    shorter.chain(bare).find(fits).unwrap_or_else(|| {
        let start = format!("#{} …", cell.cell);
        let room = TITLE_WIDTH - start.chars().count();
        start.chars().chain(whole.chars().skip(whole.chars().count() - room)).collect()
    })
}

/// Every cell with its whole name, where a table has cut one; else nothing.
pub fn names(report: &MatrixReport) -> Vec<String> {
    let is_whole = |cell: &CellReport| cut(cell) == cell.title();
    if report.cells.iter().all(is_whole) {
        Vec::new()
    } else {
        report.cells.iter().map(CellReport::title).collect()
    }
}

/// How a value stands to the floor's: `2.4x`.
pub fn times(share: Option<f64>) -> String {
    match share {
        None => "-".to_owned(),
        Some(share) if share < 99.95 => format!("{share:.2}x"),
        Some(share) => format!("{}x", compact(share.round() as u64)),
    }
}

/// What was run: lines.
pub fn subject(report: &MatrixReport) -> Vec<String> {
    let varied: Vec<String> = report
        .varied
        .iter()
        .map(|varied| format!("{} = {}", varied.key, varied.values.join(", ")))
        .collect();
    let varied = if varied.is_empty() {
        "nothing is varied".to_owned()
    } else {
        format!("varied: {}", varied.join("; "))
    };
    vec![
        format!(
            "{}: {} cell(s), {} run(s) each, each round in another order (seed {}), {} to {}",
            report.workload,
            report.cells.len(),
            report.repetitions,
            report.order_seed,
            report.started_at,
            report.finished_at
        ),
        varied,
        brokers(report),
        format!("machine: {}", machine(&report.host)),
    ]
}

fn machine(host: &Host) -> String {
    let parts = [
        host.cores.map(|cores| format!("{cores} core(s)")),
        host.cpu.clone(),
        host.memory_bytes.map(|memory| bytes(Some(memory))),
        host.kernel.clone(),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Every broker that was found, once.
fn brokers(report: &MatrixReport) -> String {
    let mut found: Vec<String> = Vec::new();
    for broker in report.cells.iter().filter_map(|cell| cell.broker.as_ref()) {
        let text = format!("{} {} ({})", broker.kind, broker.version, broker.guarantee);
        if !found.contains(&text) {
            found.push(text);
        }
    }
    format!(
        "brokers: {}",
        if found.is_empty() { "none was reached".to_owned() } else { found.join(", ") }
    )
}

/// The cells at a glance: those that are the floor, or the others.
pub fn overview(report: &MatrixReport, floor: bool, whole: bool) -> Rows {
    let figures = [
        Figure::Produced,
        Figure::Cpu,
        Figure::P99(LatencyKind::ResultLatency),
        Figure::P99(LatencyKind::EndToEnd),
    ];
    let row = |cell: &CellReport| {
        let passed = cell.verdicts.get("pass").copied().unwrap_or(0);
        let mut row = vec![
            if whole { cell.title() } else { cut(cell) },
            cell.verdict.map_or("not run", verdict).to_owned(),
            format!("{passed}/{}", cell.verdicts.values().sum::<usize>()),
        ];
        row.extend(
            figures.map(|figure| figure.text(cell.figure(figure).and_then(|figure| figure.value))),
        );
        row
    };
    Rows {
        header: vec!["cell", "verdict", "passed", "produced/s", "CPU µs", "result p99", "end p99"],
        left: 2,
        rows: report.cells.iter().filter(|cell| cell.is_floor == floor).map(row).collect(),
    }
}

/// One figure of every cell.
#[derive(Clone, Debug)]
pub struct FigureRow<'a> {
    /// The cell.
    pub cell: &'a CellReport,
    /// The figure.
    pub figure: &'a CellFigure,
    /// Compared with the baseline, if it is.
    pub row: Option<&'a MetricRow>,
    /// What is to be said of that.
    pub finding: String,
}

/// One figure of all cells that have it; those that are the floor come last.
pub fn figure_rows(report: &MatrixReport, figure: Figure) -> Vec<FigureRow<'_>> {
    let name = figure.name();
    let mut rows: Vec<FigureRow<'_>> = Vec::new();
    for cell in &report.cells {
        let Some(own) = cell.figures.get(&name).filter(|own| own.value.is_some()) else { continue };
        let comparison = report.comparisons.iter().find(|comparison| comparison.cell == cell.cell);
        let row = comparison
            .and_then(|comparison| comparison.metrics.iter().find(|row| row.metric == name));
        rows.push(FigureRow { cell, figure: own, row, finding: finding(report, cell, row) });
    }
    rows.sort_by_key(|row| row.cell.is_floor);
    rows
}

fn finding(report: &MatrixReport, cell: &CellReport, row: Option<&MetricRow>) -> String {
    let is_baseline = report.cells.iter().any(|other| other.baseline == Some(cell.cell));
    match row {
        _ if !cell.valid => "NO RESULT".to_owned(),
        None if is_baseline => BASELINE.to_owned(),
        None if cell.is_floor => "floor".to_owned(),
        None => "not compared".to_owned(),
        Some(row) => match (row.finding, row.reason) {
            (MetricVerdict::Untested, Some(OTHER_TARGET)) => "other target".to_owned(),
            _ => words::said(row),
        },
    }
}

/// One figure of all cells, as a table. `whole`: nothing is cut, and the interval is there too.
pub fn figure_table(report: &MatrixReport, figure: Figure, whole: bool) -> Rows {
    let row = |each: FigureRow<'_>| {
        let change = each
            .row
            .filter(|row| row.difference.is_some())
            .map_or_else(|| "-".to_owned(), |row| words::percent(row.relative_change));
        let mut cells = vec![
            if whole { each.cell.title() } else { cut(each.cell) },
            figure.text(each.figure.value),
            figure.range(each.figure),
            times(each.figure.relative_to_floor),
            change,
        ];
        if whole {
            cells.push(each.row.map_or_else(|| "-".to_owned(), words::interval));
        }
        cells.push(each.finding);
        cells
    };
    let mut header = vec!["cell", "value", "range of runs", "floor", "change"];
    header.extend(whole.then_some("95 % interval"));
    header.push("finding");
    Rows { header, left: 1, rows: figure_rows(report, figure).into_iter().map(row).collect() }
}

/// The figures that any cell has.
pub fn figures(report: &MatrixReport) -> impl Iterator<Item = Figure> {
    Figure::ALL.into_iter().filter(|&figure| !figure_rows(report, figure).is_empty())
}

/// What is to be said of each comparison.
pub fn conclusion(report: &MatrixReport, comparison: &CellComparison) -> String {
    let title =
        |number: usize| report.cells.get(number - 1).map_or_else(String::new, CellReport::title);
    format!(
        "{} against {}: {}",
        title(comparison.cell),
        title(comparison.baseline),
        comparison.conclusion
    )
}

/// The runs, one a row.
pub fn runs(report: &MatrixReport) -> Rows {
    let row = |run: &super::report::RunReport| {
        vec![
            run.run_id.clone().unwrap_or_else(|| "-".to_owned()),
            verdict(run.verdict).to_owned(),
            run.round.to_string(),
            format!("#{}", run.cell),
        ]
    };
    Rows {
        header: vec!["run", "verdict", "round", "cell"],
        left: 2,
        rows: report.runs.iter().map(row).collect(),
    }
}

/// What the tables' words mean.
pub fn notes(report: &MatrixReport) -> Vec<String> {
    let mut notes = vec![
        "value: over all of a cell's runs that were played to their end; percentiles are those of \
         their merged histograms. \
         range of runs: the least and the greatest of the runs' own values"
            .to_owned(),
    ];
    if report.cells.iter().any(|cell| cell.floor.is_some()) {
        notes.push(
            "floor: the value over that of the same cell on the embedded log, the least that the \
             harness itself takes; of \
             the CPU that holds the log's own work, too, since that log is in the program, where \
             other brokers' is not"
                .to_owned(),
        );
    }
    let tests = report
        .comparisons
        .iter()
        .flat_map(|each| &each.metrics)
        .filter(|row| row.test.is_some())
        .count();
    if tests > 0 {
        notes.push(format!(
            "change: of the mean of the runs' own values, one a run; {tests} difference(s) tested \
             by Welch's t-test, chances \
             adjusted for the number of tests (Holm), significant below {}: the clearest must have \
             had {:.2} % by itself. The \
             95 % intervals are each figure's own, not adjusted. More --repetitions find smaller \
             differences",
            report.alpha,
            report.alpha / tests as f64 * 100.0
        ));
    } else if report.repetitions == 1 && !report.comparisons.is_empty() {
        notes.push(
            "nothing could be tested: with 1 run of each cell no difference can be told from \
             chance; --repetitions 3 or more"
                .to_owned(),
        );
    }
    if tests > 0 {
        notes.extend(untested(report));
    }
    let mut told: Vec<(&String, Vec<String>)> = Vec::new();
    for cell in &report.cells {
        for note in &cell.notes {
            match told.iter_mut().find(|(known, _)| *known == note) {
                Some((_, cells)) => cells.push(format!("#{}", cell.cell)),
                None => told.push((note, vec![format!("#{}", cell.cell)])),
            }
        }
    }
    notes.extend(told.into_iter().map(|(note, cells)| format!("{}: {note}", cells.join(", "))));
    if report.cells.iter().any(|cell| !cell.valid) {
        notes.push(
            "NO RESULT: not every run of the cell passed, so that its figures prove nothing"
                .to_owned(),
        );
    }
    notes
}

/// Why some figures were not tested, the reasons that the tables do not show.
fn untested(report: &MatrixReport) -> Vec<String> {
    let mut told: Vec<(&str, Vec<&str>)> = Vec::new();
    for row in report.comparisons.iter().flat_map(|each| &each.metrics) {
        let reason = row.reason.filter(|&reason| reason != OTHER_TARGET && reason != NO_RESULT);
        let is_measured = row.base.is_some() && row.candidate.is_some();
        let Some(reason) = reason.filter(|_| row.finding == MetricVerdict::Untested && is_measured)
        else {
            continue;
        };
        match told.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, metrics)) if metrics.contains(&row.metric.as_str()) => {}
            Some((_, metrics)) => metrics.push(&row.metric),
            None => told.push((reason, vec![&row.metric])),
        }
    }
    told.into_iter()
        .map(|(reason, metrics)| format!("not tested: {}: {reason}", metrics.join(", ")))
        .collect()
}
