//! F29, F30, F31, F38, F64: many hands on the same tasks at once. Nobody waits in a circle, every act
//! is whole, and each generation of a task ends once.

use std::{collections::HashSet, sync::Arc, time::Duration};

use rand::{RngExt, seq::SliceRandom};
use sqlx::Connection;
use tidegate::store::{
    Settings, Store, StoreError,
    claim::Claimed,
    settle::{Answered, Fate},
};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::support::{
    fleet::{Fleet, a_model},
    work::{ONE_TIER, a_process, answered, claim, items, load, named, unanswered},
};

const LEASE: Duration = Duration::from_secs(600);
const GRACE: Duration = Duration::from_millis(1);

/// A fleet with a run of so many tasks, and a store whose deadlocks are found at once.
async fn a_fleet(count: usize) -> (Fleet, Store) {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    load(&fleet.store, ONE_TIER, &items(count))
        .await
        .expect("a run");
    let hasty = "do $$ begin execute format('alter database %I set deadlock_timeout = ''20ms''', current_database()); end $$";
    sqlx::raw_sql(hasty)
        .execute(fleet.store.pool())
        .await
        .expect("it is ours");
    let settings = Settings {
        max_connections: 12,
        ..Settings::new(fleet.url())
    };
    let store = Store::connect(&settings)
        .await
        .expect("it takes connections");
    (fleet, store)
}

/// Tasks claimed by a process of their own whose lease is over, so that a rescue takes them back.
async fn held_by_the_dead(store: &Store, slots: u32) -> (Uuid, Vec<Claimed>) {
    let process = a_process(store, LEASE).await;
    let claimed = claim(store, process, slots).await;
    sqlx::query("update tidegate.processes set lease_until = now() - interval '1 h' where id = $1")
        .bind(process)
        .execute(store.pool())
        .await
        .expect("a lease ends");
    (process, claimed)
}

/// What the engine does with its outcomes: again, for as long as the database is in trouble.
async fn settled(store: &Store, process: Uuid, answers: Vec<Answered>) {
    loop {
        match store.settle_done(process, answers.clone(), None).await {
            Err(error) if error.is_passing() => {}
            done => {
                done.expect("settled");
                return;
            }
        }
    }
}

/// One of the four hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hand {
    Cancel,
    Complete,
    Rescue,
    Retry,
}

const HANDS: [Hand; 4] = [Hand::Cancel, Hand::Complete, Hand::Rescue, Hand::Retry];

impl Hand {
    async fn act(self, store: &Store, process: Uuid, task: &Claimed) {
        let ids = [task.task];
        match self {
            Self::Cancel => drop(store.cancel(&ids).await.expect("cancelled")),
            Self::Complete => settled(store, process, vec![answered(task, "x")]).await,
            Self::Rescue => drop(store.rescue(GRACE, true).await.expect("rescued")),
            Self::Retry => drop(store.retry(&ids).await.expect("retried")),
        }
    }
}

