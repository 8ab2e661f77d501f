//! Starting past what killed servers leave behind.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, geteuid, kill_process, waitid};
use tidegate::local::{Brought, Local};

use super::{Sandbox, ask};

#[tokio::test]
async fn a_killed_server_is_started_again() {
    let sandbox = Sandbox::with_cluster().await;
    let local = sandbox.start().await;
    kill_process(server(&local), Signal::KILL).unwrap();

    let again = sandbox.start().await;
    assert_eq!(again.brought(), Brought::Started);
    assert_ne!(again.pid(), None);
    assert_eq!(ask(&again, "select 1::text").await, "1");
}

#[tokio::test]
async fn a_strangers_pid_in_the_pid_file_stops_no_start() {
    let sandbox = Sandbox::with_cluster().await;
    let stranger = Stranger::of(&sandbox, "exec cat");
    leave_behind(&sandbox, stranger.0.id());

    let local = sandbox.start().await;
    assert_eq!(local.brought(), Brought::Started);
    assert_ne!(local.pid(), Some(stranger.0.id()));
}

#[tokio::test]
async fn a_zombies_pid_in_the_pid_file_stops_no_start() {
    let sandbox = Sandbox::with_cluster().await;
    let zombie = Stranger::of(&sandbox, "exit");
    let pid = Pid::from_child(&zombie.0);
    waitid(
        WaitId::Pid(pid),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )
    .unwrap();
    leave_behind(&sandbox, zombie.0.id());

    assert_eq!(sandbox.start().await.brought(), Brought::Started);
}

#[tokio::test]
async fn an_empty_pid_file_stops_no_start() {
    let sandbox = Sandbox::with_cluster().await;
    std::fs::write(sandbox.join("data/postmaster.pid"), "").unwrap();
    assert_eq!(sandbox.start().await.brought(), Brought::Started);
}

fn server(local: &Local) -> Pid {
    let pid = local.pid().expect("a running server has a pid file");
    Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid")
}

/// What a server of this pid would have left when it was killed.
fn leave_behind(sandbox: &Sandbox, pid: u32) {
    let (data, socket) = (sandbox.join("data"), sandbox.join("socket"));
    let text = format!(
        "{pid}\n{}\n1700000000\n5432\n{}\n",
        data.display(),
        socket.display()
    );
    std::fs::write(data.join("postmaster.pid"), &text).unwrap();
    std::fs::create_dir_all(&socket).unwrap();
    let owner = data.metadata().unwrap();
    std::os::unix::fs::chown(&socket, Some(owner.uid()), Some(owner.gid())).unwrap();
    std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::write(socket.join(".s.PGSQL.5432.lock"), &text).unwrap();
}

/// A process of the server's user: only such a one does Postgres take for a server.
struct Stranger(Child);

impl Stranger {
    fn of(sandbox: &Sandbox, script: &str) -> Self {
        let owner = sandbox.join("data").metadata().unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .current_dir("/")
            .stdin(Stdio::piped());
        if geteuid().is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        Self(command.spawn().expect("a shell can be run"))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
