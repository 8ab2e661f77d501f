//! OpenAI's errors: the envelope and the words.

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::headers::duration;
use crate::simulator::limits::{Dimension, Refusal, Violation};
use crate::simulator::model::Denied;
use crate::simulator::settings::Settings;

/// An error as OpenAI sends it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::simulator) struct Failure {
    pub(super) http: u16,
    pub(super) message: String,
    kind: &'static str,
    pub(super) param: Option<String>,
    code: Option<&'static str>,
    /// When it may pay to ask again.
    retry_ms: Option<u64>,
}

/// What most errors are of.
const REQUEST: &str = "invalid_request_error";

impl Failure {
    pub(super) fn new(
        http: u16,
        kind: &'static str,
        code: Option<&'static str>,
        message: String,
    ) -> Self {
        Self {
            http,
            message,
            kind,
            param: None,
            code,
            retry_ms: None,
        }
    }

    /// 400: the body is not what the endpoint takes.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, REQUEST, None, message.into())
    }

    /// 400 that names the parameter and has a code.
    pub(super) fn of(param: &str, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.to_owned()),
            code: Some(code),
            ..Self::invalid(message)
        }
    }

    /// 401: no key at all.
    pub(super) fn no_key() -> Self {
        let message = "You didn't provide an API key. You need to provide your API key in an \
                       Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
        Self::new(401, REQUEST, None, message.to_owned())
    }

    /// 401: the key is wrong.
    pub(super) fn wrong_key() -> Self {
        let message = "Incorrect API key provided. You can find your API key at \
                       https://platform.openai.com/account/api-keys.";
        Self::new(401, REQUEST, Some("invalid_api_key"), message.to_owned())
    }

    /// 404: no such model.
    pub(super) fn unknown_model(model: &str) -> Self {
        let message =
            format!("The model `{model}` does not exist or you do not have access to it.");
        Self {
            param: Some("model".to_owned()),
            ..Self::new(404, REQUEST, Some("model_not_found"), message)
        }
    }

    /// 404: no such path.
    pub(in crate::simulator) fn not_found() -> Self {
        let message = "Invalid URL: the simulator does not offer it.";
        Self::new(404, REQUEST, None, message.to_owned())
    }

    /// 500.
    pub(super) fn internal() -> Self {
        let message = "The server had an error while processing your request. Sorry about that!";
        Self::new(500, "server_error", None, message.to_owned())
    }

    /// 503.
    pub(super) fn overloaded() -> Self {
        let message = "The server is overloaded or not ready yet.";
        let code = Some("server_is_overloaded");
        Self::new(503, "service_unavailable_error", code, message.to_owned())
    }

    /// 429 that says nothing more.
    pub(super) fn limited() -> Self {
        let message = "Too many requests.".to_owned();
        Self::new(429, "rate_limit_error", None, message)
    }

    /// A call that is not let in, though there is nothing wrong with it.
    pub(super) fn denied(denied: &Denied, model: &str, settings: &Settings) -> Self {
        match denied {
            Denied::Overloaded => Self::overloaded(),
            Denied::NoMoney => Self::new(
                429,
                "insufficient_quota",
                Some("insufficient_quota"),
                "You exceeded your current quota, please check your plan and billing details."
                    .to_owned(),
            ),
            Denied::Spent(_) if settings.bare_429 => Self::limited(),
            Denied::Spent(refusal) => match refusal.violations.first() {
                Some(first) => Self::spent(model, refusal, first),
                None => Self::limited(),
            },
        }
    }

    /// 429 that names one exhausted limit, as OpenAI does.
    fn spent(model: &str, refusal: &Refusal, first: &Violation) -> Self {
        let (kind, words) = match first.dimension {
            Dimension::Requests => ("requests", "requests per min (RPM)"),
            Dimension::Tokens => ("tokens", "tokens per min (TPM)"),
            Dimension::Day => ("requests", "requests per day (RPD)"),
        };
        let (limit, used, requested) = (first.limit.unwrap_or(0), first.used, first.requested);
        let place = format!("for {model} in organization org-simulator on {words}: Limit");
        let never = first.dimension == Dimension::Tokens && requested > limit;
        let code = Some("rate_limit_exceeded");
        if never {
            let message = format!(
                "Request too large {place} {limit}, Requested {requested}. The input or output \
                 tokens must be reduced in order to run successfully."
            );
            return Self::new(429, kind, code, message);
        }
        let delay = duration(refusal.retry_ms);
        let message = format!(
            "Rate limit reached {place} {limit}, Used {used}, Requested {requested}. Please try \
             again in {delay}. Visit https://platform.openai.com/account/rate-limits to learn more."
        );
        Self {
            retry_ms: Some(refusal.retry_ms),
            ..Self::new(429, kind, code, message)
        }
    }

    /// The error object.
    pub(super) fn envelope(&self) -> Value {
        json!({"error": {
            "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
        }})
    }

    /// The error with these headers beside it.
    pub(super) fn respond(self, headers: HeaderMap) -> Response {
        let mut response = self.into_response();
        response.headers_mut().extend(headers);
        response
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.http).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, Json(self.envelope())).into_response();
        if let Some(ms) = self.retry_ms {
            let told = [("retry-after", ms.div_ceil(1000)), ("retry-after-ms", ms)];
            for (name, value) in told {
                let name = HeaderName::from_static(name);
                response
                    .headers_mut()
                    .insert(name, HeaderValue::from(value));
            }
        }
        response
    }
}
