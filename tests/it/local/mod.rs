//! The private Postgres, against real programs of this machine, each test in a folder of its own.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests; their helpers are tests too"
)]

mod finding;
mod installing;
mod sharing;
mod starting;
mod surviving;

use std::path::{Path, PathBuf};

use sqlx::{Connection, PgConnection};
use tidegate::local::{Binaries, Local, Settings, start};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::support::{Janitor, TestFolder, binaries, crash, test_settings};

/// A place for one private Postgres, which is gone with it.
struct Sandbox {
    settings: Settings,
    binaries: Binaries,
    home: PathBuf,
    // Before the janitor: he looks once we let go of his lock.
    folder: TestFolder,
    _janitor: Janitor,
}

impl Sandbox {
    async fn new() -> Self {
        Self::with_home("home").await
    }

    /// The cluster's folder is yet to be made.
    async fn with_home(home: &str) -> Self {
        let (folder, binaries) = (TestFolder::new(), binaries().await);
        let home = folder.join(home);
        let janitor = Janitor::of_ours(folder.path(), &home, &binaries);
        let settings = Settings {
            data_dir: Some(home.clone()),
            temp_dir: folder.path().into(),
            xdg_runtime_dir: None,
            ..test_settings()
        };
        Self {
            settings,
            binaries,
            home,
            folder,
            _janitor: janitor,
        }
    }

    /// The cluster is there, its server is not running. A copy: making one takes a second.
    async fn with_cluster() -> Self {
        static MADE: OnceCell<Sandbox> = OnceCell::const_new();
        let made = MADE.get_or_init(|| Box::pin(Self::make_cluster())).await;
        let sandbox = Self::new().await;
        std::fs::create_dir(&sandbox.home).unwrap();
        let mode = sandbox.folder.path().metadata().unwrap().permissions();
        std::fs::set_permissions(&sandbox.home, mode).unwrap();
        let mut copy = Command::new("cp");
        copy.arg("-a")
            .args([made.join("data"), sandbox.join("data")]);
        assert!(copy.status().await.unwrap().success());
        sandbox
    }

    async fn make_cluster() -> Self {
        let sandbox = Self::new().await;
        sandbox.start().await.close().await.unwrap();
        sandbox
    }

    async fn start(&self) -> Local {
        start(&self.settings)
            .await
            .expect("the private Postgres starts")
    }

    fn join(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Best effort: the janitor comes after us.
        crash(&self.home, &self.binaries);
    }
}

/// One value from the private database.
async fn ask(local: &Local, query: &'static str) -> String {
    let mut connection = PgConnection::connect_with(&local.connect_options())
        .await
        .expect("it takes connections");
    sqlx::query_scalar(query)
        .fetch_one(&mut connection)
        .await
        .expect("it answers")
}

/// A link to a whole folder, and the folders above it.
fn link(real: &Path, link: &Path) {
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(real, link).unwrap();
}

/// A shell script that can be run.
fn script(path: &Path, body: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}
