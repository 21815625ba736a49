//! The checks find what is planted in small trees, and nothing in one that is sound.

use super::order::faults;
use super::tree::Tree;

/// A sound program and pipeline, each file under its path; `planted` replaces or adds some.
fn faults_with(planted: &[(&str, &str)]) -> Vec<String> {
    let sound = [
        (
            "actors/src/lib.rs",
            "mod clock; mod workload; mod stage; mod producer; mod latency; mod run;\n\
            pub use self::clock::{Clock, now};\npub use self::run::Run;\npub use \
            self::workload::Spec;",
        ),
        ("actors/src/clock.rs", "pub struct Clock;\npub fn now() -> u64 { 0 }"),
        (
            "actors/src/workload.rs",
            "pub(crate) mod pacing;\npub use self::pacing::Pacer;\n\
            use crate::clock::Clock;\npub struct Spec(Clock);",
        ),
        (
            "actors/src/workload/pacing.rs",
            "use super::Spec;\npub struct Pacer(Spec);\n\
            #[cfg(test)] mod tests { use super::*; use crate::run::Run; }",
        ),
        (
            "actors/src/stage.rs",
            "pub trait Stage { fn turn(&mut self, pacer: crate::workload::Pacer); }",
        ),
        ("actors/src/producer.rs", "use crate::stage::Stage;\npub struct Producer;"),
        (
            "actors/src/latency.rs",
            "use crate::{clock, stage::{self, Stage}};\n\
            pub(crate) struct Latency(clock::Clock);",
        ),
        (
            "actors/src/run.rs",
            "use crate::{latency::Latency, producer};\npub struct Run(producer::Producer, \
             Latency);",
        ),
        ("src/lib.rs", "pub mod broker; pub mod config; pub mod report; pub mod cli;"),
        (
            "src/broker.rs",
            "mod embedded;\nuse streamgauge_actors::Clock;\npub fn open() { embedded::open() }",
        ),
        ("src/broker/embedded.rs", "pub fn open() { let text = \"crate::cli::main\"; }"),
        ("src/config.rs", "pub struct Settings;\nfn f() { crate::broker::open() }"),
        (
            "src/report.rs",
            "use crate::config::Settings;\npub struct Report;\n#[cfg(test)]\nmod tests;",
        ),
        ("src/report/tests.rs", "use crate::cli::main;"),
        ("src/cli.rs", "use crate::report::Report;\npub fn main() { streamgauge_actors::now(); }"),
        ("src/main.rs", "fn main() { streamgauge::cli::main() }"),
    ];
    let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
    let files = sound.iter().map(own).chain(planted.iter().map(own));
    // A later file takes the place of an earlier one.
    faults(&Tree::new(files))
}

/// One file is replaced by another text: something is found that says all of `told`.
fn found(planted: &[(&str, &str)], told: &[&str]) {
    let faults = faults_with(planted);
    let is_told = |fault: &String| told.iter().all(|words| fault.contains(words));
    assert!(faults.iter().any(is_told), "not found: {told:?} in {faults:#?}");
}

#[test]
fn a_sound_tree_has_no_fault() {
    assert_eq!(faults_with(&[]), [""; 0]);
}

#[test]
fn a_circle_by_use_is_found() {
    found(
        &[
            (
                "actors/src/workload.rs",
                "pub mod a; pub mod pacing; pub struct Spec;\npub use self::pacing::Pacer;",
            ),
            ("actors/src/workload/a.rs", "use crate::workload::b::B;\npub struct A;"),
            (
                "actors/src/workload/b.rs",
                "use crate::workload::{\n    a::A as Other,\n};\npub struct B;",
            ),
            (
                "actors/src/workload.rs",
                "pub mod a; pub mod b; pub mod pacing; pub struct Spec;\npub use \
                 self::pacing::Pacer;",
            ),
        ],
        &[
            "a circle of files",
            "actors/src/workload/b.rs:2: a::A as Other,",
            "actors/src/workload/a.rs:1",
        ],
    );
}

#[test]
fn a_circle_by_a_written_path_is_found() {
    found(
        &[("src/config.rs", "pub struct Settings;\nfn f() { let x: crate::report::Report; }")],
        &["a circle of files", "src/config.rs:2: fn f()", "src/report.rs:1"],
    );
    found(
        &[(
            "src/config.rs",
            "use crate::report;\npub struct Settings;\nfn f(x: report::Report) {}",
        )],
        &["a circle of files", "src/config.rs:3"],
    );
}

