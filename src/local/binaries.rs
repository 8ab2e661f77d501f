//! Finding the Postgres programs of this machine.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::settings::is_program;
use super::user::ServerUser;
use super::{LocalError, Settings, install};

/// The majors that we run on.
const MAJORS: RangeInclusive<u16> = 15..=18;
/// What a private Postgres takes. A minimal package has no more than these, no `psql`.
const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// One installed Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The folder that holds `initdb`, `pg_ctl` and `postgres`.
    pub dir: PathBuf,
    /// Its major: 15 to 18.
    pub major: u16,
    /// Its whole version, `15.18` say.
    pub version: String,
}

impl Binaries {
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Every usable Postgres, best first: the higher major, then the one found earlier. A `bin_dir`
/// in the settings is the only place that is looked in.
pub(super) async fn find_all(
    settings: &Settings,
    user: &ServerUser,
) -> Result<Vec<Binaries>, LocalError> {
    if let Some(dir) = &settings.bin_dir {
        return Ok(vec![find_named(dir, user).await?]);
    }
    let mut found = Vec::new();
    for dir in candidates(settings) {
        // A folder that the server's user cannot reach is as good as none.
        if missing(&dir).is_none()
            && user.reaches(&dir).is_ok()
            && let Some(binaries) = ask_version(&dir, user).await
        {
            found.push(binaries);
        }
    }
    found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
    Ok(found)
}

/// The Postgres for a cluster: of its major, or the best one when it is yet to be made.
pub(super) async fn find_for(
    cluster: Option<u16>,
    data: &Path,
    settings: &Settings,
    user: &ServerUser,
) -> Result<Binaries, LocalError> {
    let found = find_all(settings, user).await?;
    let majors = found.iter().map(|binaries| binaries.major).collect();
    let fitting = found
        .into_iter()
        .find(|binaries| cluster.is_none_or(|it| it == binaries.major));
    match (fitting, cluster) {
        (Some(binaries), _) => Ok(binaries),
        (None, Some(major)) => Err(LocalError::MajorMissing {
            data: data.into(),
            major,
            found: majors,
        }),
        (None, None) => Err(none(settings)),
    }
}

pub(super) fn none(settings: &Settings) -> LocalError {
    let mut looked: Vec<_> = PLACES
        .iter()
        .map(|(place, _)| settings.system(place))
        .collect();
    looked.extend(settings.path_folders());
    LocalError::NoBinaries {
        looked,
        command: install::command(settings),
    }
}

/// Where packages put them: a folder, and where to look in each folder of it.
const PLACES: [(&str, Within); 5] = [
    (
        "/usr/lib/postgresql",
        Within {
            prefix: "",
            rest: "bin",
        },
    ),
    (
        "/usr",
        Within {
            prefix: "pgsql-",
            rest: "bin",
        },
    ),
    (
        "/usr/libexec",
        Within {
            prefix: "postgresql",
            rest: "",
        },
    ),
    (
        "/opt/homebrew/opt",
        Within {
            prefix: "postgresql@",
            rest: "bin",
        },
    ),
    (
        "/usr/local/opt",
        Within {
            prefix: "postgresql@",
            rest: "bin",
        },
    ),
];

struct Within {
    prefix: &'static str,
    rest: &'static str,
}

fn candidates(settings: &Settings) -> Vec<PathBuf> {
    let packaged = PLACES.iter().flat_map(|(place, within)| {
        let entries = std::fs::read_dir(settings.system(place))
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter(|entry| {
                entry
                    .file_name()
                    .to_string_lossy()
                    .starts_with(within.prefix)
            })
            .map(|entry| entry.path().join(within.rest))
    });
    packaged.chain(settings.path_folders()).collect()
}

async fn find_named(dir: &Path, user: &ServerUser) -> Result<Binaries, LocalError> {
    let bad = |reason: String| LocalError::BadBinDir {
        dir: dir.into(),
        reason,
    };
    let dir_full = std::path::absolute(dir).map_err(LocalError::io("find", dir))?;
    if let Some(name) = missing(&dir_full) {
        return Err(bad(format!("which has no {name}")));
    }
    user.reaches(&dir_full)?;
    let found = ask_version(&dir_full, user).await;
    found.ok_or_else(|| bad("whose postgres does not run or is not of major 15 to 18".into()))
}

fn missing(dir: &Path) -> Option<&'static str> {
    PROGRAMS
        .into_iter()
        .find(|name| !is_program(&dir.join(name)))
}

async fn ask_version(dir: &Path, user: &ServerUser) -> Option<Binaries> {
    let output = user
        .command(&dir.join("postgres"))
        .arg("--version")
        .output()
        .await
        .ok()?;
    let version = parse_version(&String::from_utf8_lossy(&output.stdout))?;
    let major = version
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()?;
    MAJORS.contains(&major).then(|| Binaries {
        dir: dir.into(),
        major,
        version,
    })
}

/// The version in `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_version(text: &str) -> Option<String> {
    text.trim()
        .strip_prefix("postgres (PostgreSQL) ")?
        .split(' ')
        .next()
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_the_program_says() {
        let version = parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n");
        assert_eq!(version.as_deref(), Some("15.18"));
        assert_eq!(
            parse_version("postgres (PostgreSQL) 19beta1\n").as_deref(),
            Some("19beta1")
        );
        assert_eq!(parse_version("postgres (EnterpriseDB) 15.1"), None);
    }
}
