//! Gemini's errors: the envelope, the words and the names of its quotas.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::simulator::limits::{Dimension, Refusal, Violation};
use crate::simulator::model::Denied;
use crate::simulator::settings::Settings;

/// An error as Gemini sends it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::simulator) struct Failure {
    pub(super) http: u16,
    status: &'static str,
    pub(super) message: String,
    details: Vec<Value>,
}

impl Failure {
    pub(super) fn new(http: u16, status: &'static str, message: impl Into<String>) -> Self {
        Self {
            http,
            status,
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// 400: the body is not what the endpoint takes.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "INVALID_ARGUMENT", message)
    }

    /// 400: a key that the message type does not have.
    pub(super) fn unknown_key(key: &str, inside: Option<&str>) -> Self {
        let at = inside.map_or_else(String::new, |inside| format!(" at '{inside}'"));
        let message = format!(
            "Invalid JSON payload received. Unknown name \"{key}\"{at}: Cannot find field."
        );
        let mut violation = json!({"description": message});
        if let Some(inside) = inside {
            violation["field"] = json!(inside);
        }
        Self {
            details: vec![json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [violation],
            })],
            ..Self::invalid(message)
        }
    }

    /// 400: the key is wrong. Not 401: so Gemini does.
    pub(super) fn wrong_key() -> Self {
        const WORDS: &str = "API key not valid. Please pass a valid API key.";
        Self {
            details: vec![
                json!({
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "API_KEY_INVALID",
                    "domain": "googleapis.com",
                    "metadata": {"service": "generativelanguage.googleapis.com"},
                }),
                json!({
                    "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
                    "locale": "en-US",
                    "message": WORDS,
                }),
            ],
            ..Self::invalid(WORDS)
        }
    }

    /// 403: no key at all.
    pub(super) fn no_key() -> Self {
        Self::new(
            403,
            "PERMISSION_DENIED",
            "Method doesn't allow unregistered callers (callers without established identity). \
             Please use API Key or other form of API consumer identity to call this API.",
        )
    }

    /// 404: no such model, or none that can do this.
    pub(super) fn unknown_model(model: &str, version: &str, method: &str) -> Self {
        Self::new(
            404,
            "NOT_FOUND",
            format!(
                "models/{model} is not found for API version {version}, or is not supported for \
                 {method}. Call ListModels to see the list of available models and their \
                 supported methods."
            ),
        )
    }

    /// 404: no such thing.
    pub(in crate::simulator) fn not_found() -> Self {
        Self::new(404, "NOT_FOUND", "Requested entity was not found.")
    }

    /// 500.
    pub(super) fn internal() -> Self {
        Self::new(
            500,
            "INTERNAL",
            "An internal error has occurred. Please retry or report in \
             https://developers.generativeai.google/guide/troubleshooting",
        )
    }

    /// 503.
    pub(super) fn overloaded() -> Self {
        Self::new(
            503,
            "UNAVAILABLE",
            "The model is overloaded. Please try again later.",
        )
    }

    /// 429 that means money.
    fn no_money() -> Self {
        Self::new(
            429,
            "RESOURCE_EXHAUSTED",
            "Your prepayment credits are depleted. Please go to AI Studio to manage your project and \
             billing.",
        )
    }

    /// A call that is not let in, though there is nothing wrong with it.
    pub(super) fn denied(denied: &Denied, model: &str, settings: &Settings) -> Self {
        match denied {
            Denied::Overloaded => Self::overloaded(),
            Denied::NoMoney => Self::no_money(),
            Denied::Spent(_) if settings.bare_429 => Self::exhausted(),
            Denied::Spent(refusal) => Self::quota(model, refusal, settings.paid_tier),
        }
    }

    /// 429 that says nothing more.
    pub(super) fn exhausted() -> Self {
        Self::new(
            429,
            "RESOURCE_EXHAUSTED",
            "Resource has been exhausted (e.g. check quota).",
        )
    }

    /// 429 that names every exhausted quota.
    fn quota(model: &str, refusal: &Refusal, paid_tier: bool) -> Self {
        let quotas = || {
            let violations = refusal.violations.iter();
            violations.map(|violation| (violation, Quota::of(violation.dimension, paid_tier)))
        };
        let lines: String = quotas()
            .map(|(violation, quota)| quota.line(violation, model))
            .collect();
        let delay = duration(refusal.retry_ms);
        let message = format!(
            "You exceeded your current quota, please check your plan and billing details. For \
             more information on this error, head to: \
             https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, \
             head to: https://ai.dev/usage?tab=rate-limit. {lines}\nPlease retry in {delay}."
        );
        let violations: Vec<Value> = quotas()
            .map(|(violation, quota)| quota.violation(violation, model))
            .collect();
        let details = vec![
            json!({
                "@type": "type.googleapis.com/google.rpc.Help",
                "links": [{
                    "description": "Learn more about Gemini API quotas",
                    "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
                }],
            }),
            json!({
                "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                "violations": violations,
            }),
            json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}),
        ];
        Self {
            details,
            ..Self::new(429, "RESOURCE_EXHAUSTED", message)
        }
    }
}