fn orders() -> Vec<Vec<Hand>> {
    let mut orders = vec![Vec::new()];
    for _ in HANDS {
        orders = orders
            .into_iter()
            .flat_map(|order| {
                HANDS
                    .into_iter()
                    .filter(|hand| !order.contains(hand))
                    .map(|hand| [order.as_slice(), &[hand]].concat())
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    orders
}

/// Tasks that break a law, each with the law's name.
const BROKEN: &str = "
    with books as (
      select t.id, t.state, t.generation,
             (select count(*) from tidegate.ready b where b.id = t.id) as ready,
             (select count(*) from tidegate.running b where b.id = t.id) as running,
             (select count(*) from tidegate.scheduled b where b.id = t.id) as scheduled,
             (select count(*) from tidegate.failed b where b.id = t.id) as failed,
             (select count(*) from tidegate.open_keys b where b.task_id = t.id) as keys,
             (select count(*) from tidegate.task_results b where b.task_id = t.id and b.generation = t.generation) as results,
             (select count(*) from tidegate.events e where e.task_id = t.id and e.kind in ('done', 'salvaged', 'failed', 'cancelled')) as ends,
             (select count(*) from tidegate.events e where e.task_id = t.id and e.kind = 'retried') as retries
        from tidegate.tasks t),
    laws as (
      select id, state, unnest(array[
        case when ready <> (state = 'ready')::int then 'ready book' end,
        case when running <> (state = 'running')::int then 'running book' end,
        case when scheduled <> (state = 'scheduled')::int then 'scheduled book' end,
        case when failed <> (state = 'failed')::int then 'failed book' end,
        case when keys <> (state in ('ready', 'running', 'scheduled'))::int then 'key' end,
        case when results <> (state = 'done')::int then 'result of its generation' end,
        case when retries <> generation - 1 then 'a generation a retry' end,
        case when ends <> retries + (state in ('done', 'failed', 'cancelled'))::int then 'one end a generation' end]) as law
        from books)
    select format('%s is %s: %s', id, state, law) from laws where law is not null";

async fn assert_lawful(store: &Store, after: &str) {
    let broken: Vec<String> = sqlx::query_scalar(BROKEN)
        .fetch_all(store.pool())
        .await
        .expect("the laws are asked");
    assert!(broken.is_empty(), "after {after}: {broken:#?}");
}

#[tokio::test]
async fn f64_in_every_order_a_task_ends_once_a_generation() {
    let (_fleet, store) = a_fleet(24).await;
    for order in orders() {
        let (process, claimed) = held_by_the_dead(&store, 1).await;
        for hand in &order {
            hand.act(&store, process, &claimed[0]).await;
            assert_lawful(&store, &format!("{hand:?} of {order:?}")).await;
        }
        // whatever waits again is out of the way of the next order
        store.cancel(&[claimed[0].task]).await.expect("cancelled");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f64_all_at_once_a_task_ends_once_a_generation() {
    const ROUNDS: usize = 60;
    let (_fleet, store) = a_fleet(ROUNDS).await;
    for round in 0..ROUNDS {
        let (process, claimed) = held_by_the_dead(&store, 1).await;
        let (task, barrier) = (Arc::new(claimed[0].clone()), Arc::new(Barrier::new(4)));
        let hands = HANDS.map(|hand| {
            let (store, task, barrier) = (store.clone(), Arc::clone(&task), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                hand.act(&store, process, &task).await;
            })
        });
        for hand in hands {
            hand.await.expect("no hand fails");
        }
        assert_lawful(&store, &format!("round {round}")).await;
        store.cancel(&[task.task]).await.expect("cancelled");
    }
}

/// So many ids in any order.
fn shuffled(ids: &[Uuid], count: usize) -> Vec<Uuid> {
    let mut ids = ids.to_vec();
    ids.shuffle(&mut rand::rng());
    ids.truncate(count);
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f29_bulk_acts_on_the_same_ids_in_any_order_are_whole_and_nobody_sees_a_deadlock() {
    const TASKS: usize = 120;
    const ROUNDS: usize = 12;
    let (_fleet, store) = a_fleet(TASKS).await;
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from tidegate.tasks")
        .fetch_all(store.pool())
        .await
        .expect("ids");
    let ids = Arc::new(ids);
    let barrier = Arc::new(Barrier::new(8));
    let by_hand = |cancels: bool| {
        let (store, ids, barrier) = (store.clone(), Arc::clone(&ids), Arc::clone(&barrier));
        tokio::spawn(async move {
            let mut moved = 0;
            for _ in 0..ROUNDS {
                barrier.wait().await;
                let some = shuffled(&ids, TASKS / 2);
                moved += i64::from(if cancels {
                    store.cancel(&some).await.expect("no deadlock is seen")
                } else {
                    store.retry(&some).await.expect("no deadlock is seen")
                });
            }
            moved
        })
    };
    let cancels = [by_hand(true), by_hand(true)];
    let retries = [by_hand(false), by_hand(false)];
    let work = || {
        let (store, barrier) = (store.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                barrier.wait().await;
                let (process, mut claimed) = held_by_the_dead(&store, 30).await;
                claimed.shuffle(&mut rand::rng());
                let half = claimed.split_off(claimed.len() / 2);
                let answers = claimed.iter().map(|it| answered(it, "x")).collect();
                settled(&store, process, answers).await;
                let later: Vec<_> = half
                    .iter()
                    .map(|it| {
                        let delay_ms = rand::rng().random_range(0..2);
                        unanswered(it, Fate::Reschedule { delay_ms })
                    })
                    .collect();
                while store
                    .settle_open(process, &later)
                    .await
                    .is_err_and(|it| it.is_passing())
                {}
            }
        })
    };
    let workers = [work(), work()];
    let care = || {
        let (store, barrier) = (store.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                barrier.wait().await;
                for care in [
                    store.rescue(GRACE, true).await,
                    store.promote().await,
                    store.finish_runs().await,
                ] {
                    assert!(
                        care.as_ref().err().is_none_or(StoreError::is_passing),
                        "{care:?}"
                    );
                }
            }
        })
    };
    let carers = [care(), care()];

    let mut by_cancel = 0;
    for act in cancels {
        by_cancel += act.await.expect("it ends");
    }
    let mut by_retry = 0;
    for act in retries {
        by_retry += act.await.expect("it ends");
    }
    for other in workers.into_iter().chain(carers) {
        other.await.expect("it ends");
    }
    assert_lawful(&store, "all rounds").await;
    let count = async |sql: &'static str| -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(store.pool())
            .await
            .expect("a count")
    };
    assert_eq!(
        by_cancel,
        count("select count(*) from tidegate.events where kind = 'cancelled'").await
    );
    assert_eq!(
        by_retry,
        count("select count(*) from tidegate.events where kind = 'retried'").await
    );
    assert!(by_cancel > 0 && by_retry > 0, "they met");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f30_a_claim_never_takes_more_than_it_may_whatever_the_statistics_say() {
    let (fleet, store) = a_fleet(1).await;
    fleet.unaudited();
    let old = "alter table tidegate.tasks set (autovacuum_enabled = false);
        alter table tidegate.ready set (autovacuum_enabled = false);
        insert into tidegate.tasks (id, run_id, worker, item_id, model, state, max_attempts, lane, finished_at)
        select gen_random_uuid(), t.run_id, t.worker, 'old' || n, t.model, 'done', 4, t.lane, now()
          from tidegate.tasks t, generate_series(1, 100000) n;
        insert into tidegate.ready (lane, seg, priority, id, est_input, attempts, epoch, tries, rescues, spent_ms)
        select r.lane, r.seg, n, gen_random_uuid(), 1, 0, 0, '{}', 0, 0 from tidegate.ready r, generate_series(1, 100000) n;
        delete from tidegate.ready where id not in (select id from tidegate.tasks where state = 'ready');
        analyze";
    sqlx::raw_sql(old)
        .execute(store.pool())
        .await
        .expect("a history");
    load(&store, &named("fresh"), &items(500))
        .await
        .expect("a run");
    let barrier = Arc::new(Barrier::new(4));
    let workers = [1_u32, 1, 3, 7].map(|slots| {
        let (store, barrier) = (store.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            let process = a_process(&store, LEASE).await;
            let mut taken = Vec::new();
            barrier.wait().await;
            loop {
                let claimed = claim(&store, process, slots).await;
                assert!(
                    claimed.len() <= slots as usize,
                    "{} of {slots}",
                    claimed.len()
                );
                if claimed.is_empty() {
                    return taken;
                }
                taken.extend(claimed.iter().map(|it| it.task));
            }
        })
    });
    let mut taken = Vec::new();
    for worker in workers {
        taken.extend(worker.await.expect("it ends"));
    }
    let distinct: HashSet<_> = taken.iter().collect();
    assert_eq!((taken.len(), distinct.len()), (501, 501));
    // the history was made up: it has no answers
    sqlx::raw_sql("delete from tidegate.tasks where state = 'done'")
        .execute(store.pool())
        .await
        .expect("it goes");
}

