//! What there is to say to a question, and in whose words: the same for a call and for an item of a
//! batch. Pure.

use axum::response::Response;

use super::answer::{self, Answer};
use super::asked::{Asked, Form};
use super::embedding;
use super::faults::Fault;
use super::pieces;

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

/// What befell a question.
#[derive(Clone, Copy)]
pub(super) struct Lot {
    pub(super) fault: Option<Fault>,
    /// What decides further details of its fault.
    pub(super) draw: u64,
    /// No other answer has it.
    pub(super) id: u64,
    /// When it was asked, in seconds since 1970.
    pub(super) at_s: u64,
}

/// A question with its answer.
pub(super) struct Speech<'a> {
    asked: &'a Asked,
    model: &'a str,
    lot: Lot,
    /// `None`: nothing, by the fault or because no words were asked for.
    answer: Option<Answer>,
    vectors: Vec<Vec<f32>>,
}

impl<'a> Speech<'a> {
    pub(super) fn new(asked: &'a Asked, model: &'a str, seed: u64, lot: Lot) -> Self {
        let wanted = match &asked.form {
            Form::Vectors(wanted) => Some(wanted),
            Form::Whole | Form::Stream => None,
        };
        let mute = wanted.is_some() || matches!(lot.fault, Some(Fault::Safety | Fault::Empty));
        let vector = |wanted| match lot.fault {
            Some(Fault::Empty) => Vec::new(),
            _ => embedding::vector(wanted, model, seed),
        };
        Self {
            asked,
            model,
            lot,
            answer: (!mute).then(|| answer::answer(asked, model, seed, lot.fault)),
            vectors: wanted.into_iter().flatten().map(vector).collect(),
        }
    }

    /// The body of a 200.
    pub(super) fn body(&self, voice: &dyn Voice) -> String {
        self.surrogate(voice.body(&self.said()))
    }

    /// The same piece by piece.
    pub(super) fn pieces(&self, voice: &dyn Voice) -> Vec<String> {
        let text = self.answer.as_ref().map_or("", |answer| &answer.text);
        let texts = pieces::cut(text, self.lot.draw);
        let sent = voice.pieces(&self.said(), &texts).into_iter();
        sent.map(|piece| self.surrogate(piece)).collect()
    }

    /// The word for the log, and the tokens of what was said.
    pub(super) fn ended(&self) -> (&'static str, u64) {
        let outcome = match &self.answer {
            Some(answer) if answer.cut => "cut",
            _ => "ok",
        };
        (
            outcome,
            self.answer.as_ref().map_or(0, |answer| answer.tokens),
        )
    }

    fn said(&self) -> Said<'_> {
        Said {
            model: self.model,
            asked: self.asked,
            answer: self.answer.as_ref(),
            vectors: &self.vectors,
            fault: self.lot.fault,
            blocked: self.lot.fault == Some(Fault::Safety) && self.lot.draw.is_multiple_of(4),
            id: self.lot.id,
            at_s: self.lot.at_s,
        }
    }

    fn surrogate(&self, body: String) -> String {
        match self.lot.fault {
            Some(Fault::LoneSurrogate) => {
                body.replace(answer::LONE_SURROGATE_MARK, answer::LONE_SURROGATE)
            }
            _ => body,
        }
    }
}
