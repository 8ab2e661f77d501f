//! As much of Postgres's protocol as it takes to see which statement is executed, and when its
//! answer is whole.

use std::collections::BTreeMap;

/// A statement as it was sent to be executed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) text: String,
    /// Its answer is whole when the server has been ready for so many more: the start counts as one.
    pub(crate) answer: u64,
}

/// The statements in what a client sends.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    frames: Frames,
    started: bool,
    prepared: BTreeMap<Vec<u8>, String>,
    /// How many times the server was asked to become ready.
    asked: u64,
}

impl Statements {
    /// Those executed by these bytes: a prepared one when it is bound.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Statement> {
        self.frames.buffer.extend_from_slice(bytes);
        if !self.started && self.frames.take_untyped() {
            self.started = true;
            self.asked = 1;
        }
        let mut executed = Vec::new();
        while self.started
            && let Some((kind, body)) = self.frames.take()
        {
            let mut words = body.split(|byte| *byte == 0);
            let mut word = || words.next().unwrap_or_default();
            match kind {
                b'P' => {
                    let (name, text) = (word().to_vec(), word());
                    let text = String::from_utf8_lossy(text).into_owned();
                    self.prepared.insert(name, text);
                }
                b'B' => {
                    let (_portal, name) = (word(), word());
                    let answer = self.asked + 1;
                    let text = self.prepared.get(name).cloned().unwrap_or_default();
                    executed.push(Statement { text, answer });
                }
                b'Q' => {
                    self.asked += 1;
                    executed.push(Statement {
                        text: String::from_utf8_lossy(word()).into_owned(),
                        answer: self.asked,
                    });
                }
                b'S' => self.asked += 1,
                _ => {}
            }
        }
        executed
    }
}

/// What a server answers.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    frames: Frames,
    ready: u64,
}

impl Replies {
    /// How many times the server has become ready, these bytes included.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> u64 {
        self.frames.buffer.extend_from_slice(bytes);
        while let Some((kind, _)) = self.frames.take() {
            self.ready += u64::from(kind == b'Z');
        }
        self.ready
    }
}

/// Messages out of bytes: a kind, then a length that counts itself.
#[derive(Debug, Default)]
struct Frames {
    buffer: Vec<u8>,
}

impl Frames {
    fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let length = length(self.buffer.get(1..5)?);
        let body = self.buffer.get(5..1 + length)?.to_vec();
        let kind = self.buffer[0];
        self.buffer.drain(..1 + length);
        Some((kind, body))
    }

    /// The first message of a client has no kind. `false`: it is not whole yet.
    fn take_untyped(&mut self) -> bool {
        let Some(head) = self.buffer.get(..4) else {
            return false;
        };
        let length = length(head);
        let whole = self.buffer.len() >= length;
        if whole {
            self.buffer.drain(..length);
        }
        whole
    }
}

fn length(four: &[u8]) -> usize {
    let wide = four
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    wide.max(4)
}
