//! The live page and its files, all in the program.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use actix_web::{HttpResponse, web};

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
    "charts.js" "text/javascript; charset=utf-8" "page/charts.js";
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
    "run_panel.js" "text/javascript; charset=utf-8" "page/run_panel.js";
    "style.css" "text/css; charset=utf-8" "page/style.css";
    "windows_table.js" "text/javascript; charset=utf-8" "page/windows_table.js";
    "uPlot.iife.min.js" "text/javascript; charset=utf-8" "uplot/uPlot.iife.min.js";
    "uPlot.min.css" "text/css; charset=utf-8" "uplot/uPlot.min.css";
}

fn file(name: &str) -> Result<HttpResponse, Problem> {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let (_, media, contents) = found.ok_or_else(|| Problem::not_found("there is no such file"))?;
    Ok(HttpResponse::Ok()
        .content_type(*media)
        // Few and small, and another version of the program may be started at any time.
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(*contents))
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
}
