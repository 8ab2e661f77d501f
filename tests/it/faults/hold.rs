//! Stops a transaction of others right before its commit: a trigger of the test's own database waits
//! for a lock that the test has.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::tools::until;

/// Who waits for our lock, in this database.
const HELD: &str = "from pg_locks l where l.locktype = 'advisory' and not l.granted
    and l.objid = 742 and l.database = (select d.oid from pg_database d where d.datname = current_database())";

/// Dropped, it lets everybody go.
pub(super) struct Hold {
    session: PgConnection,
}

impl Hold {
    /// From now on whoever inserted into this table waits when it commits.
    pub(super) async fn commits_with(url: &str, table: &str) -> Self {
        let mut session = PgConnection::connect(url).await.expect("a session");
        let script = format!(
            "select pg_advisory_lock(742);
             create or replace function hold() returns trigger language plpgsql as $$
             begin
               perform pg_advisory_xact_lock_shared(742);
               return null;
             end $$;
             create constraint trigger hold after insert on tidegate.{table}
               deferrable initially deferred for each row execute function hold();"
        );
        sqlx::raw_sql(AssertSqlSafe(script))
            .execute(&mut session)
            .await
            .expect("a trigger is made");
        Self { session }
    }

    /// Waits until somebody is held.
    pub(super) async fn until_held(&mut self) {
        let held = format!("select count(*) {HELD}");
        until("somebody is held", async || self.count(&held).await > 0).await;
    }

    /// Ends the sessions that are held, so that nothing of them is committed, and holds nobody any
    /// more.
    pub(super) async fn roll_back(mut self) {
        let end = format!("select count(pg_terminate_backend(l.pid)) {HELD}");
        let held = format!("select count(*) {HELD}");
        assert!(self.count(&end).await > 0, "somebody was held");
        until("they are gone", async || self.count(&held).await == 0).await;
    }

    /// Lets everybody commit.
    pub(super) async fn let_go(self) {
        self.session.close().await.expect("it is closed");
    }

    async fn count(&mut self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&mut self.session)
            .await
            .expect("a count")
    }
}
