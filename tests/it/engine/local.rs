//! Local work: tasks that ask no model, done by handlers that a program brings.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tidegate::{
    client::{Task, enqueue_all},
    engine::{Engine, Program, Registry, Settings, SettleSettings},
    store::{self, Store},
    task::{LocalError, typed},
};
use tokio_util::sync::CancellationToken;

use crate::support::TestDb;

/// A process in here that does the local work of `w`, and the database it works on.
struct Works {
    db: TestDb,
    store: Store,
    stop: CancellationToken,
    works: tokio::task::JoinHandle<()>,
}

impl Works {
    async fn start(program: Program, settings: Settings) -> Self {
        let db = TestDb::new().await;
        let store = Store::over(db.pool().clone());
        store
            .register_worker(&program.to_worker("w"))
            .await
            .expect("registered");
        let registry = Registry::new().with_program("w", program);
        let (database, providers) = (store::Settings::new(db.url()), BTreeMap::new());
        let engine = Engine::new(store.clone(), database, providers, registry, settings);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let works = tokio::spawn(async move {
            engine.run(stopped).await.expect("it works");
        });
        Self {
            db,
            store,
            stop,
            works,
        }
    }

    /// Waits until so many tasks are as this condition says.
    async fn until(&self, condition: &str, wanted: i64) {
        let sql = format!("select count(*) from tidegate.tasks where {condition}");
        let reached = async {
            loop {
                let n: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql.clone()))
                    .fetch_one(self.db.pool())
                    .await
                    .expect("a count");
                if n == wanted {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reached)
            .await
            .unwrap_or_else(|_| panic!("within the bound: {wanted} tasks where {condition}"));
    }

    async fn end(self) {
        self.stop.cancel();
        self.works.await.expect("it ends");
    }
}

