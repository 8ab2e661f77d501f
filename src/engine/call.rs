//! One claimed task: ask, call, judge. Ends in an outcome, whatever happens.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    GRANT_TTL, Shared,
    heartbeat::Lease,
    registry::{Compiled, guarded},
    settle::{Closing, Outcome},
    throttle::Sign,
};
use crate::{
    cost,
    llm::{CallError, Exchange, QuotaWindow, Reply, Usage, Verdict},
    provider::CallLimits,
    retry::{Step, Tried, after},
    store::{
        claim::{Claimed, TaskBody},
        settle::{Answered, ClaimKey, Fate, Spent, Unanswered},
    },
    task::{Item, Judgement},
};

/// One claimed task on its way to an outcome.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) process: Uuid,
    pub(super) lease: Lease,
    pub(super) claimed: Claimed,
    pub(super) body: Option<TaskBody>,
    /// Whether the items of its claim could be read at all.
    pub(super) items_were_read: bool,
    /// When the grant arrived here.
    pub(super) arrived_at: Instant,
}

/// An attempt that failed, before it is known what follows.
struct Failed {
    class: String,
    words: String,
    /// Why the model is closed, where the verdict closes it.
    brief: String,
    verdict: Verdict,
    sign: Sign,
    sent: bool,
    status: Option<u16>,
    usage: Option<Usage>,
    may_have_cost: bool,
}

impl Call {
    /// Asks, calls and judges.
    pub(super) async fn run(self) -> Outcome {
        if self.claimed.expired {
            return self.expired();
        }
        let compiled = match self
            .shared
            .registry
            .compiled(&self.shared.store, &self.claimed.definition)
            .await
        {
            Ok(compiled) => compiled,
            Err(error) if error.is_passing() => return self.unsent("not_sent", &error.to_string()),
            Err(error) => {
                // kept by a newer program, perhaps: its tasks are for others, and this process ends
                tracing::error!(%error, "a worker's definition cannot be read; is this program older than the others?");
                self.shared.broken.cancel();
                return self.unsent("definition", &error.to_string());
            }
        };
        let Some(item) = self.item() else {
            return if self.items_were_read {
                self.refused("input", "its item is gone, or is not JSON")
            } else {
                self.unsent("not_sent", "the item could not be read")
            };
        };
        let request = match guarded(|| compiled.handler.request(&item)) {
            Ok(Ok(request)) => request,
            Ok(Err(error)) => return self.refused("input", &error.0),
            Err(words) => return self.refused("panic", &words),
        };
        let (entry, wire_name) = self.claimed.model.split_once('/').unwrap_or_default();
        let Some(provider) = self.shared.providers.get(entry).cloned() else {
            return self.unsent("not_sent", "this process has no key for the provider");
        };
        if self.arrived_at.elapsed() > GRANT_TTL || !self.lease.holds() {
            return self.unsent("grant_expired", "the grant was not used in time");
        }
        let limits = CallLimits {
            timeout: Duration::from_millis(self.claimed.call_timeout_ms.unsigned_abs().into()),
            ..CallLimits::default()
        };
        let sent_at = Instant::now();
        let exchange = tokio::select! {
            exchange = provider.generate(wire_name, &request, &limits) => exchange,
            () = self.shared.abandon.cancelled() => {
                return self.abandoned(sent_at.elapsed());
            }
        };
        let latency = sent_at.elapsed();
        let Exchange { answer, notices } = exchange;
        let mut outcome = match answer {
            Ok(reply) => self.judged(&compiled, &item, reply, latency),
            Err(error @ CallError::Exhausted { .. }) => {
                tracing::warn!(%error, "a task is given back, and its slot rests for a moment");
                // the slot stays taken: fewer calls at once need less
                tokio::select! {
                    () = tokio::time::sleep(EXHAUSTED_PAUSE) => {}
                    () = self.shared.abandon.cancelled() => {}
                }
                self.unsent("not_sent", &error.to_string())
            }
            Err(error) => self.failed(failure_of(error), latency),
        };
        outcome.notices = notices;
        outcome
    }

    fn item(&self) -> Option<Item> {
        let body = self.body.as_ref()?;
        let raw = serde_json::value::RawValue::from_string(body.body.clone()).ok()?;
        Some(Item::new(body.item.clone(), raw))
    }

    fn judged(
        self,
        compiled: &Arc<Compiled>,
        item: &Item,
        reply: Reply,
        latency: Duration,
    ) -> Outcome {
        let judgement = guarded(|| compiled.handler.judge(item, &reply));
        match judgement.unwrap_or_else(Judgement::Reject) {
            Judgement::Accept(answer) => {
                let spent = self.spent(reply.usage, true, latency);
                Outcome {
                    process: self.process,
                    slot: None,
                    notices: Vec::new(),
                    closing: Closing::Answered {
                        answered: Answered {
                            claim: ClaimKey::from(&self.claimed),
                            item: self.claimed.item.clone(),
                            version: self.body.and_then(|body| body.version),
                            answer,
                            spent,
                            model_version: reply.model_version,
                            response_id: reply.response_id,
                        },
                        definition: self.claimed.definition,
                        sink: compiled.sink.clone(),
                    },
                }
            }
            Judgement::Reject(reason) => self.failed(
                Failed {
                    class: "rejected_answer".to_owned(),
                    words: format!("the answer does not do: {reason}"),
                    brief: String::new(),
                    verdict: Verdict::Retry { after: None },
                    sign: Sign::None,
                    sent: true,
                    status: Some(200),
                    usage: reply.usage,
                    may_have_cost: true,
                },
                latency,
            ),
        }
    }

