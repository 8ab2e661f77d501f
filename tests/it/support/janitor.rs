//! Clearing up after test processes that are gone, killed ones too.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use tidegate::local::Binaries;

/// Waits for the lock `$1` (one janitor at a time: `$2`), then stops the server of the data folder
/// `$3` with the command that follows, as its own user, and removes the folder `$4`, if any.
///
/// The wait for the other janitor is short: one that stays has somebody to wait for, and clears up
/// for us as well. He looks again twice: what a killed test had just begun (`pg_ctl start`) goes on
/// without it.
const SCRIPT: &str = r#"
lock=$1 one=$2 data=$3 remove=$4
shift 4
exec 8>>"$one" 9>>"$lock" || exit
flock -w 5 8 || exit
for round in 1 2 3; do
    flock 9
    if [ -e "$data/postmaster.pid" ]; then
        owner=
        if [ "$(id -u)" = 0 ]; then
            owner=$(stat -c 'setpriv --reuid=%u --regid=%g --clear-groups' "$data")
        fi
        $owner "$@" 8>&- 9>&-
    fi
    if [ -n "$remove" ]; then rm -rf "$remove"; fi
    flock -u 9
    sleep 1
done
"#;

/// A process of its own session that outlives us to clear up.
#[derive(Debug)]
pub(crate) struct Janitor {
    /// Held while we live; the kernel lets go of it for us.
    _alive: File,
}

impl Janitor {
    /// Once this process is gone (or the janitor dropped): stops the server of the folder
    /// `server`, then removes the folder `ours`. To be called before the server is started: a test
    /// may be killed on the way.
    pub(crate) fn of_ours(ours: &Path, server: &Path, binaries: &Binaries) -> Self {
        let alive = hold(&ours.join("alive.lock"));
        send(ours, server, Some(ours), binaries);
        Self { _alive: alive }
    }

    /// Once all processes that share this server are gone: stops it, and leaves its cluster. Also
    /// to be called first.
    pub(crate) fn of_shared(server: &Path, binaries: &Binaries) -> Self {
        let alive = hold(&server.join("alive.lock"));
        send(server, server, None, binaries);
        Self { _alive: alive }
    }
}

/// Says that we live. Waits for a janitor at work, who takes a fraction of a second.
fn hold(lock: &Path) -> File {
    let alive = OpenOptions::new().create(true).append(true).open(lock);
    let alive = alive.expect("a lock in a folder of the tests can be made");
    flock(&alive, FlockOperation::LockShared).expect("a lock can be waited for");
    alive
}

/// Where `setsid` and `flock` (util-linux) are missing, a killed test leaves its server to the next
/// run.
fn send(home: &Path, server: &Path, remove: Option<&Path>, binaries: &Binaries) {
    let (lock, one) = (home.join("alive.lock"), home.join("janitor.lock"));
    let data = server.join("data");
    let mut command = Command::new("setsid");
    command
        .args(["sh", "-c", SCRIPT, "janitor"])
        .arg(lock)
        .arg(one)
        .arg(&data);
    command
        .arg(remove.unwrap_or(Path::new("")))
        .arg(binaries.dir.join("pg_ctl"));
    command.args(STOP_IMMEDIATELY).arg(&data).current_dir("/");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // It outlives us: there is nobody to wait for it.
    drop(command.spawn());
}

const STOP_IMMEDIATELY: [&str; 5] = ["stop", "-w", "-m", "immediate", "-D"];

/// Kills the server of a folder as a crash would (no shutdown checkpoint), as its own user, and
/// returns when it is gone. `false`: there was none.
pub(crate) fn crash(server: &Path, binaries: &Binaries) -> bool {
    let data = server.join("data");
    let Ok(owner) = data.metadata() else {
        return false;
    };
    let mut command = Command::new(binaries.dir.join("pg_ctl"));
    command.args(STOP_IMMEDIATELY).arg(&data).current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    command.output().is_ok_and(|output| output.status.success())
}
