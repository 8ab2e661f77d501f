//! The body of an answer, as it comes in: bounded in time and in bytes.
//!
//! Owns: the deadline of the call, the longest silence, the caps. Never: what the bytes mean.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{
    Response, Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    http::{chain, out_of_time},
    settings::CallLimits,
    words::Veil,
};
use crate::llm::CallError;

/// Most bytes read of an answer that is an error.
const ERROR_BODY_MAX: usize = 64 << 10;
/// A stream has an envelope around each piece of text: so many times the cap of its text it may be.
const ENVELOPES: usize = 32;
/// How long the end of a body is waited for after the end of what it says, so that its connection
/// can be used again.
const LEAVE_WITHIN: Duration = Duration::from_millis(250);

/// A body that is still to be read.
pub(super) struct Flow {
    response: Response,
    deadline: Instant,
    limits: CallLimits,
    streamed: usize,
}

impl Flow {
    pub(super) fn new(response: Response, deadline: Instant, limits: CallLimits) -> Self {
        Self {
            response,
            deadline,
            limits,
            streamed: 0,
        }
    }

    /// Most bytes of a success, and of the text of a stream.
    pub(super) fn cap(&self) -> usize {
        self.limits.max_body_bytes
    }

    /// Whether HTTP itself tells where the body ends, so that an end that comes too early is seen.
    /// If not, a closed connection is all the end there is.
    pub(super) fn is_framed(&self) -> bool {
        let headers = self.response.headers();
        self.response.version() >= Version::HTTP_2
            || headers.contains_key(CONTENT_LENGTH)
            || headers.contains_key(TRANSFER_ENCODING)
    }

    /// Reads all of it into `body`, as far as the limits allow.
    pub(super) async fn whole(
        &mut self,
        body: &mut Vec<u8>,
        veil: &Veil<'_>,
    ) -> Result<(), CallError> {
        let success = self.response.status().is_success();
        let cap = if success {
            self.cap()
        } else {
            self.cap().min(ERROR_BODY_MAX)
        };
        let declared = self.response.content_length();
        if success && declared.is_some_and(|length| length > cap as u64) {
            return Err(too_large(cap));
        }
        while let Some(chunk) = self.read(true, veil).await? {
            let room = cap - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                return Err(too_large(cap));
            }
        }
        Ok(())
    }

    /// The next bytes of a stream; `None`: it ended. Silence counts only if it is `bounded`.
    pub(super) async fn next(
        &mut self,
        bounded: bool,
        veil: &Veil<'_>,
    ) -> Result<Option<Bytes>, CallError> {
        let chunk = self.read(bounded, veil).await?;
        self.streamed += chunk.as_ref().map_or(0, Bytes::len);
        let cap = self.cap().saturating_mul(ENVELOPES);
        if self.streamed > cap {
            return Err(too_large(cap));
        }
        Ok(chunk)
    }

    /// Lets the connection go: to be used again if the body ends at once, else closed.
    pub(super) async fn leave(mut self) {
        let rest = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        // whatever comes, everything was said
        let _ = timeout(LEAVE_WITHIN, rest).await;
    }

    async fn read(&mut self, bounded: bool, veil: &Veil<'_>) -> Result<Option<Bytes>, CallError> {
        let silence = if bounded {
            self.limits.idle
        } else {
            self.limits.timeout
        };
        let read = timeout(silence, self.response.chunk());
        match timeout_at(self.deadline, read).await {
            Err(_) => Err(out_of_time(&self.limits)),
            Ok(Err(_)) => Err(CallError::Unknown {
                message: format!("the answer paused for more than {silence:?}"),
            }),
            Ok(Ok(Err(error))) => {
                let message = format!("the answer was cut: {}", chain(&error.without_url()));
                Err(CallError::Unknown {
                    message: veil.words(&message),
                })
            }
            Ok(Ok(Ok(chunk))) => Ok(chunk),
        }
    }
}

pub(super) fn too_large(cap: usize) -> CallError {
    CallError::Damaged {
        message: format!("the answer is larger than {cap} bytes"),
        usage: None,
    }
}
