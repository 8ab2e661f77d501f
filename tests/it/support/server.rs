//! A server of one test's own, to be broken.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;
use sqlx::PgPool;
use tempfile::TempDir;
use tidegate::local::{Binaries, Local, Settings};

use super::{Janitor, binaries, crash, migrate, start, test_settings};

/// A private server with a migrated database. Making one takes about a second: take
/// [`TestDb`](super::TestDb) where the server itself need not suffer.
#[derive(Debug)]
pub(crate) struct TestServer {
    settings: Settings,
    binaries: Binaries,
    /// `None` after a crash, until it is started again.
    local: Option<Local>,
    url: String,
    /// Mounted on its folder.
    disk: Option<SmallDisk>,
    // Before the janitor: he looks once we let go of his lock.
    folder: TestFolder,
    _janitor: Janitor,
}

impl TestServer {
    /// Makes a server and its database, and migrates it.
    pub(crate) async fn private() -> Self {
        Self::of(test_settings()).await
    }

    /// The same, with so few connections.
    pub(crate) async fn with_connections(max_connections: u32) -> Self {
        Self::of(Settings {
            max_connections,
            ..test_settings()
        })
        .await
    }

    /// The same, on a disk of so many MiB. `None`: this user may not mount one.
    pub(crate) async fn on_a_small_disk(mib: u32) -> Option<Self> {
        let folder = TestFolder::new();
        let disk = SmallDisk::on(folder.path(), mib)?;
        open_to_server(folder.path());
        Some(Self::at(folder, Some(disk), test_settings()).await)
    }

    async fn of(settings: Settings) -> Self {
        Self::at(TestFolder::new(), None, settings).await
    }

    async fn at(folder: TestFolder, disk: Option<SmallDisk>, settings: Settings) -> Self {
        let binaries = binaries().await;
        let janitor = Janitor::of_ours(folder.path(), folder.path(), &binaries);
        let settings = Settings {
            data_dir: Some(folder.path().into()),
            // A crash of the server, not of the machine, must keep what was committed.
            server_options: vec!["synchronous_commit=on".into()],
            ..settings
        };
        let local = start(&settings).await.expect("a private server starts");
        let url = local.url();
        let server = Self {
            settings,
            binaries,
            local: Some(local),
            url,
            disk,
            folder,
            _janitor: janitor,
        };
        let pool = server.pool().await;
        migrate::migrate(&pool).await;
        pool.close().await;
        server
    }

    /// The disk it is on, where that is its own.
    pub(crate) fn disk(&self) -> Option<&Path> {
        self.disk.as_ref().map(|disk| disk.0.as_path())
    }

    /// The database's URL: the same before and after a crash.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A new pool. After a crash the connections of older ones are broken.
    pub(crate) async fn pool(&self) -> PgPool {
        PgPool::connect(&self.url)
            .await
            .expect("a running server takes connections")
    }

    /// Kills it as a crash would (no shutdown checkpoint), and returns when it is gone.
    pub(crate) fn crash(&mut self) {
        self.local = None;
        assert!(
            crash(self.folder.path(), &self.binaries),
            "there is a server to crash"
        );
    }

    /// Starts it again, and returns when it has recovered.
    pub(crate) async fn start(&mut self) {
        self.local = Some(
            start(&self.settings)
                .await
                .expect("it starts after a crash"),
        );
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // Best effort: the janitor comes after us.
        crash(self.folder.path(), &self.binaries);
        self.disk = None;
    }
}

/// A disk in memory, mounted on a folder until it is dropped.
#[derive(Debug)]
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn on(folder: &Path, mib: u32) -> Option<Self> {
        let size = format!("size={mib}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tidegate-test"])
            .arg(folder)
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // lazily: whoever still has a file open there may close it later
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A temporary folder that another user, the server's when we are root, can pass.
#[derive(Debug)]
pub(crate) struct TestFolder(TempDir);

impl TestFolder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("tidegate-test-").tempdir();
        let folder = folder.expect("a temporary folder can be made");
        open_to_server(folder.path());
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path in it; nothing is made.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Lets the server's user pass, who is another when we are root.
pub(super) fn open_to_server(folder: &Path) {
    let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
    std::fs::set_permissions(folder, PermissionsExt::from_mode(mode))
        .expect("our own folder can be opened up");
}
