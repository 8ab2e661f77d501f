//! Laws of packs at the claim: what travels together is one call, and no more than may.

use std::time::Duration;

use tidegate::store::{
    Store,
    claim::Claimed,
    settle::{Fate, Unanswered},
};
use uuid::Uuid;

use super::a_store;
use crate::support::{
    TestDb,
    work::{ONE_TIER, a_process, answered, claim, items, load, unanswered},
};

const LEASE: Duration = Duration::from_secs(60);

/// A run whose items travel by five.
async fn by_five(models: &[(&str, Option<u32>)], count: usize) -> (TestDb, Store, Uuid) {
    let (db, store) = a_store(models).await;
    load(&store, ONE_TIER, &items(count)).await.expect("a run");
    say(&db, "update tidegate.lanes set pack_size = 5").await;
    let process = a_process(&store, LEASE).await;
    (db, store, process)
}

async fn say(db: &TestDb, sql: &'static str) {
    sqlx::raw_sql(sql).execute(db.pool()).await.expect("said");
}

async fn count(db: &TestDb, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(db.pool())
        .await
        .expect("a count")
}

/// Items of each call, in the order of the calls.
fn packs(claimed: &[Claimed]) -> Vec<usize> {
    let same = |one: &Claimed, next: &Claimed| one.pack.is_some() && one.pack == next.pack;
    claimed.chunk_by(same).map(<[Claimed]>::len).collect()
}

#[tokio::test]
async fn a_slot_takes_a_pack_and_a_pack_is_one_request() {
    let (db, store, process) = by_five(&[("a", Some(60)), ("b", Some(60))], 23).await;
    let taken = claim(&store, process, 3).await;
    assert_eq!(packs(&taken), [5, 5, 5]);
    assert_eq!(taken.iter().filter(|task| task.leads()).count(), 3);
    let booked = "select max(b.total) from tidegate.limit_book b join tidegate.limits l using (limit_id) where l.dimension = 'requests'";
    assert_eq!(count(&db, booked).await, 3);
    let calls = "select calls from tidegate.spend";
    assert_eq!(count(&db, calls).await, 3);
    let flying = "select in_flight from tidegate.model_status where model = 'sim/a'";
    assert_eq!(count(&db, flying).await, 3);
    let rest = claim(&store, process, 3).await;
    assert_eq!(packs(&rest), [5, 3]);
}

#[tokio::test]
async fn the_best_travel_first() {
    let (_db, store, process) = by_five(&[("a", None), ("b", None)], 30).await;
    let taken = claim(&store, process, 2).await;
    let mut scores: Vec<f64> = taken.iter().map(|task| task.priority).collect();
    scores.sort_unstable_by(f64::total_cmp);
    let best: Vec<f64> = (21..=30_i32).map(f64::from).collect();
    assert_eq!(scores, best);
}

#[tokio::test]
async fn a_pack_holds_no_more_tokens_than_it_may() {
    let (db, store, process) = by_five(&[("a", None), ("b", None)], 30).await;
    say(
        &db,
        "update tidegate.ready set est_input = 100; update tidegate.lanes set pack_tokens = 250",
    )
    .await;
    assert_eq!(packs(&claim(&store, process, 4).await), [2, 2, 2, 2]);
}

#[tokio::test]
async fn the_tokens_of_all_items_of_a_pack_are_booked() {
    let (db, store, process) = by_five(&[("a", None), ("b", None)], 30).await;
    say(
        &db,
        "insert into tidegate.limits (quota_scope, name, dimension, window_kind, size, told, counting)
         values ('sim', 'a', 'input_tokens', 'minute', 800, 800, 'sliding'), ('sim', 'b', 'input_tokens', 'minute', 0, 0, 'sliding');
         insert into tidegate.model_limits (model_id, limit_id)
         select m.model_id, l.limit_id from tidegate.limits l join tidegate.models m on m.wire_name = l.name where l.dimension = 'input_tokens';
         update tidegate.ready set est_input = 100",
    )
    .await;
    let taken = claim(&store, process, 4).await;
    assert_eq!(taken.len(), 8);
    assert_eq!(packs(&taken), [5, 3]);
}

