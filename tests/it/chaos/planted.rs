//! A sound history, and what becomes of it with one fault in it.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::history::{
    Act, Answer, Arrival, Attempt, Batch, Booked, Call, Cooldown, Event, History, Limit, Run, Sunk,
    Task, Told, What, check,
};

const RUN: Uuid = Uuid::from_u128(100);

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Task 1 is done; 2 was lost once, then done; 3 failed, was put back and cancelled; 4 has failed.
fn sound() -> History {
    let mut history = History {
        slots: 1,
        lives_ended: 1,
        ..History::default()
    };
    let items = ["a", "b", "c", "d"].map(str::to_owned);
    for (number, (item, state)) in
        (1..).zip(items.iter().zip(["done", "done", "cancelled", "failed"]))
    {
        history.tasks.push(Task {
            id: id(number),
            run: RUN,
            item: item.clone(),
            state: state.to_owned(),
            generation: if number == 3 { 2 } else { 1 },
            attempts: 1,
            max_attempts: 4,
            claims: 0,
            error_class: None,
        });
        event(&mut history, number, "enqueued");
    }
    history.runs.push(Run {
        id: RUN,
        state: "done".to_owned(),
    });
    attempt(&mut history, 1, "ok", Some("ok"));
    end(&mut history, 1);
    attempt(&mut history, 2, "lost", Some("abandoned"));
    event(&mut history, 2, "rescued");
    attempt(&mut history, 2, "ok", Some("ok"));
    end(&mut history, 2);
    attempt(&mut history, 3, "failed", Some("http_500"));
    event(&mut history, 3, "failed");
    event(&mut history, 3, "retried");
    event(&mut history, 3, "cancelled");
    attempt(&mut history, 4, "failed", Some("http_500"));
    event(&mut history, 4, "failed");
    history.books.push(Booked {
        book: "failed".to_owned(),
        task: id(4),
    });
    let ok = |tasks| Told::Ok { run: None, tasks };
    let loaded = Told::Ok {
        run: Some(RUN),
        tasks: 4,
    };
    history.acts = [
        (
            What::Load {
                items: items.to_vec(),
            },
            loaded,
        ),
        (What::Retry(vec![id(3)]), Told::Unknown),
        (What::Cancel(vec![id(3), id(1)]), ok(1)),
        (What::Switch, Told::Failed),
    ]
    .map(|(what, told)| Act { what, told })
    .to_vec();
    history.spend = BTreeMap::from([("sim/a".to_owned(), 70)]);
    history.limits.push(Limit {
        model: "sim/a".to_owned(),
        requests: Some(10),
        tokens: Some(1000),
    });
    history
}

fn event(history: &mut History, task: u128, kind: &str) {
    let at_us = i64::try_from(history.events.len()).expect("few events");
    history.events.push(Event {
        task: id(task),
        at_us,
        kind: kind.to_owned(),
    });
}

/// One more claim of a task, its call as the provider saw it, and its row in the ledger.
fn attempt(history: &mut History, task: u128, outcome: &str, seen: Option<&str>) {
    let place = usize::try_from(task).expect("a small number") - 1;
    history.tasks[place].claims += 1;
    let epoch = history.tasks[place].claims;
    event(history, task, "claimed");
    history.attempts.push(Attempt {
        task: id(task),
        generation: 1,
        epoch,
        outcome: outcome.to_owned(),
        charged: true,
    });
    history.calls.push(Call {
        task: id(task),
        model: "sim/a".to_owned(),
        sent: true,
        outcome: (outcome != "lost").then(|| outcome.to_owned()),
        cost: (outcome == "ok").then_some(20),
        estimate: 30,
    });
    let item = history.tasks[place].item.clone();
    if let Some(seen) = seen {
        arrive(history, 1_000, seen, Some(item));
    }
}

fn arrive(history: &mut History, at_ms: i64, outcome: &str, item: Option<String>) {
    history.arrivals.push(Arrival {
        model: "sim/a".to_owned(),
        at_ms,
        outcome: outcome.to_owned(),
        item,
        input_tokens: 10,
        bill: 20,
    });
}

