//! Interactive calls: somebody waits for the answer. They go through the same admission, cache and
//! ledger as all tasks; a little of each limit is reserved for them, and no bulk work stands before them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sha2::{Digest, Sha256};
use tokio::{
    sync::{RwLock, mpsc},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

mod listening;
mod tries;
mod words;

pub use words::{AskError, Question, Told};

use listening::Listening;
use tries::Tries;

use super::{
    Life, Registry, Settings, Shared, Worked,
    member::{Failed, Member, failure_of, rejected},
    nonce,
    registry::guarded,
    settle::{Outcome, Settler},
};
use crate::{
    cache,
    definition::{EST_OUTPUT_TOKENS, estimated_request_tokens},
    llm::{Chunk, Exchange, Reply, Request},
    provider::{CallLimits, Provider},
    store::{
        self, Store, StoreError,
        claim::{ClaimRequest, Claimed},
        interactive::NewAsk,
        load::{Routing, Saving},
        run::{Asking, Pacing},
        worker::NewWorker,
    },
    task::{Answer, new_id},
};

/// A process that asks for people who wait. Cheap to share; questions run side by side.
pub struct Interactive {
    shared: Arc<Shared>,
    database: store::Settings,
    life: RwLock<Life>,
    outcomes: mpsc::Sender<Outcome>,
    settler: JoinHandle<Worked>,
    run: Uuid,
}

/// How soon it is looked again whether a call may start, at most.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The worker that such tasks are of.
const WORKER: &str = "ask";

impl Interactive {
    /// A process over this database, calling these providers by their entries' names.
    ///
    /// # Errors
    /// As every statement.
    pub async fn open(
        store: Store,
        database: store::Settings,
        providers: BTreeMap<String, Arc<dyn Provider>>,
    ) -> Result<Self, StoreError> {
        let settings = Settings {
            role: WORKER,
            status: None,
            ..Settings::default()
        };
        let run = store.register_worker(&worker()).await?;
        let shared = Arc::new(Shared::new(
            store,
            providers,
            Registry::new(),
            settings,
            CancellationToken::new(),
        ));
        let (outcomes, settling) = mpsc::channel(shared.settings.slots as usize * 2);
        let settler = tokio::spawn(Settler::new(shared.clone()).run(settling));
        let life = Life::begin(&shared, &database).await?;
        Ok(Self {
            shared,
            database,
            life: RwLock::new(life),
            outcomes,
            settler,
            run,
        })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`AskError`] says whose fault it is.
    pub async fn ask(&self, question: &Question) -> Result<Told, AskError> {
        self.told(question, None).await
    }

    /// Asks, and hands on each piece of the answer as it arrives. A kept answer is one piece. What breaks
    /// before the first piece is asked again; after it the pieces are part of no answer, and that is told.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn stream(
        &self,
        question: &Question,
        chunks: &(dyn Fn(Chunk) + Send + Sync),
    ) -> Result<Told, AskError> {
        self.told(question, Some(&Listening::new(chunks))).await
    }

    async fn told(
        &self,
        question: &Question,
        listening: Option<&Listening<'_>>,
    ) -> Result<Told, AskError> {
        let request = guarded(|| question.handler.request(&question.item))
            .and_then(|made| made.map_err(|error| error.0))
            .map_err(AskError::Input)?;
        let names: Vec<String> = question.models.iter().map(ToString::to_string).collect();
        let family: Vec<&str> = names.iter().map(String::as_str).collect();
        let key = cache::key(&cache::Parts {
            request: &request,
            cache_version: "1",
            item_version: None,
            family: &family,
        });
        let age_s = question
            .cache
            .map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX).max(1));
        if let Some(age_s) = age_s
            && let Some(hit) = self.shared.store.kept_answer(&key, age_s, WORKER).await?
        {
            let answer = Answer::json(hit.answer).map_err(|it| AskError::Input(it.to_string()))?;
            if let Some(listening) = listening {
                let text = serde_json::from_str(answer.get());
                listening.hear(text.unwrap_or_else(|_| answer.get().to_owned()));
            }
            return Ok(Told {
                answer,
                model: hit.model,
                model_version: hit.model_version,
                usage: None,
                cost_microusd: None,
                cached: true,
                waited: Duration::ZERO,
                latency: Duration::ZERO,
                task: None,
            });
        }
        let ask = self
            .new_ask(question, &request, &names, &key, age_s)
            .await?;
        self.shared.store.ask(&ask).await?;
        let told = self
            .until_answered(question, &request, ask.task, listening)
            .await;
        if !matches!(told, Ok(_) | Err(AskError::Failed { .. })) {
            // nobody waits for it any more; what failed is written down as that
            self.shared.store.cancel(&[ask.task]).await?;
        }
        told
    }

    async fn new_ask(
        &self,
        question: &Question,
        request: &Request,
        names: &[String],
        key: &[u8; 32],
        cache_s: Option<i64>,
    ) -> Result<NewAsk, StoreError> {
        let narrow = |tokens: u32| i32::try_from(tokens).unwrap_or(i32::MAX);
        let most = request.params.max_output_tokens.map(narrow);
        Ok(NewAsk {
            task: new_id(),
            run: self.run,
            payload: question.item.body.get().to_owned(),
            ladder: self.shared.store.model_ids(names).await?,
            est_input: narrow(estimated_request_tokens(request)),
            est_output: most.unwrap_or(narrow(EST_OUTPUT_TOKENS)),
            max_output: most,
            timeout_ms: i32::try_from(question.timeout.as_millis()).unwrap_or(i32::MAX),
            cache_key: key.to_vec(),
            cache_s,
            wait: question.patience,
            max_attempts: 1_000,
        })
    }

    /// Claims the task as soon as a model may be called, calls, and goes on until there is an answer.
    async fn until_answered(
        &self,
        question: &Question,
        request: &Request,
        task: Uuid,
        listening: Option<&Listening<'_>>,
    ) -> Result<Told, AskError> {
        let began = Instant::now();
        let mut calling = Duration::ZERO;
        let mut tried = Tries::default();
        let mut last: Option<Failed> = None;
        loop {
            let waited = began.elapsed().saturating_sub(calling);
            if waited > question.patience {
                let why = match last {
                    Some(failed) => failed.words,
                    None => self.why(question).await,
                };
                return Err(AskError::Waited { waited, why });
            }
            let Some(claimed) = self.claim(task).await? else {
                // what a person must open is not waited for
                if let Some(words) = self.shared.store.all_parked(task).await? {
                    return Err(AskError::Parked { why: words });
                }
                self.rest().await;
                continue;
            };
            let rung = claimed.rung;
            let member = tried.member(self.life.read().await.id, claimed, &question.item);
            let sent_at = Instant::now();
            let called = self.call(question, request, &member, listening).await;
            let latency = sent_at.elapsed();
            calling += latency;
            let failed = match called {
                Ok((answer, reply)) => {
                    let spent = member.spent(reply.usage, true, latency);
                    let told = Told {
                        answer: answer.clone(),
                        model: member.claimed.model.clone(),
                        model_version: reply.model_version.clone(),
                        usage: reply.usage,
                        cost_microusd: spent.cost_microusd,
                        cached: false,
                        waited,
                        latency,
                        task: Some(task),
                    };
                    self.hand_on(member.answered(None, answer, &reply, spent))
                        .await?;
                    return Ok(told);
                }
                Err(failed) => failed,
            };
            let mut outcome = member.failed(failed.clone(), latency);
            let step = match listening.is_some_and(Listening::has_heard) {
                true => tries::give_up(&mut outcome),
                false => tried.after(&mut outcome, rung),
            };
            self.hand_on(outcome).await?;
            match step {
                None => {
                    return Err(AskError::Failed {
                        class: failed.class,
                        words: failed.words,
                    });
                }
                Some(delay) => tokio::time::sleep(delay).await,
            }
            last = Some(failed);
        }
    }

    async fn call(
        &self,
        question: &Question,
        request: &Request,
        member: &Member,
        listening: Option<&Listening<'_>>,
    ) -> Result<(Answer, Reply), Failed> {
        let (entry, wire_name) = member.claimed.model.split_once('/').unwrap_or_default();
        let Some(provider) = self.shared.providers.get(entry) else {
            return Err(Failed::unsent(
                "not_sent",
                "this process has no key for the provider",
            ));
        };
        let limits = CallLimits {
            timeout: question.timeout,
            ..CallLimits::default()
        };
        let exchange = match listening {
            None => provider.generate(wire_name, request, &limits).await,
            Some(listening) => {
                let hear = |chunk: Chunk| listening.hear_chunk(chunk);
                provider.stream(wire_name, request, &limits, &hear).await
            }
        };
        let Exchange { answer, .. } = exchange;
        let reply = answer.map_err(|error| failure_of(&error))?;
        match member.judged(question.handler.as_ref(), &question.item, &reply) {
            Ok(answer) => Ok((answer, reply)),
            Err(why) => Err(rejected(&why, reply.usage)),
        }
    }

    /// The task with the right to call, or none yet. A life that was declared lost begins anew.
    async fn claim(&self, task: Uuid) -> Result<Option<Claimed>, StoreError> {
        let request = ClaimRequest {
            process: self.life.read().await.id,
            slots: 1,
            nonce: nonce(),
            providers: self.shared.providers.keys().cloned().collect(),
            workers: None,
            task: Some(task),
        };
        match self.shared.store.claim(&request).await {
            Ok(claim) => Ok(claim.tasks.into_iter().next()),
            Err(StoreError::LeaseLost) => {
                let mut life = self.life.write().await;
                if life.id == request.process {
                    let next = Life::begin(&self.shared, &self.database).await?;
                    std::mem::replace(&mut *life, next)
                        .end(&self.shared, false)
                        .await;
                }
                Ok(None)
            }
            Err(error) if error.is_passing() => {
                // it may have been taken, and the answer lost on the way
                self.shared
                    .store
                    .release_unheard(request.process, request.nonce)
                    .await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn rest(&self) {
        let providers: Vec<String> = self.shared.providers.keys().cloned().collect();
        let opening = self.shared.store.next_opening(&providers, None).await;
        let pause = opening.ok().flatten().unwrap_or(LOOK_AGAIN);
        tokio::time::sleep(pause.clamp(Duration::from_millis(5), LOOK_AGAIN)).await;
    }

    /// What closes the models.
    async fn why(&self, question: &Question) -> String {
        let names: Vec<String> = question.models.iter().map(ToString::to_string).collect();
        match self.shared.store.closed_by(&names).await {
            Ok(reasons) if !reasons.is_empty() => reasons.join("; "),
            _ => "their limits are used up, or no key for their provider is here".to_owned(),
        }
    }

    async fn hand_on(&self, outcome: Outcome) -> Result<(), StoreError> {
        let sent = self.outcomes.send(outcome).await;
        sent.map_err(|_| StoreError::Broken)
    }

    /// Ends: what was answered is written down first.
    ///
    /// # Errors
    /// [`StoreError::Broken`] when it could not be.
    pub async fn close(self) -> Result<Worked, StoreError> {
        drop(self.outcomes);
        let worked = self.settler.await.map_err(|_| StoreError::Broken)?;
        self.life.into_inner().end(&self.shared, true).await;
        Ok(worked)
    }
}

/// The worker whose standing run such tasks belong to: nobody claims its own lanes.
fn worker() -> NewWorker {
    let folder_json = r#"{"interactive": true}"#.to_owned();
    NewWorker {
        name: WORKER.to_owned(),
        version: "1".to_owned(),
        hash: Sha256::digest(&folder_json).to_vec(),
        folder_json,
        ladders: None,
        program: true,
        max_attempts: 1_000,
        mix: vec![1.0],
        est_output: 0,
        max_output: None,
        routing: Routing::default(),
        pacing: Pacing::default(),
        asking: Asking::default(),
        timeout_ms: 60_000,
        saving: Saving::default(),
    }
}
