//! Settling: takes outcomes as they come, and writes them down in batches.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use super::{
    ProcessId, SettleSettings, Shared, TROUBLE_PAUSE_MAX, Worked, packing,
    throttle::{Heard, Sign, Throttle},
};
use crate::{
    llm::{LimitNotice, Verdict},
    store::{
        StoreError,
        claim::Claimed,
        local::{LocalDone, LocalFates, LocalTask},
        settle::{Answered, ClaimKey, Fate, Settled, Spent, Unanswered},
    },
};

/// Local work that is settled together: of one process, and for one sink.
type LocalKey = (ProcessId, Option<String>);

/// Attempts that are settled together: of one process, and of one provider batch or none.
type OpenKey = (ProcessId, Option<Uuid>);

/// What a call came to.
pub(super) struct Outcome {
    pub(super) process: ProcessId,
    /// Held until the outcome is durable, where that was asked for: by all tasks of the call.
    pub(super) slot: Option<Arc<OwnedSemaphorePermit>>,
    /// It stands for its call; the others of a pack are not counted as calls.
    pub(super) leads: bool,
    /// What became of the call's items, where they may travel together.
    pub(super) packed: Option<Packed>,
    /// What the provider told of its limits.
    pub(super) notices: Vec<LimitNotice>,
    /// The provider batch in which its task came back.
    pub(super) batch: Option<Uuid>,
    pub(super) closing: Closing,
}

/// A call whose items may travel together: how many did, and how many were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    pub(super) worker: String,
    pub(super) component: String,
    pub(super) items: usize,
    pub(super) lost: usize,
}

impl Packed {
    /// Of a call that this task leads.
    pub(super) fn of(lead: &Claimed, items: usize, lost: usize) -> Self {
        Self {
            worker: lead.worker.clone(),
            component: lead.component.clone(),
            items,
            lost,
        }
    }
}

/// How a claimed task is closed.
pub(super) enum Closing {
    /// With an accepted answer.
    Answered {
        answered: Answered,
        definition: Vec<u8>,
        sink: Option<String>,
    },
    /// Local work with its answer.
    Local {
        task: LocalTask,
        answer: String,
        took_ms: i32,
        /// Takes it to the user's tables.
        sink: Option<String>,
    },
    /// Without one; the verdict may close the model for all, for the reason in brief.
    Open {
        attempt: Unanswered,
        verdict: Verdict,
        brief: String,
        sign: Sign,
    },
}

impl Closing {
    /// The model that was called; empty for local work.
    pub(super) fn model(&self) -> &str {
        match self {
            Self::Answered { answered, .. } => &answered.claim.model,
            Self::Open { attempt, .. } => &attempt.claim.model,
            Self::Local { .. } => "",
        }
    }
}

impl Outcome {
    /// An outcome that stands for its call and tells nothing of limits.
    pub(super) fn of(process: ProcessId, closing: Closing) -> Self {
        Self {
            process,
            slot: None,
            leads: true,
            packed: None,
            notices: Vec::new(),
            batch: None,
            closing,
        }
    }

    /// It came back in a provider batch: no call of its own, and no word on how its model bears calls.
    pub(super) fn in_batch(mut self, batch: Uuid) -> Self {
        self.forget_verdict();
        self.leads = false;
        self.batch = Some(batch);
        self
    }

    /// The call under which its task was claimed, and whether that was sent. `None`: local work.
    pub(super) fn call(&self) -> Option<(Uuid, bool)> {
        match &self.closing {
            Closing::Answered { answered, .. } => Some((answered.claim.call, true)),
            Closing::Open { attempt, .. } => Some((attempt.claim.call, attempt.sent)),
            Closing::Local { .. } => None,
        }
    }

    /// It stands for the call of its pack, or does not, other than it was claimed.
    pub(super) fn set_leads(&mut self, leads: bool) {
        match &mut self.closing {
            Closing::Answered { answered, .. } => answered.leads = Some(leads),
            Closing::Open { attempt, .. } => attempt.leads = Some(leads),
            Closing::Local { .. } => {}
        }
    }

    /// Keeps the task's fate, and draws no conclusion about the model.
    pub(super) fn forget_verdict(&mut self) {
        if let Closing::Open { verdict, sign, .. } = &mut self.closing {
            *verdict = Verdict::GiveUp;
            *sign = Sign::None;
        }
    }
}

/// Writes outcomes until the last sender is gone. Nothing it was given is lost: a database that is
/// away is waited for.
pub(super) struct Settler {
    shared: Arc<Shared>,
    throttle: Throttle,
    worked: Worked,
}

