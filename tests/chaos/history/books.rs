//! I1 and I4: what was accepted is there, in one state and one book, and has ended.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{History, Told, Violation, What, tally};

/// A load that was confirmed took every item that was in its source: into its own run, or the item
/// was asked about by another.
pub(super) fn accepted_items_have_tasks(history: &History) -> Vec<Violation> {
    let known: BTreeSet<&str> = history.tasks.iter().map(|t| t.item.as_str()).collect();
    let in_run = tally(history.tasks.iter().map(|t| t.run));
    let mut broken = Vec::new();
    for act in &history.acts {
        let (What::Load { items }, Told::Ok { run, tasks }) = (&act.what, act.told) else {
            continue;
        };
        let lost: Vec<&String> = items.iter().filter(|it| !known.contains(&***it)).collect();
        if let Some(first) = lost.first() {
            let what = format!("{} accepted items have no task, as {first}", lost.len());
            broken.push(Violation::plain("I1", what));
        }
        let found = run.map_or(tasks, |run| in_run.get(&run).copied().unwrap_or(0));
        if found < tasks {
            let what = format!("run {run:?} was confirmed with {tasks} tasks, and has {found}");
            broken.push(Violation::plain("I1", what));
        }
    }
    broken
}

/// With all faults over, everything comes to its end.
pub(super) fn everything_has_ended(history: &History) -> Vec<Violation> {
    let tasks = history.tasks.iter().filter(|task| !task.is_over());
    let tasks = tasks.map(|t| Violation::of("I4", t.id, format!("is stuck in {}", t.state)));
    let over = ["done", "cancelled"];
    let runs = history
        .runs
        .iter()
        .filter(|run| !over.contains(&&*run.state));
    let runs = runs.map(|run| {
        let what = format!("run {} is stuck in {}", run.id, run.state);
        Violation::plain("I4", what)
    });
    tasks.chain(runs).collect()
}

/// The book that holds a task is its state; ended tasks hold no key, open ones theirs.
pub(super) fn books_agree(history: &History) -> Vec<Violation> {
    let mut held: BTreeMap<Uuid, Vec<&str>> = BTreeMap::new();
    for row in &history.books {
        held.entry(row.task).or_default().push(&row.book);
    }
    let keys = tally(history.open_keys.iter().copied());
    let known: BTreeSet<Uuid> = history.tasks.iter().map(|task| task.id).collect();
    let mut broken = Vec::new();
    for task in &history.tasks {
        let books = held.get(&task.id).cloned().unwrap_or_default();
        let expected: &[&str] = match task.state.as_str() {
            "done" | "cancelled" => &[],
            state => &[state],
        };
        if books != expected {
            let what = format!("is {} and stands in the books {books:?}", task.state);
            broken.push(Violation::of("I1", task.id, what));
        }
        let has = keys.get(&task.id).copied().unwrap_or(0);
        if has != usize::from(!task.is_over()) {
            let what = format!("is {} and holds {has} open keys", task.state);
            broken.push(Violation::of("I1", task.id, what));
        }
    }
    let rows = held.keys().chain(keys.keys());
    let orphans = rows.filter(|task| !known.contains(task));
    broken.extend(
        orphans.map(|id| Violation::of("I1", *id, "stands in a book, and is none".to_owned())),
    );
    broken
}
