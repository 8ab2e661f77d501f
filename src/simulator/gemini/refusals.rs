//! Gemini's words for what goes wrong with batches and files.

use super::failure::Failure;
use crate::simulator::batches::Refused;

impl Failure {
    /// 403: no such file, or it has expired. Not 404: so Gemini does.
    pub(super) fn no_file(id: &str) -> Self {
        let message =
            format!("You do not have permission to access the File {id} or it may not exist.");
        Self::new(403, "PERMISSION_DENIED", message)
    }

    /// 409: the name is taken.
    pub(super) fn file_exists(id: &str) -> Self {
        let message = format!("The file files/{id} already exists.");
        Self::new(409, "ALREADY_EXISTS", message)
    }

    /// 400: what was uploaded stays here.
    pub(super) fn not_generated() -> Self {
        Self::invalid("Only generated files can be downloaded.")
    }

    /// A batch that is not accepted.
    pub(super) fn refused(refused: Refused, model: &str) -> Self {
        let exhausted = |message| Self::new(429, "RESOURCE_EXHAUSTED", message);
        match refused {
            Refused::Overloaded => {
                Self::new(503, "UNAVAILABLE", "The service is currently unavailable.")
            }
            Refused::Jobs => Self::exhausted(),
            Refused::Tokens { limit } => exhausted(format!(
                "You exceeded your current quota, please check your plan and billing details. \
                 * Quota exceeded for metric: \
                 generativelanguage.googleapis.com/batch_enqueued_tokens, limit: {limit}, model: \
                 {model}"
            )),
        }
    }
}
