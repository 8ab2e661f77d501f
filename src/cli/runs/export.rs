//! `tidegate runs export`: what became of each item, page by page.

use std::{collections::HashMap, path::PathBuf};

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::{Which, target::Target};
use crate::cli::{CliError, Context, Exit, Opened};
use crate::store::export::{Outcome, Place};
use crate::task::Answer;

/// Tasks looked at by one statement.
const PAGE: i64 = 500;
/// Bytes of answers held at once; one that is larger is held alone.
const ANSWERS_MAX: i64 = 8 << 20;

/// Write out what became of each item of a run: state, model, answer, attempts, cost, error
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Without --out or --dir it goes to stdout. Files can be read by you only (mode 0600).\n\
                  With --dir a file that is there and holds something else is left as it is, unless --force is given.\n\
                  In JSONL the answer stands byte for byte, but for line breaks between its parts, which become blanks.\n\
                  In CSV it is the same JSON text, and what a spreadsheet would take for a formula begins with '.\n\
                  Examples:\n  \
                  tidegate runs export 0198c7f01f6a > answers.jsonl\n  \
                  tidegate runs export 0198c7f01f6a --format csv --out answers.csv --state done,failed"
)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// To this file, replaced once all is written
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    out: Option<PathBuf>,
    /// To a file a task (item and component), in this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// With --dir: write over files that hold something else
    #[arg(long, requires = "dir")]
    force: bool,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Only tasks in these states, as done,failed
    #[arg(long, value_name = "STATES", value_delimiter = ',', value_parser = crate::cli::tasks::STATES)]
    state: Vec<String>,
}

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line
    Jsonl,
    /// Comma-separated, with a header
    Csv,
}

/// What is told of a task.
#[derive(Serialize)]
pub(super) struct Record<'a> {
    pub(super) item_id: Option<&'a str>,
    pub(super) component: &'a str,
    pub(super) category: Option<&'a str>,
    pub(super) tier: i16,
    pub(super) state: &'a str,
    pub(super) model: Option<&'a str>,
    /// Byte for byte.
    pub(super) answer: Option<&'a Answer>,
    pub(super) attempts: i32,
    pub(super) cost_microusd: i64,
    pub(super) error_class: Option<&'a str>,
    pub(super) error: Option<&'a str>,
    pub(super) task_id: Uuid,
    pub(super) finished_at: Option<DateTime<Utc>>,
}

impl<'a> Record<'a> {
    fn of(task: &'a Outcome, answer: Option<&'a Answer>) -> Self {
        Self {
            item_id: task.item.as_deref(),
            component: &task.component,
            category: task.category.as_deref(),
            tier: task.tier,
            state: &task.state,
            model: task.model.as_deref(),
            answer,
            attempts: task.attempts,
            cost_microusd: task.cost_microusd,
            error_class: task.error_class.as_deref(),
            error: task.error.as_deref(),
            task_id: task.task,
            finished_at: task.finished_at,
        }
    }
}

pub(super) async fn run(context: &Context, opened: &Opened, args: Args) -> Result<Exit, CliError> {
    let printer = &context.printer;
    let csv = args.format == Format::Csv;
    if csv && args.dir.is_some() {
        return Err(CliError::input(
            "a file an item is JSON, never CSV",
            "take --out FILE with --format csv",
        ));
    }
    let to_stdout = args.out.is_none() && args.dir.is_none();
    if csv && to_stdout && printer.is_json() {
        return Err(CliError::input(
            "--json and --format csv contradict each other",
            "leave one of them out",
        ));
    }
    let run = args.which.id(opened).await?;
    let mut target = Target::open(&args.out, &args.dir, args.force, args.format, printer)?;
    let count = each(opened, run, &args.state, &mut target).await?;
    let place = target.finish()?;
    if let Some(place) = place {
        if printer.is_json() {
            printer.object(&json!({"run": run, "exported": count, "to": place}))?;
        } else {
            printer.line(format_args!("exported {count} tasks to {place}"))?;
        }
    } else {
        printer.say(format_args!("exported {count} tasks"));
    }
    Ok(Exit::Ok)
}

/// Writes each task of the run. Returns how many.
async fn each(
    opened: &Opened,
    run: Uuid,
    states: &[String],
    target: &mut Target,
) -> Result<u64, CliError> {
    let (mut after, mut count): (Option<Place>, u64) = (None, 0);
    loop {
        let page = opened
            .store
            .outcomes(run, after.as_ref(), states, PAGE)
            .await?;
        let Some(last) = page.last() else {
            return Ok(count);
        };
        after = Some(last.place());
        let mut rest = page.as_slice();
        while !rest.is_empty() {
            let (group, others) = rest.split_at(fitting(rest));
            write(opened, group, target).await?;
            rest = others;
        }
        count += page.len() as u64;
    }
}

/// How many of these have answers that are held together; at least one.
fn fitting(tasks: &[Outcome]) -> usize {
    let mut bytes = 0_i64;
    let more = |task: &&Outcome| {
        bytes = bytes.saturating_add(task.answer_bytes);
        bytes <= ANSWERS_MAX
    };
    tasks.iter().take_while(more).count().max(1)
}

async fn write(opened: &Opened, group: &[Outcome], target: &mut Target) -> Result<(), CliError> {
    let answered: Vec<(Uuid, i32)> = group
        .iter()
        .filter(|task| task.answer_bytes > 0)
        .map(|task| (task.task, task.generation))
        .collect();
    let answers: HashMap<Uuid, Answer> = match answered.as_slice() {
        [] => HashMap::new(),
        some => opened.store.answers(some).await?.into_iter().collect(),
    };
    group
        .iter()
        .try_for_each(|task| target.write(&Record::of(task, answers.get(&task.task))))
}