impl Settler {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            throttle: Throttle::new(shared.clone()),
            shared,
            worked: Worked::default(),
        }
    }

    pub(super) async fn run(mut self, mut outcomes: mpsc::Receiver<Outcome>) -> Worked {
        let SettleSettings {
            flush, batch: most, ..
        } = self.shared.settings.settle;
        let mut batch = Vec::with_capacity(most);
        while outcomes.recv_many(&mut batch, most).await > 0 {
            // the first of a batch waits no longer than `flush`; at a stop nobody waits
            let due = Instant::now() + flush;
            while batch.len() < most {
                let room = most - batch.len();
                match timeout_at(due, outcomes.recv_many(&mut batch, room)).await {
                    Ok(more) if more > 0 => {}
                    _ => break,
                }
            }
            self.turn(std::mem::take(&mut batch)).await;
        }
        self.worked
    }

    async fn turn(&mut self, batch: Vec<Outcome>) {
        let mut groups: Vec<Group> = Vec::new();
        let mut opens: BTreeMap<OpenKey, Vec<Unanswered>> = BTreeMap::new();
        let mut local: BTreeMap<LocalKey, Vec<(LocalTask, String, i32)>> = BTreeMap::new();
        let mut heard = Heard::default();
        let mut slots = Vec::new();
        let (mut packs, mut called) = (Vec::new(), false);
        for Outcome {
            process,
            slot,
            leads,
            packed,
            notices,
            batch,
            closing,
        } in batch
        {
            slots.extend(slot);
            if leads {
                called |= !matches!(closing, Closing::Local { .. });
                self.count_call(&closing);
            }
            heard.add(&closing, notices);
            packs.extend(packed);
            match closing {
                Closing::Local {
                    task,
                    answer,
                    took_ms,
                    sink,
                } => local
                    .entry((process, sink))
                    .or_default()
                    .push((task, answer, took_ms)),
                Closing::Open { attempt, .. } => {
                    opens.entry((process, batch)).or_default().push(attempt);
                }
                Closing::Answered {
                    answered,
                    definition,
                    sink,
                } => {
                    let same = |g: &&mut Group| {
                        g.process == process && g.batch == batch && g.definition == definition
                    };
                    match groups.iter_mut().find(same) {
                        Some(group) => group.answers.push(answered),
                        None => groups.push(Group {
                            process,
                            batch,
                            definition,
                            sink,
                            answers: vec![answered],
                        }),
                    }
                }
            }
        }
        // models are closed before their tasks are given back: else those would be taken again at once
        self.throttle.conclude(heard).await;
        for (key, attempts) in opens {
            self.open(key, attempts).await;
        }
        for group in groups {
            self.answered(group).await;
        }
        for ((process, sink), done) in local {
            self.local(process, LocalDone::of(done), sink.as_deref())
                .await;
        }
        drop(slots);
        if called {
            self.shared.wakes.settled.notify_one();
        }
        packing::conclude(&self.shared.store, packs).await;
    }

    async fn local(&mut self, process: ProcessId, done: LocalDone, sink: Option<&str>) {
        let store = &self.shared.store;
        let settled = until_written(async || match sink {
            None => store.settle_local(process, &done).await.map(LocalFates::of),
            Some(sink) => {
                let (done, sink) = (done.clone(), sink.to_owned());
                store.settle_local_sunk(process, done, sink).await
            }
        })
        .await;
        match settled {
            Ok(LocalFates {
                superseded,
                refused,
                ..
            }) => {
                self.worked.done +=
                    (done.len() as u64).saturating_sub(superseded + refused.len() as u64);
                for task in refused {
                    self.count(task, Settled::SinkFailed);
                }
                if superseded > 0 {
                    tracing::info!(
                        tasks = superseded,
                        "the lease was lost and these tasks have ended"
                    );
                }
            }
            Err(error) if done.len() > 1 => {
                tracing::warn!(%error, "a batch of answers could not be stored; storing each alone");
                for alone in done.split() {
                    Box::pin(self.local(process, alone, sink)).await;
                }
            }
            Err(error) => {
                let attempts: Vec<_> = done
                    .claims()
                    .map(|claim| unstorable_local(claim, &error))
                    .collect();
                self.open((process, None), attempts).await;
            }
        }
    }

    async fn answered(&mut self, mut group: Group) {
        // one order everywhere, so that two processes never wait for each other
        group.answers.sort_by_key(|answered| answered.claim.task);
        let store = &self.shared.store;
        let settled = until_written(async || {
            let (answers, sink) = (group.answers.clone(), group.sink.clone());
            match group.batch {
                None => store.settle_done(group.process, answers, sink).await,
                Some(batch) => {
                    store
                        .settle_done_batch(group.process, batch, answers, sink)
                        .await
                }
            }
        })
        .await;
        match settled {
            Ok(fates) => {
                for (task, fate) in fates {
                    let is_done = matches!(fate, Settled::Done | Settled::Salvaged);
                    self.worked.by_batch += u64::from(is_done && group.batch.is_some());
                    self.count(task, fate);
                }
            }
            Err(error) if group.answers.len() > 1 => {
                tracing::warn!(%error, "a batch of answers could not be stored; storing each alone");
                for answered in std::mem::take(&mut group.answers) {
                    let alone = Group {
                        answers: vec![answered],
                        ..group.clone()
                    };
                    Box::pin(self.answered(alone)).await;
                }
            }
            Err(error) => {
                for answered in group.answers {
                    let attempt = unstorable(answered, &error);
                    self.open((group.process, group.batch), vec![attempt]).await;
                }
            }
        }
    }

    /// Calls sent, and those that a limit refused.
    fn count_call(&mut self, closing: &Closing) {
        let (sent, sign) = match closing {
            Closing::Answered { .. } => (true, Sign::None),
            Closing::Open { attempt, sign, .. } => (attempt.sent, *sign),
            Closing::Local { .. } => return,
        };
        self.worked.calls += u64::from(sent);
        self.worked.refused += u64::from(matches!(sign, Sign::Refused { .. }));
    }

    fn count(&mut self, task: Uuid, fate: Settled) {
        match fate {
            Settled::Done | Settled::Salvaged => self.worked.done += 1,
            Settled::SinkFailed => {
                self.worked.failed += 1;
                tracing::warn!(task.id = %task, "the sink refused the answer (why: `tidegate tasks show {task}`); it is kept, and `tidegate tasks retry` applies it again");
            }
            Settled::Superseded => {
                tracing::info!(task.id = %task, "the lease was lost and the task has ended; only the cost is kept");
            }
        }
    }

    async fn open(&mut self, (process, batch): OpenKey, mut attempts: Vec<Unanswered>) {
        // one order everywhere, so that two processes never wait for each other
        attempts.sort_by_key(|attempt| attempt.claim.task);
        let store = &self.shared.store;
        let settled = until_written(async || match batch {
            None => store.settle_open(process, &attempts).await,
            Some(batch) => {
                store
                    .settle_open_batch(process, batch, attempts.clone())
                    .await
            }
        });
        match settled.await {
            Ok(held) => {
                for attempt in attempts {
                    if held.contains(&attempt.claim.task) {
                        self.told(&attempt);
                    } else {
                        tracing::info!(task.id = %attempt.claim.task, "the lease was lost; only the cost is kept");
                    }
                }
            }
            Err(error) if attempts.len() > 1 => {
                tracing::warn!(%error, "a batch of attempts could not be settled; settling each alone");
                for attempt in attempts {
                    Box::pin(self.open((process, batch), vec![attempt])).await;
                }
            }
            Err(error) => {
                tracing::error!(%error, "could not settle; its task will be rescued");
            }
        }
    }

    fn told(&mut self, attempt: &Unanswered) {
        let task = attempt.claim.task;
        match attempt.fate {
            Fate::Fail => {
                self.worked.failed += 1;
                tracing::warn!(task.id = %task, error.class = attempt.error_class, "failed: {}", attempt.error);
            }
            Fate::Expire => {
                tracing::debug!(task.id = %task, "expired before it started");
            }
            Fate::Release => {
                self.worked.released += 1;
                tracing::debug!(task.id = %task, error.class = attempt.error_class, "given back");
            }
            Fate::Reschedule { delay_ms } => {
                tracing::debug!(task.id = %task, error.class = attempt.error_class, delay_ms, "tried again later");
            }
        }
    }
}

