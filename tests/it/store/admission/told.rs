//! What people say of limits: by the file, by hand; refused where it cannot be.

use super::{ONLY_A, a_row, a_store, claim, count, say};
use crate::support::many_at_once;
use crate::support::work::{ONE_TIER, a_process, items, load};
use std::time::Duration;
use tidegate::store::model::ProviderRow;

const RPM: &str = "select size from tidegate.limits where name = 'a' and dimension = 'requests' and window_kind = 'minute'";

fn provider() -> ProviderRow {
    ProviderRow {
        name: "sim".to_owned(),
        kind: "gemini".to_owned(),
        base_url: "http://127.0.0.1:9/v1beta".to_owned(),
        quota_scope: "sim".to_owned(),
        day_zone: "America/Los_Angeles".to_owned(),
        batch_jobs: None,
    }
}

#[tokio::test]
async fn what_was_set_by_hand_holds_at_once_and_outlives_a_restart() {
    let (db, store) = a_store(&[("a", Some(5)), ("b", None)]).await;
    say(&db, ONLY_A).await;
    load(&store, ONE_TIER, &items(50)).await.expect("a run");
    let process = a_process(&store, Duration::from_secs(60)).await;
    assert_eq!(claim(&store, process, 50).await.len(), 5);
    say(&db, "select tidegate.set_model('sim/a', '{\"rpm\": 12}')").await;
    assert_eq!(claim(&store, process, 50).await.len(), 7);
    // the same file once more, then one in which only a price changed
    for price in [None, Some(3)] {
        let mut row = a_row("a", Some(5));
        if price.is_some() {
            (row.hash, row.input_price_microusd) = (b"another".to_vec(), price);
        }
        store
            .sync_models(&[provider()], &[row])
            .await
            .expect("synced");
        assert_eq!(count(&db, RPM).await, 12);
    }
    let mut row = a_row("a", Some(6));
    row.hash = b"a third".to_vec();
    store
        .sync_models(&[provider()], &[row])
        .await
        .expect("synced");
    assert_eq!(count(&db, RPM).await, 6, "its number changed in the file");
}

