//! What the tree must be: no circle of files or folders, no arrow against the order, no stage that
//! names another, no import through the crate's own root page.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{Arrow, CRATES, Tree};

/// Each may name what stands before it, and what stands beside it.
const ACTORS: [&[&str]; 8] = [
    &["clock", "cpu", "ports", "failure", "stage_id", "planted", "checks", "units"],
    &["workload"],
    &["stream"],
    &["measures", "truth"],
    &["stage"],
    &STAGES,
    &["run"],
    &["testing"],
];
/// The stages never name one another.
const STAGES: [&str; 5] =
    ["producer", "window_aggregator", "result_writer", "latency", "processor"];
const PROGRAM: [&[&str]; 11] = [
    &["units", "nearest", "process_usage", "secrets"],
    &["broker", "topics", "dead_letters"],
    &["config"],
    &["report", "thresholds", "truth"],
    &["plan"],
    &["history", "metrics", "live"],
    &["matrix"],
    &["daemon", "host", "foreground", "signals", "service"],
    &["http"],
    &["cli"],
    &["main"],
];

/// A file's folders within its crate: `src/report/html.rs` is `["report", "html"]`. The root page
/// is empty.
fn parts(file: &str) -> (usize, Vec<&str>) {
    let at = CRATES.iter().position(|(_, folder)| file.starts_with(folder)).expect("a source file");
    let rest = file.strip_prefix(CRATES[at].1).unwrap_or(file);
    let rest = rest.strip_suffix(".rs").unwrap_or(rest);
    let rest = rest.strip_suffix("/mod").unwrap_or(rest);
    (at, if rest == "lib" { vec![] } else { rest.split('/').collect() })
}

/// The place of a file in the whole order; the actors crate stands before the program.
fn rank(file: &str) -> Option<usize> {
    let (at, parts) = parts(file);
    let (order, offset): (&[&[&str]], usize) =
        if CRATES[at].1 == "actors/src/" { (&ACTORS, 0) } else { (&PROGRAM, ACTORS.len()) };
    let first = parts.first()?;
    order.iter().position(|units| units.contains(first)).map(|rank| rank + offset)
}

/// Everything that is wrong with a tree, with the lines that make it so.
pub(crate) fn faults(tree: &Tree) -> Vec<String> {
    let arrows = tree.arrows();
    let show = |arrow: &Arrow| {
        format!("  {}:{}: {}", arrow.from, arrow.line, tree.line(&arrow.from, arrow.line))
    };
    let mut faults = Vec::new();
    let mut homeless: Vec<&str> =
        tree.files().filter(|file| !parts(file).1.is_empty() && rank(file).is_none()).collect();
    homeless.dedup();
    faults.extend(homeless.iter().map(|file| format!("{file} has no place in the order")));
    for arrow in &arrows {
        let wrong = if arrow.through_root {
            "imports through its own crate's root page"
        } else if names_another_stage(arrow) {
            "names another stage"
        } else if goes_up(arrow) {
            "names what stands above it"
        } else {
            continue;
        };
        faults.push(format!("{} {wrong}: {}\n{}", arrow.from, arrow.to, show(arrow)));
    }
    let own: Vec<&Arrow> = arrows.iter().filter(|arrow| !arrow.through_root).collect();
    let files = own.iter().map(|arrow| (arrow.from.clone(), arrow.to.clone(), *arrow));
    faults.extend(circles(files).iter().map(|circle| describe("files", circle, &show)));
    for (folder, arrows) in by_folder(&own) {
        let what = format!("folders of {folder}");
        faults.extend(circles(arrows).iter().map(|circle| describe(&what, circle, &show)));
    }
    faults
}

fn goes_up(arrow: &Arrow) -> bool {
    matches!((rank(&arrow.from), rank(&arrow.to)), (Some(from), Some(to)) if from < to)
}

fn names_another_stage(arrow: &Arrow) -> bool {
    let stage = |file: &str| {
        let (_, parts) = parts(file);
        let first = parts.first().copied().filter(|_| file.starts_with("actors/"));
        first.and_then(|first| STAGES.iter().find(|stage| **stage == first).copied())
    };
    matches!((stage(&arrow.from), stage(&arrow.to)), (Some(from), Some(to)) if from != to)
}

/// Arrows between neighbours (files with the folders of their names), by the folder they lie in.
type Neighbours<'a> = Vec<(String, String, &'a Arrow)>;

fn by_folder<'a>(arrows: &[&'a Arrow]) -> BTreeMap<String, Neighbours<'a>> {
    let mut found: BTreeMap<String, Neighbours<'a>> = BTreeMap::new();
    for arrow in arrows {
        let ((from_crate, from), (to_crate, to)) = (parts(&arrow.from), parts(&arrow.to));
        let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        if from_crate == to_crate && shared < from.len() && shared < to.len() {
            let folder = format!("{}{}", CRATES[from_crate].1, from[..shared].join("/"));
            let names = (from[shared].to_owned(), to[shared].to_owned());
            found.entry(folder).or_default().push((names.0, names.1, *arrow));
        }
    }
    // What is one file on both ends is found as a circle of files.
    found
}

/// A set in which everyone reaches everyone, and the arrows within it.
struct Circle<'a> {
    members: BTreeSet<String>,
    arrows: Vec<&'a Arrow>,
}

fn circles<'a>(arrows: impl IntoIterator<Item = (String, String, &'a Arrow)>) -> Vec<Circle<'a>> {
    let arrows: Vec<_> = arrows.into_iter().collect();
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to, _) in &arrows {
        next.entry(from).or_default().insert(to);
    }
    let reached = |start: &str| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = next.get(start).into_iter().flatten().copied().collect();
        while let Some(name) = open.pop() {
            if seen.insert(name) {
                open.extend(next.get(name).into_iter().flatten());
            }
        }
        seen
    };
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        next.keys().map(|name| (*name, reached(name))).collect();
    let mut found: BTreeSet<BTreeSet<String>> = BTreeSet::new();
    for (name, theirs) in &reach {
        if theirs.contains(name) {
            let mutual = theirs
                .iter()
                .filter(|other| reach.get(**other).is_some_and(|reached| reached.contains(name)));
            found.insert(mutual.map(|other| (*other).to_owned()).collect());
        }
    }
    let within = |members: &BTreeSet<String>| {
        let inside = |(from, to, _): &&(String, String, &Arrow)| {
            members.contains(from) && members.contains(to) && from != to
        };
        arrows.iter().filter(inside).map(|(_, _, arrow)| *arrow).collect()
    };
    found.into_iter().map(|members| Circle { arrows: within(&members), members }).collect()
}

fn describe(what: &str, circle: &Circle<'_>, show: &dyn Fn(&Arrow) -> String) -> String {
    let members: Vec<&str> = circle.members.iter().map(String::as_str).collect();
    let lines: Vec<String> =
        circle.arrows.iter().map(|arrow| format!("{}  -> {}", show(arrow), arrow.to)).collect();
    format!("a circle of {what}: {}\n{}", members.join(", "), lines.join("\n"))
}
