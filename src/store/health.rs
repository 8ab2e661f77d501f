//! How the database and the fleet fare, for `tidegate doctor`: looks, and changes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    Settings, Store, StoreError,
    listen::{Ear, Heard},
};

/// What the server is and how it is set.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its version, for people.
    pub version: String,
    /// Its major version.
    pub major: i32,
    /// Whether it takes no writes (a standby).
    pub read_only: bool,
    /// Whether commits reach the disk.
    pub fsync: bool,
    /// Whether torn pages can be mended after a crash.
    pub full_page_writes: bool,
    /// What it does at a commit unless told otherwise; our connections say `on`.
    pub synchronous_commit: String,
    /// Connections it takes.
    pub max_connections: i32,
    /// Those of them that are kept for superusers.
    pub reserved: i32,
    /// Those in use now, ours included.
    pub connections: i64,
    /// Its clock.
    pub now: DateTime<Utc>,
}

/// What the role may do.
#[derive(Clone, Debug)]
pub struct Rights {
    /// Its name.
    pub role: String,
    /// Whether `tidegate migrate` may make or change the schema.
    pub may_migrate: bool,
    /// Whether it may look into the schema at all.
    pub usage: bool,
    /// Tables it may not both read and write.
    pub lacking: Vec<String>,
}

/// One row of `tidegate.health`.
#[derive(Clone, Debug, Serialize)]
pub struct Gauge {
    /// What is measured.
    pub gauge: String,
    /// Of which table, where it is one of several.
    pub object: Option<String>,
    /// How much; null where there is nothing to measure.
    pub value: Option<f64>,
    /// Of what.
    pub unit: String,
    /// Who or what is behind it.
    pub detail: Option<String>,
}

/// A definition that processes work by now.
#[derive(Clone, Debug)]
pub struct DefinitionInUse {
    /// The worker's name.
    pub worker: String,
    /// The folder as it is kept.
    pub folder: String,
}

impl Store {
    /// What the server is and how it is set.
    ///
    /// # Errors
    /// As every statement.
    pub async fn server(&self) -> Result<Server, StoreError> {
        Ok(sqlx::query_as!(
            Server,
            r#"select current_setting('server_version') as "version!",
                      current_setting('server_version_num')::int / 10000 as "major!",
                      pg_is_in_recovery() as "read_only!",
                      current_setting('fsync')::boolean as "fsync!",
                      current_setting('full_page_writes')::boolean as "full_page_writes!",
                      (select s.reset_val from pg_settings s where s.name = 'synchronous_commit') as "synchronous_commit!",
                      current_setting('max_connections')::int as "max_connections!",
                      current_setting('superuser_reserved_connections')::int as "reserved!",
                      (select count(*) from pg_stat_activity a where a.backend_type = 'client backend') as "connections!",
                      clock_timestamp() as "now!""#
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// What the role may do, whether there is a schema or not.
    ///
    /// # Errors
    /// As every statement.
    pub async fn rights(&self) -> Result<Rights, StoreError> {
        Ok(sqlx::query_as!(
            Rights,
            r#"select current_user::text as "role!",
                      case when n.oid is null then has_database_privilege(current_database(), 'create')
                           else pg_has_role(n.nspowner, 'usage') end as "may_migrate!",
                      coalesce(has_schema_privilege(n.oid, 'usage'), true) as "usage!",
                      array(select c.relname::text from pg_class c
                             where c.relnamespace = n.oid and c.relkind in ('r', 'p') and not c.relispartition
                               and c.relname not in ('schema_history', 'function_sets')
                               and not (has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')
                                        and has_table_privilege(c.oid, 'update') and has_table_privilege(c.oid, 'delete'))
                             order by c.relname) as "lacking!"
                 from (select 1) z left join pg_namespace n on n.nspname = 'tidegate'"#
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// The gauges of `tidegate.health`.
    ///
    /// # Errors
    /// As every statement.
    pub async fn health(&self) -> Result<Vec<Gauge>, StoreError> {
        Ok(sqlx::query_as!(
            Gauge,
            r#"select gauge as "gauge!", object, value, unit as "unit!", detail from tidegate.health order by gauge, object"#
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The definitions of runs that have not ended, and of each worker's newest run.
    ///
    /// # Errors
    /// As every statement.
    pub async fn definitions_in_use(&self) -> Result<Vec<DefinitionInUse>, StoreError> {
        Ok(sqlx::query_as!(
            DefinitionInUse,
            r#"select d.name as worker, d.folder::text as "folder!" from tidegate.worker_definitions d
                where d.hash in (
                        select u.definition_hash from tidegate.runs u where u.state in ('loading', 'active', 'paused')
                        union
                        (select distinct on (u.worker) u.definition_hash from tidegate.runs u order by u.worker, u.id desc))
                order by d.name, d.created_at"#
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Whether a call of one's own comes back within `patience`. It does not behind a pooler that
    /// gives each transaction another server.
    ///
    /// # Errors
    /// As every statement.
    pub async fn hears_itself(
        &self,
        settings: &Settings,
        patience: Duration,
    ) -> Result<bool, StoreError> {
        let number = crate::task::new_id();
        let mut ear = Ear::open(settings).await?;
        self.call_out(ear.own_channel(), number).await?;
        let proof = Heard::Proof(number.simple().to_string());
        let heard = async {
            while ear.hear().await? != proof {}
            Ok(true)
        };
        tokio::time::timeout(patience, heard)
            .await
            .unwrap_or(Ok(false))
    }
}
