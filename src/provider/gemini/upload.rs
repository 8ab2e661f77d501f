//! Uploading a file to Gemini: begun, then sent in pieces to where the answer says.

use std::{path::Path, time::Duration};

use reqwest::{RequestBuilder, Url};
use serde_json::json;

use super::{batch_error as error, batch_wire::Uploaded, client::Gemini, map};
use crate::{
    llm::{CallError, parse_lenient},
    provider::{Batches, CallLimits, cargo::Cargo, http::Answer, jobs, words::Veil},
};

/// Bytes of a piece; all but the last have as many. A multiple of 256 KiB, as the protocol wants.
const PIECE: usize = 8 << 20;
/// A piece has its own time; the whole has none.
const PIECE_WITHIN: Duration = Duration::from_secs(600);

impl Gemini {
    /// One upload, and where a file of that name is there already (a former try), one more.
    pub(super) async fn uploaded(&self, token: &str, path: &Path) -> Result<String, CallError> {
        match self.upload_once(token, path).await {
            Err(CallError::Failed { status: 409, .. }) => {
                self.remove_file(&file_name(token)).await?;
                self.upload_once(token, path).await
            }
            once => once,
        }
    }

    async fn upload_once(&self, token: &str, path: &Path) -> Result<String, CallError> {
        let mut cargo = Cargo::open(path).await?;
        let to = self.begin_upload(token, cargo.size()).await?;
        loop {
            let offset = cargo.size() - cargo.left();
            let piece = cargo.piece(PIECE).await?;
            let is_last = cargo.left() == 0;
            let command = if is_last {
                "upload, finalize"
            } else {
                "upload"
            };
            let post = self
                .door
                .client()
                .post(to.clone())
                .header("X-Goog-Upload-Command", command)
                .header("X-Goog-Upload-Offset", offset)
                .body(piece);
            let answer = self.uploading(post, PIECE_WITHIN).await.map_err(of_piece)?;
            if is_last {
                return self.arrived(&answer);
            }
            let status = answer.headers.get("x-goog-upload-status");
            if status.is_none_or(|it| it != "active") {
                return Err(jobs::damaged("the upload was broken off by the provider"));
            }
        }
    }

    /// Returns where the pieces go.
    async fn begin_upload(&self, token: &str, size: u64) -> Result<Url, CallError> {
        let file = json!({"file": {"name": file_name(token), "displayName": token}});
        let post = self
            .door
            .client()
            .post(self.door.service_url("upload", ["files"]))
            .header("X-Goog-Upload-Protocol", "resumable")
            .header("X-Goog-Upload-Command", "start")
            .header("X-Goog-Upload-Header-Content-Length", size)
            .header("X-Goog-Upload-Header-Content-Type", "application/jsonl")
            .json(&file);
        let answer = self.uploading(post, jobs::small().timeout).await?;
        let url = answer.headers.get("x-goog-upload-url");
        let url = url.and_then(|it| Url::parse(it.to_str().ok()?).ok());
        let url = url.ok_or_else(|| jobs::damaged("the answer does not say where to upload to"))?;
        // what goes there holds the key and all prompts
        if !self.door.is_home(&url) {
            let host = Veil::blind(&self.key).words(url.host_str().unwrap_or("nowhere"));
            let message =
                format!("the upload is sent to {host}, which is not the base URL's place");
            return Err(jobs::damaged(&message));
        }
        Ok(url)
    }

    async fn uploading(
        &self,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let limits = CallLimits {
            timeout,
            ..jobs::small()
        };
        let request = self.keyed(request)?;
        let answer = self
            .door
            .exchange(request, &limits, &Veil::new(&self.key))
            .await?;
        match answer.status {
            200..=299 => Ok(answer),
            _ => Err(error::of_thing(&answer, &Veil::blind(&self.key))),
        }
    }

    fn arrived(&self, answer: &Answer) -> Result<String, CallError> {
        let veil = Veil::blind(&self.key);
        let told = parse_lenient::<Uploaded>(&answer.body).ok();
        let Some(file) = told.and_then(|it| it.file) else {
            return Err(map::unreadable(&answer.body, &veil));
        };
        if file.state.as_deref() == Some("FAILED") {
            let message = error::of_batch(file.error.as_ref(), &veil).message;
            return Err(CallError::Rejected {
                status: 400,
                message,
            });
        }
        file.name
            .ok_or_else(|| jobs::damaged("an uploaded file without a name"))
    }
}

/// An upload that was begun and is not known any more: it is begun again another time.
fn of_piece(error: CallError) -> CallError {
    match error {
        CallError::Rejected {
            status: status @ (404 | 410),
            message,
        } => jobs::failed(status, message),
        other => other,
    }
}

/// At most 40 characters of a to z, 0 to 9 and dashes: a token has 37.
fn file_name(token: &str) -> String {
    format!("files/{token}")
}
