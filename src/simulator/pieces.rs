//! An answer that goes out piece by piece: its pace, and how it breaks off.
//!
//! The latency of the call is spread evenly over its pieces, so the last one comes when the whole
//! answer would have come.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use super::chance::Chance;
use super::state::Ticket;

/// What is to be sent, and what is noted when it was.
pub(super) struct Pieces {
    pub(super) texts: std::vec::IntoIter<String>,
    /// Between two of them.
    pub(super) pace: Duration,
    /// Breaks the connection after the last one.
    pub(super) breaks: bool,
    /// Dropped unclosed when the client goes away before.
    pub(super) ticket: Option<Ticket>,
    pub(super) outcome: &'static str,
    pub(super) tokens: u64,
    pub(super) stop: CancellationToken,
    pub(super) begun: bool,
}

impl Pieces {
    /// The body that sends them. The first goes out at once: its time was waited for before.
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, Self::step))
    }

    async fn step(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let Some(text) = self.texts.next() else {
            if !std::mem::take(&mut self.breaks) {
                return None;
            }
            // lets the connection send what it has before it fails
            tokio::task::yield_now().await;
            return Some((Err(broken()), self));
        };
        if std::mem::replace(&mut self.begun, true) && !self.rest().await {
            self.texts = Vec::new().into_iter();
            self.note(0, "stopped", 0);
            return Some((Err(broken()), self));
        }
        if self.texts.len() == 0 {
            // before the client can see the end and look at the log
            let (outcome, tokens) = (self.outcome, self.tokens);
            self.note(200, outcome, tokens);
        }
        Some((Ok(Bytes::from(text)), self))
    }

    /// Waits for the next piece's time; false when the server stops before.
    async fn rest(&self) -> bool {
        if self.pace.is_zero() {
            return true;
        }
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(self.pace) => true,
        }
    }

    fn note(&mut self, status: u16, outcome: &'static str, tokens: u64) {
        if let Some(ticket) = self.ticket.take() {
            ticket.close(status, outcome, tokens);
        }
    }
}

fn broken() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

/// A text in pieces of 1 to 24 characters.
pub(super) fn cut(text: &str, draw: u64) -> Vec<String> {
    let mut chance = Chance::of(&[draw]);
    let mut letters = text.chars().peekable();
    let mut pieces = Vec::new();
    while letters.peek().is_some() {
        let length = usize::try_from(1 + chance.bits() % 24).unwrap_or(1);
        pieces.push(letters.by_ref().take(length).collect());
    }
    pieces
}

/// The first half of the pieces, the piece at the middle cut in two; a single one too.
pub(super) fn broken_off(mut texts: Vec<String>) -> Vec<String> {
    let middle = texts.len() / 2;
    texts.truncate(middle + 1);
    if let Some(last) = texts.last_mut() {
        last.truncate(last.floor_char_boundary(last.len() / 2));
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_a_row_are_the_text() {
        let text = "Gr\u{fc}\u{df}e, \u{1f600} and more of the same, until it is long enough";
        for draw in 0..50 {
            let pieces = cut(text, draw);
            assert_eq!(pieces.concat(), text);
            assert!(
                pieces
                    .iter()
                    .all(|it| (1..=24).contains(&it.chars().count()))
            );
        }
        assert!(cut("", 1).is_empty());
    }

    #[test]
    fn what_breaks_off_is_never_whole() {
        let texts = |count: usize| vec!["abcd".to_owned(); count];
        assert_eq!(broken_off(texts(1)), ["ab"]);
        assert_eq!(broken_off(texts(4)), ["abcd", "abcd", "ab"]);
    }
}
