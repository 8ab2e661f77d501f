//! Making, starting and stopping the one server of a folder. Callers hold `start.lock`.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::Instant;

use super::binaries::{self, Binaries};
use super::connect::{Answer, knock};
use super::folder::Folder;
use super::pid_file::{self, PidFile};
use super::socket::{self, PORT};
use super::{Brought, LocalError, Settings};

/// How long a killed server's remains may stand in the way: its children see its end within about
/// a second, and who reaps it may take some more.
const REMAINS_TIME_MAX: Duration = Duration::from_secs(10);
const REMAINS_TRY_EVERY: Duration = Duration::from_millis(100);
/// How long a server may recover after a crash before it takes connections.
const READY_TIME_MAX: Duration = Duration::from_secs(120);
const READY_TRY_EVERY: Duration = Duration::from_millis(20);
/// pg_ctl's own patience, in seconds.
const PG_CTL_WAIT_S: &str = "60";
/// The log begins anew at a start when it is longer.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// How much of a program's words goes into an error.
const SAID_BYTES_MAX: usize = 2000;

/// A server that answers.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) socket_dir: PathBuf,
    pub(super) brought: Brought,
    pub(super) has_database: bool,
}

/// The server of one folder.
#[derive(Debug)]
pub(super) struct Server<'a> {
    pub(super) folder: &'a Folder,
    pub(super) settings: &'a Settings,
}

