//! `tidegate ask`: one question, answered now, through the same limits, cache and ledger as all work.

use std::{io::Read, path::PathBuf, sync::Arc, time::Duration};

use serde_json::{json, value::to_raw_value};

use super::{CliError, Context, Exit, fleet, stop};
use crate::{
    definition::{Definition, Folder},
    engine::{AskError, Interactive, Question, Registry, Told},
    llm::Chunk,
    model::ModelId,
    task::Item,
};

/// Ask a model one question, now.
///
/// It goes before all waiting work: a little of each limit is kept back for questions. What was asked
/// before is answered from the cache.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    tidegate ask gemini/gemini-3.5-flash-lite \"Why is the sky blue?\"\n  \
    git diff | tidegate ask gemini/gemini-3.8-flash - --system \"Write a commit message.\"\n  \
    tidegate ask gemini/gemini-3.8-flash \"Ada Lovelace\" --schema person.json --fallback openai/gpt-5-mini --json")]
pub(super) struct Args {
    /// The model, as provider/name
    model: ModelId,
    /// The question; - or nothing: read from stdin
    prompt: Option<String>,
    /// A model to fall back to; may be said again
    #[arg(long, value_name = "MODEL")]
    fallback: Vec<ModelId>,
    /// Instructions that stand above the question
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// The answer is JSON that meets this JSON Schema
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Sampling temperature, 0 to 2
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Tokens of the answer at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_output_tokens: Option<u32>,
    /// Show the answer as it is written; with --json an object a piece, the last one whole
    #[arg(long)]
    stream: bool,
    /// Take no kept answer, and keep none
    #[arg(long)]
    no_cache: bool,
    /// Seconds to wait for a call that may start, refusals included
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: u64,
    /// Seconds that one call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: u64,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let question = question(&args)?;
    let entries: Vec<String> = question
        .models
        .iter()
        .filter_map(|model| Some(model.to_string().split_once('/')?.0.to_owned()))
        .collect();
    let providers = fleet::providers(context, Some(&entries))?;
    let stopped = stop::on_request(&context.printer, false)?;
    context
        .with_store(async |opened| {
            fleet::sync(context, &opened.store).await?;
            let asking =
                Interactive::open(opened.store.clone(), opened.settings.clone(), providers).await?;
            let told = tokio::select! {
                told = answered(&asking, &question, args.stream, context) => Some(told),
                () = stopped.cancelled() => None,
            };
            // what was paid for is written down, whatever came of it
            asking.close().await?;
            match told {
                Some(told) => tell(context, told, &args),
                None => Err(CliError::input(
                    "stopped before there was an answer",
                    "ask again",
                )),
            }
        })
        .await
}

fn question(args: &Args) -> Result<Question, CliError> {
    let prompt = match args.prompt.as_deref() {
        None | Some("-") => from_stdin()?,
        Some(prompt) => prompt.to_owned(),
    };
    if prompt.trim().is_empty() {
        return Err(CliError::input(
            "the question is empty",
            "write it behind the model, or pipe it in",
        ));
    }
    let definition = definition(args)?;
    let handler = Registry::new()
        .handler(&definition)
        .map_err(|words| CliError::input(words, "mend the schema"))?;
    let system = args.system.clone().unwrap_or_default();
    let body = to_raw_value(&json!({ "prompt": prompt, "system": system }))
        .map_err(|error| CliError::input(error.to_string(), "ask with other text"))?;
    Ok(Question {
        models: std::iter::once(&args.model)
            .chain(&args.fallback)
            .cloned()
            .collect(),
        handler: Arc::clone(&handler),
        item: Item::new("question", body),
        cache: (!args.no_cache).then_some(FOR_EVER),
        patience: Duration::from_secs(args.patience),
        timeout: Duration::from_secs(args.timeout),
    })
}

