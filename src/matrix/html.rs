//! The report of a matrix as one HTML file that needs no network, and no script either: its charts
//! are drawn by the page's own boxes, so that they follow its width and its colours. Everything
//! that comes from a run is escaped by the template.

use anyhow::Context;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use serde::Serialize;

use super::figures::Figure;
use super::report::MatrixReport;
use super::tables::{self, FigureRow};
use crate::report::html::dash::dash;
use crate::report::html::{CONTENT_SECURITY_POLICY, STYLES, sections};
use crate::report::numbers::{exact, grouped};
use crate::report::tables::Rows;

const TEMPLATE: &str = include_str!("html/matrix.html.jinja");
const OWN_STYLES: &str = include_str!("html/matrix.css");

/// Share of the greatest value from which on all values are told apart on a linear scale; where one
/// is smaller still, the scale is logarithmic.
const LINEAR_SHARE: f64 = 0.04;

/// Steps of a linear scale at most.
const STEPS: f64 = 5.0;

/// The report as HTML.
///
/// # Errors
/// None that a report made by this program can cause.
pub fn render(report: &MatrixReport) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    // The name ends in `.html.jinja`: that turns escaping on.
    environment
        .add_template("matrix.html.jinja", TEMPLATE)
        .context("the report's template is wrong")?;
    let template = environment.get_template("matrix.html.jinja")?;
    let context = context! {
        styles => Value::from_safe_string(format!("{STYLES}\n{OWN_STYLES}")),
        ..Serde(&Page::of(report))
    };
    template.render(context).context("cannot render the report")
}

/// What the template is given, all of it to be escaped.
#[derive(Serialize)]
struct Page<'a> {
    policy: &'a str,
    version: &'a str,
    schema_version: u32,
    workload: &'a str,
    verdict: sections::VerdictText,
    reason: &'a str,
    also: &'a [String],
    subject: Vec<String>,
    cells: Table,
    floor: Option<Table>,
    conclusions: Vec<String>,
    charts: Vec<Chart>,
    has_floor: bool,
    notes: Vec<String>,
    runs: Table,
    next: &'a str,
    rerun: &'a str,
    settings: Vec<sections::NamedValue>,
}

/// A table with its words on the left.
#[derive(Serialize)]
struct Table {
    header: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Serialize)]
struct Column {
    name: &'static str,
    words: bool,
}

/// One figure of all cells.
#[derive(Serialize)]
struct Chart {
    id: String,
    title: String,
    better: &'static str,
    scale: &'static str,
    ticks: Vec<Tick>,
    bars: Vec<Bar>,
    table: Table,
}

/// A mark on a chart's scale.
#[derive(Serialize)]
struct Tick {
    at: f64,
    text: String,
}

/// One cell in a chart; places are percent of its width.
#[derive(Serialize)]
struct Bar {
    title: String,
    value: String,
    at: f64,
    floor: Option<f64>,
    points: Vec<f64>,
    is_floor: bool,
    valid: bool,
    finding: String,
    text: String,
}

impl<'a> Page<'a> {
    fn of(report: &'a MatrixReport) -> Self {
        let floor = tables::overview(report, true, true);
        Self {
            policy: CONTENT_SECURITY_POLICY,
            version: &report.versions.streamgauge,
            schema_version: report.schema_version,
            workload: &report.workload,
            verdict: sections::verdict(report.verdict),
            reason: report.reasons.first().map_or("", String::as_str),
            also: report.reasons.get(1..).unwrap_or_default(),
            subject: tables::subject(report),
            cells: Table::of(tables::overview(report, false, true)),
            has_floor: !floor.rows.is_empty(),
            floor: (!floor.rows.is_empty()).then(|| Table::of(floor)),
            conclusions: report
                .comparisons
                .iter()
                .map(|each| tables::conclusion(report, each))
                .collect(),
            charts: tables::figures(report).map(|figure| Chart::of(report, figure)).collect(),
            notes: tables::notes(report),
            runs: Table::of(tables::runs(report)),
            next: &report.next,
            rerun: &report.rerun,
            settings: sections::settings(&report.config),
        }
    }
}

impl Table {
    fn of(rows: Rows) -> Self {
        let words = |at: usize| at < rows.left || rows.header[at] == "finding";
        let header = rows
            .header
            .iter()
            .enumerate()
            .map(|(at, &name)| Column { name, words: words(at) })
            .collect();
        let dashed = |row: Vec<String>| row.into_iter().map(dash).collect();
        Self { header, rows: rows.rows.into_iter().map(dashed).collect() }
    }
}

