//! The laws of the house, read from its sources: which way arrows run, and what is absent where.
//!
//! A law that a file has a reason to break names that file and the reason in its list of
//! exceptions; an exception that nothing needs any more fails too. ARCHITECTURE.md tells the same in
//! words.

mod compose;
mod faults;
mod laws;
mod licences;
mod paths;
mod tokens;

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use laws::LAWS;

/// What a room may name of the crate, from the lowest floor up. A room that is not here fails.
const ROOMS: &[(&str, &[&str])] = &[
    // floor 0: words, and without a circle
    ("llm", &[]),
    ("model", &["llm"]),
    ("task", &["llm", "model"]),
    // floor 1: decisions, by the words of floor 0; not by each other
    ("cache", &["llm", "model", "task"]),
    ("cost", &["llm", "model", "task"]),
    ("definition", &["llm", "model", "task"]),
    ("limits", &["llm", "model", "task"]),
    ("pack", &["llm", "model", "task"]),
    ("plan", &["llm", "model", "task"]),
    ("priority", &["llm", "model", "task"]),
    ("retry", &["llm", "model", "task"]),
    // headroom is a value: which model, by what is left of its limits
    ("route", &["llm", "model", "task", "limits"]),
    // floor 2: doors, never each other
    ("provider", FLOORS_0_1),
    ("store", FLOORS_0_1),
    // floor 3: the works; whoever enqueues need not work
    ("client", FLOORS_0_1_AND_STORE),
    ("engine", FLOORS_0_2),
    // floor 4: fittings; nobody may know whether it talks to the simulator
    ("local", &["llm", "model", "task"]),
    ("simulator", &[]),
    // floor 6: the door; `config` reads into each room's settings (see CONFIG_NAMES)
    (
        "config",
        &["model", "provider", "store", "engine", "local", "simulator"],
    ),
    ("cli", EVERYTHING),
];

const FLOORS_0_1: &[&str] = &[
    "llm",
    "model",
    "task",
    "cache",
    "cost",
    "definition",
    "limits",
    "pack",
    "plan",
    "priority",
    "retry",
    "route",
];
const FLOORS_0_1_AND_STORE: &[&str] = &[
    "llm",
    "model",
    "task",
    "cache",
    "cost",
    "definition",
    "limits",
    "pack",
    "plan",
    "priority",
    "retry",
    "route",
    "store",
];
const FLOORS_0_2: &[&str] = &[
    "llm",
    "model",
    "task",
    "cache",
    "cost",
    "definition",
    "limits",
    "pack",
    "plan",
    "priority",
    "retry",
    "route",
    "store",
    "provider",
];
const EVERYTHING: &[&str] = &[
    "llm",
    "model",
    "task",
    "cache",
    "cost",
    "definition",
    "limits",
    "pack",
    "plan",
    "priority",
    "retry",
    "route",
    "store",
    "provider",
    "client",
    "engine",
    "local",
    "simulator",
    "config",
];

/// All that `config` may name of the rooms above floor 0: settings, and the rows that models and
/// providers of the file are synced as.
const CONFIG_NAMES: &[&str] = &[
    "engine::BatchSettings",
    "engine::SettleSettings",
    "local",
    "provider::Kind",
    "provider::ProviderSettings",
    "store::self",
    "store::model::ModelRow",
    "store::model::ProviderRow",
    "store::retention::Keep",
    "store::cache::CacheBounds",
];

/// One place where a law is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Breach {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// A source file: its path below src/, and what it says.
struct Source {
    file: String,
    text: String,
    tokens: Vec<tokens::Token>,
}

impl Source {
    fn new(file: &str, text: &str) -> Self {
        Self {
            file: file.to_owned(),
            text: text.to_owned(),
            tokens: tokens::read(text),
        }
    }

    /// `store` of `store/claim.rs`, nothing of `lib.rs`.
    fn room(&self) -> Option<&str> {
        self.file.split_once('/').map(|(room, _)| room)
    }

    fn is_in(&self, rooms: &[&str]) -> bool {
        self.room().is_some_and(|room| rooms.contains(&room))
    }

    /// How many modules it lies below the crate's root.
    fn depth(&self) -> usize {
        let parts = self.file.split('/').count();
        let own = self.file.ends_with("mod.rs") || self.file == "lib.rs";
        parts - usize::from(own)
    }

    fn breach(&self, line: usize, what: impl Into<String>) -> Breach {
        Breach {
            file: self.file.clone(),
            line,
            what: what.into(),
        }
    }
}