#[test]
fn a_circle_of_parent_and_child_is_found() {
    // By the child's `super::`, and a private `use self::`.
    let used = "mod pacing;\nuse self::pacing::Pacer;\npub struct Spec(Pacer);";
    found(
        &[("actors/src/workload.rs", used)],
        &["a circle of files", "actors/src/workload.rs:2", "actors/src/workload/pacing.rs:1"],
    );
    // By a name that the parent gives on, and uses.
    let given_on = "mod pacing;\npub use self::pacing::Pacer;\npub struct Spec(Pacer);";
    found(&[("actors/src/workload.rs", given_on)], &["a circle of files", "workload.rs:2"]);
    // By a path that begins with the child.
    let path = "mod pacing;\npub use self::pacing::Pacer;\npub struct Spec(pacing::Pacer);";
    found(&[("actors/src/workload.rs", path)], &["a circle of files", "workload.rs:3"]);
    // By a path through `super`.
    let through = "pub struct Pacer(super::super::workload::Spec);";
    found(
        &[("actors/src/workload.rs", used), ("actors/src/workload/pacing.rs", through)],
        &["a circle of files", "pacing.rs:1"],
    );
}

#[test]
fn a_circle_through_a_re_export_is_found() {
    found(
        &[
            ("src/broker.rs", "mod embedded; mod deep;\npub use self::deep::inner::Inner;"),
            ("src/broker/deep.rs", "pub mod inner;"),
            (
                "src/broker/deep/inner.rs",
                "use crate::broker::embedded::*;\npub struct Inner(Open);",
            ),
            ("src/broker/embedded.rs", "pub struct Open(super::Inner);"),
        ],
        &["a circle of files", "src/broker/embedded.rs:1", "src/broker/deep/inner.rs:1"],
    );
}

#[test]
fn a_circle_by_all_names_of_a_module_is_found() {
    found(
        &[
            (
                "src/broker.rs",
                "mod embedded;\npub use self::embedded::*;\npub struct Address;\nfn f() { open() }",
            ),
            (
                "src/broker/embedded.rs",
                "use super::*;\npub fn open(_: Address) {}\npub struct Other(Address);",
            ),
            ("src/config.rs", "pub struct Settings;"),
            ("src/dead_letters.rs", "use crate::broker::Other;"),
            (
                "src/lib.rs",
                "pub mod broker; pub mod config; pub mod report; pub mod cli; pub mod \
                 dead_letters;",
            ),
            (
                "src/broker.rs",
                "mod embedded;\npub use self::embedded::*;\npub struct Address;\nfn f(x: \
                 crate::dead_letters::X) {}",
            ),
        ],
        &[
            "a circle of files",
            "src/dead_letters.rs:1",
            "src/broker.rs:4",
            "src/broker/embedded.rs:1",
        ],
    );
}

#[test]
fn a_circle_of_folders_is_found() {
    found(
        &[
            (
                "src/lib.rs",
                "pub mod broker; pub mod topics; pub mod config; pub mod report; pub mod cli;",
            ),
            ("src/topics.rs", "pub mod a; pub mod b;"),
            ("src/topics/a.rs", "use crate::broker::embedded::open;\npub struct A;"),
            ("src/topics/b.rs", "pub struct B;"),
            ("src/broker.rs", "pub mod embedded; pub mod other;\npub use self::embedded::open;"),
            ("src/broker/other.rs", "use crate::topics::b::B;"),
        ],
        &[
            "a circle of folders of src/: broker, topics",
            "src/topics/a.rs:1",
            "src/broker/other.rs:1",
        ],
    );
}

#[test]
fn an_import_through_the_root_page_is_found() {
    let told = ["imports through its own crate's root page", "actors/src/stage.rs:1"];
    found(&[("actors/src/stage.rs", "use crate::{Spec, clock::Clock};")], &told);
    found(&[("actors/src/stage.rs", "pub struct X(super::Spec);")], &told);
    let of_another = [("src/config.rs", "pub struct Settings(streamgauge_actors::Spec);")];
    assert_eq!(faults_with(&of_another), [""; 0]);
}

#[test]
fn an_arrow_against_the_order_is_found() {
    found(
        &[(
            "actors/src/clock.rs",
            "pub struct Clock;\npub fn now() -> u64 { crate::run::Run::new() }",
        )],
        &["actors/src/clock.rs names what stands above it: actors/src/run.rs"],
    );
    found(
        &[("src/broker/embedded.rs", "use crate::report::Report;\npub fn open() {}")],
        &["src/broker/embedded.rs names what stands above it: src/report.rs", "embedded.rs:1"],
    );
    found(
        &[("actors/src/clock.rs", "pub struct Clock(streamgauge::cli::X);\npub fn now() {}")],
        &["actors/src/clock.rs names what stands above it: src/cli.rs"],
    );
}

#[test]
fn a_stage_that_names_another_is_found() {
    found(
        &[("actors/src/latency.rs", "pub struct Latency(crate::producer::Producer);")],
        &["actors/src/latency.rs names another stage: actors/src/producer.rs", "latency.rs:1"],
    );
}

#[test]
fn a_file_without_a_place_is_found() {
    found(
        &[
            (
                "src/lib.rs",
                "pub mod drawer; pub mod broker; pub mod config; pub mod report; pub mod cli;",
            ),
            ("src/drawer.rs", ""),
        ],
        &["src/drawer.rs has no place in the order"],
    );
}