    fn failed(self, failed: Failed, latency: Duration) -> Outcome {
        let tried = Tried {
            attempt: self.claimed.attempt,
            max_attempts: self.claimed.max_attempts,
            tries: self.claimed.tries.clone(),
            rung: self.claimed.rung,
            ladder_len: self.claimed.ladder_len,
            spent: Duration::from_millis(self.claimed.spent_ms.unsigned_abs()) + latency,
        };
        let (fate, exhaust_rung) = match after(failed.verdict, &tried, rand::random()) {
            Step::Release => (Fate::Release, false),
            Step::Again {
                delay,
                exhaust_rung,
            } => (
                Fate::Reschedule {
                    delay_ms: i64::try_from(delay.as_millis()).unwrap_or(i64::MAX),
                },
                exhaust_rung,
            ),
            Step::Fail => (Fate::Fail, false),
        };
        let spent = self.spent(failed.usage, failed.may_have_cost, latency);
        Outcome {
            process: self.process,
            slot: None,
            notices: Vec::new(),
            closing: Closing::Open {
                attempt: Unanswered {
                    claim: ClaimKey::from(&self.claimed),
                    fate,
                    exhaust_rung,
                    error_class: failed.class,
                    error: failed.words,
                    sent: failed.sent,
                    http_status: failed.status,
                    spent,
                },
                verdict: failed.verdict,
                brief: failed.brief,
                sign: failed.sign,
            },
        }
    }

    /// Not worth starting any more.
    fn expired(self) -> Outcome {
        let mut outcome = self.unsent("expired", "it was not worth starting any more");
        if let Closing::Open { attempt, .. } = &mut outcome.closing {
            attempt.fate = Fate::Expire;
        }
        outcome
    }

    /// Given back before anything was sent.
    fn unsent(self, class: &str, words: &str) -> Outcome {
        self.release(class, words, false, Duration::ZERO)
    }

    /// Given back at a stop, while the call was under way: what it cost is estimated.
    fn abandoned(self, latency: Duration) -> Outcome {
        self.release(
            "stopped",
            "the process stopped while the call was under way",
            true,
            latency,
        )
    }

    fn release(self, class: &str, words: &str, sent: bool, latency: Duration) -> Outcome {
        let failed = Failed {
            class: class.to_owned(),
            words: words.to_owned(),
            brief: String::new(),
            verdict: Verdict::CoolDown {
                wait: Some(Duration::ZERO),
                until_day_ends: false,
            },
            sign: Sign::None,
            sent,
            status: None,
            usage: None,
            may_have_cost: sent,
        };
        let mut outcome = self.failed(failed, latency);
        outcome.forget_verdict();
        outcome
    }

    /// Ended before anything was sent: the item or the definition is at fault.
    fn refused(self, class: &str, words: &str) -> Outcome {
        let failed = Failed {
            class: class.to_owned(),
            words: words.to_owned(),
            brief: String::new(),
            verdict: Verdict::GiveUp,
            sign: Sign::None,
            sent: false,
            status: None,
            usage: None,
            may_have_cost: false,
        };
        self.failed(failed, Duration::ZERO)
    }

    fn spent(&self, usage: Option<Usage>, may_have_cost: bool, latency: Duration) -> Spent {
        let (input, output) = (self.claimed.input_price, self.claimed.output_price);
        let estimate = || {
            let tokens = u64::from(self.claimed.est_input.unsigned_abs());
            cost::estimate(tokens, UNCOUNTED_OUTPUT_TOKENS, input, output)
        };
        let (cost_microusd, estimated) = match usage {
            Some(usage) => (cost::actual(&usage, input, output), false),
            None if may_have_cost => (estimate(), true),
            None => (Some(0), false),
        };
        Spent {
            usage,
            cost_microusd,
            estimated,
            latency_ms: i32::try_from(latency.as_millis()).unwrap_or(i32::MAX),
        }
    }
}

/// How long a slot rests when this machine had nothing left to call with.
const EXHAUSTED_PAUSE: Duration = Duration::from_secs(2);
/// Output tokens assumed of a call that may have been billed and was not counted.
const UNCOUNTED_OUTPUT_TOKENS: u64 = 256;

fn failure_of(error: CallError) -> Failed {
    let status = match &error {
        CallError::RateLimited { .. } => Some(429),
        CallError::Overloaded { status, .. }
        | CallError::Failed { status, .. }
        | CallError::Rejected { status, .. } => Some(*status),
        CallError::Damaged { .. } | CallError::Truncated { .. } | CallError::Filtered { .. } => {
            Some(200)
        }
        _ => None,
    };
    Failed {
        class: error.class().to_owned(),
        words: error.to_string(),
        brief: error.brief(),
        verdict: error.verdict(),
        sign: match &error {
            // a spent day says nothing of the minute
            CallError::RateLimited { quotas, .. }
                if !quotas.is_empty() && quotas.iter().all(|it| it.window == QuotaWindow::Day) =>
            {
                Sign::None
            }
            CallError::RateLimited { quotas, .. } => Sign::Refused {
                named: !quotas.is_empty(),
            },
            CallError::Overloaded { .. } => Sign::Overloaded,
            _ => Sign::None,
        },
        sent: !matches!(error, CallError::Unreachable { .. }),
        status,
        usage: error.usage(),
        may_have_cost: error.may_have_cost(),
    }
}
