//! `tidegate embed`: vectors of texts, now, through the same limits, cache and ledger as all work.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;
use uuid::Uuid;

use super::{
    CliError, Context, Exit,
    ask::{FOR_EVER, from_stdin, refused},
    fleet, stop,
};
use crate::{
    engine::{EmbedQuestion, EmbedTold, HowAsked, Interactive, VectorTold},
    llm::{EmbedParams, TASK_TYPES, TaskType},
    model::ModelId,
    plan::Way,
    task::{Purpose, Strategy},
};

/// Make vectors of texts, now.
///
/// Many texts go by few calls, before all waiting work, or by the provider's batches, at half the price
/// and later. What was embedded before comes from the cache, and equal texts are asked once. A line is a
/// vector, in the order of the texts.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    tidegate embed gemini/gemini-embedding-001 \"Who went to the Moon?\" --task-type retrieval_query --dimensions 768\n  \
    tidegate embed openai/text-embedding-3-small - --lines < titles.txt > vectors.jsonl\n  \
    tidegate embed gemini/gemini-embedding-001 - --lines --strategy batch < titles.txt\n  \
    tidegate embed gemini/gemini-embedding-001 --lines --tag v2 --json < titles.txt")]
pub(super) struct Args {
    /// The model, as provider/name
    model: ModelId,
    /// The text; - or nothing: read from stdin
    text: Option<String>,
    /// What the vectors are for; the model's default unless set
    #[arg(long, value_name = "TASK", value_parser = task_type())]
    task_type: Option<TaskType>,
    /// How long a vector is; the model's default unless set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    dimensions: Option<u32>,
    /// Your own word, kept with each vector
    #[arg(long, value_name = "TEXT")]
    tag: Option<String>,
    /// Each line is a text
    #[arg(long)]
    lines: bool,
    /// A model to fall back to, which should be the same under another key; may be said again
    #[arg(long, value_name = "MODEL")]
    fallback: Vec<ModelId>,
    /// How texts are asked: individual, batch, hybrid, or auto for what is best
    #[arg(long, visible_alias = "batching-strategy", value_name = "S", default_value_t = Strategy::Auto)]
    strategy: Strategy,
    /// What the vectors are for, which auto looks at: interactive, rag_query or quick_enrichment (soon), bulk
    /// (cheap)
    #[arg(long, value_name = "P", default_value_t = Purpose::Interactive)]
    purpose: Purpose,
    /// Seconds within which all are wanted: what no batch brings in time is asked singly
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    within: Option<u64>,
    /// Take no kept vector, and keep none
    #[arg(long)]
    no_cache: bool,
    /// Seconds that a single call may wait until it starts, refusals included
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    patience: u64,
    /// Seconds that one call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: u64,
}

fn task_type() -> impl TypedValueParser<Value = TaskType> {
    PossibleValuesParser::new(TASK_TYPES.map(TaskType::as_str)).try_map(|word| {
        let known = TASK_TYPES.into_iter().find(|task| task.as_str() == word);
        known.ok_or("no task type")
    })
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let question = question(&args)?;
    let names = question.models.iter().map(ToString::to_string);
    let entries: Vec<String> = names
        .filter_map(|name| Some(name.split_once('/')?.0.to_owned()))
        .collect();
    let providers = fleet::providers(context, Some(&entries))?;
    let stopped = stop::on_request(&context.printer, false)?;
    context
        .with_store(async |opened| {
            fleet::sync(context, &opened.store).await?;
            let asking =
                Interactive::open(opened.store.clone(), opened.settings.clone(), providers)
                    .await?
                    .with_batch_settings(context.config.batches.to_engine());
            let told = tokio::select! {
                told = asking.embed(&question) => Some(told),
                () = stopped.cancelled() => None,
            };
            // what was paid for is written down, whatever came of it
            asking.close().await?;
            match told {
                Some(told) => tell(context, &told.map_err(refused)?, &question.params),
                None => Err(CliError::input(
                    "stopped before there were all vectors",
                    "ask again: those that came are kept, and a batch that is under way goes on",
                )),
            }
        })
        .await
}

