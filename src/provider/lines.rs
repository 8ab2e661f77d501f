//! A file of results, line by line as it comes down.
//!
//! Owns: lines out of bytes cut anywhere, the cap of a line, what a cut download is. Never: what a line
//! says.

use reqwest::Request;
use secrecy::SecretString;
use serde_json::Value;
use tokio::{sync::mpsc, time::timeout};

use super::{
    flow::Flow,
    http::{Answer, Door, out_of_time},
    jobs,
    words::Veil,
};
use crate::llm::{BatchAnswer, BatchLine, CallError, EmbedReply};

/// Most bytes of one line. A longer one is not kept.
const LINE_MAX: usize = 16 << 20;

/// How a vendor reads a line.
pub(super) type Reading<'a> = &'a (dyn Fn(&[u8]) -> BatchLine + Send + Sync);

/// A file of results on its way down.
pub(super) struct Download<'a> {
    pub(super) door: &'a Door,
    pub(super) key: &'a SecretString,
    /// What a vendor's refusal means.
    pub(super) refused: fn(&Answer, &Veil<'_>) -> CallError,
}

impl Download<'_> {
    /// Asks once, and hands on each line.
    pub(super) async fn read(
        &self,
        request: Request,
        reading: Reading<'_>,
        lines: &mpsc::Sender<BatchLine>,
    ) -> Result<(), CallError> {
        let veil = Veil::new(self.key);
        let limits = jobs::freight();
        let begun = self.door.begin(request, &limits, &veil);
        // a file that is there begins at once
        let soon = jobs::small();
        let begun = timeout(soon.timeout, begun).await;
        let (mut answer, mut flow) = begun.unwrap_or_else(|_| Err(out_of_time(&soon)))?;
        if !(200..300).contains(&answer.status) {
            // a refusal is definite, even if its body is cut
            let _ = flow.whole(&mut answer.body, &veil).await;
            return Err((self.refused)(&answer, &Veil::blind(self.key)));
        }
        read(flow, reading, lines, &veil).await
    }
}

/// Hands on each line of the body. Memory is a line's and a piece's.
async fn read(
    mut flow: Flow,
    reading: Reading<'_>,
    lines: &mpsc::Sender<BatchLine>,
    veil: &Veil<'_>,
) -> Result<(), CallError> {
    let is_framed = flow.is_framed();
    let mut cut = Lines::new(LINE_MAX);
    loop {
        let came = tokio::select! {
            () = lines.closed() => return Ok(()),
            came = flow.next(true, veil) => came?,
        };
        let Some(bytes) = came else { break };
        for line in cut.feed(&bytes) {
            if lines.send(read_line(line, reading)).await.is_err() {
                return Ok(());
            }
        }
    }
    let Some(last) = cut.end() else {
        return Ok(());
    };
    // where HTTP does not say where the body ends, half a line says that it is not here
    if !is_framed && !is_json(&last) {
        return Err(CallError::Unknown {
            message: "the file was cut within a line".to_owned(),
        });
    }
    // nobody listening any more is an end, too
    let _ = lines.send(read_line(last, reading)).await;
    Ok(())
}

fn read_line(line: Line, reading: Reading<'_>) -> BatchLine {
    match line {
        Line::Whole(bytes) => reading(&bytes),
        Line::TooLong => unreadable("a line that is longer than any answer"),
    }
}

fn is_json(line: &Line) -> bool {
    match line {
        Line::Whole(bytes) => serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok(),
        Line::TooLong => false,
    }
}

/// A line of which nobody knows whose it is.
pub(super) fn unreadable(message: &str) -> BatchLine {
    BatchLine {
        key: None,
        answer: Err(jobs::damaged(message)),
    }
}

/// A key as it was sent. One that is digits may come back as a number.
pub(super) fn key(told: &Value) -> Option<String> {
    match told {
        Value::String(key) if !key.is_empty() => Some(key.clone()),
        Value::Number(key) => Some(key.to_string()),
        _ => None,
    }
}

/// The vector of a reply that has one.
pub(super) fn vector(reply: EmbedReply) -> Result<BatchAnswer, CallError> {
    let mut embeddings = reply.embeddings.into_iter();
    let embedding = embeddings.next();
    let embedding = embedding.ok_or_else(|| jobs::damaged("an answer without a vector"))?;
    Ok(BatchAnswer::Vector {
        embedding,
        usage: reply.usage,
        model_version: reply.model_version,
    })
}

/// The status that a failure which was read out of an answer stands for.
pub(super) fn status(error: &CallError) -> u16 {
    match error {
        CallError::Rejected { status, .. }
        | CallError::Failed { status, .. }
        | CallError::Overloaded { status, .. } => *status,
        CallError::ModelGone { .. } => 404,
        // the account's state at that time, and no fault of the item
        CallError::KeyRefused { .. } => 401,
        CallError::NoMoney { .. } => 402,
        CallError::RateLimited { .. } => 429,
        _ => 0,
    }
}

#[derive(Debug, PartialEq)]
enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// Lines out of bytes. Empty ones are none.
struct Lines {
    held: Vec<u8>,
    is_too_long: bool,
    most: usize,
}

impl Lines {
    fn new(most: usize) -> Self {
        Self {
            held: Vec::new(),
            is_too_long: false,
            most,
        }
    }

    /// The lines that end in these bytes.
    fn feed(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut ended = Vec::new();
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
            self.hold(&rest[..at]);
            ended.extend(self.end());
            rest = &rest[at + 1..];
        }
        self.hold(rest);
        ended
    }

    /// What stands behind the last end of a line.
    fn end(&mut self) -> Option<Line> {
        let held = std::mem::take(&mut self.held);
        if std::mem::take(&mut self.is_too_long) {
            return Some(Line::TooLong);
        }
        let is_blank = held.trim_ascii().is_empty();
        (!is_blank).then_some(Line::Whole(held))
    }

    fn hold(&mut self, bytes: &[u8]) {
        if self.is_too_long || self.held.len() + bytes.len() > self.most {
            self.is_too_long = true;
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(most: usize, pieces: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::new(most);
        let mut out: Vec<Line> = pieces.iter().flat_map(|it| lines.feed(it)).collect();
        out.extend(lines.end());
        out
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.as_bytes().to_vec())
    }

    #[test]
    fn a_line_above_the_cap_is_told_and_the_next_one_is_read() {
        assert_eq!(
            all(3, &[b"abc\nab", b"cd", b"efg\nabc\n", b"abcd"]),
            [whole("abc"), Line::TooLong, whole("abc"), Line::TooLong]
        );
        let mut lines = Lines::new(3);
        lines.feed(&[b'a'; 100]);
        assert!(lines.held.capacity() <= 3, "nothing of it is kept");
    }

    #[test]
    fn empty_lines_are_none_and_the_last_needs_no_end() {
        assert_eq!(
            all(9, &[b"\n \r\na\r\n\n", b"b"]),
            [whole("a\r"), whole("b")]
        );
    }

    proptest! {
        #[test]
        fn wherever_bytes_are_cut_the_lines_are_the_same(
            text in "[ab\n]{0,40}", cuts in prop::collection::vec(0usize..40, 0..4),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|it| &text.as_bytes()[it[0]..it[1]]).collect();
            let lines = text.split('\n').filter(|it| !it.trim().is_empty());
            prop_assert_eq!(all(99, &pieces), lines.map(whole).collect::<Vec<_>>());
        }
    }
}
