//! Calling Gemini.

use async_trait::async_trait;
use reqwest::{Url, header::HeaderValue};
use secrecy::SecretString;

use super::{error, map, wire};
use crate::{
    llm::{CallError, Exchange, Request, parse_lenient},
    provider::{
        CallLimits, Provider, ProviderError, ProviderSettings,
        http::{Answer, Door},
        words::Veil,
    },
};

/// Never `?key=`: query keys land in logs, and new keys are refused there.
const KEY_HEADER: &str = "x-goog-api-key";

/// One Gemini project behind one key.
pub(in crate::provider) struct Gemini {
    door: Door,
    key: SecretString,
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

    /// `models/{model}:generateContent`; a name may bring its own `models/` or `tunedModels/`.
    fn url(&self, wire_name: &str) -> Url {
        let path = match wire_name.split_once('/') {
            Some(("models" | "tunedModels", _)) => format!("{wire_name}:generateContent"),
            _ => format!("models/{wire_name}:generateContent"),
        };
        self.door.url(path.split('/'))
    }

    async fn exchange(
        &self,
        request: reqwest::RequestBuilder,
        limits: &CallLimits,
        veil: &Veil<'_>,
    ) -> Result<Answer, CallError> {
        let request = request
            .header(KEY_HEADER, self.key_header.clone())
            .build()
            .map_err(|_| CallError::Unreachable {
                message: "no request could be built".into(),
            })?;
        let answer = self.door.exchange(request, limits, veil).await?;
        match answer.status {
            200..=299 => Ok(answer),
            _ => Err(error::of_answer(&answer, veil)),
        }
    }
}

#[async_trait]
impl Provider for Gemini {
    async fn generate(&self, wire_name: &str, request: &Request, limits: &CallLimits) -> Exchange {
        let veil = Veil::over(&self.key, request);
        let post = self
            .door
            .client()
            .post(self.url(wire_name))
            .json(&map::ask(request));
        match self.exchange(post, limits, &veil).await {
            Ok(answer) => Exchange::new(map::reply(&answer.body, &veil), Vec::new()),
            Err(error) => Exchange::failed(error),
        }
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