/// Which names of other rooms a file may not have.
fn arrows(source: &Source) -> Vec<Breach> {
    let Some(room) = source.room() else {
        return Vec::new(); // lib.rs names every room: that is its job
    };
    let Some((_, may)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![source.breach(1, format!("src/{room}/ has no row in the table of rooms"))];
    };
    let named = paths::named(&source.tokens, source.depth());
    let strangers = named.iter().filter(|named| {
        let to = named.path[0].as_str();
        let config_door = room == "config" && to != "model" && to != room;
        let joined = named.path.join("::");
        to != room
            && (!may.contains(&to) || (config_door && !CONFIG_NAMES.contains(&joined.as_str())))
    });
    strangers
        .map(|named| {
            let path = named.path.join("::");
            source.breach(named.line, format!("{room} may not use {path}"))
        })
        .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under src/, in order.
fn sources() -> Vec<Source> {
    fn walk(dir: &Path, top: &Path, out: &mut Vec<Source>) {
        let entries = std::fs::read_dir(dir).expect("src/ can be read");
        let mut paths: Vec<_> = entries
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                walk(&path, top, out);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let file = path
                    .strip_prefix(top)
                    .expect("it is below")
                    .to_string_lossy();
                let text = std::fs::read_to_string(&path).expect("a source is text");
                out.push(Source::new(&file.replace('\\', "/"), &text));
            }
        }
    }
    let src = root().join("src");
    let mut out = Vec::new();
    walk(&src, &src, &mut out);
    assert!(out.len() > 50, "src/ was not found");
    out
}

fn list(breaches: &[Breach]) -> String {
    let lines: Vec<_> = breaches
        .iter()
        .map(|breach| format!("src/{breach}"))
        .collect();
    lines.join("\n")
}

#[test]
fn arrows_run_downward() {
    let breaches: Vec<_> = sources().iter().flat_map(arrows).collect();
    assert!(breaches.is_empty(), "\n{}", list(&breaches));
}

#[test]
fn an_arrow_that_runs_upward_is_seen() {
    let count = |file: &str, text: &str| arrows(&Source::new(file, text)).len();
    for (file, text) in [
        ("store/claim.rs", "use crate::provider::Provider;"),
        ("provider/http.rs", "use crate::{llm::Reply, store::Store};"),
        ("client/mod.rs", "use crate::engine::Engine;"),
        ("engine/call.rs", "fn f() { crate::cli::run(); }"),
        ("limits/mod.rs", "use crate::retry::Step;"),
        ("route/mod.rs", "use crate::priority::quota;"),
        ("pack/mod.rs", "use crate::definition::Definition;"),
        ("plan/mod.rs", "use crate::limits::Limit;"),
        ("llm/mod.rs", "use super::task::State;"),
        ("simulator/wire.rs", "use crate::llm::Usage;"),
        ("local/mod.rs", "use crate::store::Store;"),
        ("engine/mod.rs", "use crate::config::Config;"),
        ("config/load.rs", "use crate::store::claim::Claimed;"),
        ("attic/mod.rs", "//! A room nobody planned."),
    ] {
        assert_eq!(count(file, text), 1, "{file}: {text}");
    }
    for (file, text) in [
        (
            "engine/call.rs",
            "use crate::{provider::Provider, store::{self, Store}};",
        ),
        ("config/load.rs", "use crate::store::model::ModelRow;"),
        (
            "store/claim.rs",
            "/// [`crate::engine::Engine`]\nuse super::Store;",
        ),
        ("lib.rs", "pub mod cli;"),
    ] {
        assert_eq!(count(file, text), 0, "{file}: {text}");
    }
}

#[test]
fn what_should_be_absent_is_absent() {
    let sources = sources();
    for law in LAWS {
        let found: Vec<_> = sources
            .iter()
            .flat_map(|source| (law.find)(source))
            .collect();
        let is_excepted = |breach: &Breach| {
            let mut exceptions = law.exceptions.iter();
            exceptions.any(|(file, _)| *file == breach.file)
        };
        let breaches: Vec<_> = found
            .iter()
            .filter(|it| !is_excepted(it))
            .cloned()
            .collect();
        assert!(breaches.is_empty(), "{}:\n{}", law.says, list(&breaches));
        for (file, reason) in law.exceptions {
            assert!(
                found.iter().any(|breach| breach.file == *file),
                "{}: src/{file} is excepted ({reason}) and does nothing of the kind any more",
                law.says
            );
        }
    }
}

#[test]
fn every_law_can_be_broken() {
    for law in LAWS {
        for (file, text) in law.broken_by {
            let found = (law.find)(&Source::new(file, text));
            assert!(!found.is_empty(), "{}: {file}: {text}", law.says);
        }
        for (file, text) in law.kept_by {
            let found = (law.find)(&Source::new(file, text));
            assert!(found.is_empty(), "{}: {file}: {text}: {found:?}", law.says);
        }
    }
}

#[test]
fn the_house_is_drawn_as_it_is_built() {
    let drawing = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let sources = sources();
    let rooms: BTreeSet<_> = sources.iter().filter_map(Source::room).collect();
    for room in rooms {
        assert!(
            drawing.contains(&format!("`src/{room}/`")),
            "ARCHITECTURE.md has no line for `src/{room}/`"
        );
    }
}
