//! A database a test, cloned from a migrated template on the one server of the test run.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::process::{Pid, geteuid, test_kill_process};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tidegate::local::{Binaries, Brought, Local, Settings};
use tokio::sync::OnceCell;

use super::server::open_to_server;
use super::{Janitor, binaries, migrate, start, test_settings};

/// Connections that one test may have at once.
const POOL_SIZE: u32 = 10;
/// Held while the template is made: one maker at a time, whatever process it is in.
const TEMPLATE_LOCK: i64 = 7_236_001;

/// A migrated database of the test's own, dropped with it.
#[derive(Debug)]
pub(crate) struct TestDb {
    name: String,
    url: String,
    admin_url: String,
    pool: PgPool,
    audited: AtomicBool,
}

impl TestDb {
    /// Clones one; the first of a run starts the server, and makes the template if the migrations
    /// have changed.
    pub(crate) async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = Server::shared().await;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());

        let admin_url = server.local.url_of("postgres");
        let mut admin = PgConnection::connect(&admin_url)
            .await
            .expect("the server runs");
        // A killed process of the same id may have left one.
        run(
            &mut admin,
            format!("drop database if exists {name} with (force)"),
        )
        .await;
        run(
            &mut admin,
            format!("create database {name} template {}", server.template),
        )
        .await;
        admin.close().await.expect("a connection can be closed");

        let url = server.local.url_of(&name);
        let pool = PgPoolOptions::new()
            .max_connections(POOL_SIZE)
            .connect(&url)
            .await;
        Self {
            name,
            url,
            admin_url,
            pool: pool.expect("the database was made above"),
            audited: AtomicBool::new(true),
        }
    }

    /// For a test that writes rows of its own making, which no book knows.
    pub(crate) fn unaudited(&self) {
        self.audited.store(false, Ordering::Relaxed);
    }

    /// Its URL, for programs and pools of one's own.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its pool, of ten connections.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// Calls at once of models are not what a test is about: there may be many from the start.
pub(crate) async fn many_at_once<'e>(database: impl sqlx::PgExecutor<'e>) {
    let sql = "update tidegate.limits set size = 10000, told = 10000 where adaptive";
    let many = sqlx::query(sql).execute(database).await;
    many.expect("limits are there");
}

impl Drop for TestDb {
    /// Whatever the test did, the books agree with `tasks` in the end.
    ///
    /// Waits: at the end of the last test the process ends, and would take a thread with it.
    fn drop(&mut self) {
        let drop_it = format!("drop database if exists {} with (force)", self.name);
        let (url, admin_url) = (self.url.clone(), self.admin_url.clone());
        let audited = self.audited.load(Ordering::Relaxed) && !std::thread::panicking();
        let helper = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let audit = match audited {
                    true => audit(&url).await,
                    false => Ok(Vec::new()),
                };
                let mut admin = PgConnection::connect(&admin_url).await?;
                sqlx::raw_sql(AssertSqlSafe(drop_it))
                    .execute(&mut admin)
                    .await?;
                admin.close().await?;
                anyhow::Ok(audit.unwrap_or_default())
            })
        });
        // Best effort: what stays is swept up by the next run.
        let found = helper.join().ok().and_then(Result::ok).unwrap_or_default();
        assert!(
            !audited || found.is_empty(),
            "the books disagree: {found:?}"
        );
    }
}

/// Each sort of disagreement between books and tasks, with how often and an example.
async fn audit(url: &str) -> sqlx::Result<Vec<(String, i64, Option<String>)>> {
    let mut connection = PgConnection::connect(url).await?;
    let found = sqlx::query_as(
        "select o_what, o_n, o_example::text from tidegate.audit_v1() order by o_what",
    )
    .fetch_all(&mut connection)
    .await;
    connection.close().await?;
    found
}

/// The one server of the test run, shared by its threads and processes.
struct Server {
    local: Local,
    template: String,
    _janitor: Janitor,
}

