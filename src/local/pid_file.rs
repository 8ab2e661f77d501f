//! `postmaster.pid`: what it says, and whether the process it names is still that server.

use std::path::{Path, PathBuf};

/// What a server wrote about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: u32,
    /// When it started, as it wrote it; with the pid, this names one run of one server.
    pub(super) started: String,
    /// The folder of its socket; `None` until it has one.
    pub(super) socket_dir: Option<PathBuf>,
}

impl PidFile {
    /// The pid file of a cluster; `None` if there is none, or one that makes no sense.
    pub(super) fn read(data: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    /// The lines: pid, data folder, start time, port, socket folder, address, shared memory, state.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let started = lines.nth(1).unwrap_or_default().to_owned();
        let socket_dir = lines
            .nth(1)
            .filter(|line| !line.is_empty())
            .map(PathBuf::from);
        Some(Self {
            pid,
            started,
            socket_dir,
        })
    }

    /// One run of one server, as text.
    pub(super) fn identity(&self) -> String {
        format!("{} {}", self.pid, self.started)
    }
}

/// Removes `postmaster.pid` and the socket's lock file if they name a process that cannot be this
/// cluster's server: a zombie that nobody reaps, or a stranger with the same pid. Also if they name
/// nobody: an empty one is what a crash of the machine leaves.
///
/// Postgres itself removes them when no such process exists. Its children are none of this: while
/// one is left, the shared memory block (found by the data folder, not by this file) stops a start.
pub(super) fn remove_stale(data: &Path, socket_dir: &Path) -> std::io::Result<()> {
    for path in [
        data.join("postmaster.pid"),
        socket_dir.join(".s.PGSQL.5432.lock"),
    ] {
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        if pid_in(&text).is_none_or(|pid| is_another(pid, data)) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The first line; a server that was run by hand for one session has a minus before it.
fn pid_in(text: &str) -> Option<u32> {
    text.lines()
        .next()?
        .trim()
        .trim_start_matches('-')
        .parse()
        .ok()
}

/// Whether the process lives and is certainly not the server of this cluster. Where there is no
/// `/proc` nothing is certain.
fn is_another(pid: u32, data: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let Ok(stat) = std::fs::read_to_string(process.join("stat")) else {
        return false;
    };
    if is_zombie(&stat) {
        return true;
    }
    let Ok(command) = std::fs::read(process.join("cmdline")) else {
        return false;
    };
    !is_server(&command, data)
}

/// The state follows the name, which is in brackets and may hold anything.
fn is_zombie(stat: &str) -> bool {
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']))
}

fn is_server(command: &[u8], data: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    command
        .split(|byte| *byte == 0)
        .any(|word| word == data.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_names_the_run_and_the_socket() {
        let text = "4711\n/d/data\n1700000000\n5432\n/d/socket\n\n  12 34\nready   \n";
        let file = PidFile::parse(text).unwrap();
        assert_eq!(file.identity(), "4711 1700000000");
        assert_eq!(file.socket_dir, Some(PathBuf::from("/d/socket")));
    }

    #[test]
    fn a_pid_file_without_a_socket_line_has_no_socket() {
        assert_eq!(
            PidFile::parse("4711\n/d/data\n17\n5432\n")
                .unwrap()
                .socket_dir,
            None
        );
        assert_eq!(PidFile::parse(""), None);
        assert_eq!(PidFile::parse("-12\n"), None);
    }

    #[test]
    fn a_single_sessions_pid_is_read_without_its_minus() {
        assert_eq!(pid_in("-12\n"), Some(12));
        assert_eq!(pid_in("garbage\n"), None);
        assert_eq!(pid_in(""), None);
    }

    #[test]
    fn a_zombie_is_told_whatever_its_name() {
        assert!(is_zombie("12 (postgres) Z 1 12"));
        assert!(is_zombie("12 (a) S (b) Z 1 12"));
        assert!(!is_zombie("12 (a) Z) S 1 12"));
    }

    #[test]
    fn a_server_is_told_by_its_data_folder() {
        let command = b"/usr/bin/postgres\0-D\0/d/data\0-c\0x=1\0";
        assert!(is_server(command, Path::new("/d/data")));
        assert!(!is_server(command, Path::new("/d/dat")));
    }
}
