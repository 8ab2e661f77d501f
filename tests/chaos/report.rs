//! What is told of it all.

use std::{
    collections::BTreeMap,
    fmt::Display,
    io::Write,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
};

use uuid::Uuid;

use crate::{
    fleet::Fleet,
    history::{History, Told, Violation},
    world::World,
};

/// Violations told in full, and tasks whose rows are told for each.
const TOLD_MAX: usize = 12;
const TASKS_MAX: usize = 2;

/// The run of each task.
const OF_RUNS: &str =
    "(select u.*, t.id as of_task from tidegate.runs u join tidegate.tasks t on t.run_id = u.id)";

/// One line.
pub(crate) fn say(line: impl Display) {
    // whoever stopped reading is told nothing
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// The figures, and what was broken with the rows of those concerned.
pub(crate) async fn tell(
    world: &World,
    fleet: &Fleet,
    history: &History,
    violations: &[Violation],
    seed: u64,
) -> ExitCode {
    figures(world, fleet, history);
    let panics = panics(world, fleet.workers());
    for line in &panics {
        say(format_args!("a worker panicked: {line}"));
    }
    for violation in violations.iter().take(TOLD_MAX) {
        say(format_args!("\n{}: {}", violation.law, violation.what));
        for task in violation.tasks.iter().take(TASKS_MAX) {
            rows(world, *task).await;
        }
    }
    let broken = violations.len() + panics.len();
    say(format_args!(
        "\nseed {seed}: {} deaths, {} tasks, {broken} violations",
        number(&fleet.counts.kills),
        history.tasks.len()
    ));
    if broken == 0 {
        return ExitCode::SUCCESS;
    }
    keep_logs(world, fleet.workers(), seed);
    ExitCode::FAILURE
}

fn number(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}

fn figures(world: &World, fleet: &Fleet, history: &History) {
    let counts = &fleet.counts;
    say(format_args!(
        "\nprocesses: {} killed, {} frozen, {} stopped, {} ended by themselves; {} replies lost",
        number(&counts.kills),
        number(&counts.freezes),
        number(&counts.stops),
        number(&counts.exits),
        world.proxy.replies_dropped()
    ));
    let told = |told: fn(&Told) -> bool| {
        let acts = history.acts.iter();
        acts.filter(|act| told(&act.told)).count()
    };
    say(format_args!(
        "clients: {} acts confirmed, {} unknown; {} runs",
        told(|it| matches!(it, Told::Ok { .. })),
        told(|it| *it == Told::Unknown),
        history.runs.len()
    ));
    let tally = |words: Vec<String>| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        words
            .into_iter()
            .for_each(|word| *counts.entry(word).or_default() += 1);
        counts
    };
    let states = history.tasks.iter().map(|task| match &task.error_class {
        Some(class) if task.state == "failed" => format!("failed: {class}"),
        _ => task.state.clone(),
    });
    say(format_args!("tasks: {:?}", tally(states.collect())));
    let outcomes = history.attempts.iter().map(|it| it.outcome.clone());
    say(format_args!("attempts: {:?}", tally(outcomes.collect())));
    let seen = history.arrivals.iter().map(|it| it.outcome.clone());
    say(format_args!("provider: {:?}", tally(seen.collect())));
    let kinds = history.events.iter().map(|it| it.kind.clone());
    say(format_args!("events: {:?}", tally(kinds.collect())));
    say(format_args!(
        "cooldowns seen: {}, sunk rows: {}",
        history.cooldowns.len(),
        history.sink.len()
    ));
}

/// All there is of a task.
async fn rows(world: &World, task: Uuid) {
    for (table, column, order) in [
        (OF_RUNS, "of_task", "id"),
        ("tidegate.tasks", "id", "id"),
        ("tidegate.ready", "id", "id"),
        ("tidegate.running", "id", "id"),
        ("tidegate.scheduled", "id", "id"),
        ("tidegate.task_attempts", "task_id", "started_at"),
        ("tidegate.task_results", "task_id", "started_at"),
        ("tidegate.calls", "task_id", "started_at"),
        ("tidegate.events", "task_id", "at"),
        ("answers", "task_id", "item_id"),
    ] {
        let sql = format!(
            "select row_to_json(z)::text from {table} z where {column} = '{task}' order by {order} limit 40"
        );
        let rows: Result<Vec<String>, _> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_all(&world.admin)
            .await;
        for row in rows.unwrap_or_default() {
            let shown = if table == OF_RUNS { "its run" } else { table };
            say(format_args!("  {shown}: {row}"));
        }
    }
}

fn logs(world: &World, workers: usize) -> impl Iterator<Item = (String, String)> {
    (0..workers).filter_map(|number| {
        let name = format!("worker-{number}.log");
        let text = std::fs::read_to_string(world.folder.join(&name)).ok()?;
        Some((name, text))
    })
}

fn panics(world: &World, workers: usize) -> Vec<String> {
    let logs = logs(world, workers);
    let lines = logs.flat_map(|(_, text)| {
        let lines = text.lines().filter(|line| line.contains("panicked at"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    });
    lines.collect()
}

fn keep_logs(world: &World, workers: usize, seed: u64) {
    let folder = std::env::temp_dir().join(format!("tidegate-chaos-{seed}"));
    // what cannot be kept is not worth another failure
    let _ = std::fs::create_dir_all(&folder);
    for (name, text) in logs(world, workers) {
        let _ = std::fs::write(folder.join(name), text);
    }
    say(format_args!(
        "the workers' logs are kept in {}",
        folder.display()
    ));
}