impl Server {
    async fn shared() -> &'static Self {
        static SERVER: OnceCell<Server> = OnceCell::const_new();
        SERVER.get_or_init(|| Box::pin(Self::start())).await
    }

    async fn start() -> Self {
        let binaries = binaries().await;
        let folder = folder(&binaries);
        let janitor = Janitor::of_shared(&folder, &binaries);
        let settings = Settings {
            data_dir: Some(folder),
            // Every test of a run at once, on a machine of many cores.
            max_connections: 500,
            ..test_settings()
        };
        let local = start(&settings).await.expect("the tests' server starts");
        let template = make_template(&local).await;
        Self {
            local,
            template,
            _janitor: janitor,
        }
    }
}

/// A folder for this package, this user and this Postgres, in a place that the server's user can
/// reach. The machine's boot is part of its name: without fsync a cluster means nothing after a
/// power cut.
fn folder(binaries: &Binaries) -> PathBuf {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let name = format!("{} {} {boot}", env!("CARGO_MANIFEST_DIR"), binaries.major);
    let (user, hash) = (geteuid().as_raw(), hex::encode(&Sha256::digest(name)[..6]));
    let folder = std::env::temp_dir().join(format!("tidegate-test-{user}-{hash}"));
    if std::fs::create_dir(&folder).is_ok() {
        open_to_server(&folder);
    }
    let owner = folder
        .symlink_metadata()
        .expect("the folder was made above")
        .uid();
    assert_eq!(owner, user, "somebody else made {}", folder.display());
    folder
}

/// Makes the template unless it is there, and sweeps up what killed processes left.
async fn make_template(local: &Local) -> String {
    let template = format!("schema_{}", migrate::fingerprint());
    let mut admin = PgConnection::connect(&local.url_of("postgres"))
        .await
        .expect("it runs");
    sqlx::query("select pg_advisory_lock($1)")
        .bind(TEMPLATE_LOCK)
        .execute(&mut admin)
        .await
        .expect("a lock can be waited for");
    let names: Vec<String> = sqlx::query_scalar("select datname::text from pg_database")
        .fetch_all(&mut admin)
        .await
        .expect("databases can be listed");

    // Templates of an older schema go when the server is fresh: then no older run uses them.
    let fresh = local.brought() != Brought::Attached;
    let outdated = |name: &str| fresh && name.starts_with("schema_") && name != template;
    for name in names
        .iter()
        .filter(|name| is_left_over(name) || outdated(name))
    {
        run(
            &mut admin,
            format!("drop database if exists {name} with (force)"),
        )
        .await;
    }
    if !names.contains(&template) {
        // Under another name until it is whole: a killed maker leaves no half-made template.
        run(
            &mut admin,
            "drop database if exists schema_new with (force)".into(),
        )
        .await;
        run(&mut admin, "create database schema_new".into()).await;
        let pool = PgPool::connect(&local.url_of("schema_new"))
            .await
            .expect("it was made above");
        migrate::migrate(&pool).await;
        pool.close().await;
        run(
            &mut admin,
            format!("alter database schema_new rename to {template}"),
        )
        .await;
    }
    admin.close().await.expect("a connection can be closed");
    template
}

/// Whether a test's database has outlived its process, whose id is in its name.
fn is_left_over(name: &str) -> bool {
    let process = name
        .strip_prefix("test_")
        .and_then(|rest| rest.split('_').next());
    let process = process.and_then(|id| Pid::from_raw(id.parse().ok()?));
    process.is_some_and(|id| test_kill_process(id) == Err(rustix::io::Errno::SRCH))
}

/// Statements on databases take no parameters; the names are made here.
async fn run(admin: &mut PgConnection, statement: String) {
    let shown = statement.clone();
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(admin).await;
    done.unwrap_or_else(|error| panic!("{shown}: {error}"));
}

#[test]
fn only_databases_of_dead_processes_are_left_over() {
    assert!(!is_left_over(&format!("test_{}_1", std::process::id())));
    assert!(!is_left_over("schema_123"));
    assert!(!is_left_over("test_other"));
    // No process can have the highest number: the kernel's limit is far below.
    assert!(is_left_over(&format!("test_{}_1", i32::MAX)));
}
