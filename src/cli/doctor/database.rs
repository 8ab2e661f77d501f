//! The server, its settings, the schema and rights, connections, notifications, processes.

use std::time::Duration;

use super::check::{Check, of_error};
use crate::cli::{Opened, times};
use crate::store::health::{Rights, Server};
use crate::store::migrate::{self, SchemaState};
use crate::store::{Store, StoreError};

/// How long a notification may take to come back.
const PATIENCE: Duration = Duration::from_secs(3);
/// Clocks further apart than this are told.
const SKEW_MS: i64 = 2_000;
/// Connections of a worker process beside its pool: one for its heartbeat, one that listens.
const BESIDE_POOL: i64 = 2;

/// The server and how it is set.
pub(super) async fn server(store: &Store) -> Vec<Check> {
    let asked = times::now();
    let server = match store.server().await {
        Ok(server) => server,
        Err(error) => return vec![of_error("database", &error)],
    };
    let midway = asked + (times::now() - asked) / 2;
    vec![
        reached(&server),
        durable(&server),
        clock((server.now - midway).num_milliseconds()),
    ]
}

fn reached(server: &Server) -> Check {
    let says = format!("PostgreSQL {}", server.version);
    if server.read_only {
        return Check::fault(
            "database",
            format!("{says}, a standby that takes no writes"),
            "let DATABASE_URL name the primary (target_session_attrs does not help behind a proxy)",
        );
    }
    Check::ok("database", says)
}

fn durable(server: &Server) -> Check {
    const NAME: &str = "durability";
    let off: Vec<&str> = [
        (server.fsync, "fsync"),
        (server.full_page_writes, "full_page_writes"),
    ]
    .iter()
    .filter(|(on, _)| !on)
    .map(|(_, name)| *name)
    .collect();
    if !off.is_empty() {
        return Check::fault(
            NAME,
            format!(
                "off: {}; a power cut may destroy what was accepted",
                off.join(", ")
            ),
            "set them on in postgresql.conf and reload (a private Postgres for tests may do without)",
        );
    }
    let note = match server.synchronous_commit.as_str() {
        "off" => "; synchronous_commit is off for others, our connections set it on",
        _ => "",
    };
    Check::ok(NAME, format!("fsync and full_page_writes are on{note}"))
}

fn clock(ahead_ms: i64) -> Check {
    const NAME: &str = "clock";
    let says = format!(
        "the database is {:.1} s {} this machine",
        ahead_ms.abs() as f64 / 1_000.0,
        if ahead_ms < 0 { "behind" } else { "ahead of" }
    );
    if ahead_ms.abs() > SKEW_MS {
        let fix = "let both keep time by NTP; only times shown to people are off, leases and limits go by the database's clock alone";
        return Check::warning(NAME, says, fix);
    }
    Check::ok(NAME, says)
}

/// The schema and what the role may do with it; whether the rest can be asked.
pub(super) async fn schema(opened: &Opened) -> (Vec<Check>, bool) {
    const NAME: &str = "schema";
    let state = match migrate::state(&opened.store).await {
        Ok(state) => Some(state),
        Err(error @ StoreError::NoRights(_)) => {
            return (vec![of_error(NAME, &error), rights(opened).await], false);
        }
        Err(error) => return (vec![of_error(NAME, &error)], false),
    };
    let check = match state {
        Some(SchemaState::Current) => Check::ok(NAME, "as this program needs it"),
        Some(SchemaState::Newer) => Check::warning(
            NAME,
            "was migrated by a newer program",
            "update this program: it may not know all that is there",
        ),
        _ if opened.local.is_some() => Check::ok(
            NAME,
            "not there or older; the next command brings it up to date",
        ),
        Some(SchemaState::Older) => {
            Check::fault(NAME, "is older than this program", "run `tidegate migrate`")
        }
        _ => Check::fault(
            NAME,
            "there is none in this database",
            "run `tidegate migrate`",
        ),
    };
    let usable = state == Some(SchemaState::Current);
    (vec![check, rights(opened).await], usable)
}

async fn rights(opened: &Opened) -> Check {
    match opened.store.rights().await {
        Ok(rights) => judged(&rights),
        Err(error) => of_error("rights", &error),
    }
}

fn judged(rights: &Rights) -> Check {
    const NAME: &str = "rights";
    let role = &rights.role;
    if !rights.usage {
        return Check::fault(
            NAME,
            format!("the role {role} may not use the schema"),
            format!("grant usage on schema tidegate to {role}"),
        );
    }
    if !rights.lacking.is_empty() {
        let tables = rights.lacking.join(", ");
        return Check::fault(
            NAME,
            format!("the role {role} may not read and write: {tables}"),
            format!(
                "grant select, insert, update and delete on all tables in schema tidegate to {role}"
            ),
        );
    }
    let migrates = if rights.may_migrate {
        "and migrate"
    } else {
        "; another role migrates"
    };
    Check::ok(
        NAME,
        format!("the role {role} may read and write {migrates}"),
    )
}

