//! A worker folder, read and checked.

mod check;
mod columns;
mod components;
mod embed;
mod folder;
mod handler;
mod local;
mod mistakes;
mod overrides;
mod rows;
mod selection;
mod shipped;
mod strategy;

use tidegate::definition::{Definition, DefinitionError, Folder};

/// A worker.toml that uses most of what there is.
const WORKER: &str = r#"name = "demo"
version = "1"
[source]
sql = "source.sql"
id = "id"
category = "kind"
[score.weights]
hot = 0.65
good = 0.35
[[tier]]
share = 0.3
mix = 4
model = "g/best"
fallbacks = ["g/mid"]
[[tier]]
share = 0.7
mix = 5
model = "g/mid"
[fallback]
model = "g/last"
[prompt]
template = "prompt.md"
schema = "schema.json"
system = "system.md"
params = { temperature = 0.2, max_output_tokens = 600 }
[pack]
size = 1
[cache]
version = "3"
[limits]
max_concurrency = 10
[strategy]
mode = "auto"
[sink]
sql = "sink.sql"
"#;

/// A folder that holds.
fn a_folder() -> Folder {
    let mut folder = Folder::default();
    folder.insert("worker.toml", WORKER);
    folder.insert(
        "prompt.md",
        "Title:\n{{ title }}\n{% for tag in tags %}{{ tag }};{% endfor %}\n",
    );
    folder.insert("system.md", "You know {{ kind }}.\n");
    folder.insert("schema.json", r#"{"type": "object", "required": ["a"]}"#);
    folder.insert("source.sql", "select 1");
    folder.insert("sink.sql", "select 2");
    folder
}

/// That folder with one text in worker.toml replaced by another.
fn with(from: &str, to: &str) -> Folder {
    assert_eq!(WORKER.matches(from).count(), 1, "{from}");
    let mut folder = a_folder();
    folder.insert("worker.toml", &WORKER.replacen(from, to, 1));
    folder
}

fn check(folder: &Folder) -> Result<Definition, DefinitionError> {
    Definition::check(folder, &[])
}

/// Checks that folder with overrides.
fn check_set(overrides: &[(&str, &str)]) -> Result<Definition, DefinitionError> {
    let own = |(path, value): &(&str, &str)| ((*path).to_owned(), (*value).to_owned());
    Definition::check(&a_folder(), &overrides.iter().map(own).collect::<Vec<_>>())
}
