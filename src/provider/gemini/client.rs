//! Calling Gemini.

use std::borrow::Cow;

use async_trait::async_trait;
use reqwest::{RequestBuilder, Url, header::HeaderValue};
use secrecy::SecretString;

use super::{embed, error, map, stream::Hearing, wire};
use crate::{
    llm::{CallError, Chunk, EmbedReply, EmbedRequest, Exchange, Reply, Request, parse_lenient},
    provider::{
        Batches, CallLimits, Provider, ProviderError, ProviderSettings,
        http::{Answer, Door},
        stream::{self, Listener},
        vectors,
        words::Veil,
    },
};

/// Never `?key=`: query keys land in logs, and new keys are refused there.
const KEY_HEADER: &str = "x-goog-api-key";

/// One Gemini project behind one key.
pub(in crate::provider) struct Gemini {
    pub(super) door: Door,
    pub(super) key: SecretString,
    key_header: HeaderValue,
}

impl Gemini {
    pub(in crate::provider) fn open(settings: ProviderSettings) -> Result<Self, ProviderError> {
        let key_header = settings.key_header("")?;
        let door = Door::open(&settings)?;
        Ok(Self {
            door,
            key: settings.api_key,
            key_header,
        })
    }

    /// Where a method of a model is.
    pub(super) fn url(&self, wire_name: &str, method: &str) -> Url {
        let path = format!("{}:{method}", full_name(wire_name));
        self.door.url(path.split('/'))
    }

    pub(super) fn keyed(&self, request: RequestBuilder) -> Result<reqwest::Request, CallError> {
        request
            .header(KEY_HEADER, self.key_header.clone())
            .build()
            .map_err(|_| CallError::Unreachable {
                message: "no request could be built".into(),
            })
    }

    async fn exchange(
        &self,
        request: RequestBuilder,
        limits: &CallLimits,
        veil: &Veil<'_>,
    ) -> Result<Answer, CallError> {
        let request = self.keyed(request)?;
        let answer = self.door.exchange(request, limits, veil).await?;
        match answer.status {
            200..=299 => Ok(answer),
            _ => Err(error::of_answer(&answer, veil)),
        }
    }

    async fn listened(
        &self,
        request: RequestBuilder,
        limits: &CallLimits,
        told: Listener<'_>,
        veil: &Veil<'_>,
    ) -> Result<Reply, CallError> {
        let request = self.keyed(request)?;
        let (mut answer, mut flow) = self.door.begin(request, limits, veil).await?;
        if !(200..300).contains(&answer.status) {
            // a refusal is definite, even if its body is cut
            let _ = flow.whole(&mut answer.body, veil).await;
            return Err(error::of_answer(&answer, veil));
        }
        stream::listen(flow, &mut Hearing::new(veil), told, veil).await
    }

    async fn embedded(
        &self,
        wire_name: &str,
        request: &EmbedRequest,
        limits: &CallLimits,
    ) -> Result<EmbedReply, CallError> {
        vectors::may_send(request, embed::AT_ONCE)?;
        let veil = Veil::over_texts(&self.key, &request.texts);
        let model = full_name(wire_name);
        let post = |method| self.door.client().post(self.url(wire_name, method));
        let post = match embed::ask(&model, request) {
            embed::Ask::One(one) => post("embedContent").json(&one),
            embed::Ask::Several(all) => post("batchEmbedContents").json(&all),
        };
        let limits = limits.for_vectors(request.texts.len());
        let answer = self.exchange(post, &limits, &veil).await?;
        embed::reply(&answer.body, request, &veil)
    }
}

/// `models/{model}`; a name may bring its own `models/` or `tunedModels/`.
fn full_name(wire_name: &str) -> Cow<'_, str> {
    match wire_name.split_once('/') {
        Some(("models" | "tunedModels", _)) => Cow::Borrowed(wire_name),
        _ => Cow::Owned(format!("models/{wire_name}")),
    }
}

#[async_trait]
impl Provider for Gemini {
    async fn generate(&self, wire_name: &str, request: &Request, limits: &CallLimits) -> Exchange {
        let veil = Veil::over(&self.key, request);
        let post = self
            .door
            .client()
            .post(self.url(wire_name, "generateContent"))
            .json(&map::ask(request));
        match self.exchange(post, limits, &veil).await {
            Ok(answer) => Exchange::new(map::reply(&answer.body, &veil), Vec::new()),
            Err(error) => Exchange::failed(error),
        }
    }

    async fn stream(
        &self,
        wire_name: &str,
        request: &Request,
        limits: &CallLimits,
        chunks: &(dyn Fn(Chunk) + Send + Sync),
    ) -> Exchange {
        let veil = Veil::over(&self.key, request);
        let mut url = self.url(wire_name, "streamGenerateContent");
        // without it the answer is one array of JSON
        url.set_query(Some("alt=sse"));
        let post = self.door.client().post(url).json(&map::ask(request));
        Exchange::new(self.listened(post, limits, chunks, &veil).await, Vec::new())
    }

    async fn embed(
        &self,
        wire_name: &str,
        request: &EmbedRequest,
        limits: &CallLimits,
    ) -> Exchange<EmbedReply> {
        Exchange::new(self.embedded(wire_name, request, limits).await, Vec::new())
    }

    fn embeds_at_once(&self) -> usize {
        embed::AT_ONCE
    }

    fn batches(&self) -> Option<&dyn Batches> {
        Some(self)
    }

    fn kind(&self) -> &'static str {
        "gemini"
    }

    async fn check(&self) -> Result<(), CallError> {
        let veil = Veil::new(&self.key);
        let mut url = self.door.url(["models"]);
        url.set_query(Some("pageSize=1"));
        let answer = match self
            .exchange(self.door.client().get(url), &CallLimits::check(), &veil)
            .await
        {
            Err(CallError::ModelGone { message }) => {
                return Err(CallError::Rejected {
                    status: 404,
                    message,
                });
            }
            answer => answer?,
        };
        match parse_lenient::<wire::Models>(&answer.body) {
            Ok(wire::Models { models: Some(_) }) => Ok(()),
            _ => Err(map::unreadable(&answer.body, &veil)),
        }
    }
}
