//! The runs as comma-separated values (RFC 4180, a header line; an empty field: nothing was
//! measured): one line a run, its cell's settings and its own figures.

use super::figures::Figure;
use super::report::MatrixReport;

/// One line a run, in the order of time.
pub fn render(report: &MatrixReport) -> String {
    let mut header: Vec<String> = ["place", "round", "cell", "is_floor"].map(str::to_owned).into();
    header.extend(report.varied.iter().map(|varied| varied.key.clone()));
    header.extend(["run_id", "started_at", "verdict", "exit_code", "reason"].map(str::to_owned));
    header.extend(Figure::ALL.map(Figure::name));
    let mut lines = vec![line(&header)];
    for run in &report.runs {
        let Some(cell) = report.cells.get(run.cell - 1) else { continue };
        let mut fields = vec![
            run.place.to_string(),
            run.round.to_string(),
            run.cell.to_string(),
            cell.is_floor.to_string(),
        ];
        fields.extend(
            report
                .varied
                .iter()
                .map(|varied| cell.settings[&varied.key].clone().unwrap_or_default()),
        );
        fields.extend([
            run.run_id.clone().unwrap_or_default(),
            run.started_at.clone().unwrap_or_default(),
            run.verdict.name().to_owned(),
            run.exit_code.to_string(),
            run.reason.clone(),
        ]);
        let value = |figure: Figure| {
            run.figures[&figure.name()].map_or_else(String::new, |value| value.to_string())
        };
        fields.extend(Figure::ALL.map(value));
        lines.push(line(&fields));
    }
    lines.concat()
}

fn line(fields: &[String]) -> String {
    fields.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(",") + "\n"
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_part_fields_is_quoted() {
        let fields = ["a", "b,c", "say \"no\"", "two\nlines"].map(str::to_owned);
        assert_eq!(line(&fields), "a,\"b,c\",\"say \"\"no\"\"\",\"two\nlines\"\n");
    }
}
