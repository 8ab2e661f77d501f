//! Coming up: from nothing, from a cluster, where it must not.

use std::os::unix::fs::PermissionsExt;

use rustix::process::geteuid;
use sqlx::{Connection, PgConnection};
use tidegate::local::{Brought, Closed, LocalError, Settings, start, status};

use super::{Sandbox, ask};

#[tokio::test]
async fn a_cold_start_creates_a_durable_database_without_a_port() {
    let mut sandbox = Sandbox::new().await;
    sandbox.settings.durable = true;
    let local = sandbox.start().await;
    assert_eq!(local.brought(), Brought::Created);
    assert_eq!(
        ask(&local, "select current_database()::text").await,
        "tidegate"
    );
    assert_eq!(ask(&local, "show listen_addresses").await, "");
    assert_eq!(ask(&local, "show fsync").await, "on");
    assert_eq!(ask(&local, "show server_encoding").await, "UTF8");
}

#[tokio::test]
async fn nobody_else_gets_at_the_socket_or_the_data() {
    let sandbox = Sandbox::with_cluster().await;
    let local = sandbox.start().await;
    for private in [
        local.data_dir(),
        local.socket_dir().into(),
        sandbox.join("server.log"),
    ] {
        assert_eq!(
            private.metadata().unwrap().permissions().mode() & 0o077,
            0,
            "{private:?}"
        );
    }
}

#[tokio::test]
async fn data_lives_on_from_start_to_start() {
    let sandbox = Sandbox::with_cluster().await;
    let local = sandbox.start().await;
    let mut connection = PgConnection::connect(&local.url()).await.unwrap();
    sqlx::query("create table kept (n int)")
        .execute(&mut connection)
        .await
        .unwrap();
    local.close().await.unwrap();

    let local = sandbox.start().await;
    assert_eq!(local.brought(), Brought::Started);
    assert_eq!(ask(&local, "select count(*)::text from kept").await, "0");
}

#[tokio::test]
async fn a_crash_while_creating_leaves_nothing_half_made() {
    let sandbox = Sandbox::new().await;
    std::fs::create_dir_all(sandbox.join("data.new/base")).unwrap();
    std::fs::write(sandbox.join("data.new/PG_VERSION"), "15\n").unwrap();
    assert_eq!(sandbox.start().await.brought(), Brought::Created);
    assert!(!sandbox.join("data.new").exists());
}

#[tokio::test]
async fn a_missing_database_is_made_on_a_server_that_runs() {
    let mut sandbox = Sandbox::with_cluster().await;
    let _first = sandbox.start().await;
    sandbox.settings.database = "another".into();
    let local = sandbox.start().await;
    assert_eq!(local.brought(), Brought::Attached);
    assert_eq!(
        ask(&local, "select current_database()::text").await,
        "another"
    );
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_puts_the_socket_elsewhere() {
    let sandbox = Sandbox::with_home(&"long/".repeat(24)).await;
    let local = sandbox.start().await;
    assert!(
        !local.socket_dir().starts_with(local.folder()),
        "{:?}",
        local.socket_dir()
    );
    assert_eq!(ask(&local, "select 1::text").await, "1");

    // Another process may have another idea of where temporary files go.
    let elsewhere = Settings {
        temp_dir: "/nowhere".into(),
        ..sandbox.settings.clone()
    };
    let second = start(&elsewhere).await.unwrap();
    assert_eq!(second.brought(), Brought::Attached);
    assert_eq!(second.socket_dir(), local.socket_dir());

    let socket_dir = local.socket_dir().to_owned();
    drop(second);
    assert_eq!(local.close().await.unwrap(), Closed::Stopped);
    assert!(
        !socket_dir.exists(),
        "an empty folder stayed in the temporary folder"
    );
}

#[tokio::test]
async fn a_server_that_does_not_start_is_quoted() {
    let mut sandbox = Sandbox::new().await;
    sandbox.settings.server_options = vec!["no_such_option=1".into()];
    let error = start(&sandbox.settings).await.unwrap_err();
    assert!(matches!(error, LocalError::NotStarted { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("no_such_option"), "{text}");
    assert!(
        text.contains(&*sandbox.join("server.log").to_string_lossy()),
        "{text}"
    );
}

#[tokio::test]
async fn a_folder_that_the_server_cannot_reach_is_named() {
    if !geteuid().is_root() {
        return; // Only root's server is somebody else.
    }
    let mut sandbox = Sandbox::new().await;
    let closed = sandbox.folder.join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
    sandbox.settings.data_dir = Some(closed.join("home"));
    let error = start(&sandbox.settings).await.unwrap_err();
    let LocalError::NotPassable { folder, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(folder, closed.canonicalize().unwrap());
}

#[tokio::test]
async fn looking_makes_nothing() {
    let sandbox = Sandbox::new().await;
    let found = status(&sandbox.settings).await.unwrap();
    assert!(!found.running && !found.in_use);
    assert_eq!((found.major, found.pid, found.url), (None, None, None));
    assert!(!sandbox.home.exists());
}

#[tokio::test]
async fn a_running_server_is_described() {
    let sandbox = Sandbox::with_cluster().await;
    let local = sandbox.start().await;
    let found = status(&sandbox.settings).await.unwrap();
    assert!(found.running && found.in_use);
    assert_eq!(found.major, Some(sandbox.binaries.major));
    assert_eq!((found.pid, found.url), (local.pid(), Some(local.url())));
    assert_eq!(found.socket_dir.as_deref(), Some(local.socket_dir()));
}