#[tokio::test]
async fn what_was_lost_in_a_pack_travels_with_fewer_uncharged_and_then_alone() {
    let (db, store, process) = by_five(&[("a", None), ("b", None)], 5).await;
    for (size, most) in [(5, 2), (2, 1)] {
        let taken = claim(&store, process, 5).await;
        assert_eq!(packs(&taken)[0], size);
        let torn: Vec<Unanswered> = taken
            .iter()
            .map(|task| Unanswered {
                pack_most: Some(most),
                ..unanswered(task, Fate::Release)
            })
            .collect();
        store.settle_open(process, &torn).await.expect("settled");
        assert_eq!(
            count(&db, "select max(attempts)::bigint from tidegate.tasks").await,
            0
        );
    }
    let alone = claim(&store, process, 9).await;
    assert_eq!(packs(&alone), [1, 1, 1, 1, 1]);
    let answers = alone.iter().map(|task| answered(task, "x")).collect();
    store
        .settle_done(process, answers, None)
        .await
        .expect("settled");
    assert_eq!(
        count(&db, "select count(*) from tidegate.pack_most").await,
        0
    );
}

#[tokio::test]
async fn what_has_a_death_behind_it_travels_alone() {
    let (db, store, process) = by_five(&[("a", None), ("b", None)], 6).await;
    say(
        &db,
        "update tidegate.ready set rescues = 1 where priority = 6",
    )
    .await;
    let mut taken = packs(&claim(&store, process, 2).await);
    taken.sort_unstable();
    assert_eq!(taken, [1, 5]);
}

#[tokio::test]
async fn a_size_that_was_found_out_holds_and_is_never_above_what_the_folder_says() {
    let (db, store, process) = by_five(&[("a", None), ("b", None)], 60).await;
    let counts = store.note_packs("small", "", 3, 15, 4).await;
    let counts = counts.expect("noted").expect("it packs");
    assert_eq!((counts.size, counts.most, counts.lost), (5, 5, 4));
    let set = store
        .set_pack_size("small", "", 5, 2, "torn 4 of 15 items")
        .await;
    assert!(set.expect("set"));
    let late = store.set_pack_size("small", "", 5, 3, "too late").await;
    assert!(!late.expect("not set"), "somebody else was first");
    assert_eq!(packs(&claim(&store, process, 2).await), [2, 2]);
    say(&db, "update tidegate.pack_sizes set size = 9").await;
    assert_eq!(packs(&claim(&store, process, 1).await), [5]);
    let told = "select count(*) from tidegate.pack_adjustments where reason = 'torn 4 of 15 items' and old = 5 and new = 2";
    assert_eq!(count(&db, told).await, 1);
}

#[tokio::test]
async fn an_expired_grant_of_a_pack_gives_its_request_back_once() {
    let (db, store, process) = by_five(&[("a", Some(60)), ("b", Some(60))], 5).await;
    let taken = claim(&store, process, 1).await;
    let unsent: Vec<Unanswered> = taken
        .iter()
        .map(|task| Unanswered {
            sent: false,
            ..unanswered(task, Fate::Release)
        })
        .collect();
    store.settle_open(process, &unsent).await.expect("settled");
    assert_eq!(count(&db, USED).await, 0);
}

#[tokio::test]
async fn a_pack_that_left_without_its_leader_is_one_request() {
    let (db, store, process) = by_five(&[("a", Some(60)), ("b", Some(60))], 3).await;
    let taken = claim(&store, process, 1).await;
    let mut asked = vec![answered(&taken[1], "x"), answered(&taken[2], "y")];
    asked[0].leads = Some(true);
    let expired = Unanswered {
        sent: false,
        leads: Some(false),
        ..unanswered(&taken[0], Fate::Expire)
    };
    store
        .settle_open(process, &[expired])
        .await
        .expect("settled");
    assert_eq!(count(&db, USED).await, 1);
    let settled = store.settle_done(process, asked, None).await;
    settled.expect("settled");
    assert_eq!(count(&db, USED).await, 1);
    assert_eq!(count(&db, "select calls from tidegate.spend").await, 1);
}

/// Requests of all books, as corrected.
const USED: &str = "select sum(b.total + (select coalesce(sum(s.delta), 0) from tidegate.limit_settlements s where s.limit_id = b.limit_id))::bigint
    from tidegate.limit_book b join tidegate.limits l using (limit_id) where l.dimension = 'requests'";

#[tokio::test]
async fn a_claim_of_large_packs_ends_at_a_thousand_tasks_and_the_next_takes_the_rest() {
    let (db, store, process) = by_five(&[("a", None), ("b", None)], 1_730).await;
    say(&db, "update tidegate.lanes set pack_size = 100").await;
    let taken = claim(&store, process, 32).await;
    assert_eq!(packs(&taken), [100; 10]);
    let rest = claim(&store, process, 32).await;
    assert_eq!(packs(&rest), [100, 100, 100, 100, 100, 100, 100, 30]);
}
