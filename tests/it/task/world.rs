//! One walk: a database emptied for it, two workers of its own, three processes, and the twins.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use sqlx::Row;
use tidegate::store::{
    Store,
    claim::Claimed,
    load::{Routing, Saving},
    local::LocalTask,
    model::{ModelRow, ProviderRow},
    run::{Asking, Pacing},
    settle::ClaimKey,
    worker::NewWorker,
};
use uuid::Uuid;

use super::{op::Op, twin::Twin};
use crate::support::{TestDb, work::a_process};

/// Longer than any walk.
pub(super) const LEASE: Duration = Duration::from_secs(3600);

const EMPTY: &str = "truncate tidegate.tasks, tidegate.ready, tidegate.running, tidegate.scheduled, tidegate.blocked,
    tidegate.failed, tidegate.needs, tidegate.expiries, tidegate.open_keys, tidegate.run_counts, tidegate.task_results,
    tidegate.task_attempts_closed, tidegate.segments, tidegate.processes, tidegate.worker_pauses,
    tidegate.provider_batches, tidegate.batch_items";

/// A claim that was held once, whatever became of it.
#[derive(Clone, Debug)]
pub(super) enum Claim {
    Local(LocalTask),
    Asking(Claimed),
}

impl Claim {
    pub(super) fn key(&self) -> ClaimKey {
        match self {
            Self::Local(task) => ClaimKey::from(task),
            Self::Asking(claimed) => ClaimKey::from(claimed),
        }
    }

    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }
}

/// Everything of one walk.
pub(super) struct World<'a> {
    pub(super) db: &'a TestDb,
    pub(super) store: Store,
    /// By the database's clock.
    pub(super) began: DateTime<Utc>,
    /// The one that asks models, the local one.
    pub(super) workers: [String; 2],
    pub(super) runs: [Uuid; 2],
    pub(super) run_paused: [bool; 2],
    pub(super) worker_paused: [bool; 2],
    pub(super) processes: Vec<Uuid>,
    pub(super) twins: Vec<Twin>,
    /// With the process, which may be dead.
    pub(super) claims: Vec<(Uuid, Claim)>,
    /// Items that ever stood in a batch, with it.
    pub(super) items: Vec<(Uuid, Claimed)>,
    /// Items that left theirs.
    pub(super) settled: BTreeSet<(Uuid, Uuid)>,
}

impl<'a> World<'a> {
    pub(super) async fn new(db: &'a TestDb) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let store = Store::over(db.pool().clone());
        sqlx::raw_sql(EMPTY)
            .execute(db.pool())
            .await
            .expect("emptied");
        let began = sqlx::query_scalar("select now()")
            .fetch_one(db.pool())
            .await;
        let began = began.expect("a clock");
        let models = model_ids(db, &store).await;
        let workers = [format!("asks-{number}"), format!("local-{number}")];
        let ladders = vec![models.clone(), models];
        let mut runs = Vec::new();
        for (name, ladders) in [(&workers[0], Some(ladders)), (&workers[1], None)] {
            let worker = a_worker(name, ladders);
            runs.push(store.register_worker(&worker).await.expect("registered"));
        }
        let mut processes = Vec::new();
        for _ in 0..3 {
            processes.push(a_process(&store, LEASE).await);
        }
        Self {
            db,
            store,
            began,
            workers,
            runs: [runs[0], runs[1]],
            run_paused: [false; 2],
            worker_paused: [false; 2],
            processes,
            twins: Vec::new(),
            claims: Vec::new(),
            items: Vec::new(),
            settled: BTreeSet::new(),
        }
    }

    /// The place of a task in `twins`: the youngest first.
    pub(super) fn pick(&self, pick: usize) -> Option<usize> {
        let last = self.twins.len().checked_sub(1)?;
        Some(last - pick % self.twins.len().min(24))
    }

    pub(super) fn twin(&mut self, id: Uuid) -> &mut Twin {
        let mut twins = self.twins.iter_mut();
        twins.find(|twin| twin.id == id).expect("a known task")
    }

