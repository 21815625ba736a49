//! One file of Rust as the checks see it: its modules, what each brings in, and the paths written
//! out in it.
//!
//! Code that only tests compile (`#[cfg(test)]`) is left out: a test may name anything.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::{Placed, Token, lex};

/// A path as it stands in the code.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub path: Vec<String>,
    pub line: usize,
}

/// One name of a `use`.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub written: Written,
    /// What it is called here; `*` for all names of a module.
    pub name: String,
    /// It gives the name on.
    pub is_public: bool,
}

/// A module: a file, or a block within one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Module {
    pub children: BTreeSet<String>,
    pub imports: Vec<Import>,
    pub paths: Vec<Written>,
    /// Items defined here, by name.
    pub items: BTreeSet<String>,
    /// Every word but those of its imports.
    pub words: BTreeSet<String>,
    /// Modules of their own files that only tests compile.
    pub test_children: BTreeSet<String>,
}

/// The modules of a file by their place in it; the file itself is the empty place.
pub(crate) fn parse(text: &str) -> BTreeMap<Vec<String>, Module> {
    let tokens = lex(text);
    let mut parser =
        Parser { tokens: &tokens, at: 0, depth: 0, open: vec![], found: BTreeMap::new() };
    parser.found.insert(vec![], Module::default());
    parser.run();
    parser.found
}

struct Parser<'a> {
    tokens: &'a [Placed],
    at: usize,
    /// Braces around the place.
    depth: usize,
    /// The blocks of modules around the place, with the depth within each.
    open: Vec<(String, usize)>,
    found: BTreeMap<Vec<String>, Module>,
}

const ITEMS: [&str; 9] =
    ["struct", "enum", "union", "trait", "type", "fn", "const", "static", "macro_rules"];

