//! Rust's text as words and marks: comments, texts and lifetimes fall away.

/// What a page of Rust is made of, as far as paths need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// An identifier or a keyword.
    Word(String),
    /// `::`
    Scope,
    /// Any other character that means something.
    Mark(char),
    /// A text, a character or a number.
    Literal,
}

/// A token, and its line, counted from 1.
pub(crate) type Placed = (Token, usize);

/// The tokens of a file.
pub(crate) fn lex(text: &str) -> Vec<Placed> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, line: 1 };
    let mut tokens = Vec::new();
    while let Some(first) = lexer.peek(0) {
        let line = lexer.line;
        if let Some(token) = lexer.token(first) {
            tokens.push((token, line));
        }
    }
    tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn step(&mut self) {
        self.line += usize::from(self.peek(0) == Some('\n'));
        self.at += 1;
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.step();
        }
    }

    fn skip_while(&mut self, holds: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&holds) {
            self.step();
        }
    }

    fn token(&mut self, first: char) -> Option<Token> {
        match (first, self.peek(1)) {
            ('/', Some('/')) => {
                self.skip_while(|c| c != '\n');
                None
            }
            ('/', Some('*')) => {
                self.skip_comment();
                None
            }
            ('"', _) => {
                self.skip_text();
                Some(Token::Literal)
            }
            ('\'', _) => self.quote(),
            (':', Some(':')) => {
                self.skip(2);
                Some(Token::Scope)
            }
            _ if first.is_ascii_digit() => {
                self.skip_while(is_word);
                Some(Token::Literal)
            }
            _ if is_word(first) => Some(self.word()),
            _ => {
                self.step();
                (!first.is_whitespace()).then_some(Token::Mark(first))
            }
        }
    }

    fn skip_comment(&mut self) {
        let mut depth = 0;
        while self.peek(0).is_some() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                _ => {
                    self.step();
                    continue;
                }
            }
            self.skip(2);
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_text(&mut self) {
        self.step();
        while let Some(c) = self.peek(0) {
            match c {
                '\\' => self.skip(2),
                '"' => return self.step(),
                _ => self.step(),
            }
        }
    }

    /// `r##"…"##`, from its first `#` or quote on.
    fn skip_raw_text(&mut self) {
        let start = self.at;
        self.skip_while(|c| c == '#');
        let fences = self.at - start;
        self.step();
        while let Some(c) = self.peek(0) {
            self.step();
            if c == '"' && (0..fences).all(|ahead| self.peek(ahead) == Some('#')) {
                return self.skip(fences);
            }
        }
    }

    /// A character, or a lifetime, which is nothing.
    fn quote(&mut self) -> Option<Token> {
        let is_char = self.peek(1) == Some('\\') || self.peek(2) == Some('\'');
        if !is_char {
            self.step();
            self.skip_while(is_word);
            return None;
        }
        self.step();
        if self.peek(0) == Some('\\') {
            self.skip(2);
        } else {
            self.step();
        }
        self.skip_while(|c| c != '\'');
        self.step();
        Some(Token::Literal)
    }

    /// A word, or the text whose prefix it is.
    fn word(&mut self) -> Token {
        let start = self.at;
        self.skip_while(is_word);
        let word: String = self.chars[start..self.at].iter().collect();
        match (word.as_str(), self.peek(0), self.peek(1)) {
            ("b" | "c", Some('"'), _) => self.skip_text(),
            ("b", Some('\''), _) => drop(self.quote()),
            ("r" | "br" | "cr", Some('"'), _) | ("r" | "br" | "cr", Some('#'), Some('"' | '#')) => {
                self.skip_raw_text();
            }
            ("r", Some('#'), Some(next)) if is_word(next) => {
                self.step();
                return self.word();
            }
            _ => return Token::Word(word),
        }
        Token::Literal
    }
}

#[test]
fn only_code_is_left() {
    let text = "use a::b; // use c::d\n/* e /* f */ g::h */ let x: &'a str = \"crate::i\";\n\
                r#\"crate::\"j\"#; b'\\''; '\"'; r#type::k(1.5)";
    let words: Vec<String> = lex(text)
        .into_iter()
        .filter_map(|(token, line)| match token {
            Token::Word(word) => Some(format!("{word}@{line}")),
            _ => None,
        })
        .collect();
    assert_eq!(words, ["use@1", "a@1", "b@1", "let@2", "x@2", "str@2", "type@3", "k@3"]);
    assert_eq!(lex("a::b").iter().filter(|(token, _)| *token == Token::Scope).count(), 1);
}
