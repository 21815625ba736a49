//! The HTML report: one file that needs no network, in which nothing of a run can become markup.

use std::collections::BTreeMap;

use crate::support::outcomes::{AGGREGATE, FOLLOW, context, failed, passed, report};
use serde_json::{Value, json};
use streamgauge::report::html::render;
use streamgauge::report::{Format, Report, ThresholdRow};
use streamgauge_actors::{
    Finding, FindingKind, LatencyHistogram, LatencyKind, Mode, RunOutcome, SECOND,
};

const HOSTILE: &str = "</script><script>alert(1)</script><!-- \"'&<img src=x onerror=alert(1)>";

fn html(report: &Report) -> String {
    render(report).unwrap()
}

/// What stands between the tags: all that a reader can see. A tag is a space.
fn text(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        text.push(' ');
        let end = ["<style", "<script"].iter().find(|name| rest[at..].starts_with(**name));
        let until =
            end.map_or(">", |name| if *name == "<style" { "</style>" } else { "</script>" });
        rest = &rest[at + rest[at..].find(until).expect("every tag ends") + until.len()..];
    }
    text.push_str(rest);
    text.replace("&#x2f;", "/")
        .replace("&#x27;", "'")
        .replace("&quot;", "\"")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn plotted(html: &str) -> Value {
    let start = html.find("id=\"data\">").unwrap() + "id=\"data\">".len();
    serde_json::from_str(&html[start..start + html[start..].find('<').unwrap()]).unwrap()
}

#[test]
fn the_verdict_comes_first_then_why_then_what_to_try() {
    let html = html(&report(&passed(6), Mode::Run));
    assert!(html.starts_with("<!DOCTYPE html>"));
    assert!(html.contains("<title>PASS: classic, run r-7f3a</title>"));
    let seen = text(&html[html.find("<body>").unwrap()..]);
    let headline = "To the figures ✓ PASS : every count of all 6 windows is exact Next: \
                    streamgauge run classic --seed 42";
    assert!(seen.starts_with(headline), "{seen}");
}

#[test]
fn every_section_is_there() {
    let html = html(&report(&passed(6), Mode::Run));
    for id in [
        "figures",
        "latency",
        "waterfall",
        "course",
        "each",
        "audit",
        "windows",
        "self",
        "reproduction",
    ] {
        assert!(html.contains(&format!("id=\"{id}\"")), "{id}");
    }
    for chart in ["rate", "behind", "backlog", "windows"] {
        assert!(html.contains(&format!("data-chart=\"{chart}\"")), "{chart}");
    }
    for kind in LatencyKind::ALL {
        assert!(
            html.contains(&format!("data-chart=\"distribution:{}\"", kind.name())),
            "{}",
            kind.name()
        );
    }
    let seen = text(&html);
    for words in [
        "40,000/s",
        "6 of 6",
        "windows, every count exact",
        "the greatest produce time in the result",
        "22:13:20",
        "123.0 MiB",
        "Some Processor",
        "Linux 6.1",
        "2.12.1",
        "streamgauge run classic --seed 42",
        "broker.kafka.password",
        "workload.rate",
    ] {
        assert!(seen.contains(words), "{words}");
    }
}

#[test]
fn it_needs_no_network() {
    let html = html(&report(&passed(6), Mode::Run));
    for attribute in ["src=", "href=", "url(", "@import"] {
        for (at, _) in html.match_indices(attribute) {
            let value = html[at + attribute.len()..].trim_start_matches(['"', '\'']);
            assert!(
                value.starts_with('#') || value.starts_with("data:,"),
                "{attribute}{}",
                &value[..40]
            );
        }
    }
    assert!(
        html.contains("content=\"default-src &#x27;none&#x27;;")
            || html.contains("default-src &#39;none&#39;;"),
        "a policy"
    );
}

#[test]
fn nothing_of_a_run_becomes_markup() {
    let mut run = passed(6);
    run.spec.workload.name = HOSTILE.to_owned();
    run.spec.run_id = HOSTILE.to_owned();
    run.spec.topics.events = HOSTILE.to_owned();
    run.broker.kind = HOSTILE.to_owned();
    run.broker.version = HOSTILE.to_owned();
    let mut context = context();
    context.rerun = HOSTILE.to_owned();
    context.host.cpu = Some(HOSTILE.to_owned());
    context.config = json!({HOSTILE: {HOSTILE: HOSTILE}});
    context.versions.streamgauge = HOSTILE.to_owned();
    let mut report = Report::new(&run, &context);
    (report.reasons, report.notes) = (vec![HOSTILE.to_owned(); 2], vec![HOSTILE.to_owned()]);
    (report.next, report.started_at) = (HOSTILE.to_owned(), HOSTILE.to_owned());
    let hostile = html(&report);
    let plain = html(&crate::support::outcomes::report(&passed(6), Mode::Run));
    assert!(
        !hostile.contains("alert(1)</script>")
            && !hostile.contains("<img")
            && !hostile.contains("<!--")
    );
    assert_eq!(hostile.matches("</script").count(), plain.matches("</script").count());
    assert_eq!(hostile.matches("<script").count(), plain.matches("<script").count());
    // As text it is there, whole.
    assert!(hostile.contains("&lt;img src=x onerror=alert(1)&gt;"));
}

