//! OpenAI's words for what goes wrong with batches and files.

use super::failure::Failure;
use crate::simulator::batches::Refused;

impl Failure {
    /// 404: no such file.
    pub(super) fn no_file(id: &str) -> Self {
        let mut failure = Self::missing(format!("No such File object: {id}"));
        failure.param = Some("id".to_owned());
        failure
    }

    /// 404: no such batch.
    pub(super) fn no_batch(id: &str) -> Self {
        Self::missing(format!("No batch found with id '{id}'."))
    }

    fn missing(message: String) -> Self {
        Self::new(404, "invalid_request_error", None, message)
    }

    /// 413: more than a file may have.
    pub(super) fn too_large() -> Self {
        let message = "File is too large: at most 209715200 bytes.".to_owned();
        Self::new(413, "invalid_request_error", None, message)
    }

    /// 409: what has ended cannot be cancelled.
    pub(super) fn ended(status: &str) -> Self {
        let message = format!("Cannot cancel a batch with status '{status}'.");
        Self::new(409, "invalid_request_error", None, message)
    }

    /// A batch that is not accepted.
    pub(super) fn refused(refused: Refused) -> Self {
        match refused {
            Refused::Overloaded => Self::overloaded(),
            Refused::Jobs | Refused::Tokens { .. } => Self::new(
                429,
                "rate_limit_error",
                Some("rate_limit_exceeded"),
                "Too many batches are in progress. Please try again once some have been completed."
                    .to_owned(),
            ),
        }
    }
}
