//! Calling OpenAI, or a copy of it.

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::SecretString;
use serde_json::Value;

use super::{
    error, limits,
    map::{self, Dialect},
};
use crate::{
    llm::{CallError, Exchange, Request, parse_lenient},
    provider::{
        CallLimits, Provider, ProviderError, ProviderSettings,
        http::{Answer, Door},
        words::Veil,
    },
};

/// One account behind one key.
pub(in crate::provider) struct OpenAi {
    door: Door,
    dialect: Dialect,
    key: SecretString,
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

    async fn exchange(
        &self,
        request: reqwest::RequestBuilder,
        limits: &CallLimits,
        veil: &Veil<'_>,
    ) -> Result<Answer, CallError> {
        let request = request
            .header(AUTHORIZATION, self.key_header.clone())
            .build()
            .map_err(|_| CallError::Unreachable {
                message: "no request could be built".into(),
            })?;
        self.door.exchange(request, limits, veil).await
    }
}

#[async_trait]
impl Provider for OpenAi {
    async fn generate(&self, wire_name: &str, request: &Request, limits: &CallLimits) -> Exchange {
        let veil = Veil::over(&self.key, request);
        let post = self
            .door
            .client()
            .post(self.door.url(["chat", "completions"]))
            .json(&map::ask(wire_name, request, self.dialect));
        match self.exchange(post, limits, &veil).await {
            Err(error) => Exchange::failed(error),
            Ok(answer) if (200..300).contains(&answer.status) => {
                let told = limits::told(&answer.headers);
                match map::reply(&answer.body, &veil) {
                    Ok(reply) => Exchange::new(Ok(reply), told),
                    Err(map::Spoiled::Answer(error)) => Exchange::new(Err(error), told),
                    // an error object after all
                    Err(map::Spoiled::Fault { status, fault }) => {
                        error::refused(status, &fault, &answer, &veil)
                    }
                }
            }
            Ok(answer) => error::of_answer(&answer, &veil),
        }
    }

    fn kind(&self) -> &'static str {
        "openai"
    }

    async fn check(&self) -> Result<(), CallError> {
        let veil = Veil::new(&self.key);
        let get = self.door.client().get(self.door.url(["models"]));
        let answer = self.exchange(get, &CallLimits::check(), &veil).await?;
        if !(200..300).contains(&answer.status) {
            let refused = error::of_answer(&answer, &veil).answer;
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
            map::Spoiled::Answer(error) => Err(error),
            map::Spoiled::Fault { status, fault } => Err(error::classify(
                status,
                &fault,
                answer.retry_after,
                &[],
                &veil,
            )),
        }
    }
}
