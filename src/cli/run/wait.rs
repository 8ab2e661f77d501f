//! Waiting for a run, working it meanwhile, and telling what it came to.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::cli::{
    CliError, Context, Exit, Opened, fleet,
    progress::{EVERY, Progress},
    report::Shown,
};
use crate::{
    definition::Definition,
    engine::{Engine, Registry},
    provider::Provider,
};

/// How long a run's files at its providers may take to be removed, at its end.
const TIDY_WITHIN: Duration = Duration::from_secs(15);

/// What this process works with while it waits.
pub(in crate::cli) struct Working(BTreeMap<String, Arc<dyn Provider>>);

impl Working {
    /// The providers of the definition's models. A missing key is told here.
    pub(in crate::cli) fn of(context: &Context, definition: &Definition) -> Result<Self, CliError> {
        let models = definition.models();
        let entries = models.iter().filter_map(|model| model.split_once('/'));
        let entries: Vec<String> = entries.map(|(entry, _)| entry.to_owned()).collect();
        Ok(Self(fleet::providers(context, Some(&entries))?))
    }
}

/// Works the run in this process, where that is wanted, until it has ended or this process is stopped.
pub(in crate::cli) async fn work_and_wait(
    context: &Context,
    opened: &Opened,
    definition: &Definition,
    run: Uuid,
    working: Option<Working>,
    stop: &CancellationToken,
) -> Result<Exit, CliError> {
    let working = working.map(|Working(providers)| {
        let engine = Engine::new(
            opened.store.clone(),
            opened.settings.clone(),
            providers,
            Registry::new(),
            fleet::settings(context, "run"),
        );
        tokio::spawn(engine.run(stop.child_token()))
    });
    let exit = wait(context, opened, definition, run, stop).await;
    if working.is_some() {
        tidied(opened, run, stop).await;
    }
    stop.cancel();
    if let Some(working) = working {
        working.await.map_err(|error| CliError::Io {
            doing: "work".to_owned(),
            source: std::io::Error::other(error),
        })??;
    }
    exit
}

/// Lets this process remove the run's files at its providers, for a while: else the next one does.
async fn tidied(opened: &Opened, run: Uuid, stop: &CancellationToken) {
    let over = async {
        while let Ok(rows) = opened.store.batch_rows(Some(run), None, true, 1).await
            && !rows.is_empty()
        {
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        _ = tokio::time::timeout(TIDY_WITHIN, over) => {}
    }
}

/// Waits until the run has ended, or this process is stopped; then tells what it came to.
async fn wait(
    context: &Context,
    opened: &Opened,
    definition: &Definition,
    run: Uuid,
    stop: &CancellationToken,
) -> Result<Exit, CliError> {
    let (printer, store) = (&context.printer, &opened.store);
    let models = definition.models();
    let mut progress = Progress::or_stream(printer, store, vec![run], models);
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        match progress.turn().await {
            Err(CliError::Store(error)) if error.is_passing() => continue,
            other => other?,
        }
        if store.have_ended(&[run]).await? {
            break;
        }
    }
    progress.finish();
    let shown = Shown::of(store, run).await?.ok_or_else(|| {
        CliError::input(
            format!("the run {run} is gone: somebody deleted it"),
            "see `tidegate runs list`",
        )
    })?;
    if printer.is_json() {
        printer.object(&shown)?;
    } else {
        shown.print(printer)?;
    }
    let sum = shown.sum();
    let unfinished = sum.total - sum.ended();
    if unfinished > 0 {
        printer.say(format_args!(
            "{unfinished} tasks have not ended: `tidegate work` goes on with them"
        ));
    }
    Ok(if sum.failed > 0 || unfinished > 0 {
        Exit::Partial
    } else {
        Exit::Ok
    })
}
