//! `tidegate models set`: limits and prices by hand, told before and after.

use serde_json::{Map, Value, json};

use super::known;
use crate::cli::{CliError, Context, Exit, Opened};
use crate::config::{micro_dollars, usd};
use crate::store::{StoreError, limit::LimitRow, model::ModelStatus};

/// Set limits and prices of a model for the whole fleet; `none` takes one away
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The next claim of every process obeys. tidegate.toml does not undo it, unless what it says of the\nmodel changes.\n\
                  Examples:\n  \
                  tidegate models set gemini/gemini-3.8-flash --rpm 60 --tpm none\n  \
                  tidegate models set gemini/gemini-3.8-flash --rpm 60 --window bucket --burst 10\n  \
                  tidegate models set openai/gpt-5-mini --input-price-usd 0.25 --output-price-usd 2"
)]
pub(super) struct Args {
    /// The model, as <provider entry>/<wire name>
    model: String,
    /// Requests per minute
    #[arg(long, value_name = "N|none", allow_hyphen_values = true, value_parser = |text: &str| whole(text, 10_000_000))]
    rpm: Option<Value>,
    /// Tokens per minute, as the provider counts them
    #[arg(long, value_name = "N|none", allow_hyphen_values = true, value_parser = |text: &str| whole(text, TOKENS_MAX))]
    tpm: Option<Value>,
    /// Output tokens per minute
    #[arg(long, value_name = "N|none", allow_hyphen_values = true, value_parser = |text: &str| whole(text, TOKENS_MAX))]
    output_tpm: Option<Value>,
    /// Requests per day of the provider's calendar
    #[arg(long, value_name = "N|none", allow_hyphen_values = true, value_parser = |text: &str| whole(text, 4_000_000_000))]
    rpd: Option<Value>,
    /// Tokens per day of the provider's calendar
    #[arg(long, value_name = "N|none", allow_hyphen_values = true, value_parser = |text: &str| whole(text, TOKENS_MAX))]
    tpd: Option<Value>,
    /// Calls at once at most; below it they follow what the model bears
    #[arg(long, value_name = "N|none", allow_hyphen_values = true, value_parser = |text: &str| whole(text, 100_000))]
    max_concurrency: Option<Value>,
    /// How the provider counts a minute: sliding, fixed, or bucket (with --burst); none: found out gently
    #[arg(long, value_name = "HOW|none", value_parser = window)]
    window: Option<Value>,
    /// Bucket: how many may start at once
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = |text: &str| whole(text, 10_000_000))]
    burst: Option<Value>,
    /// USD per million input tokens
    #[arg(long, value_name = "X|none", allow_hyphen_values = true, value_parser = price)]
    input_price_usd: Option<Value>,
    /// USD per million output tokens
    #[arg(long, value_name = "X|none", allow_hyphen_values = true, value_parser = price)]
    output_price_usd: Option<Value>,
    /// The model whose limits it shares: one bucket, many names
    #[arg(long, value_name = "MODEL|none", value_parser = other)]
    shares_limits_of: Option<Value>,
    /// Whether it has a batch mode; none: that is found out
    #[arg(long, value_name = "true|false|none", value_parser = flag)]
    batch: Option<Value>,
    /// What its batches cost, in percent of single calls; none: 50
    #[arg(long, value_name = "N|none", allow_hyphen_values = true, value_parser = percent)]
    batch_price_percent: Option<Value>,
    /// Input tokens that may stand in its batches at once
    #[arg(long, value_name = "N|none", allow_hyphen_values = true, value_parser = |text: &str| whole(text, TOKENS_MAX))]
    batch_enqueued_tokens: Option<Value>,
}

impl Args {
    /// What is to change, by the database's names.
    fn changes(&self) -> Map<String, Value> {
        let all = [
            ("rpm", &self.rpm),
            ("tpm", &self.tpm),
            ("output_tpm", &self.output_tpm),
            ("rpd", &self.rpd),
            ("tpd", &self.tpd),
            ("max_concurrency", &self.max_concurrency),
            ("window", &self.window),
            ("burst", &self.burst),
            ("input_price_microusd", &self.input_price_usd),
            ("output_price_microusd", &self.output_price_usd),
            ("shares", &self.shares_limits_of),
            ("batch", &self.batch),
            ("batch_price_percent", &self.batch_price_percent),
            ("batch_enqueued_tokens", &self.batch_enqueued_tokens),
        ];
        all.into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
            .collect()
    }
}

pub(super) async fn run(context: &Context, args: Args) -> Result<Exit, CliError> {
    let changes = args.changes();
    if changes.is_empty() {
        return Err(CliError::input(
            format!("nothing to set for {}", args.model),
            "say what, as --rpm 60; see `tidegate models set --help`",
        ));
    }
    context
        .with_store(async |opened| {
            let before = settings(opened, &args.model).await?;
            let set = opened
                .store
                .set_model(&args.model, &Value::Object(changes))
                .await;
            if let Err(error) = set {
                return Err(refused(opened, &args, error).await);
            }
            let after = settings(opened, &args.model).await?;
            tell(context, &args.model, &before, &after)
        })
        .await
}