/// A task's answer, and what the sink wrote of it.
fn end(history: &mut History, task: u128) {
    event(history, task, "done");
    history.results.push(Answer {
        task: id(task),
        generation: 1,
    });
    history.sink.push(Sunk { task: id(task) });
}

/// The laws that a history breaks once this was done to it.
fn broken_by(plant: impl FnOnce(&mut History)) -> Vec<&'static str> {
    let mut history = sound();
    plant(&mut history);
    let mut laws: Vec<_> = check(&history).iter().map(|it| it.law).collect();
    laws.dedup();
    laws
}

#[test]
fn a_sound_history_breaks_no_law() {
    assert!(check(&sound()).is_empty(), "{:?}", check(&sound()));
}

#[test]
fn i1_a_lost_task_is_seen() {
    let lost = broken_by(|it| {
        it.tasks.remove(3);
        it.books.clear();
    });
    assert!(lost.contains(&"I1"), "{lost:?}");
    let item = broken_by(|it| {
        let What::Load { items } = &mut it.acts[0].what else {
            unreachable!("the first act loads");
        };
        items.push("e".to_owned());
    });
    assert_eq!(item, ["I1"]);
}

#[test]
fn i1_a_task_in_two_books_or_in_the_wrong_one_is_seen() {
    let two = |it: &mut History| {
        it.books.push(Booked {
            book: "ready".to_owned(),
            task: id(4),
        });
    };
    assert_eq!(broken_by(two), ["I1"]);
    assert_eq!(broken_by(|it| it.books.clear()), ["I1"]);
    assert_eq!(
        broken_by(|it| it.books[0].book = "ready".to_owned()),
        ["I1"]
    );
}

#[test]
fn i1_rows_of_no_task_and_keys_of_ended_ones_are_seen() {
    let orphan = |it: &mut History| {
        it.books.push(Booked {
            book: "scheduled".to_owned(),
            task: id(9),
        });
    };
    assert_eq!(broken_by(orphan), ["I1"]);
    assert_eq!(broken_by(|it| it.open_keys.push(id(1))), ["I1"]);
    assert_eq!(broken_by(|it| it.open_keys.push(id(9))), ["I1"]);
}

#[test]
fn i1_a_confirmed_act_that_did_not_happen_is_seen() {
    let cancel = |it: &mut History| {
        it.acts[2].told = Told::Ok {
            run: None,
            tasks: 2,
        };
    };
    assert_eq!(broken_by(cancel), ["I1"]);
}

#[test]
fn i2_a_double_completion_is_seen() {
    let mut history = sound();
    event(&mut history, 1, "done");
    let seen = check(&history);
    assert_eq!((seen.len(), seen[0].law), (1, "I2"));
    assert_eq!(seen[0].tasks, [id(1)]);
    assert!(seen[0].what.contains("was done, and then done"));
    assert_eq!(broken_by(|it| event(it, 1, "salvaged")), ["I2"]);
    assert_eq!(broken_by(|it| event(it, 4, "claimed")), ["I2"]);
}

#[test]
fn i2_a_double_sink_and_a_missing_one_are_seen() {
    assert_eq!(broken_by(|it| it.sink.push(Sunk { task: id(1) })), ["I2"]);
    assert_eq!(broken_by(|it| it.sink.push(Sunk { task: id(4) })), ["I2"]);
    assert_eq!(broken_by(|it| it.sink.push(Sunk { task: id(9) })), ["I2"]);
    assert_eq!(broken_by(|it| it.sink.clear()), ["I2"]);
    assert_eq!(broken_by(|it| it.results.clear()), ["I2"]);
}

#[test]
fn i2_an_item_that_two_tasks_answered_is_seen() {
    let twice = broken_by(|it| it.tasks[1].item = "a".to_owned());
    assert!(twice.contains(&"I2"), "{twice:?}");
}

#[test]
fn i2_a_task_that_nobody_put_back_is_seen() {
    assert_eq!(broken_by(|it| it.acts[1].told = Told::Failed), ["I2"]);
}

