//! Looking at runs: the list, and one in full.

use super::{Which, no_such};
use crate::cli::report::Shown;
use crate::cli::status::progress;
use crate::cli::times::{brief, cut, dollars};
use crate::cli::{CliError, Context, Exit, Opened};
use crate::store::run::RunFilter;

pub(super) async fn list(
    context: &Context,
    opened: &Opened,
    worker: Option<&str>,
    open: bool,
    limit: i64,
) -> Result<Exit, CliError> {
    let printer = &context.printer;
    let filter = RunFilter {
        only: None,
        worker: worker.map(str::to_owned),
        open,
    };
    let runs = opened.store.runs(&filter, limit).await?;
    if runs.is_empty() && !printer.is_json() {
        printer.say("no runs; `tidegate run WORKER` makes one");
    }
    let headers = [
        "run", "worker", "state", "done", "failed", "429s", "cost", "begun", "ends", "source",
    ];
    printer.list(&headers, &runs, |run| {
        vec![
            run.run_id.to_string(),
            cut(&run.worker, 32),
            run.state.clone(),
            progress(run),
            run.failed.to_string(),
            run.calls_429.to_string(),
            dollars(run.cost_microusd),
            brief(run.created_at, printer),
            run.finished_at
                .or(run.eta)
                .map_or_else(|| "-".to_owned(), |at| brief(at, printer)),
            cut(&run.source, 40),
        ]
    })?;
    Ok(Exit::Ok)
}

pub(super) async fn show(
    context: &Context,
    opened: &Opened,
    which: &Which,
) -> Result<Exit, CliError> {
    let printer = &context.printer;
    let id = which.id(opened).await?;
    let shown = Shown::of(&opened.store, id)
        .await?
        .ok_or_else(|| no_such(id))?;
    if printer.is_json() {
        printer.object(&shown)?;
        return Ok(Exit::Ok);
    }
    shown.print(printer)?;
    if shown.sum().failed > 0 {
        printer.say(format_args!(
            "put them back: tidegate retry --run {id}; look at them: tidegate tasks list --run {id} --state failed"
        ));
    }
    Ok(Exit::Ok)
}
