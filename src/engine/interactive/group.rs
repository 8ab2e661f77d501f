//! Texts that left together: their tasks, the calls that are made for them, and each one's own vector. What a
//! call leaves over (limits had no room for it, or one bad text had it refused) goes by the next.

use std::{sync::Arc, time::Duration};

use serde_json::{json, value::to_raw_value};
use tokio::{sync::oneshot, time::Instant};
use uuid::Uuid;

use super::{AskError, VectorTold, asking::ATTEMPTS, desk::Desk, gathering::Sort, tries::Tries};
use crate::{
    engine::{
        letter::{Came, Letter},
        member::{Failed, Member, failure_of},
        settle::Outcome,
        together::{led, shares_of},
    },
    llm::{Embedding, Exchange, LimitNotice, Request, Verdict},
    pack::after_torn,
    provider::CallLimits,
    store::{
        StoreError,
        claim::Claimed,
        interactive::{AskedTask, NewAsk},
    },
    task::{Answer, Item, new_id},
};

/// A text and who waits for its vector.
pub(super) struct Text {
    /// It, and what is asked of its vector.
    pub(super) request: Request,
    pub(super) key: [u8; 32],
    /// Estimated.
    pub(super) tokens: u32,
    pub(super) reply: oneshot::Sender<Result<VectorTold, Arc<AskError>>>,
}

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

/// Tells all that they get none.
pub(super) fn refused(texts: Vec<Text>, error: AskError) {
    let error = Arc::new(error);
    for text in texts {
        // who has gone need not know
        let _ = text.reply.send(Err(error.clone()));
    }
}

/// A text with its task.
struct Asked {
    text: Text,
    task: Uuid,
    item: Item,
    tries: Tries,
}

impl Asked {
    fn of(text: Text) -> Option<Self> {
        let embed = text.request.embed.as_ref();
        let body = json!({
            "text": text.request.prompt,
            "task_type": embed.and_then(|it| it.task_type),
            "dimensions": embed.and_then(|it| it.dimensions),
            "tag": embed.and_then(|it| it.tag.clone()),
        });
        let task = new_id();
        Some(Self {
            item: Item::new(task.to_string(), to_raw_value(&body).ok()?),
            text,
            task,
            tries: Tries::default(),
        })
    }

    fn tell(self, told: Result<VectorTold, Arc<AskError>>) {
        // who has gone need not know
        let _ = self.text.reply.send(told);
    }
}

struct Group<'a> {
    desk: &'a Desk,
    sort: &'a Sort,
    /// Those that still wait.
    asked: Vec<Asked>,
    began: Instant,
    /// Of this time, so much was calls.
    calling: Duration,
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
        let claimed = self.desk.claim(ids).await?;
        if claimed.is_empty() {
            // what a person must open is not waited for
            if let Some(why) = self.desk.shared.store.all_parked(first).await? {
                return Err(AskError::Parked { why });
            }
            self.desk.rest().await;
            return Ok(());
        }
        let pause = self.call(claimed, waited).await?;
        tokio::time::sleep(pause).await;
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
            it.tell(vector);
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
        let gone = self.asked.extract_if(.., |it| it.text.reply.is_closed());
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

type Told = Result<VectorTold, Arc<AskError>>;

/// Each one's own vector, with what is written down of it.
fn answered(
    asked: Vec<(Asked, Member)>,
    mut came: Came,
    latency: Duration,
    waited: Duration,
) -> Vec<(Asked, Outcome, Told)> {
    let claims = asked.iter().map(|(_, member)| &member.claimed);
    let shares = shares_of(claims, came.usage, &came.lengths());
    let texts = std::mem::take(&mut came.texts);
    let mut all = Vec::with_capacity(asked.len());
    for (((it, member), text), share) in asked.into_iter().zip(texts).zip(shares) {
        let text = text.unwrap_or_default();
        let read = Embedding::of_answer(&text).and_then(|it| Ok((it, Answer::json(text.clone())?)));
        let (vector, answer) = match read {
            Ok(read) => read,
            Err(error) => {
                let failed = Failed::unsent("unreadable", &error.to_string());
                let told = Err(Arc::new(error_of(&failed)));
                all.push((it, member.failed(failed, latency), told));
                continue;
            }
        };
        let spent = share.spent(&member, latency);
        let reply = came.reply(text, share.usage);
        let told = VectorTold {
            vector,
            model: member.claimed.model.clone(),
            model_version: reply.model_version.clone(),
            usage: share.usage,
            cost_microusd: spent.cost_microusd,
            cached: false,
            waited,
            latency,
            task: Some(it.task),
        };
        let outcome = member.answered(None, answer, &reply, spent);
        all.push((it, outcome, Ok(told)));
    }
    all
}

/// What follows for each: how long it rests until it is asked again; `None`: it is over. `torn`: one of
/// them may be at fault, so all go again with fewer.
fn unanswered(
    asked: Vec<(Asked, Member)>,
    failed: &Failed,
    torn: bool,
    latency: Duration,
) -> Vec<(Asked, Outcome, Option<Duration>)> {
    let most = after_torn(u16::try_from(asked.len()).unwrap_or(u16::MAX));
    let claims = asked.iter().map(|(_, member)| &member.claimed);
    let shares = shares_of(claims, failed.usage, &vec![0; asked.len()]);
    let mut all = Vec::with_capacity(asked.len());
    for ((mut it, member), share) in asked.into_iter().zip(shares) {
        if torn {
            let spent = member.spent(share.usage, failed.may_have_cost, latency);
            let outcome = member.torn(&failed.words, most, failed.status, spent);
            all.push((it, outcome, Some(Duration::ZERO)));
            continue;
        }
        let rung = member.claimed.rung;
        let failed = Failed {
            usage: share.usage,
            ..failed.clone()
        };
        let mut outcome = member.failed(failed, latency);
        let after = it.tries.after(&mut outcome, rung);
        all.push((it, outcome, after));
    }
    all
}

fn error_of(failed: &Failed) -> AskError {
    AskError::Failed {
        class: failed.class.clone(),
        words: failed.words.clone(),
    }
}
