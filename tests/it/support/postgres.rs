//! The Postgres that tests take: found on this machine, or installed.

use tidegate::local::{Binaries, Local, LocalError, Settings, install, start_or_install, status};

/// Settings of a server for tests: it may lose what it likes when the machine crashes.
pub(crate) fn test_settings() -> Settings {
    let from_env = Settings::from_env(|name| {
        std::env::var_os(name).and_then(|value| value.into_string().ok())
    });
    Settings {
        data_dir: None,
        durable: false,
        shared_buffers_mb: 64,
        ..from_env
    }
}

/// Starts it, installing Postgres first where there is none and we may.
pub(crate) async fn start(settings: &Settings) -> Result<Local, LocalError> {
    start_or_install(settings, &talk).await
}

/// The Postgres that a private server of this run would take, installed if there is none.
pub(crate) async fn binaries() -> Binaries {
    // Of a folder that is not there: never the user's own, which may be in use.
    let nowhere = std::env::temp_dir().join("tidegate-test-nowhere");
    let settings = Settings {
        data_dir: Some(nowhere),
        ..test_settings()
    };
    let found = status(&settings)
        .await
        .expect("looking for Postgres works")
        .binaries;
    match found.into_iter().next() {
        Some(found) => found,
        None => install(&settings, &talk)
            .await
            .expect("the tests have a Postgres"),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "whoever runs the tests must see an installation"
)]
fn talk(line: &str) {
    eprintln!("tests: {line}");
}
