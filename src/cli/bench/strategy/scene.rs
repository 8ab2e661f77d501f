//! What the cases ask and of whom: workers' folders, items, settings of the program and of the simulator.

use std::{fmt::Write as _, path::Path};

use sha2::{Digest, Sha256};

use crate::{
    cli::{
        CliError,
        bench::workers::{KEY_VARIABLE, io},
    },
    simulator::{Latency, Running},
};

/// The provider entries: one server, by either vendor's wire.
pub(super) const ENTRY: &str = "bench";
pub(super) const OTHER_ENTRY: &str = "other";
/// Micro-dollars of a token asked and of one answered: a batch's half of either is a whole number.
pub(super) const INPUT_MICROUSD: i64 = 10;
pub(super) const OUTPUT_MICROUSD: i64 = 40;

/// How long calls take whose spread is part of the case: 0.1 to 0.3 s.
pub(super) fn spread() -> Latency {
    Latency {
        median_ms: 170.0,
        p99_ms: Some(300.0),
        min_ms: 100.0,
        ..Latency::default()
    }
}

/// The program's settings: the simulator by both wires, and these models.
pub(super) fn settings(simulator: &Running, models: &str, more: &str) -> String {
    let provider = |entry: &str, kind: &str, url: &str| {
        format!(
            "[providers.{entry}]\nkind = {kind:?}\nbase_url = {url:?}\napi_key_env = {KEY_VARIABLE:?}\nbatch_jobs = 1_000\n"
        )
    };
    provider(ENTRY, "gemini", &simulator.base_url())
        + &provider(OTHER_ENTRY, "openai", &simulator.openai_base_url())
        + more
        + models
}

/// A model with its prices, and limits that are in nobody's way but for these.
pub(super) fn model(entry: &str, name: &str, limits: &str) -> String {
    format!(
        "[[models]]\nname = \"{entry}/{name}\"\ninput_price_usd = {INPUT_MICROUSD}\noutput_price_usd = {OUTPUT_MICROUSD}\n{limits}\n"
    )
}

/// Limits that bind nothing but calls at once.
pub(super) fn free(at_once: u32) -> String {
    format!("rpm = 10_000_000\nwindow = \"sliding\"\nmax_concurrency = {at_once}")
}

/// A worker of one step, in a folder of its name, that asks `model` about each item's text; nothing is kept.
pub(super) fn worker(folder: &Path, name: &str, model: &str, more: &str) -> Result<(), CliError> {
    let folder = folder.join(name);
    let toml = format!(
        "name = {name:?}\nversion = \"1\"\n[source]\nfile = \"items.jsonl\"\nid = \"id\"\n\
         [[tier]]\nshare = 1.0\nmix = 1\nmodel = {model:?}\n[prompt]\ntemplate = \"prompt.md\"\n[cache]\nenabled = false\n{more}\n"
    );
    write(&folder, "worker.toml", toml)?;
    write(&folder, "prompt.md", "{{ text }}")
}

/// So many items of a worker, from this number on: no two have one text.
pub(super) fn items(folder: &Path, name: &str, from: u32, count: u32) -> Result<(), CliError> {
    let mut lines = String::new();
    for number in from..from + count {
        let row = serde_json::json!({"id": number, "text": text(number)});
        // into a string nothing fails
        let _ = writeln!(lines, "{row}");
    }
    write(&folder.join(name), "items.jsonl", &lines)
}

/// What is asked about item N.
pub(super) fn text(number: u32) -> String {
    format!("Say in one sentence what comes to your mind at the number {number}.")
}

/// As the simulator's account names a prompt.
pub(super) fn prompt_hash(prompt: &str) -> String {
    hex::encode(&Sha256::digest(prompt.as_bytes())[..16])
}

/// A file of a folder, which is made where it is not there.
pub(super) fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> Result<(), CliError> {
    let path = folder.join(name);
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(&path, text))
        .map_err(|source| io(&format!("write {}", path.display()), source))
}
