//! One local task: run its handler, bounded in time. Ends in an outcome, whatever happens.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use serde_json::value::RawValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Shared,
    heartbeat::Lease,
    settle::{Closing, Outcome},
};
use crate::{
    llm::Verdict,
    retry::{Step, after_local},
    store::{
        claim::TaskBody,
        local::LocalTask,
        settle::{ClaimKey, Fate, Spent, Unanswered},
    },
    task::{Item, LocalError},
};

/// One local task on its way to an outcome.
pub(super) struct LocalRun {
    pub(super) shared: Arc<Shared>,
    pub(super) process: Uuid,
    pub(super) lease: Lease,
    pub(super) task: LocalTask,
    pub(super) body: Option<TaskBody>,
    /// Whether the bodies of its claim could be read at all.
    pub(super) bodies_were_read: bool,
}

impl LocalRun {
    /// Runs it.
    pub(super) async fn run(mut self) -> Outcome {
        if self.task.expired {
            return self.open(
                Fate::Expire,
                "expired",
                "it was not worth starting any more",
                0,
            );
        }
        let Some(program) = self.shared.registry.programs().get(&self.task.worker) else {
            return self.open(
                Fate::Release,
                "not_sent",
                "this process has no handler for it",
                0,
            );
        };
        let handler = program.handler.clone();
        let Some(body) = self.body.take() else {
            return if self.bodies_were_read {
                self.open(Fate::Fail, "input", "its item is gone", 0)
            } else {
                self.open(Fate::Release, "not_sent", "the item could not be read", 0)
            };
        };
        let Ok(raw) = RawValue::from_string(body.body) else {
            return self.open(Fate::Fail, "input", "its payload is not JSON", 0);
        };
        let item = Item {
            id: body.item,
            body: raw,
        };
        if !self.lease.holds() {
            return self.open(
                Fate::Release,
                "grant_expired",
                "the lease was over before it started",
                0,
            );
        }
        let began = Instant::now();
        let timeout = Duration::from_millis(self.task.timeout_ms.unsigned_abs().into());
        let running = AssertUnwindSafe(handler.run(&item)).catch_unwind();
        let ended = tokio::select! {
            ended = tokio::time::timeout(timeout, running) => ended,
            () = self.shared.abandon.cancelled() => {
                return self.open(Fate::Release, "stopped", "the process stopped while it was under way", millis(began));
            }
        };
        let took = millis(began);
        match ended {
            Ok(Ok(Ok(answer))) => Outcome {
                process: self.process,
                slot: None,
                closing: Closing::Local {
                    task: self.task,
                    answer: String::from(Box::<str>::from(answer)),
                    took_ms: took,
                },
            },
            Ok(Ok(Err(LocalError::Fail(words)))) => self.open(Fate::Fail, "handler", &words, took),
            Ok(Ok(Err(LocalError::Again(words)))) => self.again("handler", &words, took),
            Ok(Err(_)) => self.again("panic", "the handler panicked; see the process's log", took),
            Err(_) => self.again("timeout", "the attempt's time was up", took),
        }
    }

    fn again(self, class: &str, words: &str, took_ms: i32) -> Outcome {
        let step = after_local(
            true,
            self.task.attempt,
            self.task.max_attempts,
            rand::random(),
        );
        let fate = match step {
            Step::Release => Fate::Release,
            Step::Again { delay, .. } => Fate::Reschedule {
                delay_ms: i64::try_from(delay.as_millis()).unwrap_or(i64::MAX),
            },
            Step::Fail => Fate::Fail,
        };
        self.open(fate, class, words, took_ms)
    }

    fn open(self, fate: Fate, class: &str, words: &str, latency_ms: i32) -> Outcome {
        Outcome {
            process: self.process,
            slot: None,
            closing: Closing::Open {
                attempt: Unanswered {
                    claim: ClaimKey::from(&self.task),
                    fate,
                    exhaust_rung: false,
                    error_class: class.to_owned(),
                    error: words.to_owned(),
                    sent: false,
                    http_status: None,
                    spent: Spent {
                        latency_ms,
                        ..Spent::default()
                    },
                },
                verdict: Verdict::GiveUp,
                brief: String::new(),
            },
        }
    }
}

fn millis(since: Instant) -> i32 {
    i32::try_from(since.elapsed().as_millis()).unwrap_or(i32::MAX)
}