impl Chart {
    fn of(report: &MatrixReport, figure: Figure) -> Self {
        let rows = tables::figure_rows(report, figure);
        let name = figure.name();
        let own = |cell: usize| {
            report
                .runs
                .iter()
                .filter(move |run| run.cell == cell)
                .filter_map(|run| run.figures[&name])
        };
        let all: Vec<f64> =
            rows.iter().flat_map(|row| own(row.cell.cell).chain(row.figure.value)).collect();
        let scale = Scale::of(&all);
        let bar = |row: &FigureRow<'_>| {
            let value = figure.text(row.figure.value);
            let floor = row
                .cell
                .floor
                .and_then(|floor| report.cells.get(floor - 1)?.figures.get(&name)?.value);
            let range = figure.range(row.figure);
            Bar {
                title: row.cell.title(),
                at: row.figure.value.map_or(0.0, |value| scale.place(value)),
                floor: floor.map(|floor| scale.place(floor)),
                points: own(row.cell.cell).map(|value| scale.place(value)).collect(),
                is_floor: row.cell.is_floor,
                valid: row.cell.valid,
                finding: row.finding.clone(),
                text: format!("{}: {value}, runs {range}, {}", row.cell.title(), row.finding),
                value,
            }
        };
        Self {
            id: name.replace(['.', '_'], "-"),
            title: figure.title(),
            better: match figure.better() {
                crate::report::compare::Better::Higher => "more is better",
                crate::report::compare::Better::Lower => "less is better",
            },
            scale: if scale.is_logarithmic { "logarithmic scale" } else { "from 0" },
            ticks: scale
                .ticks()
                .into_iter()
                .map(|value| Tick { at: scale.place(value), text: tick(value) })
                .collect(),
            bars: rows.iter().map(bar).collect(),
            table: Table::of(tables::figure_table(report, figure, true)),
        }
    }
}

/// From values to places.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    is_logarithmic: bool,
    low: f64,
    high: f64,
}

impl Scale {
    /// From 0, unless that would not tell the small values apart.
    fn of(values: &[f64]) -> Self {
        let greatest = values.iter().copied().fold(0.0, f64::max);
        let least =
            values.iter().copied().filter(|&value| value > 0.0).fold(f64::INFINITY, f64::min);
        if greatest > 0.0 && least < greatest * LINEAR_SHARE {
            let power = |value: f64, whole: fn(f64) -> f64| 10_f64.powf(whole(value.log10()));
            return Self {
                is_logarithmic: true,
                low: power(least, f64::floor),
                high: power(greatest, f64::ceil),
            };
        }
        let step = step(greatest);
        Self {
            is_logarithmic: false,
            low: 0.0,
            high: if greatest > 0.0 { (greatest / step).ceil() * step } else { 1.0 },
        }
    }

    /// In percent of the width, to a hundredth.
    fn place(self, value: f64) -> f64 {
        let share = if self.is_logarithmic {
            // A logarithm has no zero: it stands at the foot.
            (value.max(self.low) / self.low).log10() / (self.high / self.low).log10()
        } else {
            value / self.high
        };
        (share.clamp(0.0, 1.0) * 10_000.0).round() / 100.0
    }

    fn ticks(self) -> Vec<f64> {
        if self.is_logarithmic {
            let decades = (self.high / self.low).log10().round() as i32;
            return (0..=decades).map(|power| self.low * 10_f64.powi(power)).collect();
        }
        let step = step(self.high);
        (0..=(self.high / step).round() as u32).map(|n| f64::from(n) * step).collect()
    }
}

/// A mark's number, without the digits that adding up steps leaves behind.
fn tick(value: f64) -> String {
    if value >= 1000.0 { grouped(value.round() as u64) } else { exact((value * 1e6).round() / 1e6) }
}

/// A round number that is at most [`STEPS`] times in `greatest`.
fn step(greatest: f64) -> f64 {
    if greatest <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf((greatest / STEPS).log10().floor());
    let round =
        [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power * STEPS >= greatest * (1.0 - 1e-9));
    round.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_scale_begins_at_0_unless_small_values_would_vanish() {
        assert_eq!(Scale::of(&[3.0, 9.0]), Scale { is_logarithmic: false, low: 0.0, high: 10.0 });
        assert_eq!(
            Scale::of(&[0.02, 90.0]),
            Scale { is_logarithmic: true, low: 0.01, high: 100.0 }
        );
        assert_eq!(Scale::of(&[0.0]), Scale { is_logarithmic: false, low: 0.0, high: 1.0 });
        assert_eq!(Scale::of(&[3.0, 9.0]).ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(Scale::of(&[0.02, 90.0]).ticks().len(), 5);
        let marks: Vec<String> = Scale::of(&[0.28]).ticks().into_iter().map(tick).collect();
        assert_eq!(marks, ["0", "0.1", "0.2", "0.3"]);
    }

    proptest! {
        #[test]
        fn greater_values_never_stand_further_left(
            mut values in prop::collection::vec(0.0..1e7_f64, 1..20),
        ) {
            let scale = Scale::of(&values);
            values.sort_by(f64::total_cmp);
            let places: Vec<f64> = values.iter().map(|&value| scale.place(value)).collect();
            prop_assert!(places.is_sorted());
            prop_assert!(places.iter().all(|place| (0.0..=100.0).contains(place)));
            prop_assert!((2..=12).contains(&scale.ticks().len()));
        }
    }

    #[test]
    fn what_is_inlined_cannot_end_its_element() {
        assert!(
            !OWN_STYLES.contains("</")
                && !OWN_STYLES.contains("url(")
                && !OWN_STYLES.contains("@import")
        );
    }
}
