//! Configuration as the program reads it: files of a folder of the test's own, variables it names.

mod mistakes;
mod precedence;
mod secrets;

use std::path::PathBuf;

use tempfile::TempDir;
use tidegate::config::{Config, ConfigError, Environment};

/// A folder with a tidegate.toml of this text.
struct Written {
    folder: TempDir,
}

impl Written {
    fn toml(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("tidegate.toml"), text).expect("a folder of our own");
        Self { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("tidegate.toml")
    }

    /// Adds a `.env` of this text and reads everything.
    fn load_with(&self, dot_env: &str, vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let path = self.folder.path().join(".env");
        std::fs::write(&path, dot_env).expect("a folder of our own");
        let env = Environment::of(vars.iter().copied()).with_file(&path)?;
        Config::load(Some(&self.file()), env)
    }

    fn load(&self, vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        self.load_with("", vars)
    }
}

/// What `config show` says of a key: value and origin.
fn shown(config: &Config, key: &str) -> (String, String) {
    let all = config.show();
    let found = all.iter().find(|it| it.key == key);
    let found = found.unwrap_or_else(|| panic!("{key} is shown"));
    (found.value.clone(), found.origin.clone())
}
