//! Several users of one server, and who stops it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tidegate::local::{
    Brought, Closed, LocalError, Settings, Stopped, start, status, stop, stop_in_use,
};

use super::{Sandbox, ask};

#[tokio::test]
async fn the_second_start_attaches() {
    let sandbox = Sandbox::with_cluster().await;
    let (first, second) = (sandbox.start().await, sandbox.start().await);
    assert_eq!(second.brought(), Brought::Attached);
    assert_eq!((first.pid(), first.url()), (second.pid(), second.url()));
}

#[tokio::test]
async fn of_three_cold_starts_at_once_one_creates() {
    let sandbox = Sandbox::new().await;
    let (a, b, c) = tokio::join!(sandbox.start(), sandbox.start(), sandbox.start());
    let mut brought = [a.brought(), b.brought(), c.brought()];
    brought.sort_by_key(|it| *it != Brought::Created);
    assert_eq!(
        brought,
        [Brought::Created, Brought::Attached, Brought::Attached]
    );
}

#[tokio::test]
async fn the_last_to_close_stops_the_server() {
    let sandbox = Sandbox::with_cluster().await;
    let (first, second) = (sandbox.start().await, sandbox.start().await);
    assert_eq!(first.close().await.unwrap(), Closed::LeftToOthers);
    assert_eq!(ask(&second, "select 1::text").await, "1");
    assert_eq!(second.close().await.unwrap(), Closed::Stopped);
    assert!(!status(&sandbox.settings).await.unwrap().running);
}

#[tokio::test]
async fn of_users_that_close_at_once_one_stops_the_server() {
    let sandbox = Sandbox::with_cluster().await;
    let (first, second) = (sandbox.start().await, sandbox.start().await);
    let (first, second) = tokio::join!(first.close(), second.close());
    let mut closed = [first.unwrap(), second.unwrap()];
    closed.sort_by_key(|it| *it != Closed::Stopped);
    assert_eq!(closed, [Closed::Stopped, Closed::LeftToOthers]);
}

#[tokio::test]
async fn a_dropped_handle_leaves_the_server_running() {
    let sandbox = Sandbox::with_cluster().await;
    let pid = {
        let local = sandbox.start().await;
        local.pid()
    };
    let local = sandbox.start().await;
    assert_eq!((local.brought(), local.pid()), (Brought::Attached, pid));
}

#[tokio::test]
async fn a_killed_user_leaves_the_server_to_the_next() {
    let sandbox = Sandbox::with_cluster().await;
    let local = sandbox.start().await;
    let mut other = OtherUser::of(&sandbox);
    assert_eq!(local.close().await.unwrap(), Closed::LeftToOthers);
    other.kill();

    let local = sandbox.start().await;
    assert_eq!(local.brought(), Brought::Attached);
    assert_eq!(local.close().await.unwrap(), Closed::Stopped);
}

#[tokio::test]
async fn a_server_that_is_to_keep_running_does_so_whoever_closes_last() {
    let sandbox = Sandbox::with_cluster().await;
    let keep = Settings {
        keep_running: true,
        ..sandbox.settings.clone()
    };
    assert_eq!(
        start(&keep).await.unwrap().close().await.unwrap(),
        Closed::Kept
    );

    let local = sandbox.start().await;
    assert_eq!(local.brought(), Brought::Attached);
    assert_eq!(local.close().await.unwrap(), Closed::Kept);

    // It ends with that server.
    assert_eq!(stop(&sandbox.settings).await.unwrap(), Stopped::Stopped);
    assert_eq!(
        sandbox.start().await.close().await.unwrap(),
        Closed::Stopped
    );
}

#[tokio::test]
async fn a_server_in_use_is_stopped_only_by_force() {
    let sandbox = Sandbox::with_cluster().await;
    let _local = sandbox.start().await;
    let error = stop(&sandbox.settings).await.unwrap_err();
    assert!(matches!(error, LocalError::InUse { .. }), "{error}");
    assert!(status(&sandbox.settings).await.unwrap().running);

    assert_eq!(
        stop_in_use(&sandbox.settings).await.unwrap(),
        Stopped::Stopped
    );
    assert_eq!(
        stop_in_use(&sandbox.settings).await.unwrap(),
        Stopped::WasNotRunning
    );
}

#[tokio::test]
async fn stopping_what_never_was_makes_nothing() {
    let sandbox = Sandbox::new().await;
    assert_eq!(
        stop(&sandbox.settings).await.unwrap(),
        Stopped::WasNotRunning
    );
    assert!(!sandbox.home.exists());
}

/// Another process that uses the server, as far as its lock tells.
struct OtherUser(Child);

impl OtherUser {
    fn of(sandbox: &Sandbox) -> Self {
        let mut child = Command::new("sh")
            .args([
                "-c",
                r#"exec 9>>"$1"; flock -s 9; echo held; exec cat"#,
                "user",
            ])
            .arg(sandbox.join("users.lock"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell can be run");
        let mut line = String::new();
        let said = child.stdout.as_mut().expect("it is piped");
        BufReader::new(said)
            .read_line(&mut line)
            .expect("it says when it holds the lock");
        assert_eq!(line, "held\n");
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().expect("our own child can be killed");
        self.0.wait().expect("and waited for");
    }
}

impl Drop for OtherUser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