/// Whether a notification of our own arrives.
pub(super) async fn listen(opened: &Opened) -> Check {
    const NAME: &str = "notifications";
    match opened.store.hears_itself(&opened.settings, PATIENCE).await {
        Ok(true) => Check::ok(NAME, "LISTEN works: one of our own arrived"),
        Ok(false) => Check::warning(
            NAME,
            "one of our own did not arrive, so work is found by polling only",
            "reach the database without a pooler, or with one in session mode",
        ),
        Err(error) => of_error(NAME, &error),
    }
}

/// Whether the server takes as many connections as the fleet opens.
pub(super) async fn connections(opened: &Opened) -> Vec<Check> {
    let both = async {
        let processes = opened.store.processes().await?.len();
        Ok::<_, StoreError>((opened.store.server().await?, processes))
    };
    match both.await {
        Ok((server, processes)) => {
            let pool = i64::from(opened.settings.max_connections);
            vec![room(&server, pool, processes)]
        }
        Err(error) => vec![of_error("connections", &error)],
    }
}

fn room(server: &Server, pool: i64, processes: usize) -> Check {
    const NAME: &str = "connections";
    let takes = i64::from(server.max_connections - server.reserved);
    let a_process = pool + BESIDE_POOL;
    let fleet = a_process * i64::try_from(processes).unwrap_or(i64::MAX / 1_000);
    let says = format!(
        "{} of {takes} in use; {processes} processes need up to {fleet}",
        server.connections
    );
    if fleet + a_process > takes {
        let fix = format!(
            "raise max_connections, or lower max_connections in [database] (now {pool}): one more process would need {a_process}"
        );
        return Check::warning(NAME, says, fix);
    }
    Check::ok(NAME, says)
}

/// Who works.
pub(super) async fn processes(store: &Store) -> Vec<Check> {
    match store.processes().await {
        Ok(alive) if alive.is_empty() => vec![Check::ok(
            "processes",
            "none hold a lease; `tidegate work` starts one",
        )],
        Ok(alive) => {
            let who: Vec<_> = alive
                .iter()
                .take(20)
                .map(|it| {
                    format!(
                        "{} {}:{} ({}/{})",
                        it.role, it.host, it.pid, it.in_flight, it.slots
                    )
                })
                .collect();
            let says = format!("{} hold a lease: {}", alive.len(), who.join(", "));
            vec![Check::ok("processes", says)]
        }
        Err(error) => vec![of_error("processes", &error)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check::Mark;

    fn server() -> Server {
        Server {
            version: "15.1".to_owned(),
            major: 15,
            read_only: false,
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".to_owned(),
            max_connections: 100,
            reserved: 3,
            connections: 5,
            now: chrono::DateTime::from_timestamp(0, 0).unwrap(),
        }
    }

    #[test]
    fn a_server_that_may_lose_what_it_took_is_a_fault() {
        assert_eq!(durable(&server()).state, Mark::Ok);
        let lax = Server {
            fsync: false,
            ..server()
        };
        assert_eq!(durable(&lax).state, Mark::Fault);
        assert!(durable(&lax).says.contains("fsync"));
        let standby = Server {
            read_only: true,
            ..server()
        };
        assert_eq!(reached(&standby).state, Mark::Fault);
    }

    #[test]
    fn clocks_apart_are_a_warning_and_never_a_fault() {
        assert_eq!(clock(1_900).state, Mark::Ok);
        assert_eq!(clock(-2_100).state, Mark::Warning);
        assert!(clock(-3_600_000).says.contains("3600.0 s behind"));
    }

    #[test]
    fn a_fleet_that_fills_the_server_is_told_before_it_does() {
        assert_eq!(room(&server(), 6, 11).state, Mark::Ok);
        assert_eq!(room(&server(), 6, 12).state, Mark::Warning);
    }

    #[test]
    fn a_role_that_may_not_write_is_a_fault_that_names_the_tables() {
        let mut rights = Rights {
            role: "app".to_owned(),
            may_migrate: false,
            usage: true,
            lacking: Vec::new(),
        };
        assert_eq!(judged(&rights).state, Mark::Ok);
        rights.lacking = vec!["tasks".to_owned()];
        assert!(judged(&rights).says.contains("tasks"));
        rights.usage = false;
        assert_eq!(judged(&rights).state, Mark::Fault);
    }
}