#[test]
fn what_was_not_measured_is_a_dash_and_never_zero() {
    let html = html(&report(&failed(), Mode::Run));
    let seen = text(&html);
    assert!(seen.contains("topic `clicks` does not exist"), "{seen}");
    assert!(seen.contains("None was made."));
    assert_eq!(
        seen.matches("Not measured.").count(),
        0,
        "without any chart there is no section of charts"
    );
    let row = &html[html.find("<th scope=\"row\">result_latency</th>").unwrap()..];
    let row = text(&row[..row.find("</tr>").unwrap()]);
    assert_eq!(row.matches('–').count(), 8, "{row}");
    assert!(!row.contains("0.00"), "{row}");
    assert_eq!(plotted(&html), json!({}));
}

#[test]
fn wrong_windows_are_marked_and_the_first_to_be_shown() {
    let mut run = passed(3000);
    let measures = run.measures.as_mut().unwrap();
    measures.audit.windows_exact -= 1;
    measures.windows[7].exact = false;
    run.findings = vec![
        Finding {
            kind: FindingKind::EventsMissing,
            window_id: Some(7),
            campaign_id: Some(9),
            producer: Some(1),
            partition: None,
            count: 1,
        };
        150
    ];
    let html = html(&report(&run, Mode::Run));
    let seen = text(&html);
    assert!(seen.contains("✗ FAIL : 1 window(s) with a wrong count"));
    assert!(seen.contains("✗ WRONG"));
    assert!(
        seen.contains("2,000 are not shown here, 0 of them wrong"),
        "too many rows would stall a browser"
    );
    assert!(seen.contains("50 more in the JSON report."));
    assert_eq!(html.matches("<tr class=\"wrong\">").count(), 2, "the window, and the audit's sum");
}

#[test]
fn thresholds_are_shown_if_there_are_any() {
    let mut report = report(&passed(6), Mode::Run);
    assert!(!html(&report).contains("id=\"thresholds\""));
    let row = |expression: &str, observed, passed| ThresholdRow {
        expression: expression.to_owned(),
        observed,
        passed,
    };
    report.thresholds = vec![
        row("latency.result_latency.p99_ms < 50", Some(12.2), true),
        row("audit.events_lost == 0", None, false),
    ];
    let html = html(&report);
    let seen = text(&html);
    assert!(seen.contains("latency.result_latency.p99_ms &lt; 50 12.2 ✓ passed"), "{seen}");
    assert!(seen.contains("audit.events_lost == 0 – ✗ FAILED"), "{seen}");
}

#[test]
fn a_day_of_seconds_is_thinned_and_says_so() {
    let mut run = passed(6);
    let second = run.series[0].clone();
    run.series =
        (0..86_400).map(|at| streamgauge_actors::Second { second: at, ..second.clone() }).collect();
    run.series[100].backlog.unread = 5_000_000;
    let html = html(&report(&run, Mode::Run));
    assert!(text(&html).contains("A point stands for 24 s (or 1 window)"));
    let plotted = plotted(&html);
    assert_eq!(plotted["seconds"].as_array().unwrap().len(), 3600);
    assert_eq!(
        (&plotted["seconds"][4], &plotted["unread"][4]),
        (&json!(96), &json!(5_000_000)),
        "the greatest is kept"
    );
    assert_eq!(plotted["produced"][4], 40_000.0);
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
}

#[test]
fn distributions_rise_and_end_at_the_greatest_sample() {
    let html = html(&report(&passed(6), Mode::Run));
    assert!(html.len() < 200_000, "{} bytes", html.len());
    let distribution = plotted(&html)["distribution"]["publish_latency"].clone();
    let numbers = |key: &str| -> Vec<f64> {
        distribution[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let (at, ms) = (numbers("at"), numbers("ms"));
    assert!(
        at.windows(2).all(|pair| pair[0] < pair[1]) && ms.windows(2).all(|pair| pair[0] <= pair[1])
    );
    assert_eq!(at.last(), Some(&1000.0), "the greatest of a thousand samples");
    assert_eq!(ms.last(), Some(&12.351), "the bucket's upper edge");
}

#[test]
fn every_kind_of_run_has_a_page() {
    let stepped = RunOutcome { wall_step_ns: -3 * SECOND, ..passed(6) };
    assert!(text(&html(&report(&stepped, Mode::Run))).contains("? INCONCLUSIVE"));
    let mut negative = passed(6);
    let mut histogram = LatencyHistogram::default();
    histogram.record(-5);
    negative.latencies = BTreeMap::from([(LatencyKind::CloseLatency, histogram)]);
    assert!(text(&html(&report(&negative, Mode::Run))).contains("0 (and 1 negative)"));
    for mode in [Mode::Produce, AGGREGATE, Mode::Latency(FOLLOW)] {
        assert!(html(&report(&passed(6), mode)).len() > 50_000);
    }
    assert_eq!(Format::from_path("a/b.HTML".as_ref()), Ok(Format::Html));
}
