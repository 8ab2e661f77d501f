//! One claimed task on its way through a call: what becomes of it, whatever happens.

use std::time::Duration;

use super::{
    ProcessId,
    registry::guarded,
    settle::{Closing, Outcome},
    throttle::Sign,
};
use crate::{
    cost,
    llm::{CallError, QuotaWindow, Reply, Usage, Verdict},
    retry::{Step, Tried, after},
    store::{
        claim::{Claimed, TaskBody},
        needed::Needed,
        settle::{Answered, ClaimKey, Fate, Spent, Unanswered},
    },
    task::{Answer, Handler, Item, Judgement},
};

/// One claimed task.
pub(super) struct Member {
    pub(super) process: ProcessId,
    pub(super) claimed: Claimed,
    pub(super) body: Option<TaskBody>,
    /// The answers that it reads.
    pub(super) needed: Vec<Needed>,
}

/// What a call came to for one task that brought no answer, before it is known what follows.
#[derive(Clone)]
pub(super) struct Failed {
    pub(super) class: String,
    pub(super) words: String,
    /// Why the model is closed, where the verdict closes it.
    pub(super) brief: String,
    pub(super) verdict: Verdict,
    pub(super) sign: Sign,
    pub(super) sent: bool,
    pub(super) status: Option<u16>,
    pub(super) usage: Option<Usage>,
    pub(super) may_have_cost: bool,
}

impl Failed {
    /// Nothing was sent, for this reason, and asking again cannot help.
    pub(super) fn unsent(class: &str, words: &str) -> Self {
        Self {
            class: class.to_owned(),
            words: words.to_owned(),
            brief: String::new(),
            verdict: Verdict::GiveUp,
            sign: Sign::None,
            sent: false,
            status: None,
            usage: None,
            may_have_cost: false,
        }
    }
}

impl Member {
    /// Its item. `None`: it is gone, or is not JSON.
    pub(super) fn item(&self) -> Option<Item> {
        let body = self.body.as_ref()?;
        let raw = serde_json::value::RawValue::from_string(body.body.clone()).ok()?;
        Some(Item::new(body.item.clone(), raw))
    }

    /// Judges its own answer: accepted, or the reason why not. `spent` is its part of the call.
    pub(super) fn judged(
        &self,
        handler: &dyn Handler,
        item: &Item,
        reply: &Reply,
    ) -> Result<Answer, String> {
        match guarded(|| handler.judge(item, reply)) {
            Ok(Judgement::Accept(answer)) => Ok(answer),
            Ok(Judgement::Reject(reason)) | Err(reason) => Err(reason),
        }
    }

    /// Done, with this answer.
    pub(super) fn answered(
        self,
        sink: Option<String>,
        answer: Answer,
        reply: &Reply,
        spent: Spent,
    ) -> Outcome {
        let closing = Closing::Answered {
            answered: Answered {
                claim: ClaimKey::from(&self.claimed),
                item: self.claimed.item.clone(),
                version: self.body.and_then(|body| body.version),
                answer,
                spent,
                model_version: reply.model_version.clone(),
                response_id: reply.response_id.clone(),
                leads: None,
            },
            definition: self.claimed.definition,
            sink,
        };
        Outcome::of(self.process, closing)
    }

    /// Lost in a pack: it goes round again with fewer, at once and uncharged, since it may have been
    /// another's fault. That ends: each time fewer travel with it, and alone it is charged.
    pub(super) fn torn(self, why: &str, most: u16, status: Option<u16>, spent: Spent) -> Outcome {
        let closing = Closing::Open {
            attempt: Unanswered {
                claim: ClaimKey::from(&self.claimed),
                fate: Fate::Release,
                exhaust_rung: false,
                error_class: "torn_pack".to_owned(),
                error: format!("lost in a pack ({why}); it travels with {most} at most now"),
                sent: true,
                http_status: status,
                pack_most: Some(most),
                leads: None,
                spent,
            },
            verdict: Verdict::GiveUp,
            brief: String::new(),
            sign: Sign::None,
        };
        Outcome::of(self.process, closing)
    }

    /// Its request cannot travel with these others: given back, to be asked with so many at most.
    pub(super) fn apart(self, most: u16) -> Outcome {
        let mut outcome = self.unsent("apart", "its request cannot travel with others");
        if let Closing::Open { attempt, .. } = &mut outcome.closing {
            attempt.pack_most = Some(most);
        }
        outcome
    }

    /// Without an answer: what follows is by the verdict and by what it has behind it.
    pub(super) fn failed(self, failed: Failed, latency: Duration) -> Outcome {
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
        let closing = Closing::Open {
            attempt: Unanswered {
                claim: ClaimKey::from(&self.claimed),
                fate,
                exhaust_rung,
                error_class: failed.class,
                error: failed.words,
                sent: failed.sent,
                http_status: failed.status,
                pack_most: None,
                leads: None,
                spent,
            },
            verdict: failed.verdict,
            brief: failed.brief,
            sign: failed.sign,
        };
        Outcome::of(self.process, closing)
    }

    /// Not worth starting any more.
    pub(super) fn expired(self) -> Outcome {
        let mut outcome = self.unsent("expired", "it was not worth starting any more");
        if let Closing::Open { attempt, .. } = &mut outcome.closing {
            attempt.fate = Fate::Expire;
        }
        outcome
    }

    /// Given back before anything was sent.
    pub(super) fn unsent(self, class: &str, words: &str) -> Outcome {
        self.release(class, words, false, Duration::ZERO)
    }

    /// Given back at a stop, while the call was under way: what it cost is estimated.
    pub(super) fn abandoned(self, latency: Duration) -> Outcome {
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
    pub(super) fn refused(self, class: &str, words: &str) -> Outcome {
        self.failed(Failed::unsent(class, words), Duration::ZERO)
    }

    /// What it used of a call.
    pub(super) fn spent(
        &self,
        usage: Option<Usage>,
        may_have_cost: bool,
        latency: Duration,
    ) -> Spent {
        let (input, output) = (self.claimed.input_price, self.claimed.output_price);
        let estimate = || {
            let tokens = u64::from(self.claimed.est_input.unsigned_abs());
            // nothing is reserved for what vectors never have
            let words = self.claimed.est_output > 0;
            let answer = if words { UNCOUNTED_OUTPUT_TOKENS } else { 0 };
            cost::estimate(tokens, answer, input, output)
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

/// Output tokens assumed of a call that may have been billed and was not counted.
const UNCOUNTED_OUTPUT_TOKENS: u64 = 256;

/// What a failed call means for a task of it.
pub(super) fn failure_of(error: &CallError) -> Failed {
    let status = match error {
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
        sign: match error {
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

/// An answer that the handler does not take.
pub(super) fn rejected(why: &str, usage: Option<Usage>) -> Failed {
    Failed {
        class: "rejected_answer".to_owned(),
        words: format!("the answer does not do: {why}"),
        brief: String::new(),
        verdict: Verdict::Retry { after: None },
        sign: Sign::None,
        sent: true,
        status: Some(200),
        usage,
        may_have_cost: true,
    }
}
