//! The table of docs/settings.md, made from the comments of `config/default.toml`.

use std::fmt::Write as _;
use std::fs;

use super::defaults::{ByRequest, DefaultEntry, DefaultSetting, default_entries};

/// What stands before the table, and behind it.
const BEGIN: &str = "<!-- made from config/default.toml: begin -->\n";
const END: &str = "<!-- made from config/default.toml: end -->\n";

fn table() -> String {
    let mut text =
        "| setting | default | by request | what it is |\n|---|---|---|---|\n".to_owned();
    for entry in default_entries() {
        match entry {
            DefaultEntry::Setting(DefaultSetting { key, default, about, by_request }) => {
                let by_request = match by_request {
                    ByRequest::Never => "",
                    ByRequest::Always => "yes",
                    ByRequest::WithoutCredentials => "without credentials",
                };
                let about = cell(&about);
                writeln!(text, "| `{key}` | `{default}` | {by_request} | {about} |").unwrap();
            }
            DefaultEntry::Section { name, about } if !about.is_empty() => {
                writeln!(text, "| `[{name}]` | none | | {} |", cell(&about)).unwrap();
            }
            DefaultEntry::Section { .. } => {}
        }
    }
    text
}

/// Text as a cell of a table shows it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('*', "\\*")
}

#[test]
fn the_settings_page_has_every_setting_as_the_defaults_describe_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md");
    let page = fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page marks where the table begins");
    let (_, after) = rest.split_once(END).expect("the page marks where the table ends");
    let expected = [before, BEGIN, &table(), END, after].concat();
    if std::env::var_os("STREAMGAUGE_WRITE").is_some() {
        fs::write(path, expected).unwrap();
    } else {
        assert!(page == expected, "run this test with STREAMGAUGE_WRITE=1 to write it anew");
    }
}

#[test]
fn every_setting_is_described() {
    for entry in default_entries() {
        if let DefaultEntry::Setting(setting) = entry {
            assert!(setting.about.ends_with(['.', ')']), "{setting:?}");
        }
    }
}
