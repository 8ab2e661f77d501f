//! Calling OpenAI, or a copy of it.

use async_trait::async_trait;
use reqwest::{
    RequestBuilder,
    header::{AUTHORIZATION, HeaderValue},
};
use secrecy::SecretString;
use serde_json::Value;

use super::{
    embed, error, limits,
    map::{self, Dialect, Spoiled},
    stream::Hearing,
};
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

/// One account behind one key.
pub(in crate::provider) struct OpenAi {
    pub(super) door: Door,
    pub(super) dialect: Dialect,
    pub(super) key: SecretString,
    key_header: HeaderValue,
}

impl OpenAi {
    pub(in crate::provider) fn open(settings: ProviderSettings) -> Result<Self, ProviderError> {
        let key_header = settings.key_header("Bearer ")?;
        let door = Door::open(&settings)?;
        let host = settings.checked_base()?.host_str().map(Dialect::of_host);
        Ok(Self {
            door,
            dialect: host.unwrap_or(Dialect::Copy),
            key: settings.api_key,
            key_header,
        })
    }

    pub(super) fn post(&self, path: &[&str]) -> RequestBuilder {
        let url = self.door.url(path.iter().copied());
        self.door.client().post(url)
    }

    pub(super) fn keyed(&self, request: RequestBuilder) -> Result<reqwest::Request, CallError> {
        request
            .header(AUTHORIZATION, self.key_header.clone())
            .build()
            .map_err(|_| CallError::Unreachable {
                message: "no request could be built".into(),
            })
    }

    pub(super) async fn exchange(
        &self,
        request: RequestBuilder,
        limits: &CallLimits,
        veil: &Veil<'_>,
    ) -> Result<Answer, CallError> {
        let request = self.keyed(request)?;
        self.door.exchange(request, limits, veil).await
    }

    /// Sends once, and reads the answer by `read`.
    async fn exchanged<T>(
        &self,
        request: RequestBuilder,
        limits: &CallLimits,
        veil: &Veil<'_>,
        read: impl FnOnce(&[u8]) -> Result<T, Spoiled>,
    ) -> Exchange<T> {
        match self.exchange(request, limits, veil).await {
            Err(error) => Exchange::failed(error),
            Ok(answer) if (200..300).contains(&answer.status) => {
                let told = limits::told(&answer.headers);
                match read(&answer.body) {
                    Ok(reply) => Exchange::new(Ok(reply), told),
                    Err(Spoiled::Answer(error)) => Exchange::new(Err(error), told),
                    // an error object after all
                    Err(Spoiled::Fault { status, fault }) => {
                        error::refused(status, &fault, &answer, veil)
                    }
                }
            }
            Ok(answer) => error::of_answer(&answer, veil),
        }
    }

    async fn listened(
        &self,
        request: RequestBuilder,
        limits: &CallLimits,
        told: Listener<'_>,
        veil: &Veil<'_>,
    ) -> Result<Exchange, CallError> {
        let request = self.keyed(request)?;
        let (mut answer, mut flow) = self.door.begin(request, limits, veil).await?;
        if !(200..300).contains(&answer.status) {
            // a refusal is definite, even if its body is cut
            let _ = flow.whole(&mut answer.body, veil).await;
            return Ok(error::of_answer(&answer, veil));
        }
        let mut hearing = Hearing::new(&answer, limits::told(&answer.headers), veil);
        let reply = stream::listen(flow, &mut hearing, told, veil).await;
        Ok(Exchange::new(reply, hearing.told))
    }
}

#[async_trait]
impl Provider for OpenAi {
    async fn generate(&self, wire_name: &str, request: &Request, limits: &CallLimits) -> Exchange {
        let veil = Veil::over(&self.key, request);
        let ask = map::ask(wire_name, request, self.dialect);
        let post = self.post(&["chat", "completions"]).json(&ask);
        let read = |body: &[u8]| map::reply(body, &veil);
        self.exchanged(post, limits, &veil, read).await
    }

    async fn stream(
        &self,
        wire_name: &str,
        request: &Request,
        limits: &CallLimits,
        chunks: &(dyn Fn(Chunk) + Send + Sync),
    ) -> Exchange {
        let veil = Veil::over(&self.key, request);
        let ask = map::ask_for_stream(wire_name, request, self.dialect);
        let post = self.post(&["chat", "completions"]).json(&ask);
        let listened = self.listened(post, limits, chunks, &veil).await;
        listened.unwrap_or_else(Exchange::failed)
    }

    async fn embed(
        &self,
        wire_name: &str,
        request: &EmbedRequest,
        limits: &CallLimits,
    ) -> Exchange<EmbedReply> {
        if let Err(error) = vectors::may_send(request, embed::AT_ONCE) {
            return Exchange::failed(error);
        }
        let veil = Veil::over_texts(&self.key, &request.texts);
        let ask = embed::ask(wire_name, request, self.dialect);
        let post = self.post(&["embeddings"]).json(&ask);
        let limits = limits.for_vectors(request.texts.len());
        let read = |body: &[u8]| embed::reply(body, request, &veil);
        self.exchanged(post, &limits, &veil, read).await
    }

    fn embeds_at_once(&self) -> usize {
        embed::AT_ONCE
    }

    fn batches(&self) -> Option<&dyn Batches> {
        Some(self)
    }

    fn kind(&self) -> &'static str {
        "openai"
    }

    async fn check(&self) -> Result<(), CallError> {
        let veil = Veil::new(&self.key);
        let get = self.door.client().get(self.door.url(["models"]));
        let answer = self.exchange(get, &CallLimits::check(), &veil).await?;
        if !(200..300).contains(&answer.status) {
            let refused = error::of_answer::<Reply>(&answer, &veil).answer;
            return match refused.err() {
                Some(CallError::ModelGone { message }) => Err(CallError::Rejected {
                    status: 404,
                    message,
                }),
                Some(error) => Err(error),
                None => Ok(()),
            };
        }
        // some copies send the list without what is around it
        let listed = match parse_lenient::<Value>(&answer.body) {
            Ok(Value::Object(list)) => list.get("data").is_some_and(Value::is_array),
            Ok(Value::Array(list)) => !list.is_empty(),
            _ => false,
        };
        if listed {
            return Ok(());
        }
        match map::unreadable(&answer.body, &veil) {
            Spoiled::Answer(error) => Err(error),
            Spoiled::Fault { status, fault } => Err(error::classify(
                status,
                &fault,
                answer.retry_after,
                &[],
                &veil,
            )),
        }
    }
}
