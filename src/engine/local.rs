//! One local task: run its handler, bounded in time. Ends in an outcome, whatever happens.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use serde_json::value::RawValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Shared,
    heartbeat::Lease,
    registry::{Compiled, guarded},
    settle::{Closing, Outcome},
    throttle::Sign,
};
use crate::{
    definition::LocalTemplateError,
    llm::Verdict,
    retry::{Step, after_local},
    store::{
        StoreError,
        claim::TaskBody,
        local::LocalTask,
        settle::{ClaimKey, Fate, Spent, Unanswered},
    },
    task::{Answer, Item, LocalError, LocalHandler},
};

/// Who does a task.
enum Work {
    Program(Arc<dyn LocalHandler>),
    Folder(Arc<Compiled>),
}

impl Work {
    fn sink(&self) -> Option<String> {
        match self {
            Self::Program(_) => None,
            Self::Folder(compiled) => compiled.sink.clone(),
        }
    }
}

/// One local task on its way to an outcome.
pub(super) struct LocalRun {
    pub(super) shared: Arc<Shared>,
    pub(super) process: Uuid,
    pub(super) lease: Lease,
    pub(super) task: LocalTask,
    pub(super) body: Option<TaskBody>,
    /// The answers of other steps that it sees. `None`: they could not be read.
    pub(super) results: Option<BTreeMap<String, Answer>>,
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
        let work = match self.work().await {
            Ok(work) => work,
            Err(error) => {
                let class = self.shared.without_definition(&error);
                return self.open(Fate::Release, class, &error.to_string(), 0);
            }
        };
        if let Some(hit) = &self.task.hit {
            // answered already: nothing is left but to store it
            let (answer, sink) = (hit.answer.clone(), work.sink());
            return self.done(answer, 0, sink);
        }
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
        self.task.version = body.version;
        let Some(results) = self.results.take() else {
            let words = "the answers that it reads could not be read";
            return self.open(Fate::Release, "not_sent", words, 0);
        };
        let item = match self.item(&work, body.item, raw, results) {
            Ok(item) => item,
            Err(words) => return self.open(Fate::Fail, "input", &words, 0),
        };
        if !self.lease.holds() {
            return self.open(
                Fate::Release,
                "grant_expired",
                "the lease was over before it started",
                0,
            );
        }
        match work {
            Work::Program(handler) => self.by_program(handler, item).await,
            Work::Folder(compiled) => self.by_folder(&compiled, &item),
        }
    }

    /// Who does it: a program that this process brought, else the worker's folder.
    async fn work(&self) -> Result<Work, StoreError> {
        if let Some(program) = self.shared.registry.programs().get(&self.task.worker) {
            return Ok(Work::Program(program.handler.clone()));
        }
        let store = &self.shared.store;
        let compiled = self
            .shared
            .registry
            .compiled(store, &self.task.definition)
            .await?;
        Ok(Work::Folder(compiled))
    }

    /// Its item, with the answers that its component needs.
    fn item(
        &self,
        work: &Work,
        id: String,
        body: Box<RawValue>,
        results: BTreeMap<String, Answer>,
    ) -> Result<Item, String> {
        let component = &self.task.component;
        match work {
            Work::Folder(compiled) if !component.is_empty() => {
                compiled.item(id, body, component, results)
            }
            _ => Ok(Item::new(id, body)),
        }
    }

    /// Renders the folder's template: that is the answer.
    fn by_folder(self, compiled: &Compiled, item: &Item) -> Outcome {
        let began = Instant::now();
        let Some(template) = &compiled.local else {
            return self.open(Fate::Fail, "definition", "its folder asks a model", 0);
        };
        let answer = guarded(|| template.answer(item));
        let took = millis(began);
        match answer {
            Ok(Ok(answer)) => self.done(answer.get().to_owned(), took, compiled.sink.clone()),
            Ok(Err(LocalTemplateError::Input(words))) => {
                self.open(Fate::Fail, "input", &words.replace('\0', "\u{fffd}"), took)
            }
            Ok(Err(LocalTemplateError::Schema(words))) => {
                self.open(Fate::Fail, "rejected_answer", &words, took)
            }
            Err(words) => self.again("panic", &words, took),
        }
    }

    async fn by_program(self, handler: Arc<dyn LocalHandler>, item: Item) -> Outcome {
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
            Ok(Ok(Ok(answer))) => self.done(String::from(Box::<str>::from(answer)), took, None),
            Ok(Ok(Err(LocalError::Fail(words)))) => self.open(Fate::Fail, "handler", &words, took),
            Ok(Ok(Err(LocalError::Again(words)))) => self.again("handler", &words, took),
            Ok(Err(_)) => self.again("panic", "the handler panicked; see the process's log", took),
            Err(_) => self.again("timeout", "the attempt's time was up", took),
        }
    }

    fn done(self, answer: String, took_ms: i32, sink: Option<String>) -> Outcome {
        let closing = Closing::Local {
            task: self.task,
            answer,
            took_ms,
            sink,
        };
        Outcome::of(self.process, closing)
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
        let closing = Closing::Open {
            attempt: Unanswered {
                claim: ClaimKey::from(&self.task),
                fate,
                exhaust_rung: false,
                error_class: class.to_owned(),
                error: words.to_owned(),
                sent: false,
                http_status: None,
                pack_most: None,
                leads: None,
                spent: Spent {
                    latency_ms,
                    ..Spent::default()
                },
            },
            verdict: Verdict::GiveUp,
            brief: String::new(),
            sign: Sign::None,
        };
        Outcome::of(self.process, closing)
    }
}

fn millis(since: Instant) -> i32 {
    i32::try_from(since.elapsed().as_millis()).unwrap_or(i32::MAX)
}
