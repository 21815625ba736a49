//! What has a row in a table is not named again in the scripts and styles of the live page and of
//! reports: they are told of it.

use std::path::{Path, PathBuf};

use crate::architecture::root;
use streamgauge_actors::LatencyKind;

/// Where scripts and styles of our own are.
const FOLDERS: [&str; 4] = ["src/assets", "src/assets/page", "src/report/html", "src/matrix/html"];

fn is_script_or_style(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "js" || extension == "css")
}

fn scripts_and_styles() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if is_script_or_style(&path) {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// The lines of a text that name a latency: `number: name`.
fn latencies_named(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let words = content.split(|c: char| !is_part(c));
        for word in words.filter(|word| LatencyKind::ALL.iter().any(|kind| kind.name() == *word)) {
            found.push(format!("{line}: {word}"));
        }
    }
    found
}

#[test]
fn no_script_or_style_names_a_latency() {
    let files = scripts_and_styles();
    assert!(files.len() > 15, "only {} files", files.len());
    let faults: Vec<_> = files
        .iter()
        .flat_map(|(path, text)| {
            latencies_named(text)
                .into_iter()
                .map(move |found| format!("{}:{found}", path.display()))
        })
        .collect();
    assert!(faults.is_empty(), "served by `measures.js`, and named again:\n{}", faults.join("\n"));
}

#[test]
fn a_latency_that_is_named_is_found() {
    let planted =
        "const a = { publish_delay: 1 };\n.line-latency-end_to_end { }\n// the_end_to_end";
    assert_eq!(latencies_named(planted), ["1: publish_delay", "2: end_to_end"]);
}
