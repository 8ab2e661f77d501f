//! `tidegate migrate`: the schema, brought up to date.

use serde_json::json;

use super::{CliError, Context, Exit};
use crate::store::migrate;

pub(super) async fn run(context: &Context) -> Result<Exit, CliError> {
    let opened = context.open_unchecked().await?;
    let report = migrate::run(&opened.store).await;
    let closed = opened.close().await;
    let report = report?;
    closed?;
    let printer = &context.printer;
    if printer.is_json() {
        printer.object(&json!({"applied": report.applied, "functions": report.functions}))?;
        return Ok(Exit::Ok);
    }
    for name in &report.applied {
        printer.line(format_args!("applied {name}"))?;
    }
    printer.line(match (report.applied.is_empty(), report.functions) {
        (true, false) => "the schema is up to date",
        (true, true) => "the functions and views are replaced: the schema is up to date",
        (false, _) => "the schema is up to date now",
    })?;
    Ok(Exit::Ok)
}
