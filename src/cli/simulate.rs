//! `tidegate simulate`: the provider simulator as a server.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;

use super::{CliError, Context, Exit, Printer, stop};
use crate::config::nearest;
use crate::simulator::{self, ModelSettings, Settings, WindowKind};

/// A server that speaks Gemini's and OpenAI's protocols, keeps limits for real, and answers from the
/// prompt alone.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  tidegate simulate --addr 127.0.0.1:8090\n  tidegate simulate --model gemini-test:rpm=15,window=sliding --latency-ms 300\n\n\
                  Point a provider entry at it: TIDEGATE_PROVIDERS_GEMINI_BASE_URL=<the printed URL>,\n\
                  or one of kind openai at the same address with /v1: the models and limits are the same"
)]
pub(super) struct Args {
    /// Where to listen [default: a free port of this machine]
    #[arg(long, value_name = "IP:PORT")]
    addr: Option<SocketAddr>,
    /// All its settings in a TOML file: models, latency, faults, outages
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// A model on offer and its limits; the keys are rpm, tpm, rpd, window (fixed, sliding, bucket)
    /// and burst. Once or more; without --settings these are all there are
    #[arg(long = "model", value_name = "NAME:KEY=VALUE,...", value_parser = model)]
    models: Vec<ModelSettings>,
    /// Seeds faults, latencies and answers
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How long an answer takes, in the middle
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=600_000))]
    latency_ms: Option<u32>,
    /// Stop when standard input ends
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let stop = stop::on_request(&context.printer, args.stop_with_stdin)?;
    let settings = settings(args)?;
    let printer = context.printer.clone();
    simulator::serve(settings, stop, move |addr| told(&printer, addr)).await?;
    Ok(Exit::Ok)
}

/// A reader of the first line who leaves then (`head -1`) takes nothing from the server.
fn told(printer: &Printer, addr: SocketAddr) {
    let base_url = format!("http://{addr}/v1beta");
    let _ = if printer.is_json() {
        let openai = format!("http://{addr}/v1");
        printer.object(&json!({"base_url": base_url, "openai_base_url": openai, "addr": addr}))
    } else {
        printer.line(&base_url)
    };
    printer.say(format_args!(
        "simulating until Ctrl-C; for entries of kind openai: http://{addr}/v1"
    ));
}

fn settings(args: Args) -> Result<Settings, CliError> {
    let mut settings = match &args.settings {
        None => Settings::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                CliError::input(format!("{}: {error}", path.display()), "check --settings")
            })?;
            Settings::from_toml(&text).map_err(simulator::Error::from)?
        }
    };
    if args.settings.is_none() && !args.models.is_empty() {
        settings.models.clear();
    }
    for model in args.models {
        settings.models.retain(|known| known.name != model.name);
        settings.models.push(model);
    }
    settings.addr = args.addr.unwrap_or(settings.addr);
    settings.seed = args.seed.unwrap_or(settings.seed);
    if let Some(ms) = args.latency_ms {
        settings.latency.median_ms = ms.into();
    }
    Ok(settings)
}

/// `name:rpm=15,window=sliding`; a name alone has no limits.
fn model(text: &str) -> Result<ModelSettings, String> {
    let (name, limits) = text.split_once(':').unwrap_or((text, ""));
    let mut model = ModelSettings::named(name);
    for part in limits.split(',').filter(|part| !part.is_empty()) {
        let (key, value) = part
            .split_once('=')
            .ok_or_else(|| format!("{part:?} is no KEY=VALUE"))?;
        let number = || {
            let digits = value.replace('_', "");
            digits
                .parse::<u64>()
                .map(Some)
                .map_err(|_| format!("{key} is {value:?}, no whole number"))
        };
        match key {
            "rpm" => model.rpm = number()?,
            "tpm" => model.tpm = number()?,
            "rpd" => model.rpd = number()?,
            "burst" => model.burst = number()?,
            "window" => model.window = window(value)?,
            _ => {
                let near = nearest(key, MODEL_KEYS).map(|it| format!("; did you mean {it}?"));
                return Err(format!("unknown key {key:?}{}", near.unwrap_or_default()));
            }
        }
    }
    Ok(model)
}

fn window(word: &str) -> Result<WindowKind, String> {
    match word {
        "fixed" => Ok(WindowKind::Fixed),
        "sliding" => Ok(WindowKind::Sliding),
        "bucket" => Ok(WindowKind::Bucket),
        _ => Err(format!(
            "window is {word:?}: it must be fixed, sliding or bucket"
        )),
    }
}

const MODEL_KEYS: [&str; 5] = ["rpm", "tpm", "rpd", "burst", "window"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_read_from_one_word() {
        let read = model("m:rpm=15,tpm=1_000_000,window=bucket,burst=3").unwrap();
        assert_eq!(
            (read.rpm, read.tpm, read.burst),
            (Some(15), Some(1_000_000), Some(3))
        );
        assert_eq!(read.window, WindowKind::Bucket);
        assert_eq!(model("m").unwrap().rpm, None);
    }

    #[test]
    fn a_misspelt_limit_names_the_nearest() {
        assert!(model("m:rmp=15").unwrap_err().contains("rpm"));
        assert!(model("m:rpm=many").unwrap_err().contains("many"));
        assert!(model("m:window=round").unwrap_err().contains("sliding"));
    }
}