    /// The unfinished task that has this key.
    pub(super) fn has_key(&self, local: bool, key: Option<u8>) -> Option<Uuid> {
        let key = key?;
        let mut twins = self.twins.iter();
        let has = |twin: &&Twin| {
            twin.new.local == local && twin.new.key == Some(key) && !twin.state.is_settled()
        };
        twins.find(has).map(|twin| twin.id)
    }

    /// The law: each task stands where its twin does, and the books agree.
    pub(super) async fn agrees(&self, op: &Op) {
        let rows = sqlx::query("select id, state, generation, attempts, epoch from tidegate.tasks")
            .fetch_all(self.db.pool())
            .await
            .expect("tasks");
        let stands: BTreeMap<Uuid, (String, i32, i32, i32)> = rows
            .iter()
            .map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3), row.get(4))))
            .collect();
        assert_eq!(stands.len(), self.twins.len(), "tasks, after {op:?}");
        for twin in &self.twins {
            let (state, generation, attempts, epoch) = &stands[&twin.id];
            assert_eq!(
                (state.as_str(), *generation, *attempts, *epoch),
                (
                    twin.state.as_str(),
                    twin.generation,
                    twin.attempts,
                    twin.epoch
                ),
                "after {op:?}, of {twin:#?}"
            );
        }
        let audit = sqlx::query("select o_what, o_n, o_example::text from tidegate.audit_v1()")
            .fetch_all(self.db.pool())
            .await
            .expect("an audit");
        let found: Vec<String> = audit.iter().map(|row| row.get(0)).collect();
        assert!(found.is_empty(), "after {op:?}: {found:?}");
    }

    /// The law: a claim is not forgotten, whatever became of it.
    pub(super) async fn every_attempt_is_recorded(&self) {
        let rows = sqlx::query(
            "select task_id, array_agg(distinct epoch order by epoch) from tidegate.task_attempts group by task_id",
        )
        .fetch_all(self.db.pool())
        .await
        .expect("attempts");
        let recorded: BTreeMap<Uuid, Vec<i32>> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        for twin in &self.twins {
            let epochs = recorded.get(&twin.id).cloned().unwrap_or_default();
            assert_eq!(epochs, twin.claimed, "attempts of {twin:#?}");
        }
    }
}

/// Two models without limits.
async fn model_ids(db: &TestDb, store: &Store) -> Vec<i32> {
    let provider = ProviderRow {
        name: "sim".to_owned(),
        kind: "gemini".to_owned(),
        base_url: "http://127.0.0.1:9/v1beta".to_owned(),
        quota_scope: "sim".to_owned(),
        day_zone: "America/Los_Angeles".to_owned(),
        batch_jobs: None,
    };
    let names = ["sim/a".to_owned(), "sim/b".to_owned()];
    let rows: Vec<ModelRow> = names
        .iter()
        .map(|name| ModelRow {
            model: name.clone(),
            hash: b"a test".to_vec(),
            output_tpm: None,
            tpd: None,
            shares: None,
            batch: None,
            batch_price_percent: None,
            batch_enqueued_tokens: None,
            rpm: None,
            tpm: None,
            rpd: None,
            max_concurrency: None,
            counting: None,
            burst: None,
            input_price_microusd: None,
            output_price_microusd: None,
        })
        .collect();
    store
        .sync_models(&[provider], &rows)
        .await
        .expect("models are told");
    crate::support::many_at_once(db.pool()).await;
    store.model_ids(&names).await.expect("models are known")
}

fn a_worker(name: &str, ladders: Option<Vec<Vec<i32>>>) -> NewWorker {
    NewWorker {
        name: name.to_owned(),
        version: "1".to_owned(),
        hash: format!("{name:0>32}").into_bytes(),
        folder_json: "{}".to_owned(),
        program: ladders.is_none(),
        ladders,
        max_attempts: 3,
        mix: vec![4.0, 1.0],
        est_output: 10,
        max_output: None,
        routing: Routing::default(),
        pacing: Pacing::default(),
        asking: Asking::default(),
        timeout_ms: 60_000,
        saving: Saving::default(),
    }
}
