//! What the settle functions in SQL take: one JSON object a task.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{Answered, Fate, Spent, Unanswered};

#[derive(Serialize)]
pub(super) struct DoneRow<'a> {
    pub(super) task: Uuid,
    nonce: i64,
    epoch: i32,
    attempt: i32,
    lane: i32,
    priority: f64,
    model: &'a str,
    model_id: i32,
    call_id: Uuid,
    granted_at: DateTime<Utc>,
    #[serde(flatten)]
    spent: SpentRow,
    model_version: Option<String>,
    response_id: Option<String>,
    leads: Option<bool>,
}

impl<'a> From<&'a Answered> for DoneRow<'a> {
    fn from(answered: &'a Answered) -> Self {
        let key = &answered.claim;
        Self {
            task: key.task,
            nonce: key.nonce,
            epoch: key.epoch,
            attempt: key.attempt,
            lane: key.lane,
            priority: key.priority,
            model: &key.model,
            model_id: key.model_id,
            call_id: key.call,
            granted_at: key.granted_at,
            spent: SpentRow::from(&answered.spent),
            model_version: answered.model_version.as_deref().map(cut),
            response_id: answered.response_id.as_deref().map(cut),
            leads: answered.leads,
        }
    }
}

#[derive(Serialize)]
pub(super) struct OpenRow<'a> {
    task: Uuid,
    nonce: i64,
    epoch: i32,
    call_id: Uuid,
    granted_at: DateTime<Utc>,
    fate: &'static str,
    delay_ms: i64,
    exhaust_rung: bool,
    error_class: &'a str,
    error: String,
    sent: bool,
    http_status: Option<u16>,
    pack_most: Option<u16>,
    leads: Option<bool>,
    #[serde(flatten)]
    spent: SpentRow,
}

impl<'a> From<&'a Unanswered> for OpenRow<'a> {
    fn from(attempt: &'a Unanswered) -> Self {
        let (fate, delay_ms) = match attempt.fate {
            Fate::Release => ("release", 0),
            Fate::Reschedule { delay_ms } => ("reschedule", delay_ms),
            Fate::Fail => ("fail", 0),
            Fate::Expire => ("expire", 0),
        };
        Self {
            task: attempt.claim.task,
            nonce: attempt.claim.nonce,
            epoch: attempt.claim.epoch,
            call_id: attempt.claim.call,
            granted_at: attempt.claim.granted_at,
            fate,
            delay_ms,
            exhaust_rung: attempt.exhaust_rung,
            error_class: &attempt.error_class,
            error: cut(&attempt.error),
            sent: attempt.sent,
            http_status: attempt.http_status,
            pack_most: attempt.pack_most,
            leads: attempt.leads,
            spent: SpentRow::from(&attempt.spent),
        }
    }
}

#[derive(Serialize)]
struct SpentRow {
    input_tokens: Option<u64>,
    cached_tokens: Option<u64>,
    output_tokens: Option<u64>,
    thought_tokens: Option<u64>,
    cost_microusd: Option<i64>,
    cost_estimated: bool,
    latency_ms: i32,
}

impl From<&Spent> for SpentRow {
    fn from(spent: &Spent) -> Self {
        Self {
            input_tokens: spent.usage.map(|u| u.input_tokens),
            cached_tokens: spent.usage.map(|u| u.cached_tokens),
            output_tokens: spent.usage.map(|u| u.output_tokens),
            thought_tokens: spent.usage.map(|u| u.thought_tokens),
            cost_microusd: spent.cost_microusd,
            cost_estimated: spent.estimated,
            latency_ms: spent.latency_ms,
        }
    }
}

/// Words for a column: no U+0000, at most 1,000 characters.
pub(super) fn cut(words: &str) -> String {
    words.chars().filter(|c| *c != '\0').take(1000).collect()
}
