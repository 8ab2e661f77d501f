//! A call that was let in, to its last byte: its latency, its fault, its answer. The vendor's words
//! are put in by a [`Voice`]; what it says: `speech`.

use std::time::Duration;

use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::asked::{Asked, Form};
use super::chance::{hash, mix};
use super::faults::Fault;
use super::listener::Wire;
use super::pieces::{self, Pieces};
use super::sent::{NOT_JSON, half, reset, short, whole};
use super::speech::{Lot, Speech, Voice};
use super::state::{Fate, Shared, Ticket};

/// A call that was let in.
pub(super) struct Call {
    pub(super) asked: Asked,
    pub(super) model: String,
    pub(super) ticket: Ticket,
    pub(super) fate: Fate,
}

impl Call {
    pub(super) async fn answer(self, shared: &Shared, wire: &Wire, voice: &dyn Voice) -> Response {
        if self.is_streamed() {
            return self.stream(shared, wire, voice).await;
        }
        if !self.wait(shared, self.fate.delay_ms).await {
            self.ticket.close(0, "stopped", 0);
            return reset(wire);
        }
        let response = match self.fate.fault {
            Some(Fault::Http500) => {
                self.ticket.close(500, "fault", 0);
                voice.internal()
            }
            Some(Fault::Http503) => {
                self.ticket.close(503, "fault", 0);
                voice.overloaded()
            }
            Some(Fault::Reset) => {
                self.ticket.close(0, "reset", 0);
                return reset(wire);
            }
            Some(Fault::Hang) => {
                self.wait(shared, shared.settings.faults.hang_ms_max).await;
                self.ticket.close(0, "hang", 0);
                return reset(wire);
            }
            Some(Fault::NotJson) => {
                self.ticket.close(200, "not_json", 0);
                ([(header::CONTENT_TYPE, "text/html")], NOT_JSON).into_response()
            }
            _ => self.speak(shared, voice),
        };
        voice.finish(response)
    }

    /// Waits; false when the server stops before.
    async fn wait(&self, shared: &Shared, delay_ms: u64) -> bool {
        if delay_ms == 0 {
            return true;
        }
        tokio::select! {
            () = shared.stop.cancelled() => false,
            () = tokio::time::sleep(Duration::from_millis(delay_ms)) => true,
        }
    }

    /// Whether pieces come of it, by form and fault.
    fn is_streamed(&self) -> bool {
        let instead = matches!(
            self.fate.fault,
            Some(Fault::Http500 | Fault::Http503 | Fault::Reset | Fault::Hang | Fault::NotJson)
        );
        matches!(self.asked.form, Form::Stream) && !instead
    }

    /// 200, with the answer whole or damaged.
    fn speak(self, shared: &Shared, voice: &dyn Voice) -> Response {
        let fault = self.fate.fault;
        let speech = self.speech(shared);
        let body = speech.body(voice);
        let (outcome, tokens) = speech.ended();
        self.ticket.close(200, outcome, tokens);
        match fault {
            Some(Fault::CutJson) => whole(half(&body).to_owned()),
            Some(Fault::ShortBody) => short(&body),
            _ => whole(body),
        }
    }

    /// 200, and the answer piece by piece.
    async fn stream(mut self, shared: &Shared, wire: &Wire, voice: &dyn Voice) -> Response {
        let fault = self.fate.fault;
        let speech = self.speech(shared);
        let (outcome, tokens) = speech.ended();
        let sent = speech.pieces(voice);
        let count = u64::try_from(sent.len()).unwrap_or(1).max(1);
        let pace_ms = self.fate.delay_ms / count;
        let (sent, tokens) = match fault {
            Some(Fault::StreamCut | Fault::ShortBody | Fault::CutJson) => {
                (pieces::broken_off(sent), tokens / 2)
            }
            Some(Fault::StreamError) => {
                let mut sent = sent;
                sent.truncate(sent.len() / 2);
                sent.push(voice.failing());
                (sent, tokens / 2)
            }
            _ => (sent, tokens),
        };
        if !self.wait(shared, pace_ms).await {
            self.ticket.close(0, "stopped", 0);
            return reset(wire);
        }
        self.ticket.speaks();
        let pieces = Pieces {
            texts: sent.into_iter(),
            pace: Duration::from_millis(pace_ms),
            breaks: matches!(fault, Some(Fault::StreamCut | Fault::ShortBody)),
            ticket: Some(self.ticket),
            outcome,
            tokens,
            stop: shared.stop.clone(),
            begun: false,
        };
        let kind = [(header::CONTENT_TYPE, voice.stream_type())];
        voice.finish((kind, pieces.into_body()).into_response())
    }

    fn speech(&self, shared: &Shared) -> Speech<'_> {
        let seed = shared.settings.seed;
        let lot = Lot {
            fault: self.fate.fault,
            draw: self.fate.draw,
            id: mix(seed ^ hash(&self.model) ^ self.fate.seq),
            at_s: self.fate.at_ms / 1000,
        };
        Speech::new(&self.asked, &self.model, seed, lot)
    }
}