#[tokio::test]
async fn f30_no_more_is_taken_to_be_rendered_than_was_asked_for_whatever_the_statistics_say() {
    let (fleet, store) = a_fleet(500).await;
    fleet.unaudited();
    // statistics of an empty book: the planner then runs a limited subquery again for every row
    let waiting = "alter table tidegate.blocked set (autovacuum_enabled = false);
        insert into tidegate.blocked (id, lane, needs, unrendered)
        select gen_random_uuid(), 1, 0, true from generate_series(1, 20000);
        delete from tidegate.blocked;
        analyze tidegate.blocked; analyze tidegate.tasks;
        insert into tidegate.blocked (id, lane, needs, unrendered) select id, lane, 0, true from tidegate.tasks";
    sqlx::raw_sql(waiting)
        .execute(store.pool())
        .await
        .expect("they wait");
    for limit in [1, 5, 100] {
        let taken = store.take_unrendered(limit, Duration::from_secs(600), None);
        assert_eq!(taken.await.expect("taken").len(), limit as usize);
    }
}

#[tokio::test]
async fn f31_a_ready_task_is_claimed_though_somebody_refers_to_it_in_an_open_transaction() {
    let (fleet, store) = a_fleet(5).await;
    sqlx::raw_sql("create table notes (task uuid references tidegate.tasks (id), note text)")
        .execute(store.pool())
        .await
        .unwrap();
    let mut other = sqlx::PgConnection::connect(fleet.url()).await.unwrap();
    sqlx::raw_sql("begin; insert into notes select id, 'seen' from tidegate.tasks")
        .execute(&mut other)
        .await
        .unwrap();
    let process = a_process(&store, LEASE).await;
    let claimed = claim(&store, process, 9).await;
    assert_eq!(claimed.len(), 5);
    let answers = claimed.iter().map(|it| answered(it, "x")).collect();
    store.settle_done(process, answers, None).await.unwrap();
    sqlx::raw_sql("commit").execute(&mut other).await.unwrap();
    assert_lawful(&store, "the commit").await;
}

