//! Each step done to the database and to the twins: deaths, care, acts by hand.

use std::{collections::BTreeSet, time::Duration};

use tidegate::{
    store::{enqueue::OnFailedNeed, unrendered::Rendered},
    task::{Event, State},
};
use uuid::Uuid;

use super::{
    twin::Twin,
    world::{LEASE, World},
};
use crate::support::work::a_process;

impl World<'_> {
    pub(super) async fn die(&mut self, process: usize, stopped: bool) {
        let at = process % self.processes.len();
        let dead = self.processes[at];
        if stopped {
            self.store.unregister(dead).await.expect("closed");
        } else {
            let sql = "update tidegate.processes set lease_until = now() - interval '1 min' where id = $1";
            let silent = sqlx::query(sql).bind(dead).execute(self.db.pool()).await;
            silent.expect("silent");
        }
        let rescued = self.store.rescue(Duration::from_secs(1), false).await;
        let held = self.rescue_twins(|twin| twin.holder == Some(dead));
        assert_eq!(rescued.expect("rescued"), held);
        self.processes[at] = a_process(&self.store, LEASE).await;
    }

    pub(super) async fn overdue(&mut self, task: usize) {
        let Some(at) = self.pick(task) else { return };
        let id = self.twins[at].id;
        let sql = "update tidegate.running set deadline_at = now() - interval '1 s' where id = $1";
        let late = sqlx::query(sql).bind(id).execute(self.db.pool()).await;
        late.expect("late");
        let rescued = self.store.rescue(Duration::from_secs(1), true).await;
        let held = self.rescue_twins(|twin| twin.id == id && twin.state == State::Running);
        assert_eq!(rescued.expect("rescued"), held);
    }

    fn rescue_twins(&mut self, which: impl Fn(&Twin) -> bool) -> i32 {
        let held = self.twins.iter_mut().filter(|twin| which(twin));
        held.map(Twin::rescue).map(|()| 1).sum()
    }

    pub(super) async fn cancel(&mut self, task: usize, count: usize) {
        let places: BTreeSet<usize> = (0..count).filter_map(|n| self.pick(task + n)).collect();
        let ids: Vec<Uuid> = places.iter().map(|at| self.twins[*at].id).collect();
        let cancelled = self.store.cancel(&ids).await.expect("cancelled");
        let mut expected = 0;
        for at in places {
            if !self.twins[at].state.is_settled() {
                self.twins[at].on(Event::Cancelled);
                expected += 1;
            }
        }
        assert_eq!(cancelled, expected);
    }

    pub(super) async fn retry(&mut self, task: usize) {
        let Some(at) = self.pick(task) else { return };
        let (id, new) = (self.twins[at].id, self.twins[at].new.clone());
        let retried = self.store.retry(&[id]).await.expect("retried");
        let ended = matches!(self.twins[at].state, State::Failed | State::Cancelled);
        let may =
            ended && !self.twins[at].failed_by_sink && self.has_key(new.local, new.key).is_none();
        assert_eq!(retried, i32::from(may), "{:#?}", self.twins[at]);
        if may {
            self.twins[at].retry();
        }
    }

    pub(super) async fn promote(&mut self) {
        let promoted = self.store.promote().await.expect("promoted");
        let due = |twin: &&mut Twin| twin.state == State::Scheduled && !twin.later;
        let due = self.twins.iter_mut().filter(due);
        let expected: i32 = due.map(|twin| twin.on(Event::Due)).map(|()| 1).sum();
        assert_eq!(promoted, expected);
    }

    pub(super) async fn time_passes(&mut self) {
        // expiries of one task may be two hours apart: they go far away first, so that none meets another on its way
        let sql = "update tidegate.scheduled set run_at = run_at - interval '2 h';
                   update tidegate.expiries set expires_at = expires_at - interval '2000 h';
                   update tidegate.expiries set expires_at = expires_at + interval '1998 h';
                   update tidegate.tasks set run_at = run_at - interval '2 h', expires_at = expires_at - interval '2 h'";
        let moved = sqlx::raw_sql(sql).execute(self.db.pool()).await;
        moved.expect("moments are moved");
        for twin in &mut self.twins {
            twin.later = false;
            twin.expires = twin.expires.map(|_| false);
            twin.expiries.fill(false);
        }
    }

    /// Until nothing moves any more.
    pub(super) async fn settle_needs(&mut self) {
        while self.store.settle_needs().await.expect("looked") > 0 {}
        while self.look_at_needs() | self.look_at_expiries() {}
    }

    fn look_at_needs(&mut self) -> bool {
        let before: Vec<Twin> = self.twins.clone();
        let state = |id: Uuid| before.iter().find(|twin| twin.id == id).map(|t| t.state);
        let mut moved = false;
        for twin in &mut self.twins {
            if twin.state != State::Blocked || twin.needs.is_empty() {
                continue;
            }
            let lost = |id: &Uuid| matches!(state(*id), Some(State::Failed | State::Cancelled));
            if twin.on_failed_need == OnFailedNeed::Cancel && twin.needs.iter().any(lost) {
                twin.on(Event::NeedLost);
                moved = true;
                continue;
            }
            let open = |id: &Uuid| state(*id).is_some_and(|state| !state.is_settled());
            twin.needs.retain(open);
            if twin.needs.is_empty() {
                moved = true;
                if !twin.unrendered {
                    twin.unblock();
                }
            }
        }
        moved
    }

    fn look_at_expiries(&mut self) -> bool {
        let mut moved = false;
        for twin in &mut self.twins {
            let before = twin.expiries.len();
            twin.expiries.retain(|later| *later);
            let looked_at = twin.expiries.len() < before;
            if looked_at && twin.expires == Some(false) && twin.waits() {
                twin.on(Event::Expired);
                moved = true;
            }
        }
        moved
    }

    pub(super) async fn render(&mut self, limit: i32, fails: bool) {
        let worker = [self.workers[0].clone()];
        let taken = self
            .store
            .take_unrendered(limit, Duration::ZERO, Some(&worker));
        let taken: Vec<Uuid> = taken
            .await
            .expect("taken")
            .into_iter()
            .map(|it| it.task)
            .collect();
        let due =
            |twin: &&Twin| twin.state == State::Blocked && twin.unrendered && twin.needs.is_empty();
        let due: BTreeSet<Uuid> = self.twins.iter().filter(due).map(|twin| twin.id).collect();
        assert_eq!(taken.len(), due.len().min(limit as usize), "to be rendered");
        assert!(taken.iter().all(|id| due.contains(id)), "{taken:?}");
        let rendered: Vec<Rendered> = taken
            .iter()
            .map(|id| Rendered {
                task: *id,
                est_tokens: 10,
                cache_key: id.as_bytes().to_vec(),
                error: fails.then(|| "no prompt".to_owned()),
            })
            .collect();
        let went_on = self.store.rendered(&rendered).await.expect("rendered");
        assert_eq!(went_on as usize, if fails { 0 } else { taken.len() });
        for id in taken {
            let twin = self.twin(id);
            if fails {
                twin.on(Event::Rejected);
            } else {
                twin.unrendered = false;
                twin.was_rendered = true;
                twin.unblock();
            }
        }
    }

    pub(super) async fn pause_run(&mut self, kind: usize, on: bool) {
        let run = self.runs[kind];
        let hit = match on {
            true => self.store.pause_run(run).await,
            false => self.store.resume_run(run).await,
        };
        assert_eq!(hit.expect("told"), self.run_paused[kind] != on);
        self.run_paused[kind] = on;
    }

    pub(super) async fn pause_worker(&mut self, kind: usize, on: bool) {
        let worker = &self.workers[kind];
        let hit = match on {
            true => self.store.pause_worker(worker, "a law").await,
            false => self.store.resume_worker(worker).await,
        };
        assert_eq!(hit.expect("told"), self.worker_paused[kind] != on);
        self.worker_paused[kind] = on;
    }
}