#[tokio::test]
async fn one_bucket_with_two_names_is_spent_by_both() {
    let (db, store) = a_store(&[("a", Some(10)), ("b", None)]).await;
    say(
        &db,
        "select tidegate.set_model('sim/b', '{\"shares\": \"sim/a\"}')",
    )
    .await;
    many_at_once(db.pool()).await;
    load(&store, ONE_TIER, &items(50)).await.expect("a run");
    let process = a_process(&store, Duration::from_secs(60)).await;
    assert_eq!(claim(&store, process, 50).await.len(), 10);
    say(
        &db,
        "select tidegate.set_model('sim/b', '{\"shares\": null}')",
    )
    .await;
    many_at_once(db.pool()).await;
    assert_eq!(
        claim(&store, process, 50).await.len(),
        40,
        "it has no limit of its own"
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_to_do_and_changes_nothing() {
    let (db, _store) = a_store(&[("a", Some(5)), ("b", None)]).await;
    for (model, changes, code) in [
        ("sim/a", "{\"rpm\": 0}", "TG422"),
        ("sim/a", "{\"rpm\": -3}", "TG422"),
        ("sim/a", "{\"tpm\": 1.5}", "TG422"),
        ("sim/a", "{\"rpm\": 1e30}", "TG422"),
        ("sim/a", "{\"rpm\": \"many\"}", "TG422"),
        ("sim/a", "{\"rpn\": 5}", "TG422"),
        ("sim/a", "{\"window\": \"round\"}", "TG422"),
        ("sim/a", "{\"window\": \"bucket\"}", "TG422"),
        ("sim/a", "{\"burst\": 3}", "TG422"),
        ("sim/a", "{\"window\": \"bucket\", \"burst\": 300}", "TG422"),
        ("sim/b", "{\"window\": \"fixed\"}", "TG422"),
        ("sim/a", "{}", "TG422"),
        ("sim/a", "[]", "TG422"),
        ("sim/nobody", "{\"rpm\": 5}", "TG404"),
    ] {
        let told = sqlx::query("select tidegate.set_model($1, $2::jsonb)")
            .bind(model)
            .bind(changes)
            .execute(db.pool())
            .await;
        let error = told.expect_err(changes);
        let error = error.as_database_error().expect("of the database");
        let error = error.downcast_ref::<sqlx::postgres::PgDatabaseError>();
        assert_eq!(error.code(), code, "{changes}");
        assert!(error.hint().is_some(), "{changes}");
    }
    assert_eq!(count(&db, RPM).await, 5);
}

#[tokio::test]
async fn a_little_stays_reserved_for_ten_minutes_after_an_interactive_call() {
    let (db, store) = a_store(&[("a", Some(40)), ("b", Some(1))]).await;
    load(&store, ONE_TIER, &items(90)).await.expect("a run");
    say(
        &db,
        "update tidegate.limits set interactive_at = now() - interval '9 min'",
    )
    .await;
    let process = a_process(&store, Duration::from_secs(60)).await;
    assert_eq!(
        claim(&store, process, 90).await.len(),
        38 + 1,
        "5 % of 40, and nothing of a limit of one"
    );
    say(
        &db,
        "update tidegate.limits set interactive_at = now() - interval '11 min'",
    )
    .await;
    assert_eq!(claim(&store, process, 90).await.len(), 2);
}

/// Another entry, `sim2`, of the same quota scope.
fn twin() -> ProviderRow {
    ProviderRow {
        name: "sim2".to_owned(),
        ..provider()
    }
}

#[tokio::test]
async fn a_second_entry_of_a_scope_takes_nothing_away_that_it_does_not_name() {
    let (db, store) = a_store(&[("a", Some(60)), ("b", None)]).await;
    say(
        &db,
        "select tidegate.set_model('sim/a', '{\"tpm\": 1000, \"max_concurrency\": 20}')",
    )
    .await;
    let told = "select count(*) from tidegate.limits where name = 'a' and told is not null and limit_id in (select limit_id from tidegate.model_limits)";
    assert_eq!(count(&db, told).await, 3);
    let mut row = a_row("a", None);
    row.model = "sim2/a".to_owned();
    (row.counting, row.hash) = (None, b"of the second".to_vec());
    let synced = store.sync_models(&[twin()], &[row]).await;
    synced.expect("synced");
    assert_eq!(count(&db, told).await, 3);
    let bound = "select count(*) from tidegate.model_limits ml join tidegate.models m on m.model_id = ml.model_id where m.model = 'sim2/a'";
    assert_eq!(count(&db, bound).await, 3, "both are bound by them");
}

#[tokio::test]
async fn another_quota_scope_binds_a_model_to_other_limits() {
    let (db, store) = a_store(&[("a", Some(60)), ("b", None)]).await;
    let moved = ProviderRow {
        quota_scope: "elsewhere".to_owned(),
        ..provider()
    };
    let mut row = a_row("a", Some(7));
    row.hash = b"moved".to_vec();
    store.sync_models(&[moved], &[row]).await.expect("synced");
    let old = "select count(*) from tidegate.model_limits ml join tidegate.limits l on l.limit_id = ml.limit_id where l.quota_scope = 'sim'";
    assert_eq!(count(&db, old).await, 0);
    let new = "select count(*) from tidegate.model_limits ml join tidegate.limits l on l.limit_id = ml.limit_id where l.quota_scope = 'elsewhere' and l.name = 'a'";
    assert_eq!(count(&db, new).await, 2, "requests and calls at once");
}

#[tokio::test]
async fn a_limit_told_in_mid_run_counts_what_was_used_before() {
    let (db, store) = a_store(&[("a", None), ("b", None)]).await;
    say(&db, ONLY_A).await;
    load(&store, ONE_TIER, &items(90)).await.expect("a run");
    let process = a_process(&store, Duration::from_secs(60)).await;
    assert_eq!(claim(&store, process, 50).await.len(), 50);
    say(
        &db,
        "select tidegate.set_model('sim/a', '{\"rpm\": 60, \"rpd\": 70, \"window\": \"sliding\"}')",
    )
    .await;
    many_at_once(db.pool()).await;
    assert_eq!(claim(&store, process, 50).await.len(), 10);
}

/// Mode, note, percent and tokens of sim/a, and the jobs of its provider.
type Batches = (Option<bool>, Option<String>, i16, Option<i64>, i32);

async fn batches(db: &crate::support::TestDb) -> Batches {
    sqlx::query_as(
        "select batch_mode, batch_note, batch_percent, batch_tokens, batch_jobs
           from tidegate.model_status where model = 'sim/a'",
    )
    .fetch_one(db.pool())
    .await
    .expect("a model")
}

#[tokio::test]
async fn a_batch_mode_is_told_by_the_file_and_by_hand_and_the_hand_outlives_a_restart() {
    let (db, store) = a_store(&[("a", Some(5))]).await;
    assert_eq!(batches(&db).await, (None, None, 50, None, 100));
    let sync = async |hash: &[u8], batch, percent, jobs| {
        let mut row = a_row("a", Some(5));
        (row.batch, row.batch_price_percent) = (batch, percent);
        row.hash = hash.to_vec();
        let mut entry = provider();
        entry.batch_jobs = jobs;
        store.sync_models(&[entry], &[row]).await.expect("synced");
    };
    sync(b"1", Some(false), Some(60), Some(7)).await;
    let file = Some("tidegate.toml".to_owned());
    assert_eq!(batches(&db).await, (Some(false), file, 60, None, 7));
    say(
        &db,
        "select tidegate.set_model('sim/a', '{\"batch\": true, \"batch_enqueued_tokens\": 9}')",
    )
    .await;
    say(&db, "update tidegate.providers set batch_jobs = 3").await;
    let hand = Some("set by hand".to_owned());
    // the same file, one that changed elsewhere, and one that says nothing of the jobs
    for (hash, jobs) in [(b"1", Some(7)), (b"2", Some(7)), (b"3", None)] {
        sync(hash, Some(false), Some(60), jobs).await;
        let stands = (Some(true), hand.clone(), 60, Some(9), 3);
        assert_eq!(batches(&db).await, stands);
    }
    // what the file says no more is as if nobody had said it
    sync(b"4", None, None, Some(8)).await;
    assert_eq!(batches(&db).await, (None, None, 50, Some(9), 8));
}