impl Parser<'_> {
    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|(token, _)| token)
    }

    fn is_mark(&self, ahead: usize, mark: char) -> bool {
        self.token(ahead) == Some(&Token::Mark(mark))
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match self.token(ahead) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn line(&self) -> usize {
        self.tokens[self.at].1
    }

    fn place(&self) -> Vec<String> {
        self.open.iter().map(|(name, _)| name.clone()).collect()
    }

    fn module(&mut self) -> &mut Module {
        let place = self.place();
        self.found.get_mut(&place).expect("entered")
    }

    /// Just inside a module's block, not in a function or an `impl` of it.
    fn is_at_items(&self) -> bool {
        self.depth == self.open.last().map_or(0, |(_, depth)| *depth)
    }

    fn run(&mut self) {
        let mut is_public = false;
        while let Some(token) = self.token(0).cloned() {
            match token {
                Token::Mark('#') if self.is_mark(1, '[') || self.is_mark(1, '!') => {
                    self.attribute();
                    continue;
                }
                Token::Mark('{') => self.depth += 1,
                Token::Mark('}') => {
                    if self.open.last().is_some_and(|(_, depth)| *depth == self.depth) {
                        self.open.pop();
                    }
                    self.depth = self.depth.saturating_sub(1);
                }
                Token::Word(word) => {
                    let was_public = std::mem::take(&mut is_public);
                    match word.as_str() {
                        "pub" => {
                            is_public = true;
                            self.at += 1;
                            if self.is_mark(0, '(') {
                                self.skip_group('(', ')');
                            }
                        }
                        "use" => self.import(was_public),
                        "mod" => self.child(false),
                        _ => self.path(&word),
                    }
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// Skips from an opening mark past the one that closes it.
    fn skip_group(&mut self, opening: char, closing: char) {
        let mut depth = 0;
        while let Some(token) = self.token(0) {
            depth += i32::from(*token == Token::Mark(opening));
            depth -= i32::from(*token == Token::Mark(closing));
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// An attribute; where it is for tests, the item behind it, too.
    fn attribute(&mut self) {
        let start = self.at;
        let is_inner = self.is_mark(1, '!');
        self.at += if is_inner { 2 } else { 1 };
        self.skip_group('[', ']');
        let words: Vec<&str> = self.tokens[start..self.at]
            .iter()
            .filter_map(|(token, _)| match token {
                Token::Word(word) => Some(word.as_str()),
                _ => None,
            })
            .collect();
        let is_for_tests = words == ["test"]
            || (words[..] == ["cfg", "test"] || words.starts_with(&["cfg", "all", "test"]));
        if !is_for_tests {
            return;
        }
        if is_inner {
            self.at = self.tokens.len();
            return;
        }
        while self.is_mark(0, '#') {
            self.at += 1;
            self.skip_group('[', ']');
        }
        if self.word(0) == Some("pub") {
            self.at += 1;
            if self.is_mark(0, '(') {
                self.skip_group('(', ')');
            }
        }
        match self.word(0) {
            Some("mod") => self.child(true),
            first => {
                let ends_in_block = first != Some("use");
                self.skip_item(ends_in_block);
            }
        }
    }

    fn skip_item(&mut self, ends_in_block: bool) {
        while let Some(token) = self.token(0).cloned() {
            match token {
                Token::Mark('{') => {
                    self.skip_group('{', '}');
                    if ends_in_block {
                        return;
                    }
                }
                Token::Mark('[') => self.skip_group('[', ']'),
                Token::Mark('(') => self.skip_group('(', ')'),
                Token::Mark(';') => {
                    self.at += 1;
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    /// `mod name;` or `mod name { … }`.
    fn child(&mut self, is_for_tests: bool) {
        let Some(name) = self.word(1).map(str::to_owned) else {
            self.at += 1;
            return;
        };
        let is_block = self.is_mark(2, '{');
        self.at += 3;
        if is_for_tests {
            if is_block {
                self.at -= 1;
                self.skip_group('{', '}');
            } else {
                self.module().test_children.insert(name);
            }
            return;
        }
        self.module().children.insert(name.clone());
        if is_block {
            self.depth += 1;
            self.open.push((name, self.depth));
            let place = self.place();
            self.found.entry(place).or_default();
        }
    }

    fn import(&mut self, is_public: bool) {
        self.at += 1;
        let mut found = Vec::new();
        self.import_tree(&[], is_public, &mut found);
        self.module().imports.append(&mut found);
    }

    fn import_tree(&mut self, before: &[String], is_public: bool, found: &mut Vec<Import>) {
        let mut path = before.to_vec();
        let mut line = self.tokens.get(self.at).map_or(0, |(_, line)| *line);
        loop {
            match self.token(0).cloned() {
                Some(Token::Word(word)) => {
                    line = self.line();
                    self.at += 1;
                    if word != "self" || path.is_empty() {
                        path.push(word);
                    }
                }
                Some(Token::Scope) => {
                    self.at += 1;
                    continue;
                }
                Some(Token::Mark('{')) => {
                    self.at += 1;
                    while self.token(0).is_some() && !self.is_mark(0, '}') {
                        if self.is_mark(0, ',') {
                            self.at += 1;
                        } else {
                            self.import_tree(&path, is_public, found);
                        }
                    }
                    self.at += 1;
                    return;
                }
                Some(Token::Mark('*')) => {
                    self.at += 1;
                    let written = Written { path, line };
                    found.push(Import { written, name: "*".to_owned(), is_public });
                    return;
                }
                _ => return,
            }
            if self.word(0) == Some("as") {
                let name = self.word(1).unwrap_or("_").to_owned();
                self.at += 2;
                found.push(Import { written: Written { path, line }, name, is_public });
                return;
            }
            if self.token(0) != Some(&Token::Scope) {
                let name = path.last().cloned().unwrap_or_default();
                found.push(Import { written: Written { path, line }, name, is_public });
                return;
            }
        }
    }

    /// A word in the code, with the path that it begins.
    fn path(&mut self, first: &str) {
        if self.is_at_items() && ITEMS.contains(&first) {
            let ahead = if first == "macro_rules" { 2 } else { 1 };
            if let Some(name) = self.word(ahead).map(str::to_owned) {
                self.module().items.insert(name);
            }
        }
        let goes_on = self.at > 0 && self.tokens[self.at - 1].0 == Token::Scope;
        let line = self.line();
        let mut path = vec![first.to_owned()];
        self.at += 1;
        while self.token(0) == Some(&Token::Scope) {
            let Some(word) = self.word(1).map(str::to_owned) else { break };
            path.push(word);
            self.at += 2;
        }
        let module = self.module();
        module.words.extend(path.iter().cloned());
        if path.len() > 1 && !goes_on {
            module.paths.push(Written { path, line });
        }
    }
}