/// A worker of one step whose prompt is the question itself: its checks and its judge are the same.
fn definition(args: &Args) -> Result<Definition, CliError> {
    let mut folder = Folder::default();
    let mut worker = String::from(
        "name = \"ask\"\nversion = \"1\"\n[source]\nfile = \"none.jsonl\"\nid = \"id\"\n[[tier]]\nshare = 1.0\nmix = 1\nmodel = \"any/model\"\n[prompt]\ntemplate = \"prompt.md\"\n",
    );
    folder.insert("prompt.md", "{{ prompt }}");
    if args.system.is_some() {
        worker.push_str("system = \"system.md\"\n");
        folder.insert("system.md", "{{ system }}");
    }
    if let Some(file) = &args.schema {
        let text = std::fs::read_to_string(file).map_err(|source| CliError::Io {
            doing: format!("read {}", file.display()),
            source,
        })?;
        worker.push_str("schema = \"schema.json\"\n");
        folder.insert("schema.json", &text);
    }
    folder.insert("worker.toml", &worker);
    let mut params = Vec::new();
    if let Some(temperature) = args.temperature {
        params.push((
            "prompt.params.temperature".to_owned(),
            temperature.to_string(),
        ));
    }
    if let Some(tokens) = args.max_output_tokens {
        params.push((
            "prompt.params.max_output_tokens".to_owned(),
            tokens.to_string(),
        ));
    }
    Ok(Definition::check(&folder, &params)?)
}

/// All that is piped in.
pub(super) fn from_stdin() -> Result<String, CliError> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|source| CliError::Io {
            doing: "read stdin".to_owned(),
            source,
        })?;
    Ok(text)
}

/// The answer; where it is streamed, its pieces are written as they come.
async fn answered(
    asking: &Interactive,
    question: &Question,
    stream: bool,
    context: &Context,
) -> Result<Told, AskError> {
    if !stream {
        return asking.ask(question).await;
    }
    let printer = &context.printer;
    let write = |chunk: Chunk| {
        // whoever closed stdout reads no more; the answer is kept all the same
        let _ = match printer.is_json() {
            true => printer.object(&json!({ "chunk": chunk.text })),
            false => printer.text(&chunk.text),
        };
    };
    asking.stream(question, &write).await
}

/// Why there is no answer, and what to do about it.
pub(super) fn refused(error: AskError) -> CliError {
    match error {
        AskError::Store(error) => CliError::from(error),
        AskError::Input(words) => CliError::input(words, "ask in another way"),
        AskError::Waited { .. } => CliError::input(
            error.to_string(),
            "look at `tidegate models list`; wait longer with --patience, or name a model to fall back to",
        ),
        AskError::Parked { .. } => CliError::input(
            error.to_string(),
            "mend the cause, then `tidegate models clear MODEL`; or name a model to fall back to",
        ),
        AskError::Failed { class, words } => CliError::input(
            format!("no answer ({class}): {words}"),
            "look at `tidegate models list`, or ask another model",
        ),
    }
}

fn tell(context: &Context, told: Result<Told, AskError>, args: &Args) -> Result<Exit, CliError> {
    let told = told.map_err(refused)?;
    let printer = &context.printer;
    let text: Option<String> = serde_json::from_str(told.answer.get()).ok();
    if printer.is_json() {
        printer.object(&json!({
            "answer": told.answer,
            "model": told.model,
            "model_version": told.model_version,
            "cached": told.cached,
            "input_tokens": told.usage.map(|it| it.input_tokens),
            "output_tokens": told.usage.map(|it| it.output_tokens + it.thought_tokens),
            "cost_microusd": told.cost_microusd,
            "waited_ms": u64::try_from(told.waited.as_millis()).unwrap_or(u64::MAX),
            "latency_ms": u64::try_from(told.latency.as_millis()).unwrap_or(u64::MAX),
            "task_id": told.task,
        }))?;
        return Ok(Exit::Ok);
    }
    if args.stream {
        printer.line("")?;
        return Ok(Exit::Ok);
    }
    match text {
        Some(text) if args.schema.is_none() => printer.text(text.trim_end_matches('\n'))?,
        _ => printer.text(told.answer.get())?,
    }
    printer.line("")?;
    Ok(Exit::Ok)
}

/// How old a kept answer may be.
pub(super) const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);
