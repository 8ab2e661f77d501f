//! OpenAI's Batch API, and that of the copies that have one: `batches` over `files`.

use std::{path::Path, time::Duration};

use async_trait::async_trait;
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::{
    batch_error as error, batch_map,
    batch_wire::{Batch, File, Page},
    client::OpenAi,
};
use crate::{
    llm::{
        BatchBounds, BatchDraft, BatchLine, CallError, EmbedParams, RemoteBatch, RemoteFile,
        Request, parse_lenient,
    },
    provider::{
        Batches,
        http::Answer,
        jobs::{self, Pages},
        lines::Download,
        words::Veil,
    },
};

const ITEMS_MAX: usize = 50_000;
/// 200 MB.
const BYTES_MAX: u64 = 209_715_200;
/// The only window there is.
const EXPIRES: Duration = Duration::from_secs(24 * 3_600);

impl OpenAi {
    fn get(&self, path: &[&str]) -> RequestBuilder {
        let url = self.door.url(path.iter().copied());
        self.door.client().get(url)
    }

    /// An exchange about a batch or a file.
    async fn about(&self, request: RequestBuilder) -> Result<Answer, CallError> {
        let veil = Veil::new(&self.key);
        let answer = self.exchange(request, &jobs::small(), &veil).await?;
        match answer.status {
            200..=299 => Ok(answer),
            _ => Err(error::of_thing(&answer, &Veil::blind(&self.key))),
        }
    }

    /// All of a list.
    async fn listed<T: DeserializeOwned, R>(
        &self,
        kind: &str,
        query: &[(&str, &str)],
        id: fn(&T) -> Option<String>,
        read: impl Fn(T) -> Option<R>,
        own_id: fn(&R) -> &str,
    ) -> Result<Vec<R>, CallError> {
        let mut pages = Pages::new();
        loop {
            let mut url = self.door.url([kind]);
            url.query_pairs_mut().extend_pairs(query);
            if let Some(after) = pages.next() {
                url.query_pairs_mut().append_pair("after", after);
            }
            let answer = self.about(self.door.client().get(url)).await?;
            let page = parse_lenient::<Page>(&answer.body).ok();
            let Some(page) = page.filter(|page| page.data.is_some()) else {
                let veil = Veil::blind(&self.key);
                return Err(batch_map::unreadable(&answer.body, &veil));
            };
            let data: Vec<T> = jobs::entries(page.data)?;
            let last = page.last_id.or_else(|| data.last().and_then(id));
            let next = last.filter(|_| page.has_more == Some(true));
            let entries: Vec<R> = data.into_iter().filter_map(&read).collect();
            if !pages.add(entries, next)? {
                return Ok(pages.once_each(own_id));
            }
        }
    }
}

#[async_trait]
impl Batches for OpenAi {
    fn bounds(&self) -> BatchBounds {
        BatchBounds {
            items: ITEMS_MAX,
            bytes: BYTES_MAX,
            expires: EXPIRES,
        }
    }

    fn line(&self, wire_name: &str, key: &str, request: &Request) -> String {
        batch_map::line(wire_name, key, request, self.dialect)
    }

    async fn upload(&self, token: &str, file: &Path) -> Result<String, CallError> {
        self.uploaded(token, file).await
    }

    async fn files(&self) -> Result<Vec<RemoteFile>, CallError> {
        let query = [("purpose", "batch"), ("limit", "1000")];
        let id = |it: &File| it.id.clone();
        self.listed("files", &query, id, batch_map::uploaded, |it| &it.id)
            .await
    }

    async fn create(&self, draft: &BatchDraft<'_>) -> Result<RemoteBatch, CallError> {
        let veil = Veil::new(&self.key);
        let post = self.post(&["batches"]).json(&batch_map::create(draft));
        let exchange = self.exchange(post, &jobs::small(), &veil).await;
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
        let read = |it| batch_map::of_batch(it, &veil);
        let id = |it: &Batch| it.id.clone();
        self.listed("batches", &[("limit", "100")], id, read, |it| &it.id)
            .await
    }

    async fn look(&self, id: &str) -> Result<RemoteBatch, CallError> {
        let answer = self.about(self.get(&["batches", id])).await?;
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
        let request = self.keyed(self.get(&["files", output, "content"]))?;
        let down = Download {
            door: &self.door,
            key: &self.key,
            refused: error::of_thing,
        };
        down.read(request, &reading, lines).await
    }

    async fn cancel(&self, id: &str) -> Result<(), CallError> {
        let post = self.post(&["batches", id, "cancel"]);
        self.about(post).await.map(|_| ())
    }

    async fn remove_file(&self, id: &str) -> Result<(), CallError> {
        let url = self.door.url(["files", id]);
        match self.about(self.door.client().delete(url)).await {
            Ok(_) | Err(CallError::Rejected { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Batches stay in the list; there is no way to remove one.
    async fn remove(&self, _id: &str) -> Result<(), CallError> {
        Ok(())
    }
}
