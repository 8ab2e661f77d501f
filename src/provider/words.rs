//! A provider's words, made fit for our errors.
//!
//! Owns: hiding what we sent, escaping, cutting. Providers do quote: a suspended key comes back as
//! "Consumer 'api_key:...' has been suspended", a malformed request with its text.

use std::collections::{BTreeMap, HashMap};

use secrecy::{ExposeSecret, SecretString};

use crate::llm::Request;

/// Longest text kept, in characters.
const WORDS_MAX: usize = 500;
/// Longest text looked at, in bytes.
const LOOK_MAX: usize = 16 << 10;
/// A run of this many bytes that also stands in the prompt is a quote of it.
const QUOTE: usize = 24;
/// A prompt or key shorter than this is an everyday word and not hidden.
const SHORTEST: usize = 8;
/// Longest clause kept where nobody knows what was sent, in characters.
const CLAUSE_MAX: usize = 120;

/// What must not be repeated of one call.
pub(super) struct Veil<'a> {
    key: &'a str,
    texts: Vec<&'a str>,
    is_blind: bool,
}

impl<'a> Veil<'a> {
    /// For a call that sends no prompt.
    pub(super) fn new(key: &'a SecretString) -> Self {
        Self {
            key: key.expose_secret().trim(),
            texts: Vec::new(),
            is_blind: false,
        }
    }

    /// For words about what was sent some time ago and is not here to be looked for: of these only the
    /// first clause is kept, up to where a quote may begin.
    pub(super) fn blind(key: &'a SecretString) -> Self {
        Self {
            is_blind: true,
            ..Self::new(key)
        }
    }

    /// For a call that sends this request.
    pub(super) fn over(key: &'a SecretString, request: &'a Request) -> Self {
        let system = request.system.as_deref();
        Self {
            texts: system
                .into_iter()
                .chain([request.prompt.as_str()])
                .collect(),
            ..Self::new(key)
        }
    }

    /// For a call that sends these texts.
    pub(super) fn over_texts(key: &'a SecretString, texts: &'a [String]) -> Self {
        Self {
            texts: texts.iter().map(String::as_str).collect(),
            ..Self::new(key)
        }
    }

    /// The words with the key and quotes of the prompt withheld, control characters escaped, cut to
    /// 500 characters.
    pub(super) fn words(&self, raw: &str) -> String {
        let raw = raw[..raw.floor_char_boundary(LOOK_MAX)].trim();
        let raw = if self.is_blind { clause(raw) } else { raw };
        let mut hidden = vec![false; raw.len()];
        // a real key is long; hiding a letter or two would only hide the words
        if self.key.len() >= SHORTEST {
            for (at, found) in raw.match_indices(self.key) {
                hidden[at..at + found.len()].fill(true);
            }
        }
        // one look for all texts of a width, and there are few widths
        let mut by_width: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for text in self.texts.iter().map(|text| text.trim()) {
            by_width
                .entry(QUOTE.min(text.len()))
                .or_default()
                .push(text);
        }
        for (width, texts) in by_width.range(SHORTEST..) {
            hide_quotes(raw, texts, *width, &mut hidden);
        }
        cut(&escaped(raw, &hidden))
    }
}

/// The first clause, up to the first mark behind which something may be quoted.
fn clause(raw: &str) -> &str {
    let mut last = ' ';
    let end = raw.char_indices().enumerate().find(|(count, (_, c))| {
        let begins = match c {
            '"' | '`' | '\u{2018}' | '\u{201c}' | '\u{ab}' | '{' | '[' | '(' | '<' | ':' | '\n' => {
                true
            }
            // not that of "doesn't"
            '\'' => !last.is_alphanumeric(),
            c => c.is_whitespace() && matches!(last, '.' | '!' | '?' | ';'),
        };
        last = *c;
        begins || *count == CLAUSE_MAX
    });
    end.map_or(raw, |(_, (at, _))| raw[..at].trim_end())
}

/// Words of an answer and not of a refusal: escaped and cut, nothing withheld.
pub(super) fn plain(raw: &str) -> String {
    let raw = &raw[..raw.floor_char_boundary(LOOK_MAX)];
    cut(&escaped(raw, &vec![false; raw.len()]))
}

