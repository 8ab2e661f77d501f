//! Talking to the private server: whether it answers, and whether our database is there.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use super::LocalError;
use super::socket::PORT;

/// A server that holds a connection this long is not answering.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// What became of one attempt to connect.
#[derive(Debug)]
pub(super) enum Answer {
    /// It takes connections, and the database is there.
    Ready,
    /// It takes connections; the database is not there.
    NoDatabase,
    /// A server is there: it starts, recovers or stops. Ask again.
    NotYet(String),
    /// It does not let us in, and asking again will not help.
    Refused(sqlx::Error),
    /// Nobody is there.
    Nobody(String),
}

/// Knocks at the socket in this folder.
pub(super) async fn knock(socket_dir: &Path, database: &str) -> Answer {
    let options = options(socket_dir, database);
    let connecting = Box::pin(options.connect());
    let Ok(connected) = tokio::time::timeout(CONNECT_TIME_MAX, connecting).await else {
        return Answer::NotYet("no answer".into());
    };
    match connected {
        Ok(connection) => {
            // Best effort: the server clears up after a client that just leaves.
            let _ = connection.close().await;
            Answer::Ready
        }
        Err(sqlx::Error::Database(error)) => match error.code().as_deref() {
            Some("3D000") => Answer::NoDatabase,
            // Every slot is taken: it runs, and that is not ours to mend.
            Some("53300") => Answer::Ready,
            // Cannot connect now: it starts, recovers or stops.
            Some("57P03") => Answer::NotYet(error.to_string()),
            _ => Answer::Refused(sqlx::Error::Database(error)),
        },
        Err(error) => Answer::Nobody(error.to_string()),
    }
}

/// Makes the database. The name is one that needs no quoting.
pub(super) async fn create_database(socket_dir: &Path, database: &str) -> Result<(), LocalError> {
    let refused = |source| LocalError::Refused {
        socket: socket_dir.into(),
        doing: "create the database",
        source,
    };
    let mut connection = Box::pin(options(socket_dir, "postgres").connect())
        .await
        .map_err(refused)?;
    // A name cannot be a bound parameter; `Settings::checked_database` has seen this one.
    let statement = AssertSqlSafe(format!("create database {database}"));
    connection.execute(statement).await.map_err(refused)?;
    connection.close().await.map_err(refused)
}

/// Said in full: whatever the environment holds (`PGPORT`, `PGSSLMODE` ...) is overruled.
pub(super) fn options(socket_dir: &Path, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(PORT)
        .username("postgres")
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}

/// The same as a URL, for sqlx, psql and anything else that knows libpq's.
pub(super) fn url(socket_dir: &Path, database: &str) -> String {
    let host = percent_encode(&socket_dir.to_string_lossy());
    format!("postgres:///{database}?host={host}&user=postgres&port={PORT}&sslmode=disable")
}

fn percent_encode(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    path.bytes().fold(String::new(), |mut text, byte| {
        if plain(byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push_str(&hex::encode_upper([byte]));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_the_same_as_the_options() {
        let folder = Path::new("/my data/é&?/socket");
        let parsed: PgConnectOptions = url(folder, "tidegate").parse().unwrap();
        assert_eq!(
            parsed.get_socket(),
            options(folder, "tidegate").get_socket()
        );
        assert_eq!(parsed.get_database(), Some("tidegate"));
        assert_eq!(parsed.get_username(), "postgres");
        assert_eq!(parsed.get_port(), PORT);
    }
}
