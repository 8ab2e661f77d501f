//! Tasks come in by name of their worker: from Rust, by functions in SQL, by plain inserts.

use std::time::Duration;

use sqlx::Row;
use tidegate::{
    client::{Task, enqueue_all},
    engine::Program,
    store::{
        Store, StoreError,
        enqueue::{OnFailedNeed, OnKey},
        local::{LocalDone, LocalRequest, LocalTask},
    },
    task::{LocalError, typed},
};
use uuid::Uuid;

use super::count;
use crate::support::{TestDb, work::a_process};

const LEASE: Duration = Duration::from_secs(60);

/// How a task is spoiled, and which field is to be named.
type Spoiled = (fn(Task) -> Task, &'static str);

/// A database that knows the local worker `thumbs` of two tiers.
async fn a_store() -> (TestDb, Store) {
    let db = TestDb::new().await;
    let store = Store::over(db.pool().clone());
    let handler = typed(|n: u32| async move { Ok::<_, LocalError>(n) });
    let mut program = Program::new(handler);
    program.mix = vec![4.0, 1.0];
    store
        .register_worker(&program.to_worker("thumbs"))
        .await
        .expect("it is registered");
    (db, store)
}

async fn take(store: &Store, process: Uuid, slots: u32) -> Vec<LocalTask> {
    let request = LocalRequest {
        process,
        slots,
        nonce: rand::random(),
        programs: vec!["thumbs".to_owned()],
        workers: None,
        kept: false,
    };
    store.claim_local(&request).await.expect("a claim")
}

async fn settle(store: &Store, process: Uuid, tasks: Vec<LocalTask>) {
    let done = tasks
        .into_iter()
        .map(|task| (task, "null".to_owned(), 1))
        .collect();
    let fates = store.settle_local(process, &LocalDone::of(done)).await;
    assert_eq!(fates.expect("settled"), (0, 0));
}

fn bad(error: StoreError) -> (Option<u64>, String) {
    match error {
        StoreError::BadInput {
            row, field, help, ..
        } => {
            assert!(!help.is_empty());
            (row, field)
        }
        other => panic!("not bad input: {other}"),
    }
}

#[tokio::test]
async fn a_task_enqueued_in_a_transaction_is_there_when_it_commits_and_never_was_when_it_does_not()
{
    let (db, store) = a_store().await;
    let mut rolled_back = db.pool().begin().await.expect("begun");
    let task = Task::new("thumbs", &1).expect("a payload");
    task.enqueue(&mut *rolled_back).await.expect("enqueued");
    rolled_back.rollback().await.expect("rolled back");
    assert_eq!(count(&db, "select count(*) from tidegate.tasks").await, 0);

    let mut committed = db.pool().begin().await.expect("begun");
    let id = Task::new("thumbs", &2)
        .expect("a payload")
        .enqueue(&mut *committed)
        .await
        .expect("enqueued")
        .id;
    let process = a_process(&store, LEASE).await;
    assert_eq!(
        take(&store, process, 10).await.len(),
        0,
        "not committed yet"
    );
    committed.commit().await.expect("committed");
    let taken = take(&store, process, 10).await;
    assert_eq!(taken.iter().map(|task| task.task).collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn f38_a_task_that_commits_after_younger_ones_is_not_missed() {
    let (db, store) = a_store().await;
    let process = a_process(&store, LEASE).await;
    let mut slow = db.pool().begin().await.expect("begun");
    let early = Task::new("thumbs", &1).expect("a payload");
    let early = early.enqueue(&mut *slow).await.expect("enqueued").id;
    Task::new("thumbs", &2)
        .expect("a payload")
        .enqueue(db.pool())
        .await
        .expect("enqueued");
    assert_eq!(take(&store, process, 10).await.len(), 1);
    slow.commit().await.expect("committed");
    let late = take(&store, process, 10).await;
    assert_eq!(
        late.iter().map(|task| task.task).collect::<Vec<_>>(),
        [early]
    );
}

#[tokio::test]
async fn payloads_are_kept_byte_for_byte() {
    let (db, store) = a_store().await;
    let odd = r#"{ "b": 1.0e2, "a" : 9007199254740993, "a": "\u0000 \ud800", "c": 1e400000 }"#;
    sqlx::query("select tidegate.enqueue('thumbs', $1::text::json)")
        .bind(odd)
        .execute(db.pool())
        .await
        .expect("enqueued");
    Task::raw("thumbs", odd)
        .expect("JSON")
        .enqueue(db.pool())
        .await
        .expect("enqueued");
    let process = a_process(&store, LEASE).await;
    for task in take(&store, process, 10).await {
        assert_eq!(task.payload.as_deref(), Some(odd));
    }
    assert_eq!(count(&db, "select count(*) from tidegate.running").await, 2);
}

#[tokio::test]
async fn a_key_that_is_taken_is_skipped_replaced_or_refused_as_asked() {
    let (db, store) = a_store().await;
    let task = |n: u32, on_key| {
        Task::new("thumbs", &n)
            .expect("a payload")
            .key("k")
            .on_key(on_key)
    };
    let first = task(1, OnKey::Skip).enqueue(db.pool()).await.expect("new");
    assert!(first.is_new());
    let second = task(2, OnKey::Skip)
        .enqueue(db.pool())
        .await
        .expect("skipped");
    assert_eq!((second.id, second.is_new()), (first.id, false));
    let third = task(3, OnKey::Replace)
        .priority(7.0)
        .tier(1)
        .enqueue(db.pool())
        .await
        .expect("replaced");
    assert_eq!((third.id, third.is_new()), (first.id, false));
    let sql =
        "select count(*) from tidegate.tasks where payload = '3' and priority = 7 and tier = 1";
    assert_eq!(count(&db, sql).await, 1);
    let refused = task(4, OnKey::Refuse)
        .enqueue(db.pool())
        .await
        .expect_err("taken");
    assert_eq!(bad(refused), (Some(0), "key".to_owned()));

    // once it runs, it stays as it is; once it has ended, the key is free
    let process = a_process(&store, LEASE).await;
    let running = take(&store, process, 1).await;
    task(5, OnKey::Replace)
        .enqueue(db.pool())
        .await
        .expect("skipped");
    assert_eq!(running[0].payload.as_deref(), Some("3"));
    settle(&store, process, running).await;
    let fresh = task(6, OnKey::Refuse)
        .enqueue(db.pool())
        .await
        .expect("free");
    assert!(fresh.is_new());
}

#[tokio::test]
async fn f63_of_many_at_once_with_one_key_one_becomes_a_task() {
    let (db, _store) = a_store().await;
    let racing = (0..50).map(|n| {
        let pool = db.pool().clone();
        async move {
            let task = Task::new("thumbs", &n).expect("a payload").key("same");
            task.enqueue(&pool).await.expect("enqueued or skipped")
        }
    });
    let ended = futures_util::future::join_all(racing).await;
    assert_eq!(ended.iter().filter(|task| task.is_new()).count(), 1);
    assert!(ended.iter().all(|task| task.id == ended[0].id));
    assert_eq!(count(&db, "select count(*) from tidegate.tasks").await, 1);
}

#[tokio::test]
async fn f62_a_bulk_with_one_bad_task_names_it_and_changes_nothing() {
    let (db, _store) = a_store().await;
    let tasks = |bad: fn(Task) -> Task| {
        (0..10_000_u32)
            .map(|n| {
                let task = Task::new("thumbs", &n).expect("a payload");
                if n == 7_777 { bad(task) } else { task }
            })
            .collect::<Vec<_>>()
    };
    let cases: [Spoiled; 6] = [
        (|task| task.priority(f64::NAN), "priority"),
        (|task| task.tier(2), "tier"),
        (|task| task.key(""), "key"),
        (|task| task.key("a\0b"), "key"),
        (|task| task.max_attempts(0), "max_attempts"),
        (|task| task.category("x".repeat(2_000)), "category"),
    ];
    for (spoil, field) in cases {
        let error = enqueue_all(db.pool(), "thumbs", tasks(spoil))
            .await
            .expect_err(field);
        assert_eq!(bad(error), (Some(7_777), field.to_owned()));
        assert_eq!(count(&db, "select count(*) from tidegate.tasks").await, 0);
    }
    let all = enqueue_all(db.pool(), "thumbs", tasks(|task| task))
        .await
        .expect("enqueued");
    assert_eq!(all.len(), 10_000);
    assert_eq!(
        count(&db, "select count(*) from tidegate.ready").await,
        10_000
    );
}

#[tokio::test]
async fn f65_extreme_settings_are_refused_at_the_door_or_work() {
    let (db, _store) = a_store().await;
    let refused = [
        "select tidegate.enqueue('thumbs', '1', run_at => 'infinity')",
        "select tidegate.enqueue('thumbs', '1', run_at => '-infinity')",
        "select tidegate.enqueue('thumbs', '1', run_at => '10000-01-01')",
        "select tidegate.enqueue('thumbs', '1', expires_at => 'infinity')",
        "select tidegate.enqueue('thumbs', '1', priority => 'NaN')",
        "select tidegate.enqueue('thumbs', '1', priority => '-infinity')",
        "select tidegate.enqueue('thumbs', '1', tier => 100000)",
        "select tidegate.enqueue('thumbs', '1', tier => -1)",
        "select tidegate.enqueue('thumbs', '1', max_attempts => 1001)",
        "select tidegate.enqueue('thumbs', '1', on_key => 'explode')",
        "select tidegate.enqueue('thumbs', '1', needs => array[gen_random_uuid()])",
        "select tidegate.enqueue('thumbs', null)",
        "insert into tidegate.tasks (worker, payload) values ('thumbs', '{nope')",
        "insert into tidegate.tasks (worker, payload) values ('nobody', '{}')",
        "insert into tidegate.tasks (worker, item_id) values ('thumbs', 'no-such-item')",
    ];
    for sql in refused {
        let error = sqlx::query(sql).execute(db.pool()).await.expect_err(sql);
        let error = error.into_database_error().expect("told by the database");
        let error = error.downcast::<sqlx::postgres::PgDatabaseError>();
        assert!(error.code().starts_with("TG4"), "{sql}: {error}");
        assert!(error.hint().is_some(), "{sql}");
    }
    assert_eq!(count(&db, "select count(*) from tidegate.tasks").await, 0);
    let taken = [
        "select tidegate.enqueue('thumbs', '1', priority => 1.7e308, max_attempts => 1000)",
        "select tidegate.enqueue('thumbs', '1', priority => -1.7e308, run_at => '0001-01-01')",
        "select tidegate.enqueue('thumbs', '1', run_at => '9999-12-31')",
        "insert into tidegate.tasks (worker, payload, priority, tier, item_id) values ('thumbs', '{}', 5, 1, 'a-key')",
    ];
    for sql in taken {
        sqlx::query(sql).execute(db.pool()).await.expect(sql);
    }
    assert_eq!(count(&db, "select count(*) from tidegate.ready").await, 3);
    assert_eq!(
        count(&db, "select count(*) from tidegate.scheduled").await,
        1
    );
}

#[tokio::test]
async fn a_plain_insert_makes_a_task_and_a_taken_key_is_a_unique_violation() {
    let (db, store) = a_store().await;
    let insert = "insert into tidegate.tasks (worker, payload, item_id) values ('thumbs', '{\"a\": 1}', 'k')";
    sqlx::query(insert)
        .execute(db.pool())
        .await
        .expect("inserted");
    let twice = sqlx::query(insert)
        .execute(db.pool())
        .await
        .expect_err("taken");
    let code = twice
        .as_database_error()
        .and_then(|error| error.code().map(String::from));
    assert_eq!(code.as_deref(), Some("23505"));
    let conflict = format!("{insert} on conflict do nothing");
    let mut connection = db.pool().acquire().await.expect("a connection");
    let again = sqlx::raw_sql(sqlx::AssertSqlSafe(conflict))
        .execute(&mut *connection)
        .await;
    assert!(
        again.is_err(),
        "the key is no constraint of the table itself"
    );
    let process = a_process(&store, LEASE).await;
    assert_eq!(take(&store, process, 5).await.len(), 1);
}

#[tokio::test]
async fn a_task_starts_when_all_it_needs_is_done() {
    let (db, store) = a_store().await;
    let process = a_process(&store, LEASE).await;
    let tasks: Vec<Task> = (0..3)
        .map(|n| Task::new("thumbs", &n).expect("a payload"))
        .collect();
    let (a, b) = (tasks[0].id(), tasks[1].id());
    let mut tasks = tasks.into_iter();
    let (first, second, last) = (
        tasks.next().expect("a"),
        tasks.next().expect("b"),
        tasks.next().expect("c"),
    );
    let c = last.id();
    let last = last.needs([a, b]);
    enqueue_all(db.pool(), "thumbs", vec![first, second, last])
        .await
        .expect("enqueued");
    let both = take(&store, process, 10).await;
    assert_eq!(both.len(), 2);
    let [one, two] = <[LocalTask; 2]>::try_from(both).expect("two");
    settle(&store, process, vec![one]).await;
    store.settle_needs().await.expect("looked");
    assert_eq!(
        take(&store, process, 10).await.len(),
        0,
        "one is still needed"
    );
    settle(&store, process, vec![two]).await;
    store.settle_needs().await.expect("looked");
    let third = take(&store, process, 10).await;
    assert_eq!(third.iter().map(|task| task.task).collect::<Vec<_>>(), [c]);
    settle(&store, process, third).await;
    assert_eq!(count(&db, "select count(*) from tidegate.needs").await, 0);
}

#[tokio::test]
async fn a_need_that_is_done_already_holds_nothing_back() {
    let (db, store) = a_store().await;
    let process = a_process(&store, LEASE).await;
    let first = Task::new("thumbs", &1)
        .expect("a payload")
        .enqueue(db.pool())
        .await
        .expect("enqueued");
    let taken = take(&store, process, 1).await;
    settle(&store, process, taken).await;
    let second = Task::new("thumbs", &2)
        .expect("a payload")
        .needs([first.id]);
    second.enqueue(db.pool()).await.expect("enqueued");
    store.settle_needs().await.expect("looked");
    assert_eq!(take(&store, process, 1).await.len(), 1);
}

#[tokio::test]
async fn a_failed_need_cancels_or_lets_go_by_the_policy_and_down_the_line() {
    let (db, store) = a_store().await;
    let needed = Task::new("thumbs", &1)
        .expect("a payload")
        .enqueue(db.pool())
        .await
        .expect("enqueued")
        .id;
    let strict = Task::new("thumbs", &2).expect("a payload").needs([needed]);
    let strict = strict.enqueue(db.pool()).await.expect("enqueued").id;
    let after = Task::new("thumbs", &3).expect("a payload").needs([strict]);
    after.enqueue(db.pool()).await.expect("enqueued");
    let lenient = Task::new("thumbs", &4)
        .expect("a payload")
        .needs([needed])
        .on_failed_need(OnFailedNeed::Release);
    let lenient = lenient.enqueue(db.pool()).await.expect("enqueued").id;
    sqlx::query("select tidegate.cancel($1::uuid)")
        .bind(needed)
        .execute(db.pool())
        .await
        .expect("cancelled");
    while store.settle_needs().await.expect("looked") > 0 {}
    let sql =
        "select count(*) from tidegate.tasks where state = 'cancelled' and error_class = 'need'";
    assert_eq!(count(&db, sql).await, 2);
    let process = a_process(&store, LEASE).await;
    let taken = take(&store, process, 10).await;
    assert_eq!(
        taken.iter().map(|task| task.task).collect::<Vec<_>>(),
        [lenient]
    );
    assert_eq!(count(&db, "select count(*) from tidegate.needs").await, 0);
}

#[tokio::test]
async fn a_task_that_is_not_worth_starting_any_more_is_cancelled_and_spends_nothing() {
    let (db, store) = a_store().await;
    let process = a_process(&store, LEASE).await;
    sqlx::query("select tidegate.enqueue('thumbs', '1', expires_at => now() - interval '1 s')")
        .execute(db.pool())
        .await
        .expect("enqueued");
    // a claim that comes before the sweep is told
    let taken = take(&store, process, 1).await;
    assert!(taken[0].expired);
    sqlx::query("select tidegate.enqueue('thumbs', '2', expires_at => now() - interval '1 s')")
        .execute(db.pool())
        .await
        .expect("enqueued");
    store.settle_needs().await.expect("swept");
    let row =
        sqlx::query("select state, error_class, attempts from tidegate.tasks where payload = '2'")
            .fetch_one(db.pool())
            .await
            .expect("a task");
    assert_eq!(row.get::<String, _>("state"), "cancelled");
    assert_eq!(row.get::<String, _>("error_class"), "expired");
    assert_eq!(row.get::<i32, _>("attempts"), 0);
}

#[tokio::test]
async fn priority_goes_first_within_a_tier_and_the_oldest_of_equals() {
    let (db, store) = a_store().await;
    let tasks = (0..500_u32)
        .map(|n| {
            Task::new("thumbs", &n)
                .expect("a payload")
                .priority(f64::from(n % 5))
        })
        .collect();
    enqueue_all(db.pool(), "thumbs", tasks)
        .await
        .expect("enqueued");
    for n in [1_000_u32, 1_001] {
        let late = Task::new("thumbs", &n).expect("a payload").priority(4.5);
        late.enqueue(db.pool()).await.expect("enqueued");
    }
    let process = a_process(&store, LEASE).await;
    let mut order = Vec::new();
    loop {
        let taken = take(&store, process, 7).await;
        if taken.is_empty() {
            break;
        }
        order.extend(taken);
    }
    let ranks: Vec<(f64, Uuid)> = order
        .iter()
        .map(|task| (task.priority, task.task))
        .collect();
    let mut sorted = ranks.clone();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let within_claims = |ranks: &[(f64, Uuid)]| -> Vec<Vec<Uuid>> {
        ranks
            .chunks(7)
            .map(|claim| {
                let mut ids: Vec<Uuid> = claim.iter().map(|rank| rank.1).collect();
                ids.sort();
                ids
            })
            .collect()
    };
    assert_eq!(within_claims(&ranks), within_claims(&sorted));
}

#[tokio::test]
async fn two_claims_at_once_never_take_the_same_task() {
    let (db, store) = a_store().await;
    let tasks = (0..2_000_u32)
        .map(|n| Task::new("thumbs", &n).expect("a payload"))
        .collect();
    enqueue_all(db.pool(), "thumbs", tasks)
        .await
        .expect("enqueued");
    let racers = (0..4).map(|_| {
        let store = store.clone();
        async move {
            let process = a_process(&store, LEASE).await;
            let mut ids = Vec::new();
            loop {
                let taken = take(&store, process, 37).await;
                if taken.is_empty() {
                    return ids;
                }
                ids.extend(taken.into_iter().map(|task| task.task));
            }
        }
    });
    let mut ids = futures_util::future::join_all(racers).await.concat();
    // a claim that met only locked rows may come back empty: what is left is taken now
    let process = a_process(&store, LEASE).await;
    ids.extend(
        take(&store, process, 2_000)
            .await
            .into_iter()
            .map(|task| task.task),
    );
    let taken = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((taken, ids.len()), (2_000, 2_000));
}

#[tokio::test]
async fn a_paused_worker_gives_nothing_until_it_is_resumed() {
    let (db, store) = a_store().await;
    Task::new("thumbs", &1)
        .expect("a payload")
        .enqueue(db.pool())
        .await
        .expect("enqueued");
    assert!(store.pause_worker("thumbs", "a law").await.expect("paused"));
    assert!(
        !store
            .pause_worker("thumbs", "again")
            .await
            .expect("paused already")
    );
    let process = a_process(&store, LEASE).await;
    assert_eq!(take(&store, process, 1).await.len(), 0);
    assert!(store.resume_worker("thumbs").await.expect("resumed"));
    assert_eq!(take(&store, process, 1).await.len(), 1);
    assert!(store.pause_worker("nobody", "?").await.is_err());
}

#[tokio::test]
async fn f09_neighbours_of_a_task_that_kills_its_process_are_not_set_aside() {
    let (db, store) = a_store().await;
    let poison = Task::new("thumbs", &0).expect("a payload").priority(9.0);
    let poison_id = poison.id();
    let mut tasks = vec![poison];
    tasks.extend((1..20_u32).map(|n| Task::new("thumbs", &n).expect("a payload")));
    enqueue_all(db.pool(), "thumbs", tasks)
        .await
        .expect("enqueued");
    // whoever holds the poison dies with all it holds; others finish
    for _ in 0..60 {
        let process = a_process(&store, LEASE).await;
        let taken = take(&store, process, 5).await;
        if taken.is_empty() && count(&db, "select count(*) from tidegate.running").await == 0 {
            break;
        }
        if taken.iter().any(|task| task.task == poison_id) {
            sqlx::query(
                "update tidegate.processes set lease_until = now() - interval '1 h' where id = $1",
            )
            .bind(process)
            .execute(db.pool())
            .await
            .expect("dead");
            store
                .rescue(Duration::from_secs(1), true)
                .await
                .expect("rescued");
        } else {
            settle(&store, process, taken).await;
        }
    }
    assert_eq!(
        count(
            &db,
            "select count(*) from tidegate.tasks where state = 'done'"
        )
        .await,
        19
    );
    let sql = "select count(*) from tidegate.tasks where state = 'failed' and error_class = 'quarantined'";
    assert_eq!(count(&db, sql).await, 1);
}

#[tokio::test]
async fn used_up_segments_do_not_stand_before_tasks_that_wait() {
    let (db, store) = a_store().await;
    let segments = "insert into tidegate.segments (lane, seg, top, sealed)
         select w.lanes[1], nextval('tidegate.segment_numbers'), 1000, true from tidegate.workers w, generate_series(1, 3000)";
    sqlx::query(segments)
        .execute(db.pool())
        .await
        .expect("segments that hold nothing");
    let task = Task::new("thumbs", &1).expect("a payload");
    let many = (0..500_u32)
        .map(|n| Task::new("thumbs", &n).expect("a payload"))
        .chain([task])
        .collect();
    enqueue_all(db.pool(), "thumbs", many)
        .await
        .expect("enqueued");
    let process = a_process(&store, LEASE).await;
    assert_eq!(take(&store, process, 10).await.len(), 10);
}
