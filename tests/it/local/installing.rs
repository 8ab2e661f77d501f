//! Getting Postgres where there is none, with a stand-in for apt-get.

use std::sync::Mutex;

use rustix::process::geteuid;
use tidegate::local::{Brought, LocalError, Settings, install, start_or_install};

use super::finding::bare_system;
use super::{Sandbox, script};

#[tokio::test]
async fn as_root_on_debian_the_package_is_installed_without_a_cluster_of_its_own() {
    let sandbox = Sandbox::new().await;
    let settings = debian(&sandbox);
    let said = Mutex::new(Vec::new());
    let say = |line: &str| said.lock().unwrap().push(line.to_owned());
    let started = Box::pin(start_or_install(&settings, &say)).await;
    if !geteuid().is_root() {
        let error = started.unwrap_err();
        assert!(matches!(error, LocalError::CannotInstall { .. }), "{error}");
        assert!(
            error.to_string().contains("run: sudo apt-get install"),
            "{error}"
        );
        return;
    }
    assert_eq!(started.unwrap().brought(), Brought::Created);

    let conf = sandbox
        .folder
        .join("bare/etc/postgresql-common/createcluster.conf");
    assert_eq!(
        std::fs::read_to_string(conf).unwrap(),
        "create_main_cluster = false\n"
    );
    let said = said.into_inner().unwrap().join("\n");
    for step in [
        "create_main_cluster = false",
        "apt-get update",
        "apt-get install -y",
    ] {
        assert!(said.contains(step), "{said}");
    }
}

#[tokio::test]
async fn a_conf_that_is_there_is_left_as_it_is() {
    let sandbox = Sandbox::new().await;
    let settings = debian(&sandbox);
    let conf = sandbox
        .folder
        .join("bare/etc/postgresql-common/createcluster.conf");
    std::fs::create_dir_all(conf.parent().unwrap()).unwrap();
    std::fs::write(&conf, "ssl = on\n").unwrap();
    // As no root nothing is done at all, which the law allows.
    let _ = install(&settings, &|_| ()).await;
    assert_eq!(std::fs::read_to_string(conf).unwrap(), "ssl = on\n");
}

#[tokio::test]
async fn elsewhere_than_on_debian_the_error_has_the_command() {
    let sandbox = Sandbox::new().await;
    let settings = bare_system(&sandbox);
    script(&sandbox.folder.join("bare/bin/dnf"), "exit 1");
    let error = install(&settings, &|_| ()).await.unwrap_err();
    assert!(matches!(error, LocalError::CannotInstall { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("dnf install -y postgresql-server"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_is_installed_where_postgres_is() {
    let sandbox = Sandbox::new().await;
    let found = install(&sandbox.settings, &|_| ()).await.unwrap();
    assert_eq!(found, sandbox.binaries);
}

/// A Debian whose apt-get knows no package before its lists are fetched, and then puts this
/// machine's real programs there.
fn debian(sandbox: &Sandbox) -> Settings {
    let root = sandbox.folder.join("bare");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::write(root.join("etc/os-release"), "ID=ubuntu\nID_LIKE=debian\n").unwrap();
    let (at, real) = (root.display(), sandbox.binaries.dir.display());
    let body = format!(
        r#"set -e
PATH=/usr/sbin:/usr/bin:/sbin:/bin
if [ "$1" = update ]; then touch '{at}/lists'; exit; fi
[ -e '{at}/lists' ] || {{ echo 'E: Unable to locate package'; exit 100; }}
mkdir -p '{at}/usr/lib/postgresql/0'
ln -s '{real}' '{at}/usr/lib/postgresql/0/bin'"#
    );
    script(&root.join("bin/apt-get"), &body);
    bare_system(sandbox)
}
