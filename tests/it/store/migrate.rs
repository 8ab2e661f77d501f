//! Bringing the schema up to date.

use tidegate::store::{Store, StoreError, migrate};

use super::count;
use crate::support::TestDb;

/// A database without our schema.
async fn empty() -> (TestDb, Store) {
    let db = TestDb::new().await;
    sqlx::query("drop schema tidegate cascade")
        .execute(db.pool())
        .await
        .expect("dropped");
    let store = Store::over(db.pool().clone());
    (db, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f37_of_migrators_at_once_one_applies_and_the_others_find_nothing_to_do() {
    let (db, store) = empty().await;
    let runs = (0..4).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { migrate::run(&store).await.expect("migrated") })
    });
    let mut applied = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        applied.push(run.await.expect("it ends").applied.len());
    }
    applied.sort_unstable();
    assert_eq!(applied[..3], [0, 0, 0]);
    assert_eq!(
        i64::try_from(applied[3]),
        Ok(count(&db, "select count(*) from tidegate.schema_history").await)
    );
    migrate::check(&store)
        .await
        .expect("as this program needs it");
}

#[tokio::test]
async fn a_schema_that_is_not_there_is_told_with_what_to_do() {
    let (_db, store) = empty().await;
    let error = migrate::check(&store).await.expect_err("not there");
    assert!(matches!(error, StoreError::NotMigrated));
    let error = store.promote().await.expect_err("not there either");
    assert!(error.to_string().contains("tidegate migrate"), "{error}");
}

#[tokio::test]
async fn f37_an_older_program_does_not_undo_a_newer_ones_functions() {
    let (db, store) = empty().await;
    migrate::run(&store).await.expect("migrated");
    sqlx::query("create or replace function tidegate.uuid_v7() returns uuid language sql as $$ select gen_random_uuid() $$")
        .execute(db.pool())
        .await
        .expect("a newer program's");
    let again = migrate::run(&store).await.expect("rerun");
    assert_eq!((again.applied.len(), again.functions), (0, false));
}

#[tokio::test]
async fn ids_made_in_sql_sort_by_their_making() {
    let db = TestDb::new().await;
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("select tidegate.uuid_v7() from generate_series(1, 20)")
            .fetch_all(db.pool())
            .await
            .expect("ids");
    let now = uuid::Uuid::now_v7();
    for id in ids {
        assert_eq!(id.get_version_num(), 7);
        let (made, of_now) = (
            id.get_timestamp().expect("v7"),
            now.get_timestamp().expect("v7"),
        );
        assert!(made.to_unix().0.abs_diff(of_now.to_unix().0) < 60);
    }
}
