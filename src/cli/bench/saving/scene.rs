//! What the cases ask about and of whom: a worker's folder, settings of the program and of the simulator.

use std::{fmt::Write as _, path::Path};

use sha2::{Digest, Sha256};

use crate::{
    cli::{
        CliError,
        bench::workers::{KEY_VARIABLE, io},
    },
    simulator::{self, ModelSettings, Running},
};

/// The provider entry, and the one model of the cases that count calls.
pub(super) const ENTRY: &str = "bench";
pub(super) const MODEL: &str = "model-1";
/// The worker of those cases.
pub(super) const WORKER: &str = "bench_saving";
/// Items whose version can change: every so many-th.
pub(super) const CHANGED_EVERY: u32 = 10;

/// One model without limits.
pub(super) fn simulated() -> simulator::Settings {
    simulator::Settings {
        models: vec![ModelSettings::named(MODEL)],
        seed: 7,
        ..simulator::Settings::default()
    }
}

/// The program's settings: the simulator, whose limits are known to be in nobody's way.
pub(super) fn settings(simulator: &Running) -> String {
    format!(
        "[providers.{ENTRY}]\nkind = \"gemini\"\nbase_url = {:?}\napi_key_env = {KEY_VARIABLE:?}\n\
         [[models]]\nname = \"{ENTRY}/{MODEL}\"\nrpm = 10_000_000\nwindow = \"sliding\"\nmax_concurrency = 10_000\n",
        simulator.base_url()
    )
}

/// What is asked about item N.
pub(super) fn text(number: u32) -> String {
    format!("Say in one sentence what comes to your mind at the number {number}.")
}

/// As the simulator's log names a prompt.
pub(super) fn prompt_hash(prompt: &str) -> String {
    hex::encode(&Sha256::digest(prompt.as_bytes())[..16])
}

/// A worker that asks about each item's text, so many in a prompt; an answer is text.
pub(super) fn worker(folder: &Path, pack: u32) -> Result<(), CliError> {
    let folder = folder.join("worker");
    write(&folder, "worker.toml", toml(pack))?;
    write(&folder, "prompt.md", "{{ text }}")?;
    if pack > 1 {
        write(&folder, "schema.json", SCHEMA)?;
    }
    Ok(())
}

fn toml(pack: u32) -> String {
    let schema = match pack {
        1 => String::new(),
        _ => format!("schema = \"schema.json\"\n[pack]\nsize = {pack}\n"),
    };
    format!(
        "name = {WORKER:?}\nversion = \"1\"\n[source]\nfile = \"items.jsonl\"\nid = \"id\"\nversion = \"version\"\n\
         [[tier]]\nshare = 1.0\nmix = 1\nmodel = \"{ENTRY}/{MODEL}\"\n[prompt]\ntemplate = \"prompt.md\"\n{schema}"
    )
}

/// An answer that tells items apart: words of the text, and a number drawn by it.
const SCHEMA: &str = r#"{"type": "object", "properties": {"sentence": {"type": "string"},
 "number": {"type": "integer", "minimum": 0, "maximum": 1000000000}}, "required": ["sentence", "number"], "additionalProperties": false}"#;

/// So many items; every tenth in this version, the others in the first. `same`: all have one text.
pub(super) fn items(folder: &Path, count: u32, version: u32, same: bool) -> Result<(), CliError> {
    let mut lines = String::new();
    for number in 0..count {
        let version = if is_changed(number) { version } else { 1 };
        let text = text(if same { 0 } else { number });
        let row = serde_json::json!({"id": number, "text": text, "version": version});
        // into a string nothing fails
        let _ = writeln!(lines, "{row}");
    }
    write(&folder.join("worker"), "items.jsonl", &lines)
}

/// Whether an item's version changes.
pub(super) fn is_changed(number: u32) -> bool {
    number.is_multiple_of(CHANGED_EVERY)
}

/// A file of a folder, which is made where it is not there.
pub(super) fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> Result<(), CliError> {
    let path = folder.join(name);
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(&path, text))
        .map_err(|source| io(&format!("write {}", path.display()), source))
}
