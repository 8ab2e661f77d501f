//! A model closed and opened by hand, for the whole fleet.

use std::time::Duration;

use serde_json::json;

use super::known;
use crate::cli::times::moment;
use crate::cli::{CliError, Context, Exit};

pub(super) async fn cool(
    context: &Context,
    model: &str,
    wait: Option<Duration>,
    reason: &str,
) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| {
            let done = opened
                .store
                .cool_down(model, wait, false, reason, WHO)
                .await;
            let until = match done {
                Ok(until) => until,
                Err(error) => return Err(known(opened, model, error).await),
            };
            let printer = &context.printer;
            if printer.is_json() {
                printer.object(&json!({"model": model, "until": until}))?;
            } else {
                printer.line(format_args!(
                    "{model} is closed until {}",
                    moment(until, printer)
                ))?;
            }
            Ok(Exit::Ok)
        })
        .await
}

pub(super) async fn pause(context: &Context, model: &str, reason: &str) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| {
            let reason = format!("paused by hand: {reason}");
            let before = match opened.store.pause_model(model, &reason).await {
                Ok(before) => before,
                Err(error) => return Err(known(opened, model, error).await),
            };
            let printer = &context.printer;
            if printer.is_json() {
                printer.object(&json!({
                    "model": model, "changed": before.is_none(), "closed_by": before.as_ref().unwrap_or(&reason),
                }))?;
            } else if let Some(before) = before {
                printer.line(format_args!("{model} was closed already: {before}"))?;
            } else {
                printer.line(format_args!(
                    "{model} is closed until `tidegate models resume {model}`"
                ))?;
            }
            Ok(Exit::Ok)
        })
        .await
}

pub(super) async fn resume(context: &Context, model: &str) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| {
            let changed = match opened.store.resume_model(model).await {
                Ok(changed) => changed,
                Err(error) => return Err(known(opened, model, error).await),
            };
            let only = [model.to_owned()];
            let status = opened.store.model_status(Some(&only)).await?.pop();
            let closed_by = status.and_then(|it| it.closed_by);
            let printer = &context.printer;
            if printer.is_json() {
                printer
                    .object(&json!({"model": model, "changed": changed, "closed_by": closed_by}))?;
                return Ok(Exit::Ok);
            }
            match (changed, closed_by) {
                (_, Some(why)) => printer.line(format_args!(
                    "{model} is closed still: {why}; `tidegate models clear {model}` opens it"
                ))?,
                (true, None) => printer.line(format_args!("{model} is open"))?,
                (false, None) => printer.line(format_args!("{model} was open already"))?,
            }
            Ok(Exit::Ok)
        })
        .await
}

pub(super) async fn clear(context: &Context, model: &str) -> Result<Exit, CliError> {
    context
        .with_store(async |opened| {
            let cleared = match opened.store.clear_cooldown(model).await {
                Ok(cleared) => cleared,
                Err(error) => return Err(known(opened, model, error).await),
            };
            let printer = &context.printer;
            if printer.is_json() {
                printer.object(&json!({"model": model, "cleared": cleared}))?;
            } else if cleared {
                printer.line(format_args!("{model} is open"))?;
            } else {
                printer.line(format_args!("{model} was open already"))?;
            }
            Ok(Exit::Ok)
        })
        .await
}

const WHO: &str = "tidegate models cool";