#[tokio::test]
async fn f38_what_commits_late_under_a_lower_id_is_still_found() {
    let (fleet, store) = a_fleet(6).await;
    let ids: Vec<Uuid> = sqlx::query_scalar("select id from tidegate.tasks order by id")
        .fetch_all(store.pool())
        .await
        .unwrap();
    store.cancel(&ids[..3]).await.unwrap();
    // a segment for what comes back is there already: the late ones go into it
    store.retry(&ids[2..3]).await.unwrap();
    let mut late = sqlx::PgConnection::connect(fleet.url()).await.unwrap();
    sqlx::raw_sql("begin").execute(&mut late).await.unwrap();
    for id in &ids[..2] {
        sqlx::query("select tidegate.retry($1::uuid)")
            .bind(id)
            .execute(&mut late)
            .await
            .unwrap();
    }
    // it goes on around them: all others are claimed, answered, and care is taken of what is used up
    let process = a_process(&store, LEASE).await;
    let claimed = claim(&store, process, 9).await;
    assert_eq!(claimed.len(), 4);
    let answers = claimed.iter().map(|it| answered(it, "x")).collect();
    store.settle_done(process, answers, None).await.unwrap();
    for _ in 0..3 {
        store.finish_runs().await.unwrap();
        assert!(claim(&store, process, 9).await.is_empty());
    }
    let ended = "select count(*) from tidegate.runs where finished_at is not null";
    assert_eq!(
        fleet.count(ended).await,
        0,
        "a run is not ended while something comes back"
    );

    sqlx::raw_sql("commit").execute(&mut late).await.unwrap();
    let page = store
        .outcomes(claimed[0].run, None, &["ready".to_owned()], 9)
        .await
        .unwrap();
    assert_eq!(page.len(), 2, "an export finds them");
    let found: HashSet<Uuid> = claim(&store, process, 9)
        .await
        .iter()
        .map(|it| it.task)
        .collect();
    assert_eq!(found, ids[..2].iter().copied().collect());
    assert_lawful(&store, "the late commit").await;
}
