//! Each step done to the database and to the twins: coming in, being taken.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use tidegate::{
    client::{EnqueueFate, Task},
    store::{StoreError, claim::ClaimRequest, enqueue::OnKey, local::LocalRequest},
    task::{Event, State},
};
use uuid::Uuid;

use super::{
    op::{New, Op},
    twin::Twin,
    world::{Claim, World},
};

/// Claims remembered; older zombies never come back.
const CLAIMS: usize = 40;

impl World<'_> {
    pub(super) async fn act(&mut self, op: &Op) {
        match *op {
            Op::Enqueue(ref new) => self.enqueue(new).await,
            Op::Claim {
                local,
                process,
                slots,
            } => {
                self.claim(local, process, slots).await;
            }
            Op::Unheard {
                local,
                process,
                slots,
            } => self.unheard(local, process, slots).await,
            Op::Answer {
                claim,
                count,
                sink_refuses,
            } => self.answer(claim, count, sink_refuses).await,
            Op::Open { claim, count, fate } => self.open(claim, count, fate).await,
            Op::Form { tier, count } => self.form(tier, count).await,
            Op::BatchAnswer {
                item,
                count,
                sink_refuses,
            } => self.batch_answer(item, count, sink_refuses).await,
            Op::BatchOpen { item, count, fate } => self.batch_open(item, count, fate).await,
            Op::BatchLate { item } => self.batch_late(item).await,
            Op::Die { process, stopped } => self.die(process, stopped).await,
            Op::Overdue { task } => self.overdue(task).await,
            Op::Cancel { task, count } => self.cancel(task, count).await,
            Op::Retry { task } => self.retry(task).await,
            Op::ApplySink { task } => self.apply_sink(task).await,
            Op::Promote => self.promote().await,
            Op::TimePasses => self.time_passes().await,
            Op::SettleNeeds => self.settle_needs().await,
            Op::Render { limit, fails } => self.render(limit, fails).await,
            Op::PauseRun { local, on } => self.pause_run(usize::from(local), on).await,
            Op::PauseWorker { local, on } => self.pause_worker(usize::from(local), on).await,
        }
    }

    async fn enqueue(&mut self, new: &New) {
        let moment = |later: bool| match later {
            true => self.began + TimeDelta::hours(1),
            false => self.began - TimeDelta::hours(1),
        };
        let picked = new.needs.iter().filter_map(|pick| self.pick(*pick));
        let needs: BTreeSet<Uuid> = picked.map(|at| self.twins[at].id).collect();
        let mut task = Task::new(self.workers[usize::from(new.local)].as_str(), &1)
            .expect("a payload")
            .on_key(new.on_key)
            .tier(new.tier)
            .priority(new.priority.into())
            .max_attempts(new.max_attempts)
            .needs(needs.iter().copied())
            .on_failed_need(new.on_failed_need);
        if let Some(key) = new.key {
            task = task.key(format!("k{key}"));
        }
        if let Some(later) = new.later {
            task = task.run_at(moment(later));
        }
        if let Some(later) = new.expires_later {
            task = task.expires_at(moment(later));
        }
        let id = task.id();
        let came = task.enqueue(self.db.pool()).await;
        match (self.has_key(new.local, new.key), new.on_key) {
            (None, _) => {
                assert_eq!(came.expect("enqueued").fate, EnqueueFate::New);
                let needs = needs.into_iter().collect();
                self.twins.push(Twin::born(id, new, needs));
            }
            (Some(_), OnKey::Refuse) => {
                assert!(matches!(came, Err(StoreError::BadInput { .. })), "{came:?}");
            }
            (Some(has), OnKey::Replace) if self.twin(has).waits() => {
                let came = came.expect("enqueued");
                assert_eq!((came.id, came.fate), (has, EnqueueFate::Replaced));
                self.twin(has).replace(new);
            }
            (Some(has), _) => {
                let came = came.expect("enqueued");
                assert_eq!((came.id, came.fate), (has, EnqueueFate::Skipped));
            }
        }
    }

    async fn claim(&mut self, local: bool, process: usize, slots: u32) -> (Uuid, i64, usize) {
        let process = self.processes[process % self.processes.len()];
        let nonce = rand::random();
        let worker = self.workers[usize::from(local)].clone();
        let taken: Vec<(Claim, bool)> = match local {
            true => {
                let request = LocalRequest {
                    process,
                    slots,
                    nonce,
                    programs: vec![worker],
                    workers: None,
                    kept: false,
                };
                let taken = self.store.claim_local(&request).await.expect("a claim");
                let claim = |task: tidegate::store::local::LocalTask| {
                    let expired = task.expired;
                    (Claim::Local(task), expired)
                };
                taken.into_iter().map(claim).collect()
            }
            false => {
                let request = ClaimRequest {
                    process,
                    slots,
                    nonce,
                    providers: vec!["sim".to_owned()],
                    workers: None,
                    tasks: None,
                };
                let taken = self.store.claim(&request).await.expect("a claim").tasks;
                let claim = |task: tidegate::store::claim::Claimed| {
                    let expired = task.expired;
                    (Claim::Asking(task), expired)
                };
                taken.into_iter().map(claim).collect()
            }
        };
        self.was_right_to_take(local, process, slots, &taken);
        for (claim, expired) in &taken {
            let key = claim.key();
            let twin = self.twin(key.task);
            assert_eq!(*expired, twin.expires == Some(false), "{twin:#?}");
            twin.claim(process);
            assert_eq!((key.epoch, key.attempt), (twin.epoch, twin.attempts));
            self.claims.push((process, claim.clone()));
        }
        let excess = self.claims.len().saturating_sub(CLAIMS);
        self.claims.drain(..excess);
        (process, nonce, taken.len())
    }

    /// As many as there were, of those the best of each tier, and at most one suspect.
    fn was_right_to_take(&self, local: bool, process: Uuid, slots: u32, taken: &[(Claim, bool)]) {
        let kind = usize::from(local);
        let open = !self.run_paused[kind] && !self.worker_paused[kind];
        let ready: Vec<&Twin> = self
            .twins
            .iter()
            .filter(|twin| open && twin.new.local == local && twin.state == State::Ready)
            .collect();
        let (suspects, plain): (Vec<&Twin>, Vec<&Twin>) =
            ready.iter().partition(|twin| twin.rescues >= 2);
        let holds_one = self
            .twins
            .iter()
            .any(|twin| twin.holder == Some(process) && twin.rescues >= 2);
        let allowed = usize::from(!holds_one).min(suspects.len());
        let ids: BTreeSet<Uuid> = taken.iter().map(|(claim, _)| claim.key().task).collect();
        let expected = (plain.len() + allowed).min(slots as usize);
        assert_eq!(ids.len(), expected, "claimed of {ready:#?}");
        let of = |twins: &[&Twin]| twins.iter().filter(|t| ids.contains(&t.id)).count();
        assert!(of(&suspects) <= allowed, "suspects taken: {suspects:#?}");
        assert_eq!(of(&suspects) + of(&plain), ids.len(), "taken: {ids:?}");
        let rank = |twin: &Twin| (-i32::from(twin.new.priority), twin.id);
        for left in plain.iter().filter(|twin| !ids.contains(&twin.id)) {
            let worse = |twin: &&&Twin| {
                ids.contains(&twin.id) && twin.new.tier == left.new.tier && rank(twin) > rank(left)
            };
            let before = plain.iter().find(worse);
            assert!(before.is_none(), "{before:#?} went before {left:#?}");
        }
    }

    async fn unheard(&mut self, local: bool, process: usize, slots: u32) {
        let (process, nonce, count) = self.claim(local, process, slots).await;
        let released = self.store.release_unheard(process, nonce).await;
        assert_eq!(released.expect("released"), count);
        let unheard = self.claims.split_off(self.claims.len() - count);
        for (_, claim) in unheard {
            let twin = self.twin(claim.key().task);
            twin.on(Event::Released);
            twin.attempts -= 1;
        }
    }
}
