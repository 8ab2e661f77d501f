//! The faulty network does what it is told, and nothing else.

use std::{path::PathBuf, time::Duration};

use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use super::{
    TestDb, TestFolder,
    proxy::{Faults, Proxy, Server, Way},
};

/// Longer than anything here takes; what takes longer hangs.
const LONG: Duration = Duration::from_secs(30);
/// Long enough to see that nothing comes.
const MOMENT: Duration = Duration::from_millis(300);

struct Laid {
    db: TestDb,
    name: String,
    proxy: Proxy,
}

async fn laid() -> Laid {
    let db = TestDb::new().await;
    let proxy = Proxy::tcp(server_of(&db)).await.expect("a port is free");
    let name = name_of(&db);
    Laid { db, name, proxy }
}

fn options(db: &TestDb) -> PgConnectOptions {
    db.url().parse().expect("a URL")
}

fn server_of(db: &TestDb) -> Server {
    let folder: PathBuf = options(db).get_socket().expect("a socket").clone();
    Server::Unix(folder)
}

fn name_of(db: &TestDb) -> String {
    options(db).get_database().expect("a name").to_owned()
}

impl Laid {
    async fn connect(&self) -> PgConnection {
        self.try_connect().await.expect("it connects")
    }

    async fn try_connect(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.proxy.url(&self.name)).await
    }
}

async fn one(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar("select 1").fetch_one(connection).await
}

#[tokio::test]
async fn without_faults_the_proxy_changes_nothing() {
    let laid = laid().await;
    let mut connection = laid.connect().await;
    let long = "x".repeat(1_000_000);
    let back: String = sqlx::query_scalar("select $1::text")
        .bind(&long)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(back == long);

    let folder = TestFolder::new();
    let by_socket = Proxy::unix(folder.path(), server_of(&laid.db)).unwrap();
    let mut connection = PgConnection::connect(&by_socket.url(&laid.name))
        .await
        .unwrap();
    assert_eq!(one(&mut connection).await.unwrap(), 1);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_reset_ends_the_connections_it_means_and_no_other() {
    let laid = laid().await;
    let (mut listener, mut other) = (laid.connect().await, laid.connect().await);
    listener.execute("listen bell").await.unwrap();
    assert_eq!(one(&mut other).await.unwrap(), 1);

    assert_eq!(laid.proxy.reset("listen bell"), 1);
    assert!(one(&mut listener).await.is_err());
    assert_eq!(one(&mut other).await.unwrap(), 1);

    assert_eq!(laid.proxy.reset(""), 1);
    assert!(one(&mut other).await.is_err());
    assert_eq!(one(&mut laid.connect().await).await.unwrap(), 1);
}

#[tokio::test]
async fn f25_a_blackhole_swallows_without_a_word_and_what_lost_bytes_stays_dead() {
    let laid = laid().await;
    let (mut dead, mut other) = (laid.connect().await, laid.connect().await);
    dead.execute("select 'doomed'").await.unwrap();
    laid.proxy.set_where("'doomed'", Faults::blackhole());
    assert!(timeout(MOMENT, one(&mut dead)).await.is_err(), "no answer");
    assert_eq!(one(&mut other).await.unwrap(), 1);
    laid.proxy.heal();
    assert!(timeout(MOMENT, one(&mut dead)).await.is_err(), "no answer");

    laid.proxy.set(Faults::blackhole());
    let connecting = timeout(MOMENT, laid.try_connect()).await;
    assert!(connecting.is_err(), "it is taken, and hears nothing");
    laid.proxy.heal();
    laid.connect().await;
}

#[tokio::test]
async fn latency_holds_bytes_back_until_it_ends() {
    let laid = laid().await;
    let mut connection = laid.connect().await;
    laid.proxy.set(Faults::late(LONG * 10));
    let mut asking = Box::pin(one(&mut connection));
    assert!(timeout(MOMENT, &mut asking).await.is_err());
    laid.proxy.heal();
    let answer = timeout(LONG, asking).await.expect("it ends with the fault");
    assert_eq!(answer.unwrap(), 1);
}

#[tokio::test]
async fn new_connections_are_refused_and_old_ones_go_on() {
    let laid = laid().await;
    let mut old = laid.connect().await;
    laid.proxy.set(Faults {
        refuse: true,
        ..Faults::default()
    });
    assert!(laid.try_connect().await.is_err());
    assert_eq!(one(&mut old).await.unwrap(), 1);
    laid.proxy.heal();
    laid.connect().await;
}

#[tokio::test]
async fn half_closed_towards_the_client_a_statement_still_reaches_the_server() {
    let laid = laid().await;
    laid.db
        .pool()
        .execute("create table told (n int)")
        .await
        .unwrap();
    let mut connection = laid.connect().await;
    laid.proxy.half_close(Way::ToClient);
    assert!(
        connection
            .execute("insert into told values (1)")
            .await
            .is_err()
    );
    until_told(&laid, 1).await;

    let mut connection = laid.connect().await;
    laid.proxy.half_close(Way::ToServer);
    assert!(
        connection
            .execute("insert into told values (1)")
            .await
            .is_err()
    );
    until_told(&laid, 1).await;
}

async fn until_told(laid: &Laid, count: i64) {
    let looking = async {
        loop {
            let told: i64 = sqlx::query_scalar("select count(*) from told")
                .fetch_one(laid.db.pool())
                .await
                .expect("a count");
            if told == count {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, looking).await.expect("it is told");
}

#[tokio::test]
async fn f23_a_commit_whose_answer_is_lost_has_happened() {
    let laid = laid().await;
    laid.db
        .pool()
        .execute("create table told (n int)")
        .await
        .unwrap();
    let mut connection = laid.connect().await;
    laid.proxy.drop_reply("COMMIT");
    let mut writing = connection.begin().await.unwrap();
    writing
        .execute("insert into told values (1)")
        .await
        .unwrap();
    assert!(writing.commit().await.is_err());
    until_told(&laid, 1).await;
    assert_eq!(laid.proxy.replies_dropped(), 1);

    // a prepared statement is known by its text, too, and only the next one is lost
    let mut connection = laid.connect().await;
    let mut insert = async || {
        sqlx::query("insert into told select $1")
            .bind(2)
            .execute(&mut connection)
            .await
    };
    insert().await.unwrap();
    laid.proxy.drop_reply("into told select");
    assert!(insert().await.is_err());
    until_told(&laid, 3).await;
    assert_eq!(laid.proxy.replies_dropped(), 2);
    assert_eq!(one(&mut laid.connect().await).await.unwrap(), 1);
}

#[tokio::test]
async fn retargeted_new_connections_reach_the_other_server() {
    let laid = laid().await;
    let back = server_of(&laid.db);
    let nowhere = TestFolder::new();
    laid.proxy
        .retarget(Server::Unix(nowhere.path().to_path_buf()));
    assert!(laid.try_connect().await.is_err(), "nobody is there");
    let second = Proxy::tcp(back).await.unwrap();
    let address: PgConnectOptions = second.url(&laid.name).parse().unwrap();
    let address = format!("{}:{}", address.get_host(), address.get_port());
    laid.proxy.retarget(Server::Tcp(address.parse().unwrap()));
    let mut connection = laid.connect().await;
    assert_eq!(one(&mut connection).await.unwrap(), 1);
    assert_eq!(
        (laid.proxy.links("select 1"), second.links("select 1")),
        (1, 1)
    );
}
