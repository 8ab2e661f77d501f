//! F27: a pooler in transaction mode, a real PgBouncer.

use std::{
    net::TcpListener,
    os::unix::{fs::MetadataExt, process::CommandExt},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::geteuid;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tidegate::store::{Pooler, Store, migrate};
use tokio_util::sync::CancellationToken;

use super::tools::{
    LADDERS, Program, at, is_there, name_of, options, process_at, short_lived, socket_of, until,
};
use crate::support::{
    TestFolder,
    fleet::{Fleet, a_model, shipped},
    work::{ONE_TIER, a_process, claim, items, load},
};

/// Fewer servers than clients, so that transactions of one client get several.
const SERVERS: u32 = 3;

/// A PgBouncer before a server. Dropped, it is killed.
struct Bouncer {
    child: Child,
    port: u16,
    user: String,
    _folder: TestFolder,
}

impl Bouncer {
    /// Starts one as the server's own user: it refuses to be root, and the socket is the server's.
    async fn before(url: &str, ignored: &str) -> Self {
        let (folder, server) = (TestFolder::new(), options(url));
        let socket = socket_of(url);
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
            free.local_addr().expect("it has an address").port()
        };
        let user = server.get_username().to_owned();
        let settings = format!(
            "[databases]\n* = host={} port={} user={user}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = {SERVERS}\nmax_client_conn = 200\nignore_startup_parameters = {ignored}\n",
            socket.display(),
            server.get_port(),
        );
        let ini = folder.join("pgbouncer.ini");
        std::fs::write(&ini, settings).expect("settings are written");
        let mut command = Command::new("pgbouncer");
        command
            .arg(&ini)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if geteuid().is_root() {
            let file = socket.join(format!(".s.PGSQL.{}", server.get_port()));
            let owner = file.metadata().expect("the server's socket");
            command.uid(owner.uid()).gid(owner.gid());
        }
        let child = command.spawn().expect("pgbouncer starts");
        let bouncer = Self {
            child,
            port,
            user,
            _folder: folder,
        };
        until("pgbouncer listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok()
        })
        .await;
        bouncer
    }

    fn url(&self, database: &str) -> String {
        format!(
            "postgres://{}@127.0.0.1:{}/{database}?sslmode=disable",
            self.user, self.port
        )
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f27_a_run_is_loaded_and_worked_off_behind_a_pooler_in_transaction_mode() {
    if !is_there("pgbouncer") {
        return;
    }
    let mut fleet = Fleet::with(["best", "good"].map(a_model).to_vec()).await;
    fleet.articles(120).await;
    let bouncer = Bouncer::before(fleet.url(), "").await;
    let url = bouncer.url(&name_of(&fleet));
    // the loader reads source.sql and checks sink.sql through it as well
    let direct = std::mem::replace(
        &mut fleet.store,
        Store::connect(&at(&url)).await.expect("a pooler connects"),
    );
    assert_eq!(fleet.store.pooler(), Pooler::Transaction);
    let definition = Fleet::entity_extraction(LADDERS, "sim/good");
    let sink = shipped("entity_extraction").join("sink.sql");
    let sink = std::fs::read_to_string(sink).expect("a sink");
    for _ in 0..5 {
        fleet.store.check_sink(&sink).await.expect("it holds");
        let columns = fleet.store.source_columns("select 1 as id").await;
        assert_eq!(columns.expect("it holds"), ["id"]);
    }
    let loaded = fleet.load(definition).await;
    fleet.store = direct;

    let stop = CancellationToken::new();
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(process_at(&fleet, at(&url), short_lived(), &stop).await);
    }
    let mut program = Program::start(&fleet, &url, 6, &[]);
    fleet.until_done(loaded.run).await;
    assert!(program.runs(), "{}", program.log());
    stop.cancel();
    for process in processes {
        process.await.expect("it ends").expect("without trouble");
    }
    let log = program.log();
    assert_eq!(
        log.matches("behind a pooler").count(),
        1,
        "said once: {log}"
    );
    assert!(
        !log.contains("trouble") && !log.contains("heartbeat failed"),
        "{log}"
    );
    assert_eq!(fleet.simulator.log().len(), 120, "one call an article");
    assert_eq!(
        fleet
            .count("select count(*) from articles where extracted_entities")
            .await,
        120
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.processes where lost_at is not null")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f27_an_empty_database_is_migrated_behind_a_pooler_by_many_at_once() {
    if !is_there("pgbouncer") {
        return;
    }
    let fleet = Fleet::with(vec![a_model("a")]).await;
    let name = format!("{}_empty", name_of(&fleet));
    let make = AssertSqlSafe(format!("create database {name}"));
    sqlx::raw_sql(make)
        .execute(fleet.store.pool())
        .await
        .expect("a database is made");
    let bouncer = Bouncer::before(fleet.url(), "").await;
    let url = bouncer.url(&name);
    let migrating: Vec<_> = (0..4)
        .map(|_| {
            let settings = at(&url);
            tokio::spawn(async move {
                let store = Store::connect(&settings).await.expect("it connects");
                migrate::run(&store).await.expect("it is migrated").applied
            })
        })
        .collect();
    let mut did = 0;
    for migrated in migrating {
        did += usize::from(!migrated.await.expect("it ends").is_empty());
    }
    let store = Store::connect(&at(&url)).await.expect("it connects");
    migrate::check(&store).await.expect("the schema is there");
    drop((store, bouncer));
    let forget = AssertSqlSafe(format!("drop database {name} with (force)"));
    sqlx::raw_sql(forget)
        .execute(fleet.store.pool())
        .await
        .expect("it goes");
    assert_eq!(did, 1, "one migrates, the others find it done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f27_what_is_relied_on_holds_in_each_transaction_and_is_left_to_nobody() {
    let fleet = Fleet::with(vec![a_model("a")]).await;
    let odd = format!(
        "alter database {0} set synchronous_commit = off; alter database {0} set default_transaction_isolation = 'serializable';
         alter database {0} set lock_timeout = 0; alter database {0} set statement_timeout = 0; alter database {0} set jit = on;
         create table seen (way text, name text, value text);
         create function see() returns trigger language plpgsql as $$
         begin
           insert into seen select new.host, s, current_setting(s) from unnest(array['synchronous_commit', 'transaction_isolation', 'lock_timeout',
             'statement_timeout', 'jit', 'timezone', 'idle_in_transaction_session_timeout']) s;
           return new;
         end $$;
         create trigger see before insert on tidegate.processes for each row execute function see()",
        name_of(&fleet)
    );
    sqlx::raw_sql(AssertSqlSafe(odd))
        .execute(fleet.store.pool())
        .await
        .expect("the database is set oddly");
    let mut ways = vec![fleet.url().to_owned()];
    let bouncer = match is_there("pgbouncer") {
        true => Some(Bouncer::before(fleet.url(), "").await),
        false => None,
    };
    ways.extend(bouncer.as_ref().map(|it| it.url(&name_of(&fleet))));
    for url in &ways {
        let store = Store::connect(&at(url)).await.expect("it connects");
        a_process(&store, Duration::from_secs(60)).await;
    }
    let expected = i64::try_from(ways.len()).expect("few");
    for wanted in [
        "select count(*) from seen where name = 'synchronous_commit' and value = 'on'",
        "select count(*) from seen where name = 'transaction_isolation' and value = 'read committed'",
        "select count(*) from seen where name = 'lock_timeout' and value = '10s'",
        "select count(*) from seen where name = 'statement_timeout' and value = '1min'",
        "select count(*) from seen where name = 'jit' and value = 'off'",
        "select count(*) from seen where name = 'timezone' and value = 'UTC'",
        "select count(*) from seen where name = 'idle_in_transaction_session_timeout' and value = '1min'",
    ] {
        assert_eq!(fleet.count(wanted).await, expected, "{wanted}");
    }
    if let Some(bouncer) = &bouncer {
        let url = bouncer.url(&name_of(&fleet));
        let mut other = PgConnection::connect_with(&options(&url).extra_float_digits(None))
            .await
            .expect("others connect");
        let left: (String, i64) = sqlx::query_as("select current_setting('synchronous_commit'), (select count(*) from pg_prepared_statements where name <> '')")
            .persistent(false)
            .fetch_one(&mut other)
            .await
            .expect("an answer");
        assert_eq!(
            left,
            ("off".to_owned(), 0),
            "a server of the pool is as it was"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f27_a_pooler_that_swallows_start_up_options_is_found_out_too() {
    if !is_there("pgbouncer") {
        return;
    }
    let fleet = Fleet::with(["a", "b"].map(a_model).to_vec()).await;
    sqlx::raw_sql("create table answers (item_id text, answer text)")
        .execute(fleet.store.pool())
        .await
        .expect("a table is made");
    let bouncer = Bouncer::before(fleet.url(), "options,extra_float_digits").await;
    let url = bouncer.url(&name_of(&fleet));
    let store = Store::connect(&at(&url)).await.expect("it connects");
    assert_eq!(store.pooler(), Pooler::Transaction);
    assert_eq!(
        Store::connect(&at(fleet.url()))
            .await
            .expect("it connects")
            .pooler(),
        Pooler::None
    );
    load(&store, ONE_TIER, &items(20)).await.expect("it loads");
    let process = a_process(&store, Duration::from_secs(60)).await;
    let taken = claim(&store, process, 20).await;
    let ids: Vec<_> = taken.iter().map(|task| task.task).collect();
    assert_eq!(store.bodies(&ids).await.expect("bodies").len(), 20);
}
