//! The live page and its files, all in the program.

use actix_web::body::MessageBody;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use actix_web::{HttpResponse, web};
use serde_json::json;
use streamgauge_actors::{LatencyKind, Subject};

use super::problem::Problem;

/// Only own files; uPlot sets styles through the DOM.
const POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

macro_rules! files {
    ($($name:literal $media:literal $path:literal;)*) => {
        /// Name, media type, contents.
        const FILES: &[(&str, &str, &str)] =
            &[$(($name, $media, include_str!(concat!("../assets/", $path)))),*];
    };
}

files! {
    "api.js" "text/javascript; charset=utf-8" "page/api.js";
    "app.js" "text/javascript; charset=utf-8" "page/app.js";
    "charts.css" "text/css; charset=utf-8" "charts.css";
    "charts.js" "text/javascript; charset=utf-8" "charts.js";
    "comparison.js" "text/javascript; charset=utf-8" "page/comparison.js";
    "connection.js" "text/javascript; charset=utf-8" "page/connection.js";
    "controls.js" "text/javascript; charset=utf-8" "page/controls.js";
    "dom.js" "text/javascript; charset=utf-8" "page/dom.js";
    "favicon.svg" "image/svg+xml" "page/favicon.svg";
    "format.js" "text/javascript; charset=utf-8" "page/format.js";
    "health_panel.js" "text/javascript; charset=utf-8" "page/health_panel.js";
    "history.js" "text/javascript; charset=utf-8" "page/history.js";
    "index.html" "text/html; charset=utf-8" "page/index.html";
    "problem.js" "text/javascript; charset=utf-8" "page/problem.js";
    "report_links.js" "text/javascript; charset=utf-8" "page/report_links.js";
    "rows.js" "text/javascript; charset=utf-8" "page/rows.js";
    "run_charts.js" "text/javascript; charset=utf-8" "page/run_charts.js";
    "run_panel.js" "text/javascript; charset=utf-8" "page/run_panel.js";
    "style.css" "text/css; charset=utf-8" "page/style.css";
    "windows_table.js" "text/javascript; charset=utf-8" "page/windows_table.js";
    "uPlot.iife.min.js" "text/javascript; charset=utf-8" "uplot/uPlot.iife.min.js";
    "uPlot.min.css" "text/css; charset=utf-8" "uplot/uPlot.min.css";
}

/// The script that is written here, from the table of latencies.
const MEASURES: &str = "measures.js";

/// What the page is told of the latencies.
fn measures() -> String {
    let about = |kind: LatencyKind| {
        let row = kind.row();
        json!({
            "name": row.name,
            "label": kind.label(),
            "from": row.from,
            "to": row.to,
            "of_windows": row.of == Subject::Window,
            "headline": kind == LatencyKind::HEADLINE,
        })
    };
    let all = serde_json::Value::from_iter(LatencyKind::ALL.map(about));
    let own = about(LatencyKind::OWN_DELAY);
    format!("export const LATENCIES = {all};\nexport const OWN_DELAY = {own};\n")
}

fn file(name: &str) -> Result<HttpResponse, Problem> {
    if name == MEASURES {
        return Ok(answer("text/javascript; charset=utf-8", measures()));
    }
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let (_, media, contents) = found.ok_or_else(|| Problem::not_found("there is no such file"))?;
    Ok(answer(media, *contents))
}

fn answer(media: &str, contents: impl MessageBody + 'static) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(media)
        // Few and small, and another version of the program may be started at any time.
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(contents)
}

pub(super) async fn index() -> Result<HttpResponse, Problem> {
    file("index.html")
}

pub(super) async fn asset(name: web::Path<String>) -> Result<HttpResponse, Problem> {
    file(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/assets/page");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(FILES.iter().any(|(known, ..)| *known == name), "{name}");
        }
    }

    #[test]
    fn the_page_is_told_of_every_latency() {
        let script = measures();
        let told = script.strip_prefix("export const LATENCIES = ").unwrap();
        let (told, own) = told.split_once(";\nexport const OWN_DELAY = ").unwrap();
        let told: Vec<serde_json::Value> = serde_json::from_str(told).unwrap();
        let names: Vec<_> = told.iter().map(|each| each["name"].as_str().unwrap()).collect();
        assert_eq!(names, LatencyKind::ALL.map(LatencyKind::name));
        let headlines = told.iter().filter(|each| each["headline"] == true);
        assert_eq!(headlines.count(), 1);
        let own: serde_json::Value = serde_json::from_str(own.trim_end_matches(";\n")).unwrap();
        assert!(told.contains(&own), "{own}");
    }
}