/// Answers of one definition, settled together with its sink.
#[derive(Clone)]
struct Group {
    process: ProcessId,
    batch: Option<Uuid>,
    definition: Vec<u8>,
    sink: Option<String>,
    answers: Vec<Answered>,
}

/// An answer that the database will not take: the task fails and the cost is kept.
fn unstorable(answered: Answered, error: &StoreError) -> Unanswered {
    Unanswered {
        claim: answered.claim,
        fate: Fate::Fail,
        exhaust_rung: false,
        error_class: "unstorable".to_owned(),
        error: error.to_string(),
        sent: true,
        http_status: Some(200),
        pack_most: None,
        leads: None,
        spent: answered.spent,
    }
}

fn unstorable_local((task, nonce, epoch): (Uuid, i64, i32), error: &StoreError) -> Unanswered {
    Unanswered {
        claim: ClaimKey {
            task,
            nonce,
            epoch,
            attempt: 0,
            lane: 0,
            priority: 0.0,
            model: String::new(),
            model_id: 0,
            call: Uuid::nil(),
            granted_at: chrono::DateTime::UNIX_EPOCH,
        },
        fate: Fate::Fail,
        exhaust_rung: false,
        error_class: "unstorable".to_owned(),
        error: error.to_string(),
        sent: false,
        http_status: None,
        pack_most: None,
        leads: None,
        spent: Spent::default(),
    }
}

/// Does it again until it is written, or the data itself is refused: what was paid for is not
/// dropped because a grant is missing, or a migration is under way.
pub(super) async fn until_written<T, F, Fut>(write: F) -> Result<T, StoreError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, StoreError>>,
{
    let mut pause = Duration::from_millis(50);
    loop {
        match write().await {
            Err(error) if !error.is_about_data() => {
                tracing::warn!(%error, "the database is in trouble; the outcome is kept and written again");
                tokio::time::sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
                pause = (pause * 2).min(TROUBLE_PAUSE_MAX);
            }
            other => return other,
        }
    }
}