impl Failure {
    /// The error object.
    pub(super) fn envelope(&self) -> Value {
        let mut error = json!({
            "code": self.http, "message": self.message, "status": self.status,
        });
        if !self.details.is_empty() {
            error["details"] = json!(self.details);
        }
        json!({"error": error})
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.http).unwrap_or(StatusCode::BAD_REQUEST);
        (status, Json(self.envelope())).into_response()
    }
}

/// How Gemini calls a limit.
struct Quota {
    metric: &'static str,
    id: &'static str,
}

impl Quota {
    fn of(dimension: Dimension, paid_tier: bool) -> Self {
        let (metric, id) = match (dimension, paid_tier) {
            (Dimension::Requests, false) => (
                "generate_content_free_tier_requests",
                "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
            ),
            (Dimension::Requests, true) => (
                "generate_requests_per_model",
                "GenerateRequestsPerMinutePerProjectPerModel",
            ),
            (Dimension::Tokens, false) => (
                "generate_content_free_tier_input_token_count",
                "GenerateContentInputTokensPerModelPerMinute-FreeTier",
            ),
            (Dimension::Tokens, true) => (
                "generate_content_paid_tier_input_token_count",
                "GenerateContentPaidTierInputTokensPerModelPerMinute",
            ),
            (Dimension::Day, false) => (
                "generate_content_free_tier_requests",
                "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
            ),
            (Dimension::Day, true) => (
                "generate_requests_per_model_per_day",
                "GenerateRequestsPerDayPerProjectPerModel",
            ),
        };
        Self { metric, id }
    }

    fn line(&self, violation: &Violation, model: &str) -> String {
        let metric = self.metric;
        let limit = violation
            .limit
            .map_or_else(String::new, |limit| format!(", limit: {limit}"));
        format!(
            "\n* Quota exceeded for metric: generativelanguage.googleapis.com/{metric}{limit}, \
             model: {model}"
        )
    }

    /// quotaValue is an int64: a string, and absent when it is 0.
    fn violation(&self, violation: &Violation, model: &str) -> Value {
        let mut told = json!({
            "quotaMetric": format!("generativelanguage.googleapis.com/{}", self.metric),
            "quotaId": self.id,
            "quotaDimensions": {"location": "global", "model": model},
        });
        if let Some(limit) = violation.limit.filter(|limit| *limit > 0) {
            told["quotaValue"] = json!(limit.to_string());
        }
        told
    }
}

/// A protobuf duration: `27s`, `0.847s`.
fn duration(ms: u64) -> String {
    match (ms / 1000, ms % 1000) {
        (seconds, 0) => format!("{seconds}s"),
        (seconds, rest) => format!("{seconds}.{rest:03}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(dimension: Dimension, limit: u64) -> Refusal {
        Refusal {
            violations: vec![Violation {
                dimension,
                limit: Some(limit),
                used: limit,
                requested: 1,
            }],
            retry_ms: 27_312,
        }
    }

    #[test]
    fn a_429_names_quota_value_and_delay() {
        let failure = Failure::quota("m", &refusal(Dimension::Requests, 15), false);
        assert!(failure.message.contains(
            "* Quota exceeded for metric: \
             generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 15, \
             model: m\nPlease retry in 27.312s."
        ));
        assert_eq!(
            failure.details[1]["violations"][0],
            json!({
                "quotaMetric":
                    "generativelanguage.googleapis.com/generate_content_free_tier_requests",
                "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
                "quotaDimensions": {"location": "global", "model": "m"},
                "quotaValue": "15",
            })
        );
        assert_eq!(failure.details[2]["retryDelay"], "27.312s");
    }

    #[test]
    fn a_limit_of_zero_is_said_in_words_and_has_no_value() {
        let failure = Failure::quota("m", &refusal(Dimension::Day, 0), false);
        assert!(failure.message.contains("limit: 0, model: m"));
        let violation = &failure.details[1]["violations"][0];
        assert_eq!(
            violation["quotaId"],
            "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
        );
        assert!(violation.get("quotaValue").is_none());
    }

    #[test]
    fn durations_are_protobuf_durations() {
        assert_eq!(
            [0, 27_000, 847, 6_070].map(duration),
            ["0s", "27s", "0.847s", "6.070s"]
        );
    }
}
