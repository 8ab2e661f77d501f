//! A fleet whose runs go by batch, and what is true of every run when it is over.

use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tidegate::{
    engine::{BatchSettings, Settings},
    simulator::{self, BatchRecord, BatchSettings as Provided},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{
    fleet::{Fleet, a_model, simulated},
    work::{ONE_TIER, items, load},
};

/// Answers are kept by nobody.
pub(super) const PLAIN: &str = "[cache]\nenabled = false\n";

pub(super) struct Scene {
    pub(super) fleet: Fleet,
    names: AtomicUsize,
}

/// Watched as closely as a test can wait.
pub(super) fn watchful() -> Settings {
    Settings {
        lease: Duration::from_secs(6),
        batches: BatchSettings {
            poll: Duration::from_millis(20),
            poll_max: Duration::from_millis(50),
            lookup: Duration::from_millis(300),
        },
        ..Settings::default()
    }
}

impl Scene {
    /// `sim/a` and `oa/a` by either wire, and `embedding`.
    pub(super) async fn new(batches: Provided) -> Self {
        let settings = simulator::Settings {
            batches,
            ..simulated(vec![a_model("a"), a_model("embedding")])
        };
        Self {
            fleet: Fleet::crossed(settings).await,
            names: AtomicUsize::new(0),
        }
    }

    /// The same at a provider whose models have no batch mode.
    pub(super) async fn without_batches() -> Self {
        let mut model = a_model("a");
        model.batch = false;
        Self {
            fleet: Fleet::crossed(simulated(vec![model])).await,
            names: AtomicUsize::new(0),
        }
    }

    pub(super) async fn load(&self, entry: &str, count: usize, strategy: &str, more: &str) -> Uuid {
        self.load_of(entry, "a", count, strategy, more).await
    }

    /// A run of so many items of a worker of its own, by this strategy.
    pub(super) async fn load_of(
        &self,
        entry: &str,
        model: &str,
        count: usize,
        strategy: &str,
        more: &str,
    ) -> Uuid {
        let name = format!("w{}", self.names.fetch_add(1, Ordering::Relaxed));
        let worker = ONE_TIER
            .replace("\"small\"", &format!("{name:?}"))
            .replace("sim/a", &format!("{entry}/{model}"))
            .replace("fallbacks = [\"sim/b\"]\n", "")
            + more;
        let run = load(&self.fleet.store, &worker, &items(count)).await;
        let run = run.expect("a run").run;
        let held = strategy != "individual";
        self.say(&format!(
            "with s as (update tidegate.runs set strategy = '{strategy}' where id = '{run}')
             update tidegate.lanes set held = {held} where run_id = '{run}' and ladder <> '{{}}'"
        ))
        .await;
        run
    }

    pub(super) async fn say(&self, sql: &str) {
        sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(self.fleet.store.pool())
            .await
            .expect("it is said");
    }

    pub(super) async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()))
            .fetch_one(self.fleet.store.pool())
            .await
            .expect("a number")
    }

    /// One process works a run off, until nothing of its batches is left to do.
    pub(super) async fn work_off(&self, run: Uuid) {
        self.work_off_by(run, 1).await;
    }

    pub(super) async fn work_off_by(&self, run: Uuid, processes: usize) {
        let stop = CancellationToken::new();
        let working: Vec<_> = (0..processes)
            .map(|_| self.fleet.process_with(&stop, watchful()))
            .collect();
        self.fleet.until_done(run).await;
        self.until_over().await;
        stop.cancel();
        for process in working {
            process.await.expect("it ends");
        }
    }

    /// Waits until a statement says 1.
    pub(super) async fn until(&self, sql: &str) {
        let held = async {
            while self.number(sql).await < 1 {
                tokio::task::yield_now().await;
            }
        };
        let held = tokio::time::timeout(Duration::from_secs(120), held).await;
        assert!(held.is_ok(), "within the bound: {sql}");
    }

    /// Waits until the provider has accepted so many batches.
    pub(super) async fn until_batches(&self, count: usize) {
        let seen = async {
            while self.fleet.simulator.batches().len() < count {
                tokio::task::yield_now().await;
            }
        };
        let seen = tokio::time::timeout(Duration::from_secs(120), seen).await;
        assert!(seen.is_ok(), "the provider accepts {count} batches");
    }

    /// Waits until the provider was asked to cancel a run's batch, and lets it be over then.
    pub(super) async fn until_cancelled(&self, run: Uuid) {
        let cancelled = format!(
            "select count(*) from tidegate.provider_batches where run_id = '{run}' and cancelled_at is not null"
        );
        self.until(&cancelled).await;
        for batch in self.batches(run).await {
            self.fleet.simulator.hasten(&batch.id);
        }
    }

    pub(super) async fn until_over(&self) {
        let over = "select (count(*) = 0)::int::bigint from tidegate.provider_batches where state <> 'over'";
        self.fleet.until_count(over, 1).await;
    }

    /// The provider's account of a run's batches.
    pub(super) async fn batches(&self, run: Uuid) -> Vec<BatchRecord> {
        let tokens: HashSet<String> =
            sqlx::query_scalar("select token from tidegate.provider_batches where run_id = $1")
                .bind(run)
                .fetch_all(self.fleet.store.pool())
                .await
                .expect("tokens")
                .into_iter()
                .collect();
        let mut batches = self.fleet.simulator.batches();
        batches.retain(|it| tokens.contains(&it.token));
        batches
    }

    pub(super) async fn answers(&self, run: Uuid) -> BTreeMap<String, String> {
        let sql = "select t.item_id, r.answer from tidegate.tasks t join tidegate.task_results r on r.task_id = t.id where t.run_id = $1";
        let rows: Vec<(String, String)> = sqlx::query_as(sql)
            .bind(run)
            .fetch_all(self.fleet.store.pool())
            .await
            .expect("answers");
        rows.into_iter().collect()
    }

    /// What holds of every run that is over: all answered, each once; every batch at the provider is known
    /// here, and of none there are two; nothing is under way and no file is left; each call is closed.
    pub(super) async fn judge(&self, run: Uuid, items: i64) {
        let done = format!(
            "select count(*) from tidegate.tasks t where t.run_id = '{run}' and t.state = 'done'"
        );
        assert_eq!(self.number(&done).await, items);
        self.nothing_left().await;
        let open = "select count(*) from tidegate.calls where ended_at is null";
        assert_eq!(self.number(open).await, 0, "each call is closed");
        let doubled = format!(
            "select count(*) from (select task_id from tidegate.task_results where run_id = '{run}' group by task_id having count(*) > 1) z"
        );
        assert_eq!(self.number(&doubled).await, 0);
    }

    /// The provider holds no batch of which there are two or that nobody knows, none that is under way, and no
    /// file.
    pub(super) async fn nothing_left(&self) {
        let known: Vec<(String, Option<String>)> =
            sqlx::query_as("select token, remote_id from tidegate.provider_batches")
                .fetch_all(self.fleet.store.pool())
                .await
                .expect("batches");
        let known: BTreeMap<String, Option<String>> = known.into_iter().collect();
        let batches = self.fleet.simulator.batches();
        let mut tokens = HashSet::new();
        for batch in &batches {
            assert!(known.contains_key(&batch.token), "an orphan: {batch:?}");
            assert!(
                batch.cancelled || tokens.insert(batch.token.clone()),
                "doubled: {batch:?}"
            );
            let ended = ["succeeded", "failed", "expired", "cancelled"];
            assert!(ended.contains(&batch.state.as_str()), "{batch:?}");
        }
        let left: Vec<_> = self
            .fleet
            .simulator
            .files()
            .into_iter()
            .filter(|it| !it.deleted)
            .collect();
        assert!(left.is_empty(), "{left:?}");
        let owed = "select count(*) from tidegate.batch_items";
        assert_eq!(self.number(owed).await, 0, "nothing is owed");
    }
}
