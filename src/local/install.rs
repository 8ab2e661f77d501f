//! Getting Postgres where there is none: from the machine's own packages, or the command to do it.

use std::path::Path;
use std::process::Stdio;

use rustix::process::geteuid;
use tokio::process::Command;

use super::binaries::{self, Binaries};
use super::folder::Folder;
use super::server::said;
use super::user::ServerUser;
use super::{Local, LocalError, Settings, start};

/// Package managers and how each gets the server programs; the first one that is here counts.
const MANAGERS: [(&str, &str); 7] = [
    (
        "apt-get",
        "apt-get install -y --no-install-recommends postgresql",
    ),
    ("dnf", "dnf install -y postgresql-server"),
    ("yum", "yum install -y postgresql-server"),
    ("zypper", "zypper install -y postgresql-server"),
    ("pacman", "pacman -S --needed postgresql"),
    ("apk", "apk add postgresql"),
    ("brew", "brew install postgresql@17"),
];

/// Debian's package makes a cluster of its own and starts it on port 5432, unless this says no.
const CREATECLUSTER: &str = "/etc/postgresql-common/createcluster.conf";
const NO_MAIN_CLUSTER: &str = "create_main_cluster = false\n";

/// Starts the private Postgres; where the machine has no Postgres, [`install`]s one first.
///
/// # Errors
///
/// As [`start`] and [`install`].
pub async fn start_or_install(
    settings: &Settings,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<Local, LocalError> {
    match start(settings).await {
        Err(LocalError::NoBinaries { .. }) => {
            install(settings, say).await?;
            start(settings).await
        }
        started => started,
    }
}

/// Installs Postgres from the machine's packages, if it has none: as root on Debian, Ubuntu and
/// their kin. `say` is told each step before it is taken, in a line without its end. Debian's own
/// cluster is not made, unless `/etc/postgresql-common/createcluster.conf` is already there.
///
/// # Errors
///
/// [`LocalError::CannotInstall`] with the command for this machine where we cannot do it, and
/// [`LocalError::Failed`] when apt-get fails.
pub async fn install(
    settings: &Settings,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<Binaries, LocalError> {
    let user = match Folder::look(settings)? {
        Some(folder) => folder.user,
        None => ServerUser::choose(None)?,
    };
    if let Some(found) = binaries::find_all(settings, &user)
        .await?
        .into_iter()
        .next()
    {
        say(&format!(
            "Postgres {} is here already, in {}",
            found.version,
            found.dir.display()
        ));
        return Ok(found);
    }
    if let Err(reason) = may_install(settings) {
        return Err(LocalError::CannotInstall {
            reason,
            command: command(settings),
        });
    }
    keep_from_own_cluster(settings, say)?;
    apt_install(settings, say).await?;
    let found = binaries::find_all(settings, &user)
        .await?
        .into_iter()
        .next();
    let found = found.ok_or_else(|| binaries::none(settings))?;
    say(&format!(
        "installed Postgres {} in {}",
        found.version,
        found.dir.display()
    ));
    Ok(found)
}

/// What to do on this machine to get Postgres, as a clause.
pub(super) fn command(settings: &Settings) -> String {
    let sudo = if geteuid().is_root() { "" } else { "sudo " };
    let manager = MANAGERS
        .iter()
        .find(|(program, _)| settings.has_program(program));
    match manager {
        // brew refuses root, and asks for no more rights than the user's.
        Some(("brew", command)) => format!("run: {command}"),
        Some((_, command)) => format!("run: {sudo}{command}"),
        None => "install PostgreSQL 15 to 18".into(),
    }
}

fn may_install(settings: &Settings) -> Result<(), &'static str> {
    let release = std::fs::read_to_string(settings.system("/etc/os-release")).unwrap_or_default();
    if !is_debian(&release) || !settings.has_program("apt-get") {
        Err("this is not Debian or Ubuntu")
    } else if !geteuid().is_root() {
        Err("only root may install packages")
    } else {
        Ok(())
    }
}

/// Debian itself, or one that calls itself like it.
fn is_debian(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| {
            line.strip_prefix("ID=")
                .or_else(|| line.strip_prefix("ID_LIKE="))
        })
        .flat_map(|value| value.trim_matches(['"', '\'']).split_whitespace())
        .any(|word| word == "debian")
}

fn keep_from_own_cluster(
    settings: &Settings,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), LocalError> {
    let path = settings.system(CREATECLUSTER);
    if path.exists() {
        return Ok(());
    }
    say(&format!(
        "writing `{}` to {}",
        NO_MAIN_CLUSTER.trim(),
        path.display()
    ));
    let folder = path.parent().expect("the path above has a folder");
    std::fs::create_dir_all(folder).map_err(LocalError::io("make the folder", folder))?;
    std::fs::write(&path, NO_MAIN_CLUSTER).map_err(LocalError::io("write", &path))
}

/// The package lists may be missing or old, as in a fresh container: then they are fetched, once.
async fn apt_install(
    settings: &Settings,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), LocalError> {
    let install = ["install", "-y", "--no-install-recommends", "postgresql"];
    if apt_get(settings, &install, say).await.is_ok() {
        return Ok(());
    }
    say("that failed: its package lists may be missing or old");
    apt_get(settings, &["update"], say).await?;
    apt_get(settings, &install, say).await
}

async fn apt_get(
    settings: &Settings,
    args: &[&str],
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), LocalError> {
    say(&format!("running: apt-get {}", args.join(" ")));
    // Found here rather than by the system: the settings' PATH is the one that was looked in.
    let found = settings
        .path_folders()
        .into_iter()
        .map(|folder| folder.join("apt-get"));
    let program = found
        .into_iter()
        .find(|it| it.is_file())
        .unwrap_or_else(|| "apt-get".into());
    let output = Command::new(&program)
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(LocalError::io("run", Path::new(&program)))?;
    if output.status.success() {
        return Ok(());
    }
    Err(LocalError::Failed {
        program,
        status: output.status.to_string(),
        output: said(&output),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_its_kin_are_told_from_others() {
        assert!(is_debian("NAME=x\nID=debian\n"));
        assert!(is_debian("ID=ubuntu\nID_LIKE=debian\n"));
        assert!(is_debian("ID=mint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!is_debian("ID=fedora\nVERSION_ID=debian\n"));
        assert!(!is_debian("ID=\"rhel\"\nID_LIKE=\"fedora\"\n"));
    }
}