fn tell(
    context: &Context,
    model: &str,
    before: &[Setting],
    after: &[Setting],
) -> Result<Exit, CliError> {
    let changed = before
        .iter()
        .zip(after)
        .filter(|(before, after)| before != after);
    let printer = &context.printer;
    if printer.is_json() {
        let changed: Map<_, _> = changed
            .map(|(before, after)| {
                let both = json!({"before": before.value, "after": after.value});
                (after.name.to_owned(), both)
            })
            .collect();
        printer.object(&json!({"model": model, "changed": changed}))?;
        return Ok(Exit::Ok);
    }
    let mut lines = 0;
    for (before, after) in changed {
        lines += 1;
        printer.line(format_args!(
            "{model}: {} {} -> {}",
            after.name,
            before.words(),
            after.words()
        ))?;
    }
    if lines == 0 {
        printer.line(format_args!("{model}: all of that was so already"))?;
    }
    Ok(Exit::Ok)
}

/// One setting as it is.
#[derive(Debug, PartialEq)]
struct Setting {
    name: &'static str,
    value: Value,
    learned: bool,
}

impl Setting {
    fn words(&self) -> String {
        let value = match &self.value {
            Value::Null => return "none".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match self.learned {
            true => format!("{value} (learned)"),
            false => value,
        }
    }
}

/// Everything that can be set, as it is now, always in the same order. Of a model that is not there all
/// is null.
async fn settings(opened: &Opened, model: &str) -> Result<Vec<Setting>, CliError> {
    let limits = opened.store.model_limits(model).await?;
    let only = [model.to_owned()];
    let status = opened.store.model_status(Some(&only)).await?.pop();
    let price = |of: fn(&ModelStatus) -> Option<i64>| {
        let price = status.as_ref().and_then(of);
        json!(price.map(usd))
    };
    let plain = |name, value| Setting {
        name,
        value,
        learned: false,
    };
    let rpm = limit(&limits, &["requests"], "minute");
    let tokens = ["input_tokens", "total_tokens"];
    Ok(vec![
        sized("rpm", rpm),
        sized("tpm", limit(&limits, &tokens, "minute")),
        sized("output_tpm", limit(&limits, &["output_tokens"], "minute")),
        sized("rpd", limit(&limits, &["requests"], "day")),
        sized("tpd", limit(&limits, &tokens, "day")),
        plain(
            "max_concurrency",
            json!(limit(&limits, &["concurrency"], "none").and_then(|it| it.told)),
        ),
        plain("window", json!(rpm.map(|it| &it.counting))),
        plain("burst", json!(rpm.and_then(|it| it.burst))),
        plain("input_price_usd", price(|it| it.input_price_microusd)),
        plain("output_price_usd", price(|it| it.output_price_microusd)),
        plain(
            "shares_limits_of",
            json!(status.as_ref().and_then(|it| it.shares.clone())),
        ),
        plain("batch", json!(status.as_ref().and_then(|it| it.batch_mode))),
        plain(
            "batch_price_percent",
            json!(status.as_ref().map(|it| it.batch_percent)),
        ),
        plain(
            "batch_enqueued_tokens",
            json!(status.as_ref().and_then(|it| it.batch_tokens)),
        ),
    ])
}

fn limit<'a>(limits: &'a [LimitRow], dimensions: &[&str], window: &str) -> Option<&'a LimitRow> {
    limits
        .iter()
        .find(|it| it.window == window && dimensions.contains(&it.dimension.as_str()))
}

fn sized(name: &'static str, limit: Option<&LimitRow>) -> Setting {
    Setting {
        name,
        value: json!(limit.map(|it| it.size)),
        learned: limit.is_some_and(|it| it.told.is_none()),
    }
}

/// A refusal, with the nearest name where one is not known.
async fn refused(opened: &Opened, args: &Args, error: StoreError) -> CliError {
    match (&error, &args.shares_limits_of) {
        (StoreError::BadInput { field, message, .. }, Some(Value::String(of)))
            if field == "shares" =>
        {
            known(opened, of, StoreError::Refused(message.clone())).await
        }
        _ => known(opened, &args.model, error).await,
    }
}

/// `none`, or a whole number from 1.
fn whole(text: &str, most: i64) -> Result<Value, String> {
    if text == "none" {
        return Ok(Value::Null);
    }
    match text.replace('_', "").parse::<i64>() {
        Ok(number) if (1..=most).contains(&number) => Ok(json!(number)),
        Ok(0) => Err(format!(
            "write 1 to {most}, or none for no such limit; `tidegate models pause` closes a model"
        )),
        _ => Err(format!("write a whole number from 1 to {most}, or none")),
    }
}

fn flag(text: &str) -> Result<Value, String> {
    match text {
        "none" => Ok(Value::Null),
        "true" | "false" => Ok(json!(text == "true")),
        _ => Err("write true, false or none".to_owned()),
    }
}

fn percent(text: &str) -> Result<Value, String> {
    match (text, text.parse::<i64>()) {
        ("none", _) => Ok(Value::Null),
        (_, Ok(number @ 0..=100)) => Ok(json!(number)),
        _ => Err("write a whole number from 0 to 100, or none for 50".to_owned()),
    }
}

fn window(text: &str) -> Result<Value, String> {
    match text {
        "none" => Ok(Value::Null),
        "sliding" | "fixed" | "bucket" => Ok(json!(text)),
        _ => Err("write sliding, fixed, bucket or none".to_owned()),
    }
}

fn price(text: &str) -> Result<Value, String> {
    if text == "none" {
        return Ok(Value::Null);
    }
    micro_dollars(text).map(|it| json!(it)).map_err(|why| {
        format!("{why}; write USD per million tokens with at most 6 decimals, as 0.75, or none")
    })
}

fn other(text: &str) -> Result<Value, String> {
    match text {
        "none" => Ok(Value::Null),
        model if model.contains('/') => Ok(json!(model)),
        _ => Err("write <provider entry>/<wire name>, or none".to_owned()),
    }
}

const TOKENS_MAX: i64 = 1_000_000_000_000;
