//! The user that the server runs as: ourselves, or another when we are root, which Postgres
//! refuses.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Stdio;

use rustix::process::{getegid, geteuid};
use tokio::process::Command;

use super::LocalError;

/// Variables that would lead the programs elsewhere, or change what they say.
const PG_VARIABLES: [&str; 19] = [
    "PGAPPNAME",
    "PGCLIENTENCODING",
    "PGCONNECT_TIMEOUT",
    "PGCTLTIMEOUT",
    "PGDATA",
    "PGDATABASE",
    "PGDATESTYLE",
    "PGHOST",
    "PGHOSTADDR",
    "PGOPTIONS",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGPORT",
    "PGSERVICE",
    "PGSSLMODE",
    "PGTZ",
    "PGUSER",
    "PG_COLOR",
    "LANGUAGE",
];

/// Who the server runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerUser {
    uid: u32,
    gid: u32,
    name: String,
    /// We are root: programs must be started as this user, and files given to it.
    by_root: bool,
}

impl ServerUser {
    /// The owner of an existing cluster, else `postgres`, else `nobody`; ourselves if not root.
    pub(super) fn choose(cluster: Option<&Metadata>) -> Result<Self, LocalError> {
        if !geteuid().is_root() {
            let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
            return Ok(Self {
                uid,
                gid,
                name: format!("id {uid}"),
                by_root: false,
            });
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let owner = cluster.filter(|cluster| cluster.uid() != 0);
        if let Some(owner) = owner {
            let (uid, gid) = (owner.uid(), owner.gid());
            return Ok(Self {
                uid,
                gid,
                name: format!("id {uid}"),
                by_root: true,
            });
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| find(&passwd, name))
            .ok_or(LocalError::NoServerUser)
    }

    /// A command that runs as this user, away from our environment's Postgres settings.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Our own folder may be closed to that user.
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .env("LC_ALL", "C.UTF-8");
        for name in PG_VARIABLES {
            command.env_remove(name);
        }
        if self.by_root {
            command.gid(self.gid).uid(self.uid);
        }
        command
    }

    /// Gives a file or folder to this user.
    pub(super) fn give(&self, path: &Path) -> Result<(), LocalError> {
        if !self.by_root {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid)).map_err(LocalError::io("give away", path))
    }

    /// Whether this user, or root where we are root, owns it.
    pub(super) fn owns(&self, file: &Metadata) -> bool {
        file.uid() == self.uid || (self.by_root && file.uid() == 0)
    }

    /// Checks that this user gets to `wanted`: every folder above it, and itself if it is there.
    /// Only root can be someone else than the server, so nobody else is asked.
    pub(super) fn reaches(&self, wanted: &Path) -> Result<(), LocalError> {
        if !self.by_root {
            return Ok(());
        }
        for folder in wanted.ancestors() {
            let Ok(metadata) = folder.metadata() else {
                continue;
            };
            if metadata.is_dir() && !self.passes(&metadata) {
                return Err(LocalError::NotPassable {
                    folder: folder.into(),
                    user: self.name.clone(),
                    wanted: wanted.into(),
                });
            }
        }
        Ok(())
    }

    fn passes(&self, folder: &Metadata) -> bool {
        let shift = match (folder.uid() == self.uid, folder.gid() == self.gid) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        (folder.mode() >> shift) & 1 == 1
    }
}

fn find(passwd: &str, name: &str) -> Option<ServerUser> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let mut ids = fields.skip(1).map(str::parse);
        let (uid, gid) = (ids.next()?.ok()?, ids.next()?.ok()?);
        (uid != 0).then(|| ServerUser {
            uid,
            gid,
            name: name.into(),
            by_root: true,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:nobody:/:/bin/no\n";

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let nobody = find(PASSWD, "nobody").unwrap();
        assert_eq!((nobody.uid, nobody.gid), (65534, 65533));
        assert_eq!(find(PASSWD, "no"), None);
        assert_eq!(find(PASSWD, "postgres"), None);
    }

    #[test]
    fn root_by_any_name_is_no_server_user() {
        assert_eq!(find("postgres:x:0:0::/:/bin/sh", "postgres"), None);
    }
}
