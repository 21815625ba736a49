//! The per-second series as comma-separated values (RFC 4180, a header line; an empty field:
//! nothing was measured).

use std::collections::BTreeSet;
use std::fmt::Write;

use streamgauge_actors::{Backlog, LatencyKind};

use super::Report;

/// One line a row: a second, or more of a long run.
pub fn render(report: &Report) -> String {
    let partitions: BTreeSet<u32> =
        report.series.iter().flat_map(|row| row.watermarks_ms.keys().copied()).collect();
    let mut text = header(&partitions);
    for row in &report.series {
        let counts =
            [row.produced, row.acknowledged, row.consumed, row.results, row.lag, row.in_flight];
        let Backlog { unsent, unacknowledged, unread } = row.backlog;
        let mut fields = vec![
            row.second.to_string(),
            row.seconds.to_string(),
            row.start_ms.to_string(),
            field(row.target),
        ];
        fields.extend(counts.map(|count| count.to_string()));
        fields.push(field(row.behind_ms));
        fields.extend([unsent, unacknowledged, unread].map(|count| count.to_string()));
        for partition in &partitions {
            fields.push(field(row.watermarks_ms.get(partition).copied().flatten()));
        }
        for (_, figures) in row.latency.iter() {
            fields.push(field(figures.map(|figures| figures.count)));
            fields.push(field(figures.map(|figures| figures.p50_ms)));
            fields.push(field(figures.map(|figures| figures.p99_ms)));
            fields.push(field(figures.map(|figures| figures.max_ms)));
        }
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

fn header(partitions: &BTreeSet<u32>) -> String {
    let mut header =
        "second,seconds,start_ms,target,produced,acknowledged,consumed,results,lag,in_flight,\
         behind_ms,unsent,unacknowledged,unread"
            .to_owned();
    for partition in partitions {
        let _ = write!(header, ",watermark_{partition}_ms");
    }
    for kind in LatencyKind::ALL {
        for figure in ["count", "p50_ms", "p99_ms", "max_ms"] {
            let _ = write!(header, ",{}_{figure}", kind.name());
        }
    }
    header.push('\n');
    header
}

fn field<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
