//! I5 and I9: no call that trouble does not explain, and all of them in the ledger.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{History, Violation, tally};

/// Words of the provider for a call that it answered well, or whose client went away: it costs, and
/// is no reason to ask again.
const SPENT: [&str; 3] = ["ok", "cut", "abandoned"];
/// Outcomes of attempts whose call may have been spent for nothing.
const UNKNOWN: [&str; 3] = ["lost", "superseded", "cancelled"];
/// Outcomes of attempts that the provider knows of as broken off or refused, or not at all.
const UNANSWERED: [&str; 2] = ["failed", "released"];

/// The provider answered an item once per answer of ours, and once more for each attempt that was
/// lost or cancelled, or ended without our knowing how.
pub(super) fn no_call_beyond_what_trouble_explains(history: &History) -> Vec<Violation> {
    let items: BTreeMap<Uuid, &str> = history.tasks.iter().map(|t| (t.id, &*t.item)).collect();
    let item_of = |task: &Uuid| items.get(task).copied().unwrap_or_default();
    let spent = history
        .arrivals
        .iter()
        .filter(|it| SPENT.contains(&&*it.outcome));
    let spent = tally(spent.filter_map(|arrival| arrival.item.as_deref()));
    // an epoch once: a late answer's attempt was lost before, and both rows explain one call
    let explained: BTreeSet<(Uuid, i32)> = history
        .attempts
        .iter()
        .filter(|it| it.outcome == "ok" || UNKNOWN.contains(&&*it.outcome))
        .map(|it| (it.task, it.epoch))
        .collect();
    let unclear = history.attempts.iter();
    let unclear = unclear.filter(|it| UNANSWERED.contains(&&*it.outcome));
    let allowed = tally(explained.iter().map(|(task, _)| item_of(task)));
    let unclear = tally(unclear.map(|attempt| item_of(&attempt.task)));
    let broken_off = history
        .arrivals
        .iter()
        .filter(|it| !SPENT.contains(&&*it.outcome));
    let broken_off = tally(broken_off.filter_map(|arrival| arrival.item.as_deref()));
    let mut broken = Vec::new();
    let (mut extra, at_item) = (0, |counts: &BTreeMap<&str, usize>, item: &str| {
        counts.get(item).copied().unwrap_or(0)
    });
    let done = history.tasks.iter().filter(|task| task.state == "done");
    let done = tally(done.map(|task| &*task.item));
    for (item, calls) in &spent {
        // an attempt without an answer explains a call that the provider broke off; one too many of
        // them is trouble on the way, of which the provider knows nothing
        let on_the_way = at_item(&unclear, item).saturating_sub(at_item(&broken_off, item));
        let allowed = at_item(&allowed, item) + on_the_way;
        extra += calls.saturating_sub(at_item(&done, item) + on_the_way);
        if *calls > allowed {
            let what = format!("item {item}: {calls} calls, of which {allowed} are explained");
            let tasks = history.tasks.iter().filter(|task| task.item == *item);
            broken.push(Violation {
                law: "I5",
                what,
                tasks: tasks.map(|task| task.id).collect(),
            });
        }
    }
    let cancelled = history
        .attempts
        .iter()
        .filter(|it| it.outcome == "cancelled");
    let bound = history.lives_ended * history.slots + cancelled.count();
    if extra > bound {
        let what = format!(
            "{extra} calls for nothing, while {} ended lives of {} calls at once and cancelled ones explain {bound}",
            history.lives_ended, history.slots
        );
        broken.push(Violation::plain("I5", what));
    }
    broken
}

/// Every call that reached the provider has its row; the ledger is the sum of its rows, and at
/// least what the provider bills.
pub(super) fn the_ledger_is_true(history: &History) -> Vec<Violation> {
    let items: BTreeMap<Uuid, &str> = history.tasks.iter().map(|t| (t.id, &*t.item)).collect();
    let mut broken = Vec::new();
    let sent = history.calls.iter().filter(|call| call.sent);
    let rows = tally(sent.filter_map(|call| items.get(&call.task).copied()));
    for (item, arrived) in tally(history.arrivals.iter().filter_map(|it| it.item.as_deref())) {
        let rows = rows.get(item).copied().unwrap_or(0);
        if arrived > rows {
            let what = format!("item {item}: {arrived} calls arrived, {rows} are in the ledger");
            broken.push(Violation::plain("I9", what));
        }
    }
    let mut ledger: BTreeMap<&str, i64> = BTreeMap::new();
    for call in &history.calls {
        if call.cost.unwrap_or(0) < 0 || call.estimate < 0 {
            broken.push(Violation::of(
                "I9",
                call.task,
                "a cost is negative".to_owned(),
            ));
        }
        let cost = match (call.sent, &call.outcome) {
            (false, _) => 0,
            (true, None) => call.estimate,
            (true, Some(_)) => call.cost.unwrap_or(0),
        };
        *ledger.entry(&call.model).or_default() += cost;
    }
    let mut bills: BTreeMap<&str, i64> = BTreeMap::new();
    for arrival in history.arrivals.iter().filter(|it| it.outcome == "ok") {
        *bills.entry(&arrival.model).or_default() += arrival.bill;
    }
    for model in ledger.keys().chain(bills.keys()).collect::<BTreeSet<_>>() {
        let at = |sums: &BTreeMap<&str, i64>| sums.get(*model).copied().unwrap_or(0);
        let told = history.spend.get(*model).copied().unwrap_or(0);
        if at(&ledger) != told {
            let what = format!(
                "{model}: spend tells {told}, the calls sum to {}",
                at(&ledger)
            );
            broken.push(Violation::plain("I9", what));
        }
        if at(&bills) > at(&ledger) {
            let what = format!(
                "{model}: billed {}, the ledger has {}",
                at(&bills),
                at(&ledger)
            );
            broken.push(Violation::plain("I9", what));
        }
    }
    broken
}