impl Server<'_> {
    /// Attaches to the running server, or starts it, or first makes its cluster.
    pub(super) async fn bring_up(&self) -> Result<Running, LocalError> {
        if let Some(running) = self.running().await? {
            return Ok(running);
        }
        let major = self.folder.major();
        let data = self.folder.data();
        let binaries = binaries::find_for(major, &data, self.settings, &self.folder.user).await?;
        let socket_dir = socket::place(self.folder, self.settings)?;
        if major.is_none() {
            self.create(&binaries).await?;
        }
        self.start(&binaries, &socket_dir).await?;
        let has_database = self.ready(&socket_dir).await?;
        let brought = if major.is_none() {
            Brought::Created
        } else {
            Brought::Started
        };
        Ok(Running {
            socket_dir,
            brought,
            has_database,
        })
    }

    /// The server if it answers. Its pid file only says where to knock; that it exists means
    /// nothing.
    pub(super) async fn running(&self) -> Result<Option<Running>, LocalError> {
        let Some(socket_dir) = PidFile::read(&self.folder.data()).and_then(|it| it.socket_dir)
        else {
            return Ok(None);
        };
        let found = |socket_dir, has_database| {
            Ok(Some(Running {
                socket_dir,
                brought: Brought::Attached,
                has_database,
            }))
        };
        match knock(&socket_dir, &self.settings.database).await {
            Answer::Ready => found(socket_dir, true),
            Answer::NoDatabase => found(socket_dir, false),
            Answer::Nobody(_) => Ok(None),
            Answer::Refused(source) => Err(no_entry(&socket_dir, source)),
            // It starts, and we wait; or it stops, and then there is nobody.
            Answer::NotYet(_) => match self.ready(&socket_dir).await {
                Ok(has_database) => found(socket_dir, has_database),
                Err(LocalError::NotStarted { .. }) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Stops the server, which ends its sessions.
    pub(super) async fn stop(&self) -> Result<(), LocalError> {
        let data = self.folder.data();
        let Some(pid_file) = PidFile::read(&data) else {
            return Ok(());
        };
        let binaries =
            binaries::find_for(self.folder.major(), &data, self.settings, &self.folder.user)
                .await?;
        let mut pg_ctl = self.folder.user.command(&binaries.program("pg_ctl"));
        pg_ctl
            .arg("stop")
            .arg("-D")
            .arg(&data)
            .args(["-m", "fast", "-w", "-t", PG_CTL_WAIT_S]);
        let output = run(&mut pg_ctl).await?;
        // pg_ctl also fails when the server ended by itself meanwhile.
        if !output.status.success() && PidFile::read(&data).is_some() {
            return Err(failed(&binaries.program("pg_ctl"), &output));
        }
        // Only an empty folder goes, so never one that something else uses.
        if let Some(socket_dir) = pid_file.socket_dir {
            let _ = std::fs::remove_dir(socket_dir);
        }
        Ok(())
    }

    /// In `data.new`, then renamed: a crash on the way leaves nothing half-made.
    async fn create(&self, binaries: &Binaries) -> Result<(), LocalError> {
        let (data, new) = (self.folder.data(), self.folder.data_new());
        if new.exists() {
            std::fs::remove_dir_all(&new).map_err(LocalError::io("clear away", &new))?;
        }
        self.folder.make_private(&new)?;
        let program = binaries.program("initdb");
        let mut initdb = self.folder.user.command(&program);
        initdb.arg("-D").arg(&new);
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"]);
        initdb.arg("--no-instructions");
        if !self.settings.durable {
            initdb.arg("--no-sync");
        }
        let output = run(&mut initdb).await?;
        if !output.status.success() {
            return Err(failed(&program, &output));
        }
        std::fs::rename(&new, &data).map_err(LocalError::io("put the new cluster in", &data))
    }

    /// Starts the server, past the remains of a killed one.
    async fn start(&self, binaries: &Binaries, socket_dir: &Path) -> Result<(), LocalError> {
        let data = self.folder.data();
        let deadline = Instant::now() + REMAINS_TIME_MAX;
        loop {
            pid_file::remove_stale(&data, socket_dir).map_err(LocalError::io(
                "clear a killed server's pid file from",
                &data,
            ))?;
            let Err(said) = self.start_once(binaries, socket_dir).await? else {
                return Ok(());
            };
            if !is_remains(&said) || Instant::now() >= deadline {
                return Err(LocalError::NotStarted {
                    data,
                    log: self.folder.log(),
                    said,
                });
            }
            tokio::time::sleep(REMAINS_TRY_EVERY).await;
        }
    }

    /// One attempt; the inner error is what the server said.
    async fn start_once(
        &self,
        binaries: &Binaries,
        socket_dir: &Path,
    ) -> Result<Result<(), String>, LocalError> {
        let log_begin = self.open_log()?;
        let mut pg_ctl = self.folder.user.command(&binaries.program("pg_ctl"));
        pg_ctl
            .arg("start")
            .arg("-D")
            .arg(self.folder.data())
            .arg("-l")
            .arg(self.folder.log());
        pg_ctl.args(["-w", "-t", PG_CTL_WAIT_S]);
        pg_ctl
            .arg("-o")
            .arg(server_options(self.settings, socket_dir));
        let output = run(&mut pg_ctl).await?;
        if output.status.success() {
            return Ok(Ok(()));
        }
        let log = self.log_since(log_begin)?;
        // Where the server never came to write, pg_ctl knows why.
        Ok(Err(if log.is_empty() { said(&output) } else { log }))
    }

    /// Waits until the server takes connections; tells whether the database is there.
    async fn ready(&self, socket_dir: &Path) -> Result<bool, LocalError> {
        let deadline = Instant::now() + READY_TIME_MAX;
        loop {
            let said = match knock(socket_dir, &self.settings.database).await {
                Answer::Ready => return Ok(true),
                Answer::NoDatabase => return Ok(false),
                Answer::Nobody(said) => {
                    let (data, log) = (self.folder.data(), self.folder.log());
                    return Err(LocalError::NotStarted { data, log, said });
                }
                Answer::Refused(source) => return Err(no_entry(socket_dir, source)),
                Answer::NotYet(said) => said,
            };
            if Instant::now() >= deadline {
                return Err(LocalError::NotAnswering {
                    socket: socket_dir.into(),
                    waited: READY_TIME_MAX,
                    said,
                    log: self.folder.log(),
                });
            }
            tokio::time::sleep(READY_TRY_EVERY).await;
        }
    }

    /// Makes the log ready for the server's user; where it ends now.
    fn open_log(&self) -> Result<u64, LocalError> {
        let path = self.folder.log();
        let error = || LocalError::io("open the log", &path);
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(error())?;
        let length = log.metadata().map_err(error())?.len();
        if length > LOG_BYTES_MAX {
            log.set_len(0).map_err(error())?;
        }
        self.folder.user.give(&path)?;
        Ok(if length > LOG_BYTES_MAX { 0 } else { length })
    }

    fn log_since(&self, begin: u64) -> Result<String, LocalError> {
        let path = self.folder.log();
        let error = || LocalError::io("read the log", &path);
        let mut log = std::fs::File::open(&path).map_err(error())?;
        log.seek(SeekFrom::Start(begin)).map_err(error())?;
        let mut bytes = Vec::new();
        log.take(LOG_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(error())?;
        Ok(end_of(&bytes))
    }
}

/// The server's options as pg_ctl wants them: words for a shell.
fn server_options(settings: &Settings, socket_dir: &Path) -> String {
    let mut options = vec![
        "listen_addresses=".to_owned(),
        format!("port={PORT}"),
        // A list of folders; quoted, so that a blank in the path parts nothing.
        format!("unix_socket_directories=\"{}\"", socket_dir.display()),
        "unix_socket_permissions=0700".into(),
        format!("max_connections={}", settings.max_connections),
        format!("shared_buffers={}MB", settings.shared_buffers_mb),
        "timezone=UTC".into(),
        "log_timezone=UTC".into(),
        // The log shall not hold rows: a DETAIL line may quote a prompt.
        "log_error_verbosity=terse".into(),
    ];
    if !settings.durable {
        let off = [
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
        ];
        options.extend(off.map(str::to_owned));
    }
    options.extend(settings.server_options.iter().cloned());
    let words = options
        .iter()
        .map(|option| format!("-c {}", shell_quote(option)));
    words.collect::<Vec<_>>().join(" ")
}

fn shell_quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Whether a start failed over what a killed server left, which goes away in time.
fn is_remains(said: &str) -> bool {
    said.contains("lock file \"") && said.contains("already exists")
        || said.contains("pre-existing shared memory block")
}

fn no_entry(socket_dir: &Path, source: sqlx::Error) -> LocalError {
    LocalError::Refused {
        socket: socket_dir.into(),
        doing: "let us in",
        source,
    }
}

async fn run(command: &mut Command) -> Result<Output, LocalError> {
    let program = PathBuf::from(command.as_std().get_program());
    command
        .output()
        .await
        .map_err(LocalError::io("run", &program))
}

fn failed(program: &Path, output: &Output) -> LocalError {
    let status = output.status.to_string();
    LocalError::Failed {
        program: program.into(),
        status,
        output: said(output),
    }
}

/// What a program said, on both channels.
pub(super) fn said(output: &Output) -> String {
    end_of(&[&*output.stdout, &*output.stderr].concat())
}

fn end_of(bytes: &[u8]) -> String {
    let begin = bytes.len().saturating_sub(SAID_BYTES_MAX);
    String::from_utf8_lossy(&bytes[begin..]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_reaches_the_server_as_one_word() {
        assert_eq!(shell_quote("a=it's $HOME"), r"'a=it'\''s $HOME'");
    }

    #[test]
    fn the_users_options_come_last_and_so_win() {
        let settings = Settings {
            server_options: vec!["port=1".into()],
            ..Settings::default()
        };
        assert!(server_options(&settings, Path::new("/s")).ends_with("-c 'port=1'"));
    }

    #[test]
    fn only_a_killed_servers_remains_are_waited_for() {
        assert!(is_remains(
            "FATAL:  lock file \"postmaster.pid\" already exists"
        ));
        assert!(is_remains(
            "FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use"
        ));
        assert!(!is_remains(
            "FATAL:  unrecognized configuration parameter \"x\""
        ));
    }
}
