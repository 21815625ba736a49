//! Style is a test: short functions and files, one width, names that mean one thing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::architecture::lexer::{Placed, Token, lex};
use crate::architecture::{root, sources_below};

/// Folders of sources, and of tests.
const SOURCES: [&str; 4] = ["src", "actors/src", "tests/support/src", "benches"];
const TESTS: [&str; 3] = ["tests/it", "tests/servers", "actors/tests"];
/// What tidy code keeps to.
const FUNCTION_LINES: usize = 70;
const FILE_LINES: usize = 500;
const WIDTH: usize = 100;

/// Names that two types have, and why.
const NAMED_TWICE: [(&str, &str); 0] = [];

fn files(folders: &[&str]) -> Vec<(PathBuf, String)> {
    folders.iter().flat_map(|folder| sources_below(&root(), folder)).collect()
}

fn all_files() -> Vec<(PathBuf, String)> {
    files(&[&SOURCES[..], &TESTS[..]].concat())
}

fn none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{} times {what}:\n{}", faults.len(), faults.join("\n"));
}

fn is_mark(token: Option<&Placed>, mark: char) -> bool {
    token.is_some_and(|(token, _)| *token == Token::Mark(mark))
}

fn word(token: Option<&Placed>) -> Option<&str> {
    match token {
        Some((Token::Word(word), _)) => Some(word),
        _ => None,
    }
}

/// Every function with a body: its name, its first line, and its lines.
fn functions(tokens: &[Placed]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, (token, line)) in tokens.iter().enumerate() {
        let is_fn = *token == Token::Word("fn".to_owned());
        let Some(name) = is_fn.then(|| word(tokens.get(at + 1))).flatten() else { continue };
        // Within brackets of any kind; an array's `;` ends no function.
        let mut within = 0_i32;
        for (token, last) in &tokens[at..] {
            match token {
                Token::Mark('{' | '(' | '[') => within += 1,
                Token::Mark('}' | ')' | ']') => within -= 1,
                _ => {}
            }
            if within == 0 && matches!(token, Token::Mark('}' | ';')) {
                found.push((name.to_owned(), *line, last - line + 1));
                break;
            }
        }
    }
    found
}

/// Types that are public, or public in their crate: their names and lines.
fn public_types(tokens: &[Placed]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        if word(tokens.get(at)) != Some("pub") {
            continue;
        }
        let in_crate =
            is_mark(tokens.get(at + 1), '(') && word(tokens.get(at + 2)) == Some("crate");
        let keyword = at + if in_crate { 4 } else { 1 };
        let is_type = matches!(
            word(tokens.get(keyword)),
            Some("struct" | "enum" | "trait" | "type" | "union")
        );
        if let Some(name) = is_type.then(|| word(tokens.get(keyword + 1))).flatten() {
            found.push((name.to_owned(), tokens[keyword].1));
        }
    }
    found
}

/// How many lines a file has before its tests.
fn lines_before_tests(text: &str) -> usize {
    let mut lines = text.lines().collect::<Vec<_>>().into_iter().peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        let is_block =
            lines.peek().is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        if line == "#[cfg(test)]" && is_block {
            break;
        }
        count += 1;
    }
    count
}

fn is_of_tests(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests")
        || path.components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn functions_are_short() {
    let mut faults = Vec::new();
    for (path, text) in all_files() {
        for (name, line, lines) in functions(&lex(&text)) {
            if lines > FUNCTION_LINES {
                faults.push(format!("{}:{line}: {name} has {lines} lines", path.display()));
            }
        }
    }
    none(&format!("more than {FUNCTION_LINES} lines in a function"), &faults);
}

#[test]
fn files_are_short() {
    let mut faults = Vec::new();
    for (path, text) in files(&SOURCES) {
        let lines = lines_before_tests(&text);
        if lines > FILE_LINES && !is_of_tests(&path) {
            faults.push(format!("{}: {lines} lines", path.display()));
        }
    }
    none(&format!("more than {FILE_LINES} lines in a file, its tests aside"), &faults);
}

#[test]
fn a_module_is_named_by_its_file() {
    let named_mod = |(path, _): &(PathBuf, String)| path.ends_with("mod.rs");
    let faults: Vec<_> = all_files()
        .iter()
        .filter(|file| named_mod(file))
        .map(|(path, _)| path.display().to_string())
        .collect();
    none("a mod.rs, which belongs beside its folder under the folder's name", &faults);
}

#[test]
fn no_line_is_too_wide() {
    let mut faults = Vec::new();
    for (path, text) in all_files() {
        for (line, content) in (1..).zip(text.lines()) {
            let width = content.chars().count();
            if width > WIDTH {
                faults.push(format!("{}:{line}: {width} columns", path.display()));
            }
        }
    }
    none(&format!("more than {WIDTH} columns"), &faults);
}

#[test]
fn a_types_name_means_one_thing() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in files(&SOURCES) {
        if is_of_tests(&path) && !path.starts_with("tests/support") {
            continue;
        }
        for (name, line) in public_types(&lex(&text)) {
            places.entry(name).or_default().push(format!("{}:{line}", path.display()));
        }
    }
    let excused = |name: &str| NAMED_TWICE.iter().any(|(excused, _)| *excused == name);
    let faults: Vec<_> = places
        .iter()
        .filter(|(name, places)| places.len() > 1 && !excused(name))
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect();
    none("a name of two types", &faults);
    for (name, why) in NAMED_TWICE {
        let is_there = places.get(name).is_some_and(|places| places.len() > 1);
        assert!(is_there, "{name} is excused ({why}), but names one type or none");
    }
}

#[test]
fn what_is_untidy_is_found() {
    let text = "fn a(x: [u8; 2]) -> u8 {\n    if x { 1 } else { 2 }\n}\ntrait T { fn b(); }\n\
                pub struct C; pub(crate) enum D {}\npub(super) type E = fn(); struct F;";
    let tokens = lex(text);
    let found: Vec<_> =
        functions(&tokens).into_iter().map(|(name, _, lines)| (name, lines)).collect();
    assert_eq!(found, [("a".to_owned(), 3), ("b".to_owned(), 1)]);
    let types: Vec<_> = public_types(&tokens).into_iter().map(|(name, _)| name).collect();
    assert_eq!(types, ["C", "D"]);
    assert_eq!(lines_before_tests("a\n#[cfg(test)]\nuse b;\n#[cfg(test)]\nmod tests {\n}\n"), 3);
}
