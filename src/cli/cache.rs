//! `tidegate cache`: what the cache of answers holds and spared; forgetting some of them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Subcommand;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::progress::{bytes, percent, thousands};
use super::{CliError, Context, Exit};
use crate::store::cache::{CacheRow, Purge};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show what the cache holds, what it answered without a call, and how much it may hold
    Stats,
    /// Forget answers that are kept: what they answered is asked again
    ///
    /// Several flags narrow it together. Tasks that are done keep their answers.
    #[command(
        disable_version_flag = true,
        after_help = "Examples:\n  tidegate cache purge --worker tag_space --older-than 30d\n  \
                      tidegate cache purge --prompt workers/tag_space/prompt.md --dry-run\n  \
                      tidegate cache purge --model gemini/gemini-3.5-flash-lite\n  \
                      tidegate cache purge --all"
    )]
    Purge(PurgeArgs),
}

#[derive(clap::Args, Debug)]
struct PurgeArgs {
    /// Of this worker
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// Of this component: a step of the worker
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
    /// Given by this model: ENTRY/NAME, or as the provider names it
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Kept under this version: `version` in [cache] of worker.toml
    #[arg(long = "version", id = "of_version", value_name = "VERSION")]
    of_version: Option<String>,
    /// Asked by this template, as the file is now
    #[arg(long, value_name = "FILE")]
    prompt: Option<PathBuf>,
    /// Older than this, as 12h or 30d
    #[arg(long, value_name = "TIME", value_parser = super::values::age)]
    older_than: Option<Duration>,
    /// All there are
    #[arg(long, conflicts_with_all = ["worker", "component", "model", "of_version", "prompt", "older_than"])]
    all: bool,
    /// Only say how many; forget none
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    match args.action {
        Action::Stats => stats(context).await,
        Action::Purge(args) => purge(context, args).await,
    }
}

async fn stats(context: &Context) -> Result<Exit, CliError> {
    let rows = context
        .with_store(async |opened| Ok(opened.store.cache_stats().await?))
        .await?;
    let (printer, bounds) = (&context.printer, context.config.cache.to_bounds());
    let all = sum(&rows);
    if printer.is_json() {
        for row in &rows {
            printer.object(row)?;
        }
        printer.object(&json!({
            "worker": null, "entries": all.entries, "bytes": all.bytes, "hits": all.hits, "misses": all.misses,
            "hit_rate": all.hit_rate, "max_entries": bounds.entries, "max_bytes": bounds.bytes,
        }))?;
        return Ok(Exit::Ok);
    }
    if rows.is_empty() {
        printer.say("no answer was kept yet, and none was looked for");
    } else {
        let lines: Vec<Vec<String>> = rows.iter().chain([&all]).map(line).collect();
        let headers = ["worker", "entries", "size", "hits", "misses", "hit rate"];
        printer.table(&headers, &lines)?;
    }
    printer.line(format_args!(
        "at most {} entries and {} (max_entries and max_mb in [cache]); those used longest ago go first",
        thousands(signed(bounds.entries)),
        bytes(signed(bounds.bytes)),
    ))?;
    Ok(Exit::Ok)
}

fn sum(rows: &[CacheRow]) -> CacheRow {
    let of = |part: fn(&CacheRow) -> i64| rows.iter().map(part).sum::<i64>();
    let (hits, misses) = (of(|row| row.hits), of(|row| row.misses));
    CacheRow {
        worker: "all".to_owned(),
        entries: of(|row| row.entries),
        bytes: of(|row| row.bytes),
        hits,
        misses,
        hit_rate: (hits + misses > 0).then(|| hits as f64 / (hits + misses) as f64),
    }
}

fn line(row: &CacheRow) -> Vec<String> {
    vec![
        row.worker.clone(),
        thousands(row.entries),
        bytes(row.bytes),
        thousands(row.hits),
        thousands(row.misses),
        percent(row.hit_rate),
    ]
}

async fn purge(context: &Context, args: PurgeArgs) -> Result<Exit, CliError> {
    let purge = Purge {
        worker: args.worker,
        component: args.component,
        model: args.model,
        version: args.of_version,
        prompt_hash: args.prompt.as_deref().map(hash).transpose()?,
        older: args.older_than,
    };
    if purge == Purge::default() && !args.all {
        return Err(CliError::input(
            "nothing says which answers are forgotten",
            "say --worker, --component, --model, --version, --prompt or --older-than; or --all",
        ));
    }
    let dry_run = args.dry_run;
    let count = context
        .with_store(async |opened| {
            Ok(match dry_run {
                true => opened.store.count_purge(&purge).await?,
                false => opened.store.purge_cache(&purge).await?,
            })
        })
        .await?;
    let printer = &context.printer;
    if printer.is_json() {
        printer.object(&match dry_run {
            true => json!({"dry_run": true, "would_purge": count}),
            false => json!({"purged": count}),
        })?;
    } else {
        let verb = if dry_run { "would forget" } else { "forgot" };
        printer.line(format_args!("{verb} {}", answers(count)))?;
    }
    if count == 0 {
        printer.say(
            "no answer that is kept is of these; `tidegate cache stats` shows whose there are",
        );
    }
    Ok(Exit::Ok)
}

/// As a run notes it of its template.
fn hash(file: &Path) -> Result<Vec<u8>, CliError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        CliError::input(
            format!("{}: {error}", file.display()),
            "name the template of a worker, as workers/tag_space/prompt.md",
        )
    })?;
    Ok(Sha256::digest(text).to_vec())
}

fn answers(count: u64) -> String {
    match count {
        1 => "1 answer".to_owned(),
        count => format!("{} answers", thousands(signed(count))),
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