fn task(n: u32) -> Task {
    Task::new("w", &n).expect("a payload")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_tasks_are_done_once_each_with_their_answers() {
    let program = Program::new(typed(|n: u32| async move { Ok::<_, LocalError>(n * 2) }));
    let works = Works::start(program, Settings::default()).await;
    enqueue_all(works.store.pool(), "w", (0..3_000).map(task).collect())
        .await
        .expect("enqueued");
    works
        .until("state = 'done' and attempts = 1 and claims = 1", 3_000)
        .await;
    let wrong: i64 = sqlx::query_scalar(
        "select count(*) from tidegate.tasks t join tidegate.task_results r on r.task_id = t.id
          where r.answer::int <> t.payload::int * 2",
    )
    .fetch_one(works.db.pool())
    .await
    .expect("a count");
    assert_eq!(wrong, 0);
    let calls: i64 = sqlx::query_scalar("select count(*) from tidegate.calls")
        .fetch_one(works.db.pool())
        .await
        .expect("a count");
    assert_eq!(calls, 0);
    works.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_a_panic_in_one_task_spends_its_attempts_and_harms_no_other() {
    let handler = typed(|n: u32| async move {
        match n {
            0 => panic!("as the law wants"),
            1 => Err(LocalError::Again("not yet".to_owned())),
            2 => Err(LocalError::Fail("never".to_owned())),
            n => Ok(n),
        }
    });
    let mut program = Program::new(handler);
    program.max_attempts = 2;
    let works = Works::start(program, Settings::default()).await;
    enqueue_all(works.store.pool(), "w", (0..50).map(task).collect())
        .await
        .expect("enqueued");
    works.until("state = 'done'", 47).await;
    works
        .until(
            "state = 'failed' and error_class = 'panic' and attempts = 2",
            1,
        )
        .await;
    works.until("state = 'failed' and error_class = 'handler' and attempts = 2 and last_error = 'not yet'", 1).await;
    works.until("state = 'failed' and error_class = 'handler' and attempts = 1 and last_error = 'never'", 1).await;
    works.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_an_attempt_that_hangs_ends_at_its_deadline() {
    let mut program = Program::new(typed(|_: u32| {
        std::future::pending::<Result<(), LocalError>>()
    }));
    program.timeout = Duration::from_millis(50);
    program.max_attempts = 1;
    let works = Works::start(program, Settings::default()).await;
    task(1).enqueue(works.db.pool()).await.expect("enqueued");
    works
        .until("state = 'failed' and error_class = 'timeout'", 1)
        .await;
    works.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_a_stop_gives_back_local_work_under_way_and_spends_nothing() {
    let (started, seen) = tokio::sync::mpsc::unbounded_channel();
    let handler = typed(move |_: u32| {
        started.send(()).expect("the test listens");
        std::future::pending::<Result<(), LocalError>>()
    });
    let settings = Settings {
        // half of it is for writing down what is given back
        grace: Duration::from_secs(4),
        ..Settings::default()
    };
    let works = Works::start(Program::new(handler), settings).await;
    let mut seen = seen;
    task(1).enqueue(works.db.pool()).await.expect("enqueued");
    seen.recv().await.expect("it starts");
    let db = works.db.pool().clone();
    let Works {
        db: _db,
        stop,
        works,
        ..
    } = works;
    stop.cancel();
    works.await.expect("it ends");
    let row: (String, i32, i32) =
        sqlx::query_as("select state, attempts, deferrals from tidegate.tasks")
            .fetch_one(&db)
            .await
            .expect("a task");
    assert_eq!(row, ("ready".to_owned(), 0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_sync_mode_no_more_tasks_run_than_slots_have_durable_answers() {
    let most = Arc::new(std::sync::atomic::AtomicI64::new(0));
    let program = |most: Arc<std::sync::atomic::AtomicI64>, pool: sqlx::PgPool| {
        Program::new(typed(move |_: u32| {
            let (most, pool) = (most.clone(), pool.clone());
            async move {
                // claimed and not yet durable: with two slots never more than two
                let open: i64 = sqlx::query_scalar("select count(*) from tidegate.running")
                    .fetch_one(&pool)
                    .await
                    .map_err(|error| LocalError::Fail(error.to_string()))?;
                most.fetch_max(open, std::sync::atomic::Ordering::SeqCst);
                Ok::<_, LocalError>(())
            }
        }))
    };
    let db = TestDb::new().await;
    let store = Store::over(db.pool().clone());
    let program = program(most.clone(), db.pool().clone());
    store
        .register_worker(&program.to_worker("w"))
        .await
        .expect("registered");
    enqueue_all(store.pool(), "w", (0..60).map(task).collect())
        .await
        .expect("enqueued");
    let settings = Settings {
        slots: 2,
        settle: SettleSettings {
            sync: true,
            ..SettleSettings::default()
        },
        ..Settings::default()
    };
    let registry = Registry::new().with_program("w", program);
    let engine = Engine::new(
        store.clone(),
        store::Settings::new(db.url()),
        BTreeMap::new(),
        registry,
        settings,
    );
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let works = tokio::spawn(async move { engine.run(stopped).await.expect("it works").done });
    let done = async {
        loop {
            let n: i64 =
                sqlx::query_scalar("select count(*) from tidegate.tasks where state = 'done'")
                    .fetch_one(db.pool())
                    .await
                    .expect("a count");
            if n == 60 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), done)
        .await
        .expect("within the bound");
    stop.cancel();
    assert_eq!(works.await.expect("it ends"), 60);
    assert!(most.load(std::sync::atomic::Ordering::SeqCst) <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_enqueued_for_a_later_moment_and_one_that_needs_another_start_by_themselves() {
    let program = Program::new(typed(|n: u32| async move { Ok::<_, LocalError>(n) }));
    let works = Works::start(program, Settings::default()).await;
    sqlx::query("select tidegate.enqueue('w', '1', run_at => now() + interval '300 ms')")
        .execute(works.db.pool())
        .await
        .expect("enqueued");
    let first = task(2);
    let second = task(3).needs([first.id()]);
    enqueue_all(works.db.pool(), "w", vec![first, second])
        .await
        .expect("enqueued");
    works.until("state = 'done'", 3).await;
    works.end().await;
}
