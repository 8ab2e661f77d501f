//! Which Postgres is taken, and what is said when none fits.

use tidegate::local::{Binaries, LocalError, Settings, start, status};

use super::{Sandbox, ask, link, script};

#[tokio::test]
async fn the_major_of_an_existing_cluster_decides() {
    let sandbox = Sandbox::with_cluster().await;

    let (mut settings, real) = (sandbox.settings.clone(), &sandbox.binaries);
    system_of_two(&sandbox, &mut settings);
    let majors: Vec<_> = status(&settings).await.unwrap().binaries;
    assert_eq!(majors.len(), 2, "{majors:?}");

    let local = start(&settings).await.unwrap();
    assert_eq!(
        ask(&local, "show server_version_num").await[..2],
        real.major.to_string()
    );
}

#[tokio::test]
async fn a_cluster_of_a_major_that_is_not_here_is_left_alone() {
    let sandbox = Sandbox::with_cluster().await;
    std::fs::write(sandbox.join("data/PG_VERSION"), "12\n").unwrap();

    let error = start(&sandbox.settings).await.unwrap_err();
    let LocalError::MajorMissing { major, found, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(major, 12);
    assert!(found.contains(&sandbox.binaries.major), "{found:?}");
}

#[tokio::test]
async fn without_postgres_the_error_has_the_command_for_this_machine() {
    for (program, command) in [
        (
            "apt-get",
            "apt-get install -y --no-install-recommends postgresql",
        ),
        ("dnf", "dnf install -y postgresql-server"),
        ("pacman", "pacman -S --needed postgresql"),
        ("apk", "apk add postgresql"),
        ("brew", "run: brew install postgresql@17"),
        ("nothing-known", "install PostgreSQL 15 to 18"),
    ] {
        let sandbox = Sandbox::new().await;
        let settings = bare_system(&sandbox);
        script(&sandbox.folder.join("bare/bin").join(program), "exit 1");
        let error = start(&settings).await.unwrap_err();
        assert!(matches!(error, LocalError::NoBinaries { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(command), "{text}");
        assert!(
            text.contains("TIDEGATE_PG_BIN") && text.contains("DATABASE_URL"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_named_folder_of_programs_is_the_only_one_looked_in() {
    let mut sandbox = Sandbox::new().await;
    sandbox.settings.bin_dir = Some(sandbox.folder.path().into());
    let error = start(&sandbox.settings).await.unwrap_err();
    assert!(matches!(error, LocalError::BadBinDir { .. }), "{error}");
    assert!(error.to_string().contains("initdb"), "{error}");
}

#[tokio::test]
async fn programs_are_found_in_the_path_too() {
    let sandbox = Sandbox::new().await;
    let mut settings = bare_system(&sandbox);
    settings.path = Some(sandbox.binaries.dir.to_str().unwrap().into());
    assert_eq!(
        status(&settings).await.unwrap().binaries,
        std::slice::from_ref(&sandbox.binaries)
    );
}

/// A machine with nothing on it but a folder for programs.
pub(super) fn bare_system(sandbox: &Sandbox) -> Settings {
    let root = sandbox.folder.join("bare");
    let path = root.join("bin").to_str().unwrap().to_owned();
    Settings {
        bin_dir: None,
        system_root: root,
        path: Some(path),
        ..sandbox.settings.clone()
    }
}

/// A machine that also has a Postgres of another major, one that could do nothing.
fn system_of_two(sandbox: &Sandbox, settings: &mut Settings) {
    *settings = bare_system(sandbox);
    let Binaries { dir, major, .. } = &sandbox.binaries;
    let other = if *major == 18 { 17 } else { 18 };
    let place = |major: u16| {
        sandbox
            .folder
            .join("bare")
            .join(format!("usr/lib/postgresql/{major}/bin"))
    };
    link(dir, &place(*major));
    for program in ["initdb", "pg_ctl"] {
        script(&place(other).join(program), "exit 1");
    }
    script(
        &place(other).join("postgres"),
        &format!("echo 'postgres (PostgreSQL) {other}.1'"),
    );
}
