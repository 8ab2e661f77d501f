//! The row of a process: registered at its start, renewed by its heartbeat, closed at its end.

use std::time::Duration;

use uuid::Uuid;

use super::{
    Settings, Store, StoreError,
    link::{self, Conn},
};

/// What is known of a process when it starts.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Drawn anew at each start, never the host's name.
    pub id: Uuid,
    /// `work`, `run` or `ask`.
    pub role: &'static str,
    /// Where it runs, for people.
    pub host: String,
    /// Its process number, for people.
    pub pid: u32,
    /// Calls it makes at once.
    pub slots: u32,
    /// How long it may be silent before others take its tasks.
    pub lease: Duration,
}

impl Registration {
    /// This process, as it starts: a new id, its host and number.
    pub fn of_this_process(role: &'static str, slots: u32, lease: Duration) -> Self {
        Self {
            id: crate::task::new_id(),
            role,
            host: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            pid: std::process::id(),
            slots,
            lease,
        }
    }
}

impl Store {
    /// Registers a process and gives it its first lease.
    ///
    /// # Errors
    /// As every statement.
    pub async fn register(&self, process: &Registration) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into tidegate.processes (id, role, host, pid, version, slots, lease_until)
             values ($1, $2, $3, $4, $5, $6, clock_timestamp() + make_interval(secs => $7))",
            process.id,
            process.role,
            process.host,
            i32::try_from(process.pid).unwrap_or(i32::MAX),
            env!("CARGO_PKG_VERSION"),
            i32::try_from(process.slots).unwrap_or(i32::MAX),
            process.lease.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Renews a lease over the pool, for a process that holds no tasks (a loader).
    ///
    /// # Errors
    /// As every statement.
    pub async fn beat(&self, id: Uuid, lease: Duration) -> Result<bool, StoreError> {
        let mut connection = self.pool.acquire().await?;
        Ok(heartbeat(&mut connection, id, lease).await?.is_some())
    }

    /// How many processes of this role hold a lease.
    ///
    /// # Errors
    /// As every statement.
    pub async fn processes_alive(&self, role: &str) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select count(*) as "n!" from tidegate.processes
                where role = $1 and stopped_at is null and lost_at is null and lease_until > now()"#,
            role
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Closes the row of a process that holds nothing any more.
    ///
    /// # Errors
    /// As every statement.
    pub async fn unregister(&self, id: Uuid) -> Result<(), StoreError> {
        sqlx::query!(
            "update tidegate.processes set stopped_at = clock_timestamp(), lease_until = clock_timestamp() where id = $1",
            id
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

/// A connection reserved for heartbeats, outside any pool: work that waits for a connection never
/// holds one back.
#[derive(Debug)]
pub struct Pulse(Conn);

impl Pulse {
    /// Opens it.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub async fn open(settings: &Settings) -> Result<Self, StoreError> {
        let (connection, between) = link::alone(settings).await?;
        Ok(Self(Conn::alone(
            connection,
            between,
            settings.statement_timeout,
        )))
    }

    /// Renews the lease, within `patience`, and gives the connection back where it is still good.
    /// `None`: the process was declared lost and must drop what it holds.
    ///
    /// # Errors
    /// As every statement, and [`StoreError::NoAnswer`]. The connection is gone then: after a
    /// timeout it is not known what it still waits for.
    pub async fn beat(
        mut self,
        id: Uuid,
        lease: Duration,
        patience: Duration,
    ) -> Result<Option<Beaten>, StoreError> {
        let renewal = heartbeat(&mut self.0, id, lease);
        let held = tokio::time::timeout(patience, renewal)
            .await
            .map_err(|_| StoreError::NoAnswer)??;
        Ok(held.map(|crowded| Beaten {
            pulse: self,
            crowded,
        }))
    }
}

/// A lease that was renewed.
#[derive(Debug)]
pub struct Beaten {
    /// The connection, still good.
    pub pulse: Pulse,
    /// Whether four fifths of the server's connections are taken: leave some to others.
    pub crowded: bool,
}

/// `None`: the process was declared lost. Else whether the server is crowded.
async fn heartbeat(
    connection: &mut Conn,
    id: Uuid,
    lease: Duration,
) -> Result<Option<bool>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"update tidegate.processes
            set heartbeat_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => $2)
          where id = $1 and lost_at is null and stopped_at is null
          returning (select coalesce(sum(d.numbackends), 0) * 5 >= 4 * (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int)
                       from pg_stat_database d) as "crowded!""#,
        id,
        lease.as_secs_f64(),
    )
    .fetch_optional(connection)
    .await?)
}
