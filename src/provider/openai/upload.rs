//! Uploading a file to OpenAI: one form, written around the file as it is read from disk.

use std::path::Path;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};

use super::{batch_error as error, batch_map, batch_wire::File, client::OpenAi};
use crate::{
    llm::{CallError, parse_lenient},
    provider::{cargo::Cargo, jobs, words::Veil},
};

impl OpenAi {
    pub(super) async fn uploaded(&self, token: &str, path: &Path) -> Result<String, CallError> {
        let cargo = Cargo::open(path).await?;
        let (head, tail) = around(token);
        let length = cargo.size() + (head.len() + tail.len()) as u64;
        let (body, motion) = cargo.into_body(head, tail);
        let form = format!("multipart/form-data; boundary={}", boundary(token));
        let post = self
            .post(&["files"])
            .header(CONTENT_TYPE, form)
            .header(CONTENT_LENGTH, length)
            .body(body);
        let limits = jobs::freight();
        let veil = Veil::new(&self.key);
        let sent = self.exchange(post, &limits, &veil);
        let answer = motion.watch(limits.idle, sent).await?;
        let veil = Veil::blind(&self.key);
        if !(200..300).contains(&answer.status) {
            return Err(error::of_thing(&answer, &veil));
        }
        let told = parse_lenient::<File>(&answer.body).ok();
        let file = told.and_then(|file| Some((file.id?, file.status)));
        match file.ok_or_else(|| batch_map::unreadable(&answer.body, &veil))? {
            (_, Some(status)) if status == "error" => Err(CallError::Rejected {
                status: 400,
                message: "the file was not taken".to_owned(),
            }),
            (id, _) => Ok(id),
        }
    }
}

/// Stands in no file: a token is made for each.
fn boundary(token: &str) -> String {
    format!("----{token}")
}

/// What of the form stands before the file, and behind it.
fn around(token: &str) -> (String, String) {
    let boundary = boundary(token);
    let name = batch_map::file_name(token);
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: application/jsonl\r\n\r\n"
    );
    (head, format!("\r\n--{boundary}--\r\n"))
}
