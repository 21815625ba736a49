//! The live page and its files, all in the program.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse, web};

use super::problem::Problem;

/// Only own files; uPlot sets styles through the DOM.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";

macro_rules! files {
    ($($name:literal $media:literal $path:literal;)*) => {
        /// Name, media type, contents.
        const FILES: &[(&str, &str, &str)] = &[$(($name, $media, include_str!(concat!("../assets/", $path)))),*];
    };
}

const JS: &str = "text/javascript; charset=utf-8";

files! {
    "index.html" "text/html; charset=utf-8" "page/index.html";
    "style.css" "text/css; charset=utf-8" "page/style.css";
    "favicon.svg" "image/svg+xml" "page/favicon.svg";
    "uPlot.iife.min.js" "text/javascript; charset=utf-8" "uplot/uPlot.iife.min.js";
    "uPlot.min.css" "text/css; charset=utf-8" "uplot/uPlot.min.css";
}

fn file(request: &HttpRequest, name: &str) -> Result<HttpResponse, Problem> {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let Some((_, media, contents)) = found else { return Err(Problem::not_found("there is no such file")) };
    // A new version of the program is a new version of its files.
    let tag = concat!("\"", env!("CARGO_PKG_VERSION"), "\"");
    let _ = (request, IF_NONE_MATCH, ETAG, tag, JS);
    Ok(HttpResponse::Ok()
        .content_type(*media)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(*contents))
}

pub(super) async fn index(request: HttpRequest) -> Result<HttpResponse, Problem> {
    file(&request, "index.html")
}

pub(super) async fn asset(request: HttpRequest, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    file(&request, &name)
}