#[test]
fn i3_a_claim_without_an_attempt_and_one_too_many_are_seen() {
    assert_eq!(broken_by(|it| it.tasks[0].claims += 1), ["I3"]);
    let many = broken_by(|it| {
        for epoch in 2..=5 {
            it.tasks[3].claims += 1;
            it.attempts.push(Attempt {
                epoch,
                ..it.attempts[4].clone()
            });
        }
    });
    assert_eq!(many, ["I3"]);
    assert_eq!(broken_by(|it| it.tasks[0].attempts = 5), ["I3"]);
}

#[test]
fn i4_what_is_stuck_is_seen() {
    let run = broken_by(|it| it.runs[0].state = "active".to_owned());
    assert_eq!(run, ["I4"]);
    let task = broken_by(|it| {
        it.tasks[3].state = "running".to_owned();
        it.books[0].book = "running".to_owned();
        it.open_keys.push(id(4));
    });
    assert_eq!(task, ["I4"]);
}

#[test]
fn i5_a_call_that_nothing_explains_is_seen() {
    let item = |it: &History| Some(it.tasks[0].item.clone());
    let twice = broken_by(|it| {
        let item = item(it);
        it.calls.push(it.calls[0].clone());
        it.spend.insert("sim/a".to_owned(), 90);
        arrive(it, 1_000, "ok", item);
    });
    assert_eq!(twice, ["I5"]);
    let too_many_lost = broken_by(|it| it.lives_ended = 0);
    assert_eq!(too_many_lost, ["I5"]);
}

#[test]
fn i6_a_window_overrun_is_seen_wherever_it_lies() {
    let arriving = |count: i64, apart_ms: i64| {
        broken_by(|it| (1..=count).for_each(|n| arrive(it, 50_000 + n * apart_ms, "ok_not", None)))
    };
    assert!(
        arriving(6, 1_000).is_empty(),
        "11 of 10, and one more may be"
    );
    assert_eq!(arriving(12, 1_000), ["I6"]);
    assert!(arriving(40, 6_000).is_empty(), "ten a minute");
    assert_eq!(arriving(40, 5_000), ["I6"]);
    let tokens = broken_by(|it| it.limits[0].tokens = Some(39));
    assert_eq!(tokens, ["I6"], "five calls of ten tokens");
}

#[test]
fn i7_a_call_during_a_cooldown_is_seen() {
    let closed = |seen_ms, until_ms| {
        broken_by(|it| {
            it.cooldowns.push(Cooldown {
                model: "sim/a".to_owned(),
                seen_ms,
                until_ms,
            });
        })
    };
    assert!(closed(0, 5_000).is_empty(), "granted before");
    assert_eq!(closed(-1_500, 5_000), ["I7"]);
    assert!(closed(-1_500, 900).is_empty(), "it had ended");
}

#[test]
fn i8_an_orphan_a_doubled_batch_one_that_is_not_over_and_a_file_that_is_left_are_seen() {
    let with = |known: Option<&str>, kept, under_way| {
        broken_by(|it| {
            it.batches.push(Batch {
                token: "t".to_owned(),
                known: known.map(str::to_owned),
                kept,
                under_way,
            });
        })
    };
    assert!(with(Some("over"), 1, 0).is_empty());
    assert_eq!(with(None, 1, 0), ["I8"]);
    assert_eq!(with(Some("over"), 2, 0), ["I8"]);
    assert_eq!(with(Some("over"), 1, 1), ["I8"]);
    assert_eq!(with(Some("stored"), 1, 0), ["I8"]);
    assert_eq!(broken_by(|it| it.files_left.push("f".to_owned())), ["I8"]);
}

#[test]
fn i9_a_ledger_that_lacks_a_call_or_money_is_seen() {
    let unwritten = broken_by(|it| it.calls[0].sent = false);
    assert!(unwritten.contains(&"I9"), "{unwritten:?}");
    assert_eq!(
        broken_by(|it| it.calls[0].cost = Some(-1)).first(),
        Some(&"I9")
    );
    let told = broken_by(|it| {
        it.spend.insert("sim/a".to_owned(), 71);
    });
    assert_eq!(told, ["I9"]);
    let billed = broken_by(|it| it.arrivals[0].bill = 1_000);
    assert_eq!(billed, ["I9"]);
}
