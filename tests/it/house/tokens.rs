//! Rust read as a row of words, texts and marks: enough to see what a file names, without comments.

/// One token and its line, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// An identifier, a keyword, a number.
    Word(String),
    /// What stands inside a string literal, escapes as written.
    Text(String),
    /// `::`.
    Joint,
    /// Any other character.
    Mark(char),
}

impl Token {
    pub(super) fn is(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    pub(super) fn is_mark(&self, mark: char) -> bool {
        self.what == What::Mark(mark)
    }

    pub(super) fn word(&self) -> Option<&str> {
        match &self.what {
            What::Word(word) => Some(word),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.what {
            What::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads a file. What it does not understand becomes marks.
pub(super) fn read(source: &str) -> Vec<Token> {
    let mut reader = Reader {
        chars: source.chars().collect(),
        at: 0,
        line: 1,
        tokens: Vec::new(),
    };
    while reader.step() {}
    reader.tokens
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Reader {
    fn step(&mut self) -> bool {
        let (Some(c), next) = (self.peek(0), self.peek(1)) else {
            return false;
        };
        match (c, next) {
            ('/', Some('/')) => self.skip_line(),
            ('/', Some('*')) => self.skip_block(),
            ('"', _) => self.text(),
            ('b' | 'c', Some('"')) => {
                self.eat();
                self.text();
            }
            ('r' | 'b', _) if self.raw_hashes().is_some() => self.raw_text(),
            ('\'', _) => self.quote(),
            (':', Some(':')) => {
                self.push(What::Joint);
                self.eat();
                self.eat();
            }
            _ if is_word(c) => self.word(),
            _ => {
                if !c.is_whitespace() {
                    self.push(What::Mark(c));
                }
                self.eat();
            }
        }
        true
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn eat(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn push(&mut self, what: What) {
        let line = self.line;
        self.tokens.push(Token { line, what });
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.eat();
        }
    }

    fn skip_block(&mut self) {
        let mut open = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => (open, self.at) = (open + 1, self.at + 2),
                (Some('*'), Some('/')) => (open, self.at) = (open - 1, self.at + 2),
                (None, _) => return,
                _ => drop(self.eat()),
            }
            if open == 0 {
                return;
            }
        }
    }

    fn text(&mut self) {
        let line = self.line;
        self.eat();
        let mut text = String::new();
        while let Some(c) = self.eat() {
            match c {
                '"' => break,
                '\\' => {
                    text.push(c);
                    text.extend(self.eat());
                }
                _ => text.push(c),
            }
        }
        let what = What::Text(text);
        self.tokens.push(Token { line, what });
    }

    /// How many `#` open the raw string that begins here, if one does.
    fn raw_hashes(&self) -> Option<usize> {
        let start = match (self.peek(0), self.peek(1)) {
            (Some('b'), Some('r')) => 2,
            (Some('r'), _) => 1,
            _ => return None,
        };
        let hashes = (start..)
            .take_while(|&ahead| self.peek(ahead) == Some('#'))
            .count();
        (self.peek(start + hashes) == Some('"')).then_some(hashes)
    }

    fn raw_text(&mut self) {
        let line = self.line;
        let hashes = self.raw_hashes().unwrap_or(0);
        while self.eat() != Some('"') {}
        let mut text = String::new();
        while let Some(c) = self.eat() {
            if c == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.at += hashes;
                break;
            }
            text.push(c);
        }
        let what = What::Text(text);
        self.tokens.push(Token { line, what });
    }

    /// A character, or the tick of a lifetime.
    fn quote(&mut self) {
        self.eat();
        if self.peek(0) == Some('\\') {
            self.eat();
            self.eat();
            while self.peek(0).is_some_and(|c| c != '\'') {
                self.eat();
            }
            self.eat();
        } else if self.peek(1) == Some('\'') {
            self.eat();
            self.eat();
        }
    }

    fn word(&mut self) {
        let line = self.line;
        let mut word = String::new();
        while let Some(c) = self.peek(0).filter(|&c| is_word(c)) {
            word.push(c);
            self.eat();
        }
        let what = What::Word(word);
        self.tokens.push(Token { line, what });
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn comments_texts_and_lifetimes_are_told_apart() {
    let source = "// crate::a\n/* crate::b /* c */ */ fn f<'a>(x: &'a str) { r#\"crate::\"d\"#; 'x'; '\\''; \"e\\\"f\"; b\"g\" }";
    let tokens = read(source);
    let texts: Vec<_> = tokens.iter().filter_map(Token::text).collect();
    assert_eq!(texts, ["crate::\"d", "e\\\"f", "g"]);
    assert!(!tokens.iter().any(|token| token.is("crate")));
    assert!(tokens.iter().all(|token| token.line == 2));
}
