//! I2: at most one end per task and generation; what the sink wrote stands once per answer.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{Event, History, Told, Violation, What, tally};

const ENDS: [&str; 4] = ["done", "salvaged", "failed", "cancelled"];
/// What befalls only what has not ended.
const ALIVE: [&str; 6] = [
    "claimed",
    "submitted",
    "released",
    "rescheduled",
    "rescued",
    "due",
];

/// After its end nothing happens to a task, unless somebody puts it back.
pub(super) fn one_end_a_generation(history: &History) -> Vec<Violation> {
    let mut by_task: BTreeMap<Uuid, Vec<&Event>> = BTreeMap::new();
    for event in &history.events {
        by_task.entry(event.task).or_default().push(event);
    }
    let mut broken = Vec::new();
    for (task, mut events) in by_task {
        events.sort_by_key(|event| event.at_us);
        let mut ended: Option<&str> = None;
        for event in events {
            let kind = event.kind.as_str();
            if kind == "retried" {
                ended = None;
            } else if let Some(end) =
                ended.filter(|_| ENDS.contains(&kind) || ALIVE.contains(&kind))
            {
                let what = format!("was {end}, and then {kind} in the same generation");
                broken.push(Violation::of("I2", task, what));
            } else if ENDS.contains(&kind) {
                ended = Some(kind);
            }
        }
    }
    broken
}

/// A task that is done has one answer in one generation and one row in the user's table; others
/// have none. An item is answered once, unless somebody asked again by hand.
pub(super) fn answers_agree(history: &History) -> Vec<Violation> {
    let sunk = tally(history.sink.iter().map(|row| row.task));
    let answers = tally(history.results.iter().map(|it| (it.task, it.generation)));
    let mut broken = Vec::new();
    for task in &history.tasks {
        let is_done = usize::from(task.state == "done");
        let has = answers
            .get(&(task.id, task.generation))
            .copied()
            .unwrap_or(0);
        let kept = task.error_class.as_deref() == Some("sink");
        if has != is_done && !kept {
            let what = format!("is {} and has {has} answers", task.state);
            broken.push(Violation::of("I2", task.id, what));
        }
        let rows = sunk.get(&task.id).copied().unwrap_or(0);
        if rows != is_done {
            let what = format!("is {} and the sink wrote {rows} rows", task.state);
            broken.push(Violation::of("I2", task.id, what));
        }
    }
    let known: BTreeSet<Uuid> = history.tasks.iter().map(|task| task.id).collect();
    let strangers = sunk.keys().filter(|task| !known.contains(task));
    broken.extend(strangers.map(|id| Violation::of("I2", *id, "was sunk, and is none".to_owned())));

    let mut done_by: BTreeMap<&str, Vec<Uuid>> = BTreeMap::new();
    let untouched = history.tasks.iter().filter(|t| t.generation == 1);
    for task in untouched.filter(|task| task.state == "done") {
        done_by.entry(&task.item).or_default().push(task.id);
    }
    let twice = done_by.into_iter().filter(|(_, tasks)| tasks.len() > 1);
    broken.extend(twice.map(|(item, tasks)| Violation {
        law: "I2",
        what: format!("item {item} was answered by {} tasks", tasks.len()),
        tasks,
    }));
    broken
}

/// What was confirmed has happened, and what nobody asked for has not.
pub(super) fn acts_by_hand_agree(history: &History) -> Vec<Violation> {
    let happened = |kind: &str| {
        let events = history.events.iter().filter(|event| event.kind == kind);
        tally(events.map(|event| event.task))
    };
    let (cancelled, retried) = (happened("cancelled"), happened("retried"));
    let mut broken = Vec::new();
    let mut asked: BTreeMap<Uuid, usize> = BTreeMap::new();
    for act in &history.acts {
        let (tasks, events, name) = match &act.what {
            What::Cancel(tasks) => (tasks, &cancelled, "cancelled"),
            What::Retry(tasks) => (tasks, &retried, "retried"),
            What::Load { .. } | What::Switch => continue,
        };
        let found = tasks.iter().filter(|id| events.contains_key(id)).count();
        if let Told::Ok { tasks: told, .. } = act.told
            && found < told
        {
            let what = format!("{told} tasks were told to be {name}, {found} are");
            broken.push(Violation {
                law: "I1",
                what,
                tasks: tasks.clone(),
            });
        }
        if name == "retried" && act.told != Told::Failed {
            for task in tasks {
                *asked.entry(*task).or_default() += 1;
            }
        }
    }
    for (task, times) in retried {
        let asked = asked.get(&task).copied().unwrap_or(0);
        if times > asked {
            let what = format!("was put back {times} times, and asked to be {asked} times");
            broken.push(Violation::of("I2", task, what));
        }
    }
    broken
}
