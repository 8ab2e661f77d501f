//! Texts that left together: their tasks, the calls that are made for them, and each one's own vector. What a
//! call leaves over (limits had no room for it, or one bad text had it refused) goes by the next.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    AskError,
    asking::ATTEMPTS,
    desk::Desk,
    portions::{answered, error_of, unanswered},
    sort::Sort,
    text::{Asked, Text, refused},
};
use crate::{
    engine::{
        letter::{Came, Letter},
        member::{Failed, Member, failure_of},
        together::led,
    },
    llm::{Exchange, LimitNotice, Request, Verdict},
    provider::CallLimits,
    store::{
        StoreError,
        claim::Claimed,
        interactive::{AskedTask, NewAsk},
    },
};

/// Estimated tokens of all texts of one call, at most: well below what any vendor bears.
pub(super) const TOKENS_MAX: u32 = 100_000;

/// Makes tasks of these texts and calls until each has its vector or its reason. Returns how long the last
/// call took.
pub(super) async fn called(
    desk: &Desk,
    run: Uuid,
    sort: &Sort,
    texts: Vec<Text>,
    at_once: usize,
) -> Option<Duration> {
    let asked: Vec<Asked> = texts.into_iter().filter_map(Asked::of).collect();
    let mut group = Group {
        desk,
        sort,
        asked,
        began: Instant::now(),
        calling: Duration::ZERO,
        resting: Duration::ZERO,
        latency: None,
        last: None,
    };
    let mut made = group.enqueue(run, at_once).await.map_err(AskError::from);
    while made.is_ok() && !group.asked.is_empty() {
        made = group.turn().await;
    }
    let latency = group.latency;
    if let Err(error) = made {
        group.give_up(error).await;
    }
    latency
}

struct Group<'a> {
    desk: &'a Desk,
    sort: &'a Sort,
    /// Those that still wait.
    asked: Vec<Asked>,
    began: Instant,
    /// Of this time, so much was calls, and so much waits for limits and for the next try.
    calling: Duration,
    resting: Duration,
    latency: Option<Duration>,
    /// Why the last call brought nothing.
    last: Option<String>,
}

