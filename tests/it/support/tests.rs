//! The support itself holds.

use super::{TestDb, TestServer};

#[tokio::test]
async fn each_test_database_is_its_own() {
    let (one, other) = tokio::join!(TestDb::new(), TestDb::new());
    assert_ne!(one.url(), other.url());
    sqlx::query("create table mine (n int)")
        .execute(one.pool())
        .await
        .unwrap();
    assert!(
        sqlx::query("select n from mine")
            .execute(other.pool())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_test_database_is_gone_when_its_test_is() {
    let (gone, other) = tokio::join!(TestDb::new(), TestDb::new());
    let name: String = sqlx::query_scalar("select current_database()::text")
        .fetch_one(gone.pool())
        .await
        .unwrap();
    drop(gone);
    let left: i64 = sqlx::query_scalar("select count(*) from pg_database where datname = $1")
        .bind(name)
        .fetch_one(other.pool())
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn what_was_committed_survives_a_crash_of_a_test_server() {
    let mut server = TestServer::private().await;
    let pool = server.pool().await;
    sqlx::query("create table kept (n int)")
        .execute(&pool)
        .await
        .unwrap();

    let url = server.url().to_owned();

    server.crash();
    assert!(
        sqlx::query("select n from kept")
            .execute(&pool)
            .await
            .is_err()
    );
    server.start().await;
    assert_eq!(server.url(), url);

    sqlx::query("select n from kept")
        .execute(&server.pool().await)
        .await
        .unwrap();
}
