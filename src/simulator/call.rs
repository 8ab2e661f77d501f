//! A call that was let in, to its last byte: its latency, its fault, its answer. The vendor's words
//! are put in by a [`Voice`].

use std::time::Duration;

use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::answer::{self, Answer};
use super::asked::{Asked, Form};
use super::chance::{hash, mix};
use super::embedding;
use super::faults::Fault;
use super::listener::Wire;
use super::pieces::{self, Pieces};
use super::sent::{NOT_JSON, half, reset, short, whole};
use super::state::{Fate, Shared, Ticket};

/// How a vendor says what became of a call.
pub(super) trait Voice: Send + Sync {
    /// 500.
    fn internal(&self) -> Response;

    /// 503.
    fn overloaded(&self) -> Response;

    /// The body of a 200.
    fn body(&self, said: &Said<'_>) -> String;

    /// The same piece by piece: what is sent for each, and before and after them.
    fn pieces(&self, said: &Said<'_>, texts: &[String]) -> Vec<String>;

    /// What stands in the middle of a stream that fails.
    fn failing(&self) -> String;

    /// The content type of a stream.
    fn stream_type(&self) -> &'static str;

    /// Puts what goes with every answer into its headers.
    fn finish(&self, response: Response) -> Response;
}

/// What there is to say.
pub(super) struct Said<'a> {
    pub(super) model: &'a str,
    pub(super) asked: &'a Asked,
    /// `None`: nothing, by the fault.
    pub(super) answer: Option<&'a Answer>,
    /// One for each text whose vector is wanted.
    pub(super) vectors: &'a [Vec<f32>],
    pub(super) fault: Option<Fault>,
    /// Of a filtered answer: the prompt was refused, not the answer cut.
    pub(super) blocked: bool,
    /// No other answer has it.
    pub(super) id: u64,
    /// When the call arrived, in seconds since 1970.
    pub(super) at_s: u64,
}

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
        let (answer, vectors) = (self.said(shared), self.vectors(shared));
        let body = voice.body(&self.saying(shared, answer.as_ref(), &vectors));
        let body = surrogate(body, fault);
        let (outcome, tokens) = ended(answer.as_ref());
        self.ticket.close(200, outcome, tokens);
        match fault {
            Some(Fault::CutJson) => whole(half(&body).to_owned()),
            Some(Fault::ShortBody) => short(&body),
            _ => whole(body),
        }
    }

    /// 200, and the answer piece by piece.
    async fn stream(self, shared: &Shared, wire: &Wire, voice: &dyn Voice) -> Response {
        let fault = self.fate.fault;
        let answer = self.said(shared);
        let (outcome, tokens) = ended(answer.as_ref());
        let texts = answer.as_ref().map_or("", |answer| &answer.text);
        let texts = pieces::cut(texts, self.fate.draw);
        let mut sent = voice.pieces(&self.saying(shared, answer.as_ref(), &[]), &texts);
        sent.iter_mut()
            .for_each(|piece| *piece = surrogate(std::mem::take(piece), fault));
        let count = u64::try_from(sent.len()).unwrap_or(1).max(1);
        let pace_ms = self.fate.delay_ms / count;
        let (sent, tokens) = match fault {
            Some(Fault::StreamCut | Fault::ShortBody | Fault::CutJson) => {
                (pieces::broken_off(sent), tokens / 2)
            }
            Some(Fault::StreamError) => {
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

    /// What the model says; `None`: nothing, by the fault or because it was not asked to.
    fn said(&self, shared: &Shared) -> Option<Answer> {
        let (seed, fault) = (shared.settings.seed, self.fate.fault);
        let mute = matches!(fault, Some(Fault::Safety | Fault::Empty))
            || matches!(self.asked.form, Form::Vectors(_));
        (!mute).then(|| answer::answer(&self.asked, &self.model, seed, fault))
    }

    fn vectors(&self, shared: &Shared) -> Vec<Vec<f32>> {
        let Form::Vectors(wanted) = &self.asked.form else {
            return Vec::new();
        };
        let empty = self.fate.fault == Some(Fault::Empty);
        let of = |wanted| match empty {
            true => Vec::new(),
            false => embedding::vector(wanted, &self.model, shared.settings.seed),
        };
        wanted.iter().map(of).collect()
    }

    fn saying<'a>(
        &'a self,
        shared: &Shared,
        answer: Option<&'a Answer>,
        vectors: &'a [Vec<f32>],
    ) -> Said<'a> {
        let (seed, fault) = (shared.settings.seed, self.fate.fault);
        Said {
            model: &self.model,
            asked: &self.asked,
            answer,
            vectors,
            fault,
            blocked: fault == Some(Fault::Safety) && self.fate.draw.is_multiple_of(4),
            id: mix(seed ^ hash(&self.model) ^ self.fate.seq),
            at_s: self.fate.at_ms / 1000,
        }
    }
}

/// The word for the log, and the tokens of what was said.
fn ended(answer: Option<&Answer>) -> (&'static str, u64) {
    let outcome = match answer {
        Some(answer) if answer.cut => "cut",
        _ => "ok",
    };
    (outcome, answer.map_or(0, |answer| answer.tokens))
}

fn surrogate(body: String, fault: Option<Fault>) -> String {
    match fault {
        Some(Fault::LoneSurrogate) => {
            body.replace(answer::LONE_SURROGATE_MARK, answer::LONE_SURROGATE)
        }
        _ => body,
    }
}
