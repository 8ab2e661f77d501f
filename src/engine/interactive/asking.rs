//! One question on its way: from the cache, or by calls until one brings an answer.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    AskError, Interactive, Question, Told, WORKER,
    listening::Listening,
    tries::{self, Tries},
};
use crate::{
    cache,
    definition::{EST_OUTPUT_TOKENS, estimated_request_tokens},
    engine::{
        member::{Failed, Member, failure_of, rejected},
        registry::guarded,
    },
    llm::{Chunk, Exchange, LimitNotice, Reply, Request},
    provider::CallLimits,
    store::{
        StoreError,
        interactive::{AskedTask, NewAsk},
    },
    task::{Answer, new_id},
};

impl Interactive {
    pub(super) async fn told(
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
        let age_s = question.cache.map(seconds);
        if let Some(age_s) = age_s
            && let Some((_, hit)) = self
                .desk
                .shared
                .store
                .kept_answers(&[key.to_vec()], age_s, WORKER)
                .await?
                .pop()
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
        let (task, ask) = self
            .new_ask(question, &request, &names, &key, age_s)
            .await?;
        self.desk.shared.store.ask(&ask).await?;
        let told = self
            .until_answered(question, &request, task, listening)
            .await;
        if !matches!(told, Ok(_) | Err(AskError::Failed { .. })) {
            // nobody waits for it any more; what failed is written down as that
            self.desk.shared.store.cancel(&[task]).await?;
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
    ) -> Result<(Uuid, NewAsk), StoreError> {
        let narrow = |tokens: u32| i32::try_from(tokens).unwrap_or(i32::MAX);
        let most = request.params.max_output_tokens.map(narrow);
        let asked = AskedTask {
            task: new_id(),
            payload: question.item.body.get().to_owned(),
            est_input: narrow(estimated_request_tokens(request)),
            cache_key: key.to_vec(),
        };
        let task = asked.task;
        let ask = NewAsk {
            run: self.run,
            tasks: vec![asked],
            ladder: self.desk.shared.store.model_ids(names).await?,
            est_output: most.unwrap_or(narrow(EST_OUTPUT_TOKENS)),
            max_output: most,
            timeout_ms: i32::try_from(question.timeout.as_millis()).unwrap_or(i32::MAX),
            cache_s,
            pack: (1, i32::MAX),
            wait: question.patience,
            max_attempts: ATTEMPTS,
        };
        Ok((task, ask))
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
        let (mut calling, mut resting) = (Duration::ZERO, Duration::ZERO);
        let mut tried = Tries::default();
        let mut last: Option<Failed> = None;
        loop {
            let waited = began.elapsed().saturating_sub(calling);
            if waited > question.patience {
                let why = match last {
                    Some(failed) => failed.words,
                    None => self.desk.why(&question.models).await,
                };
                return Err(AskError::Waited { waited, why });
            }
            let looked_at = Instant::now();
            let Some(claimed) = self.desk.claim(vec![task]).await?.pop() else {
                // what a person must open is not waited for
                if let Some(words) = self.desk.shared.store.all_parked(task).await? {
                    return Err(AskError::Parked { why: words });
                }
                self.desk.rest().await;
                resting += looked_at.elapsed();
                continue;
            };
            let rung = claimed.rung;
            let member = tried.member(self.desk.process().await, claimed, &question.item);
            let sent_at = Instant::now();
            let (called, notices) = self.call(question, request, &member, listening).await;
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
                        waited: resting,
                        latency,
                        task: Some(task),
                    };
                    let mut outcome = member.answered(None, answer, &reply, spent);
                    outcome.notices = notices;
                    self.desk.hand_on(outcome).await?;
                    return Ok(told);
                }
                Err(failed) => failed,
            };
            let mut outcome = member.failed(failed.clone(), latency);
            outcome.notices = notices;
            let step = match listening.is_some_and(Listening::has_heard) {
                true => tries::give_up(&mut outcome),
                false => tried.after(&mut outcome, rung),
            };
            self.desk.hand_on(outcome).await?;
            match step {
                None => {
                    return Err(AskError::Failed {
                        class: failed.class,
                        words: failed.words,
                    });
                }
                Some(delay) => {
                    tokio::time::sleep(delay).await;
                    resting += delay;
                }
            }
            last = Some(failed);
        }
    }

    /// One call, and what the provider told of its limits beside it.
    async fn call(
        &self,
        question: &Question,
        request: &Request,
        member: &Member,
        listening: Option<&Listening<'_>>,
    ) -> (Result<(Answer, Reply), Failed>, Vec<LimitNotice>) {
        let (entry, wire_name) = member.claimed.model.split_once('/').unwrap_or_default();
        let Some(provider) = self.desk.shared.providers.get(entry) else {
            let words = "this process has no key for the provider";
            return (Err(Failed::unsent("not_sent", words)), Vec::new());
        };
        let limits = CallLimits {
            timeout: question.timeout,
            ..CallLimits::default()
        };
        let Exchange { answer, notices } = match listening {
            None => provider.generate(wire_name, request, &limits).await,
            Some(listening) => {
                let hear = |chunk: Chunk| listening.hear_chunk(chunk);
                provider.stream(wire_name, request, &limits, &hear).await
            }
        };
        let answer = match answer {
            Err(error) => Err(failure_of(&error)),
            Ok(reply) => match member.judged(question.handler.as_ref(), &question.item, &reply) {
                Ok(answer) => Ok((answer, reply)),
                Err(why) => Err(rejected(&why, reply.usage)),
            },
        };
        (answer, notices)
    }
}

/// An age as the database takes it: whole seconds, at least one.
pub(super) fn seconds(age: Duration) -> i64 {
    i64::try_from(age.as_secs()).unwrap_or(i64::MAX).max(1)
}

/// Attempts in the books: how often it is really tried, [`Tries`] says.
pub(super) const ATTEMPTS: i32 = 1_000;
