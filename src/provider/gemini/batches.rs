//! Gemini's Batch API: `batchGenerateContent` and `asyncBatchEmbedContent` over uploaded files.

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use reqwest::{RequestBuilder, Url};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc;

use super::{batch_error as error, batch_map, batch_wire as wire, client::Gemini, map};
use crate::{
    llm::{
        BatchBounds, BatchDraft, BatchLine, CallError, EmbedParams, RemoteBatch, RemoteFile,
        Request, parse_lenient,
    },
    provider::{
        Batches,
        http::Answer,
        jobs::{self, Pages},
        lines,
        words::Veil,
    },
};

/// No count is documented; so many are OpenAI's.
const ITEMS_MAX: usize = 50_000;
/// Below the 2 GB that a file may have.
const BYTES_MAX: u64 = 1_900_000_000;
/// Pending or running for longer than this, a batch expires, and nothing of it is there.
const EXPIRES: Duration = Duration::from_secs(48 * 3_600);

impl Gemini {
    /// Below the base URL, by a name such as `batches/x`.
    fn thing(&self, kind: &str, id: &str) -> Url {
        self.door.url(full_name(kind, id).split('/'))
    }

    fn listing(&self, kind: &str, next: Option<&str>) -> RequestBuilder {
        let mut url = self.door.url([kind]);
        let mut query = url.query_pairs_mut();
        query.append_pair("pageSize", "100");
        if let Some(next) = next {
            query.append_pair("pageToken", next);
        }
        drop(query);
        self.door.client().get(url)
    }

    /// An exchange about a batch or a file.
    async fn about(&self, request: RequestBuilder) -> Result<Answer, CallError> {
        let veil = Veil::new(&self.key);
        let request = self.keyed(request)?;
        let answer = self.door.exchange(request, &jobs::small(), &veil).await?;
        match answer.status {
            200..=299 => Ok(answer),
            _ => Err(error::of_thing(&answer, &Veil::blind(&self.key))),
        }
    }

    fn page<T: DeserializeOwned>(
        &self,
        answer: &Answer,
        is_list: fn(&T) -> bool,
    ) -> Result<T, CallError> {
        let page = parse_lenient(&answer.body).ok().filter(is_list);
        page.ok_or_else(|| map::unreadable(&answer.body, &Veil::blind(&self.key)))
    }

    async fn removed(&self, kind: &str, id: &str) -> Result<(), CallError> {
        let url = self.thing(kind, id);
        match self.about(self.door.client().delete(url)).await {
            Ok(_) | Err(CallError::Rejected { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Answers that stand in the batch itself.
    async fn inlined(
        &self,
        batch: &str,
        reading: lines::Reading<'_>,
        lines: &mpsc::Sender<BatchLine>,
    ) -> Result<(), CallError> {
        let url = self.thing("batches", batch);
        let answer = self.about(self.door.client().get(url)).await?;
        for line in batch_map::inlined(&answer.body, &Veil::blind(&self.key))? {
            if lines.send(reading(line.get().as_bytes())).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn downloaded(
        &self,
        file: &str,
        reading: lines::Reading<'_>,
        lines: &mpsc::Sender<BatchLine>,
    ) -> Result<(), CallError> {
        let path = format!("{}:download", full_name("files", file));
        let mut url = self.door.service_url("download", path.split('/'));
        url.set_query(Some("alt=media"));
        let down = lines::Download {
            door: &self.door,
            key: &self.key,
            refused: error::of_thing,
        };
        let request = self.keyed(self.door.client().get(url))?;
        down.read(request, reading, lines).await
    }
}

/// A name may come with its kind before it, or without.
fn full_name(kind: &str, id: &str) -> String {
    if id.contains('/') {
        return id.to_owned();
    }
    format!("{kind}/{id}")
}

#[async_trait]
impl Batches for Gemini {
    fn bounds(&self) -> BatchBounds {
        BatchBounds {
            items: ITEMS_MAX,
            bytes: BYTES_MAX,
            expires: EXPIRES,
        }
    }

    fn line(&self, _wire_name: &str, key: &str, request: &Request) -> String {
        batch_map::line(key, request)
    }

    async fn upload(&self, token: &str, file: &Path) -> Result<String, CallError> {
        self.uploaded(token, file).await
    }

    async fn files(&self) -> Result<Vec<RemoteFile>, CallError> {
        let mut pages = Pages::new();
        loop {
            let answer = self.about(self.listing("files", pages.next())).await?;
            let page = self.page::<wire::Files>(&answer, |it| it.error.is_none())?;
            let files = jobs::entries(page.files)?.into_iter();
            let files = files.filter_map(batch_map::uploaded);
            if !pages.add(files, page.next_page_token)? {
                return Ok(pages.once_each(|it| &it.id));
            }
        }
    }

    async fn create(&self, draft: &BatchDraft<'_>) -> Result<RemoteBatch, CallError> {
        let method = match draft.embeds {
            true => "asyncBatchEmbedContent",
            false => "batchGenerateContent",
        };
        let url = self.url(draft.wire_name, method);
        let input = json!({"fileName": full_name("files", draft.file)});
        let batch = json!({"batch": {"displayName": draft.token, "inputConfig": input}});
        let post = self.keyed(self.door.client().post(url).json(&batch))?;
        let veil = Veil::new(&self.key);
        let exchange = self.door.exchange(post, &jobs::small(), &veil).await;
        let answer = exchange.map_err(jobs::of_create)?;
        let veil = Veil::blind(&self.key);
        if !(200..300).contains(&answer.status) {
            return Err(error::of_create(&answer, &veil));
        }
        let batch = batch_map::batch(&answer.body, &veil).map_err(jobs::of_create)?;
        Ok(jobs::created(batch, draft))
    }

    async fn list(&self) -> Result<Vec<RemoteBatch>, CallError> {
        let veil = Veil::blind(&self.key);
        let mut pages = Pages::new();
        loop {
            let answer = self.about(self.listing("batches", pages.next())).await?;
            let page = self.page::<wire::Operations>(&answer, |it| it.error.is_none())?;
            let told = jobs::entries(page.operations)?.into_iter();
            let batches = told.filter_map(|it| batch_map::of_operation(it, &veil));
            if !pages.add(batches, page.next_page_token)? {
                return Ok(pages.once_each(|it| &it.id));
            }
        }
    }

    async fn look(&self, id: &str) -> Result<RemoteBatch, CallError> {
        let url = self.thing("batches", id);
        let answer = self.about(self.door.client().get(url)).await?;
        batch_map::batch(&answer.body, &Veil::blind(&self.key))
    }

    async fn results(
        &self,
        output: &str,
        embed: Option<&EmbedParams>,
        lines: &mpsc::Sender<BatchLine>,
    ) -> Result<(), CallError> {
        let veil = Veil::blind(&self.key);
        let reading = |line: &[u8]| batch_map::told(line, embed, &veil);
        match batch_map::batch_of(output) {
            Some(batch) => self.inlined(batch, &reading, lines).await,
            None => self.downloaded(output, &reading, lines).await,
        }
    }

    async fn cancel(&self, id: &str) -> Result<(), CallError> {
        let path = format!("{}:cancel", full_name("batches", id));
        let url = self.door.url(path.split('/'));
        let post = self.door.client().post(url).json(&json!({}));
        self.about(post).await.map(|_| ())
    }

    async fn remove_file(&self, id: &str) -> Result<(), CallError> {
        self.removed("files", id).await
    }

    async fn remove(&self, id: &str) -> Result<(), CallError> {
        self.removed("batches", id).await
    }
}