impl Group<'_> {
    async fn enqueue(&self, run: Uuid, at_once: usize) -> Result<(), StoreError> {
        let narrow = |tokens: u32| i32::try_from(tokens).unwrap_or(i32::MAX);
        let names: Vec<String> = self.sort.models.iter().map(ToString::to_string).collect();
        let tasks = self.asked.iter().map(|it| AskedTask {
            task: it.task,
            payload: it.item.body.get().to_owned(),
            est_input: narrow(it.text.tokens),
            cache_key: it.text.key.to_vec(),
        });
        let store = &self.desk.shared.store;
        let ask = NewAsk {
            run,
            tasks: tasks.collect(),
            ladder: store.model_ids(&names).await?,
            est_output: 0,
            max_output: None,
            timeout_ms: i32::try_from(self.sort.timeout.as_millis()).unwrap_or(i32::MAX),
            cache_s: self.sort.cache_s,
            pack: (
                i32::try_from(at_once).unwrap_or(i32::MAX),
                narrow(TOKENS_MAX),
            ),
            wait: self.sort.patience,
            max_attempts: ATTEMPTS,
        };
        store.ask(&ask).await
    }

    /// One call for as many as it may have, or a rest until one may start.
    async fn turn(&mut self) -> Result<(), AskError> {
        self.drop_unheard().await?;
        let waited = self.began.elapsed().saturating_sub(self.calling);
        if waited > self.sort.patience {
            let why = match self.last.take() {
                Some(words) => words,
                None => self.desk.why(&self.sort.models).await,
            };
            return Err(AskError::Waited { waited, why });
        }
        let ids: Vec<Uuid> = self.asked.iter().map(|it| it.task).collect();
        let Some(first) = ids.first().copied() else {
            return Ok(());
        };
        let looked_at = Instant::now();
        let claimed = self.desk.claim(ids).await?;
        if claimed.is_empty() {
            // what a person must open is not waited for
            if let Some(why) = self.desk.shared.store.all_parked(first).await? {
                return Err(AskError::Parked { why });
            }
            self.desk.rest().await;
            self.resting += looked_at.elapsed();
            return Ok(());
        }
        let pause = self.call(claimed, self.resting).await?;
        tokio::time::sleep(pause).await;
        self.resting += pause;
        Ok(())
    }

    /// Calls for these, and tells those that are through. Returns how long the others rest.
    async fn call(
        &mut self,
        claimed: Vec<Claimed>,
        waited: Duration,
    ) -> Result<Duration, AskError> {
        let process = self.desk.process().await;
        let leader = claimed.first().map(|it| it.call);
        let mut asked = Vec::with_capacity(claimed.len());
        for claimed in claimed {
            let place = self.asked.iter().position(|it| it.task == claimed.task);
            if let Some(place) = place {
                let it = self.asked.swap_remove(place);
                let member = it.tries.member(process, claimed, &it.item);
                asked.push((it, member));
            }
        }
        let sent_at = Instant::now();
        let sent = tokio::select! {
            sent = self.send(&asked) => Some(sent),
            () = self.desk.shared.abandon.cancelled() => None,
        };
        let latency = sent_at.elapsed();
        let Some((answer, notices)) = sent else {
            return self.abandon(asked, latency).await;
        };
        self.calling += latency;
        self.latency = Some(latency);
        let (mut pause, mut outcomes, mut told) = (Duration::ZERO, Vec::new(), Vec::new());
        match answer {
            Ok(came) => {
                for (it, outcome, vector) in answered(asked, came, latency, waited) {
                    outcomes.push(outcome);
                    told.push((it, vector));
                }
            }
            Err(failed) => {
                let torn = asked.len() > 1
                    && matches!(failed.verdict, Verdict::GiveUp | Verdict::NextModel)
                    && failed.sent;
                self.last = Some(failed.words.clone());
                for (it, outcome, after) in unanswered(asked, &failed, torn, latency) {
                    outcomes.push(outcome);
                    match after {
                        Some(delay) => {
                            pause = pause.max(delay);
                            self.asked.push(it);
                        }
                        None => told.push((it, Err(Arc::new(error_of(&failed))))),
                    }
                }
            }
        }
        let mut outcomes = led(outcomes, leader);
        if let Some(first) = outcomes.first_mut() {
            first.notices = notices;
        }
        for outcome in outcomes {
            self.desk.hand_on(outcome).await?;
        }
        for (it, vector) in told {
            it.text.tell(&vector);
        }
        // in the order in which they came
        self.asked.sort_by_key(|it| it.task);
        Ok(pause)
    }

    /// The process ends, and does not wait for the call under way.
    async fn abandon(
        &mut self,
        asked: Vec<(Asked, Member)>,
        latency: Duration,
    ) -> Result<Duration, AskError> {
        let leader = asked.first().map(|(_, member)| member.claimed.call);
        let mut outcomes = Vec::with_capacity(asked.len());
        for (it, member) in asked {
            self.asked.push(it);
            outcomes.push(member.abandoned(latency));
        }
        for outcome in led(outcomes, leader) {
            self.desk.hand_on(outcome).await?;
        }
        Err(AskError::Store(StoreError::Broken))
    }

    async fn send(&self, asked: &[(Asked, Member)]) -> (Result<Came, Failed>, Vec<LimitNotice>) {
        let unsent = |words: &str| (Err(Failed::unsent("not_sent", words)), Vec::new());
        let Some((_, first)) = asked.first() else {
            return unsent("nothing is asked");
        };
        let (entry, wire_name) = first.claimed.model.split_once('/').unwrap_or_default();
        let Some(provider) = self.desk.shared.providers.get(entry) else {
            return unsent("this process has no key for the provider");
        };
        let requests: Vec<&Request> = asked.iter().map(|(it, _)| &it.text.request).collect();
        let letter = match Letter::of(&requests, 0) {
            Ok(letter) => letter,
            Err(words) => return unsent(&words),
        };
        let limits = CallLimits {
            timeout: self.sort.timeout,
            ..CallLimits::default()
        };
        let Exchange { answer, notices } = letter.send(provider.as_ref(), wire_name, &limits).await;
        (answer.map_err(|error| failure_of(&error)), notices)
    }

    /// Those for whose vector nobody waits any more are not asked for.
    async fn drop_unheard(&mut self) -> Result<(), StoreError> {
        let gone = self.asked.extract_if(.., |it| it.text.is_unheard());
        let tasks: Vec<Uuid> = gone.map(|it| it.task).collect();
        if !tasks.is_empty() {
            self.desk.shared.store.cancel(&tasks).await?;
        }
        Ok(())
    }

    /// None of those that are left gets a vector.
    async fn give_up(self, error: AskError) {
        let tasks: Vec<Uuid> = self.asked.iter().map(|it| it.task).collect();
        if let Err(error) = self.desk.shared.store.cancel(&tasks).await {
            tracing::debug!(%error, "tasks that nobody waits for are left to their end");
        }
        refused(self.asked.into_iter().map(|it| it.text).collect(), error);
    }
}
