//! A place in a text that holds JSON, perhaps: moves forward only, and says why it cannot.

use serde_json::{Deserializer, value::RawValue};

/// Why a thing was not read to its end.
pub(super) enum Stop {
    /// No JSON: a bracket in a sentence.
    Prose,
    /// JSON that ends too soon.
    Cut,
    /// JSON that breaks.
    Broken,
}

pub(super) struct Scan<'a> {
    text: &'a str,
    /// In bytes, at most the text's length.
    pub(super) at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Whether another member follows; takes the comma, or the closing bracket.
    pub(super) fn goes_on(&mut self, close: u8, is_first: bool) -> Result<bool, Stop> {
        self.space();
        if self.take(close) {
            return Ok(false);
        }
        if is_first {
            return Ok(true);
        }
        if !self.take(b',') {
            return Err(self.stop(false));
        }
        self.space();
        Ok(!self.take(close)) // a comma too many
    }

    /// The JSON value that stands here, as it is written, however deep it is nested.
    pub(super) fn value(&mut self) -> Result<&'a str, Stop> {
        let rest = self.rest();
        let mut values = Deserializer::from_str(rest).into_iter::<&RawValue>();
        let raw = match values.next() {
            Some(Ok(raw)) => raw.get(),
            Some(Err(error)) if !ends_at(&error, rest) => return Err(Stop::Broken),
            Some(Err(_)) | None => return Err(Stop::Cut),
        };
        self.at += values.byte_offset();
        // "12" at the very end may have been "123"
        let is_cut = self.at == self.text.len() && !raw.ends_with(['"', '}', ']']);
        if is_cut { Err(Stop::Cut) } else { Ok(raw) }
    }

    /// Why something else stands here than should.
    pub(super) fn stop(&self, may_be_prose: bool) -> Stop {
        match self.peek() {
            None => Stop::Cut,
            Some(_) if may_be_prose => Stop::Prose,
            Some(_) => Stop::Broken,
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_here = self.peek() == Some(byte);
        self.at += usize::from(is_here);
        is_here
    }

    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }
}

/// Whether the text only ends too soon. `1.` and `-` are no numbers to `serde_json`, at the end too.
fn ends_at(error: &serde_json::Error, text: &str) -> bool {
    let last = text.rsplit('\n').next().unwrap_or_default();
    let is_last_line = || error.line() == 1 + text.matches('\n').count();
    let is_number = text.ends_with(['-', '+', '.', 'e', 'E']);
    error.is_eof() || (is_number && error.column() == last.len() && is_last_line())
}