fn question(args: &Args) -> Result<EmbedQuestion, CliError> {
    let text = match args.text.as_deref() {
        None | Some("-") => from_stdin()?,
        Some(text) => text.to_owned(),
    };
    let texts: Vec<String> = match args.lines {
        true => text.lines().map(str::to_owned).collect(),
        false => vec![text],
    };
    if let Some(at) = texts.iter().position(|text| text.trim().is_empty()) {
        return Err(match args.lines {
            true => CliError::input(
                format!("line {} is empty, and an empty text has no vector", at + 1),
                "leave it out",
            ),
            false => CliError::input(
                "the text is empty",
                "write it behind the model, or pipe it in",
            ),
        });
    }
    Ok(EmbedQuestion {
        models: std::iter::once(&args.model)
            .chain(&args.fallback)
            .cloned()
            .collect(),
        texts,
        params: EmbedParams {
            task_type: args.task_type,
            dimensions: args.dimensions,
            tag: args.tag.clone(),
        },
        cache: (!args.no_cache).then_some(FOR_EVER),
        strategy: args.strategy,
        purpose: args.purpose,
        within: args.within.map(Duration::from_secs),
        patience: Duration::from_secs(args.patience),
        timeout: Duration::from_secs(args.timeout),
    })
}

/// A vector with what is known of it. No `json!`, which would make each number another, longer one.
#[derive(Serialize)]
struct Line<'a> {
    index: usize,
    vector: &'a [f32],
    dimensions: usize,
    task_type: Option<TaskType>,
    tag: Option<&'a str>,
    model: &'a str,
    model_version: Option<&'a str>,
    cached: bool,
    input_tokens: Option<u64>,
    cost_microusd: Option<i64>,
    waited_ms: u64,
    latency_ms: u64,
    task_id: Option<Uuid>,
    /// How the list was asked. `null`: all of it was kept.
    how: Option<How<'a>>,
}

#[derive(Clone, Copy, Serialize)]
struct How<'a> {
    strategy: Way,
    reason: &'a str,
    singly: usize,
    by_batch: usize,
}

fn tell(context: &Context, told: &EmbedTold, params: &EmbedParams) -> Result<Exit, CliError> {
    let printer = &context.printer;
    if !printer.is_json()
        && told.vectors.len() > 1
        && let Some(how) = &told.how
    {
        printer.say(words(how));
    }
    for (index, it) in told.vectors.iter().enumerate() {
        if printer.is_json() {
            printer.object(&line(index, it, params, told.how.as_ref()))?;
        } else {
            let values = serde_json::to_string(&it.vector.values);
            let values = values.map_err(|error| CliError::Io {
                doing: "write JSON".to_owned(),
                source: error.into(),
            })?;
            printer.line(values)?;
        }
    }
    Ok(Exit::Ok)
}

/// How a list was asked, for people.
fn words(how: &HowAsked) -> String {
    let texts = |n: usize| format!("{n} text{}", if n == 1 { "" } else { "s" });
    let parts = match (how.singly, how.by_batch) {
        (singly, 0) => format!("{} by calls", texts(singly)),
        (0, by_batch) => format!("{} by batch", texts(by_batch)),
        (singly, by_batch) => format!("{} by calls, {} by batch", texts(singly), texts(by_batch)),
    };
    format!("{}: {parts}: {}", how.strategy.as_str(), how.reason)
}

fn line<'a>(
    index: usize,
    it: &'a VectorTold,
    params: &'a EmbedParams,
    how: Option<&'a HowAsked>,
) -> Line<'a> {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Line {
        index,
        vector: &it.vector.values,
        dimensions: it.vector.values.len(),
        task_type: params.task_type,
        tag: params.tag.as_deref(),
        model: &it.model,
        model_version: it.model_version.as_deref(),
        cached: it.cached,
        input_tokens: it.usage.map(|usage| usage.input_tokens),
        cost_microusd: it.cost_microusd,
        waited_ms: millis(it.waited),
        latency_ms: millis(it.latency),
        task_id: it.task,
        how: how.map(|how| How {
            strategy: how.strategy,
            reason: &how.reason,
            singly: how.singly,
            by_batch: how.by_batch,
        }),
    }
}
