//! The tree is the architecture: dependencies point one way, and each outside crate has one home.

pub(crate) mod lexer;
mod module;
mod order;
mod planted;
mod tree;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use streamgauge_actors::{Effect, OrderKind, RUN_STATE_TABLE};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    sources_below(Path::new(env!("CARGO_MANIFEST_DIR")), folder)
}

/// Every file of Rust in a folder, by its path below the root.
pub(crate) fn sources_below(root: &Path, folder: &str) -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    collect(&root.join(folder), &mut found);
    assert!(!found.is_empty(), "no sources in {folder}");
    for (path, _) in &mut found {
        *path = path.strip_prefix(root).unwrap().to_owned();
    }
    found
}

/// Lines of code that name a crate's path, comments aside.
fn names(text: &str, path_start: &str) -> bool {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")).any(|line| {
        line.match_indices(path_start).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
    })
}

#[test]
fn each_outside_crate_has_one_home() {
    let homes = [
        ("rdkafka::", &["src/broker/kafka.rs", "src/broker/kafka/"][..]),
        ("fluvio::", &["src/broker/fluvio.rs", "src/broker/fluvio/"]),
        ("actix_web::", &["src/http.rs", "src/http/"]),
        ("clap::", &["src/cli.rs", "src/cli/", "src/main.rs"]),
        ("clap_complete::", &["src/cli/"]),
        ("rusqlite::", &["src/history.rs", "src/history/"]),
        ("prometheus::", &["src/metrics.rs", "src/metrics/"]),
        ("minijinja::", &["src/report/html.rs", "src/report/html/", "src/matrix/html.rs"]),
    ];
    for (path, text) in sources("src").into_iter().chain(sources("actors/src")) {
        let path = path.to_str().unwrap();
        for (name, homes) in homes {
            assert!(
                !names(&text, name) || homes.iter().any(|home| path.starts_with(home)),
                "{path} names `{name}`, whose home is {homes:?}"
            );
        }
    }
}

#[test]
fn the_pipeline_knows_neither_broker_nor_program() {
    for (path, text) in sources("actors/src") {
        for name in ["streamgauge::", "rdkafka", "clap", "anyhow"] {
            assert!(!names(&text, name), "{} names `{name}`", path.display());
        }
    }
}

#[test]
fn only_the_clock_reads_time() {
    for (path, text) in sources("actors/src").into_iter().chain(sources("src")) {
        for name in ["Instant::now", "SystemTime::now"] {
            assert!(
                !text.contains(name) || path.ends_with("clock.rs"),
                "{} reads {name}",
                path.display()
            );
        }
    }
}

#[test]
fn unsafe_stays_in_the_kafka_adapter() {
    for (path, text) in sources("actors/src").into_iter().chain(sources("src")) {
        let shown = path.to_str().unwrap();
        assert!(
            !names(&text, "unsafe ") || shown.starts_with("src/broker/kafka"),
            "{shown} has unsafe code"
        );
    }
}

#[test]
fn no_file_is_a_drawer() {
    for (path, _) in sources("actors/src").into_iter().chain(sources("src")) {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            !["utils", "util", "helpers", "common", "types", "manager", "misc"].contains(&stem),
            "{}",
            path.display()
        );
    }
}

/// The table of `run/states.rs` as `ARCHITECTURE.md` prints it: refusals by number, their reasons
/// below.
fn printed_states() -> String {
    let orders = OrderKind::ALL.map(|order| format!("`{order:?}`"));
    let mut text =
        format!("| state | {} |\n|{}\n", orders.join(" | "), "---|".repeat(orders.len() + 1));
    let mut reasons: Vec<&str> = Vec::new();
    for (state, effects) in RUN_STATE_TABLE {
        let cells = effects.map(|effect| match effect {
            Effect::Refuse(reason) => {
                let known = reasons.iter().position(|known| *known == reason);
                let at = known.unwrap_or_else(|| {
                    reasons.push(reason);
                    reasons.len() - 1
                });
                format!("refused ({})", at + 1)
            }
            effect => format!("{effect:?}"),
        });
        writeln!(text, "| **{state:?}** | {} |", cells.join(" | ")).unwrap();
    }
    text.push('\n');
    for (number, reason) in (1..).zip(reasons) {
        writeln!(text, "{number}. {reason}").unwrap();
    }
    text
}

#[test]
fn the_page_prints_the_table_of_states() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    let table = printed_states();
    assert!(
        page.contains(&table),
        "ARCHITECTURE.md lacks the table of actors/src/run/states.rs:\n\n{table}"
    );
}

/// Another checkout to look at, in place of the one that the tests are built from.
const TREE_VARIABLE: &str = "STREAMGAUGE_TREE";

/// The checkout that is looked at.
pub(crate) fn root() -> PathBuf {
    std::env::var_os(TREE_VARIABLE)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).to_owned(), PathBuf::from)
}

#[test]
fn the_tree_has_no_circle_and_keeps_its_order() {
    let root = root();
    let mut files = Vec::new();
    for (_, folder) in tree::CRATES {
        for (path, text) in sources_below(&root, folder) {
            files.push((path.to_str().unwrap().to_owned(), text));
        }
    }
    let tree = tree::Tree::new(files);
    assert!(tree.arrows().len() > 100, "hardly any arrow: the sources are not read");
    let faults = order::faults(&tree);
    assert!(faults.is_empty(), "{} faults:\n\n{}", faults.len(), faults.join("\n\n"));
}
