//! A worker of several steps for tests: `draft`, then `title` and the local `page` after it, and `extra`,
//! which is disabled and stands alone.

use tidegate::{
    client::{LoadError, LoadOptions, Loaded, Loader, Outlook},
    definition::{Definition, Folder},
    engine::Registry,
    store::Store,
};

use super::{TestFolder, work::items};

/// Its worker.toml.
pub(crate) const STEPS: &str = r#"
name = "steps"
[source]
file = "items.jsonl"
id = "id"
score = "score"
[[tier]]
share = 0.5
mix = 1
model = "sim/a"
[[tier]]
share = 0.5
mix = 1
model = "sim/b"
[sink]
sql = "sink.sql"
[[component]]
name = "page"
priority = 3
local = true
needs = ["draft"]
[[component]]
name = "title"
priority = 2
needs = ["draft"]
model = "sim/b"
[[component]]
name = "draft"
priority = 1
[[component]]
name = "extra"
enabled = false
"#;

/// What its sink writes to.
pub(crate) const PARTS: &str =
    "create table parts (item text, component text, answer text, primary key (item, component))";

/// Its folder, with this title.md.
pub(crate) fn folder(title: &str) -> Folder {
    let mut texts = Folder::default();
    texts.insert("worker.toml", STEPS);
    texts.insert("draft.md", "Draft this: {{ text }}");
    texts.insert("title.md", title);
    texts.insert("page.md", "{{ id }}: {{ results.draft }}");
    texts.insert("extra.md", "Extra: {{ text }}");
    texts.insert("sink.sql", "insert into parts select r.item_id, r.component, r.answer #>> '{}' from jsonb_to_recordset($1) as r (item_id text, component text, answer jsonb) on conflict (item, component) do update set answer = excluded.answer");
    texts
}

/// The title.md that works.
pub(crate) const TITLE: &str = "Title this: {{ results.draft }}";

/// How a run of it is made.
pub(crate) struct Picked<'a> {
    pub(crate) title: &'a str,
    pub(crate) all: bool,
    pub(crate) only: &'a [&'a str],
    pub(crate) items: usize,
}

impl Default for Picked<'_> {
    fn default() -> Self {
        Self {
            title: TITLE,
            all: false,
            only: &[],
            items: 4,
        }
    }
}

impl Picked<'_> {
    fn loader(&self, store: &Store, files: &TestFolder) -> Result<Loader, LoadError> {
        let lines = items(self.items);
        std::fs::write(files.join("items.jsonl"), lines).expect("the items are written");
        let definition = Definition::check(&folder(self.title), &[]).expect("the worker holds");
        let handler = Registry::new().handler(&definition).expect("a handler");
        let options = LoadOptions {
            limit: None,
            weight: 1.0,
            budget_microusd: None,
            folder: files.path().to_path_buf(),
            source_name: "items.jsonl".to_owned(),
        };
        let only = self.only.iter().map(|name| (*name).to_owned()).collect();
        Loader::new(store.clone(), definition, handler, options)?.selecting(self.all, only)
    }

    /// Loads a run.
    pub(crate) async fn load(&self, store: &Store) -> Result<Loaded, LoadError> {
        let files = TestFolder::new();
        self.loader(store, &files)?.load().await
    }

    /// Only says what it would be.
    pub(crate) async fn dry_run(&self, store: &Store) -> Result<Outlook, LoadError> {
        let files = TestFolder::new();
        self.loader(store, &files)?.dry_run().await
    }
}
