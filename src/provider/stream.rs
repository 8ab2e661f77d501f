//! An answer that is listened to while it is written, for every vendor alike.
//!
//! Owns: events out of the flow, the order of chunks, the bounds, what a broken stream is called.
//! Never: a vendor's event, which a [`Reader`] reads.

use serde::de::IgnoredAny;

use super::{
    events::{Event, Events},
    flow::{Flow, too_large},
    words::{self, Veil},
};
use crate::llm::{CallError, Chunk, Reply};

/// Who is told each chunk, in order and as it arrives. It must not wait.
pub(super) type Listener<'a> = &'a (dyn Fn(Chunk) + Send + Sync);

/// A vendor's reading of a stream.
pub(super) trait Reader: Send {
    /// Takes one event.
    fn take(&mut self, event: &Event) -> Result<Heard, CallError>;

    /// Reads JSON that stands where events should: an error, or an answer that is no stream.
    fn whole(&mut self, json: &[u8]) -> Result<Reply, CallError>;

    /// The reply when nothing more comes. `is_sure`: HTTP or the vendor's own mark says that this
    /// is the end; if not, the connection may have been cut.
    fn ended(&mut self, is_sure: bool) -> Result<Reply, CallError>;
}

/// What an event says.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    /// More text, which may be none.
    Text(String),
    /// The vendor's mark of the end.
    End,
}

/// Listens to its end.
pub(super) async fn listen(
    mut flow: Flow,
    reader: &mut dyn Reader,
    told: Listener<'_>,
    veil: &Veil<'_>,
) -> Result<Reply, CallError> {
    let mut came = Came::default();
    let heard = hear(&mut flow, reader, told, veil, &mut came).await;
    match heard {
        Ok(reply) => {
            flow.leave().await;
            Ok(reply)
        }
        Err(error) => Err(came.before(error)),
    }
}

async fn hear(
    flow: &mut Flow,
    reader: &mut dyn Reader,
    told: Listener<'_>,
    veil: &Veil<'_>,
    came: &mut Came,
) -> Result<Reply, CallError> {
    let mut events = Events::default();
    // before the first text a model may think in silence
    while let Some(bytes) = flow.next(came.chars > 0, veil).await? {
        came.bytes += bytes.len();
        for event in events.feed(&bytes) {
            if came.take(reader, &event, told, flow.cap())? == Heard::End {
                return reader.ended(true);
            }
        }
        if events.held() > flow.cap() {
            return Err(too_large(flow.cap()));
        }
        if events.has_closed() && came.may_look(events.stray()) {
            return came.whole(reader, events.stray(), told);
        }
    }
    if let Some(event) = events.end()
        && came.take(reader, &event, told, flow.cap())? == Heard::End
    {
        return reader.ended(true);
    }
    if !events.stray().is_empty() {
        return came.whole(reader, events.stray(), told);
    }
    match (came.bytes, came.events) {
        (0, _) => Err(damaged("the body is empty".to_owned())),
        (bytes, 0) => Err(damaged(format!("no event in {bytes} bytes"))),
        _ => reader.ended(flow.is_framed()),
    }
}

/// What has come so far.
#[derive(Default)]
struct Came {
    bytes: usize,
    events: usize,
    /// Of the text.
    chars: usize,
    text_bytes: usize,
    /// How often stray JSON was looked at.
    looks: usize,
}

/// So often stray JSON is looked at before its stream ends: enough for an error object.
const LOOKS_MAX: usize = 8;

impl Came {
    fn take(
        &mut self,
        reader: &mut dyn Reader,
        event: &Event,
        told: Listener<'_>,
        cap: usize,
    ) -> Result<Heard, CallError> {
        let heard = reader.take(event)?;
        self.events += 1;
        if let Heard::Text(text) = &heard {
            self.text_bytes += text.len();
            if self.text_bytes > cap {
                return Err(too_large(cap));
            }
            self.tell(text, told);
        }
        Ok(heard)
    }

    fn tell(&mut self, text: &str, told: Listener<'_>) {
        if text.is_empty() {
            return;
        }
        self.chars += text.chars().count();
        told(Chunk {
            text: text.to_owned(),
        });
    }

    fn may_look(&mut self, stray: &[u8]) -> bool {
        self.looks += 1;
        self.looks <= LOOKS_MAX && serde_json::from_slice::<IgnoredAny>(stray).is_ok()
    }

    /// What JSON in the place of events is. An answer is one only where no event came.
    fn whole(
        &mut self,
        reader: &mut dyn Reader,
        json: &[u8],
        told: Listener<'_>,
    ) -> Result<Reply, CallError> {
        let reply = reader.whole(json)?;
        if self.events > 0 {
            return Err(damaged("a second answer amid the events of one".to_owned()));
        }
        self.tell(&reply.text, told);
        Ok(reply)
    }

    /// The error, with how much had come before it.
    fn before(&self, mut error: CallError) -> CallError {
        use CallError as E;
        if self.chars == 0 {
            return error;
        }
        match &mut error {
            E::RateLimited { message, .. }
            | E::Overloaded { message, .. }
            | E::Failed { message, .. }
            | E::Unreachable { message }
            | E::Exhausted { message }
            | E::Unknown { message }
            | E::Damaged { message, .. }
            | E::Rejected { message, .. }
            | E::TooLong { message }
            | E::ModelGone { message }
            | E::KeyRefused { message }
            | E::NoMoney { message } => {
                let chars = self.chars;
                *message = words::plain(&format!("after {chars} characters of text: {message}"));
            }
            // these say themselves how the answer ended
            E::Truncated { .. } | E::Filtered { .. } => {}
        }
        error
    }
}

fn damaged(message: String) -> CallError {
    CallError::Damaged {
        message,
        usage: None,
    }
}