/// Marks the runs of `width` bytes of `raw` that also stand in one of `texts`. Linear in all.
fn hide_quotes(raw: &str, texts: &[&str], width: usize, hidden: &mut [bool]) {
    let mut places: HashMap<&[u8], Vec<usize>> = HashMap::new();
    // Spares most hashing: a prompt has megabytes, and we are on an async thread.
    let mut begins = vec![false; 1 << 16];
    let first_two = |window: &[u8]| usize::from(u16::from_le_bytes([window[0], window[1]]));
    for (at, window) in raw.as_bytes().windows(width).enumerate() {
        places.entry(window).or_default().push(at);
        begins[first_two(window)] = true;
    }
    let windows = texts.iter().flat_map(|text| text.as_bytes().windows(width));
    for window in windows.filter(|window| begins[first_two(window)]) {
        // Taken out, so that a text of one repeated letter does not mark the same places again.
        for at in places.remove(window).into_iter().flatten() {
            hidden[at..at + width].fill(true);
        }
    }
}

fn escaped(raw: &str, hidden: &[bool]) -> String {
    let mut words = String::with_capacity(raw.len());
    let mut hiding = false;
    for (at, c) in raw.char_indices() {
        // A character is hidden with any of its bytes.
        let hide = hidden[at..at + c.len_utf8()].contains(&true);
        if hide && !hiding {
            words.push_str("[withheld]");
        }
        hiding = hide;
        if hide {
            continue;
        }
        match c {
            '\n' => words.push(' '),
            // Text direction and line separators can forge what a log line seems to say.
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                words.extend(c.escape_unicode());
            }
            c if c.is_control() => words.extend(c.escape_default()),
            c => words.push(c),
        }
    }
    words
}

fn cut(words: &str) -> String {
    match words.char_indices().nth(WORDS_MAX) {
        None => words.to_owned(),
        Some(_) => words.chars().take(WORDS_MAX - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROMPT: &str = "Dear bank, the machine in Elm Street ate my card on Sunday, please help.";

    fn words(raw: &str) -> String {
        let key = SecretString::from("AQ.the-key");
        let request = Request {
            prompt: PROMPT.to_owned(),
            ..Request::default()
        };
        Veil::over(&key, &request).words(raw)
    }

    #[test]
    fn the_key_is_withheld() {
        assert_eq!(
            words("Consumer 'api_key:AQ.the-key' has been suspended."),
            "Consumer 'api_key:[withheld]' has been suspended."
        );
    }

    #[test]
    fn a_quote_of_the_prompt_is_withheld_even_in_part() {
        let part = &PROMPT[5..60];
        assert_eq!(
            words(&format!("bad value \"{part}\"")),
            "bad value \"[withheld]\""
        );
        assert_eq!(words(&format!("bad: {PROMPT}")), "bad: [withheld]");
    }

    #[test]
    fn words_about_what_is_not_here_are_kept_up_to_where_a_quote_may_begin() {
        let key = SecretString::from("AQ.the-key");
        let words = |raw: &str| Veil::blind(&key).words(raw);
        assert_eq!(
            words("Request contains an invalid argument."),
            "Request contains an invalid argument."
        );
        assert_eq!(words("It doesn't fit"), "It doesn't fit");
        for quoting in [
            format!("no: {PROMPT}"),
            format!("no '{PROMPT}'"),
            format!("no \"{PROMPT}\""),
            format!("no {{\"text\": \"{PROMPT}\"}}"),
            format!("no. {PROMPT}"),
            format!("no\n{PROMPT}"),
        ] {
            let shown = words(&quoting);
            assert!(shown == "no" || shown == "no.", "{quoting}: {shown}");
        }
        assert_eq!(words("by AQ.the-key"), "by [withheld]");
        assert_eq!(words(&"a ".repeat(200)).len(), 119);
    }

    #[test]
    fn control_characters_are_escaped_and_long_words_cut() {
        assert_eq!(
            words("a\u{1b}[31mb\0\u{202e}c\nd"),
            r"a\u{1b}[31mb\u{0}\u{202e}c d"
        );
        assert_eq!(words(&"é".repeat(3_000)).chars().count(), WORDS_MAX);
        assert_eq!(words(&"é".repeat(500)).chars().last(), Some('é'));
    }

    proptest! {
        #[test]
        fn whatever_surrounds_them_key_and_prompt_do_not_show(before in ".{0,40}", after in ".{0,40}") {
            let shown = words(&format!("{before}AQ.the-key{after}{PROMPT}{before}"));
            prop_assert!(!shown.contains("AQ.the-key"));
            prop_assert!(!shown.contains("Elm Street"));
            prop_assert!(!shown.contains(char::is_control));
        }
    }
}
