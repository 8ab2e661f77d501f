//! The protocol of the queue, every interleaving of a small world: the whole one keeps the laws, and
//! with any one rule taken out a law falls.

mod queue;
mod world;

use stateright::{Checker, Model};

use queue::{BOOKS, Broken, ENDS, LAWFUL, LEASE, ONCE, Queue, RECORDED};
use world::{Budget, TASKS};

/// A zombie and a crash, over two tasks.
const DEATHS: Budget = Budget {
    pauses: 1,
    crashes: 1,
    cancels: 0,
    retries: 0,
    unheard: 0,
    lost_commits: 0,
};
/// Everything at once, over one task.
const ALL: Budget = Budget {
    pauses: 1,
    crashes: 1,
    cancels: 1,
    retries: 1,
    unheard: 1,
    lost_commits: 1,
};

fn assert_holds(tasks: usize, budget: Budget) {
    let queue = Queue {
        tasks,
        budget,
        broken: None,
    };
    let checker = queue.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.unique_state_count() > 1_000, "a world to walk in");
}

/// Without the rule, this law falls.
fn assert_falls(tasks: usize, budget: Budget, broken: Broken, law: &'static str) {
    let queue = Queue {
        tasks,
        budget,
        broken: Some(broken),
    };
    let checker = queue.checker().spawn_bfs().join();
    checker.assert_any_discovery(law);
}

#[test]
fn two_tasks_outlive_a_zombie_and_a_crash() {
    assert_holds(TASKS, DEATHS);
}

#[test]
fn two_tasks_outlive_a_zombie_and_acts_by_hand() {
    let budget = Budget {
        crashes: 0,
        cancels: 1,
        retries: 1,
        ..DEATHS
    };
    assert_holds(TASKS, budget);
}

#[test]
fn a_task_outlives_everything_at_once() {
    assert_holds(1, ALL);
}

#[test]
fn a_fence_without_the_epoch_lets_a_former_claim_end_a_later_one() {
    assert_falls(1, ALL, Broken::FenceWithoutEpoch, LAWFUL);
}

#[test]
fn a_fence_without_the_nonce_lets_a_claim_that_a_failover_forgot_end_anothers() {
    assert_falls(1, ALL, Broken::FenceWithoutNonce, LAWFUL);
}

#[test]
fn a_nonce_that_is_not_drawn_anew_lets_a_forgotten_claim_end_the_next_of_its_process() {
    assert_falls(1, ALL, Broken::NonceOfALife, LEASE);
}

#[test]
fn a_rescue_before_the_loss_is_committed_takes_from_one_that_beats_again() {
    assert_falls(1, DEATHS, Broken::RescueOfTheSilent, LEASE);
}

#[test]
fn a_heartbeat_that_takes_a_lost_lease_back_works_at_what_others_have() {
    assert_falls(1, DEATHS, Broken::HeartbeatTakesBack, LEASE);
}

#[test]
fn a_salvage_that_overwrites_ends_a_task_twice() {
    assert_falls(1, DEATHS, Broken::SalvageOverwrites, ONCE);
}

#[test]
fn a_cancel_that_forgets_the_book_leaves_a_task_in_it() {
    assert_falls(1, ALL, Broken::CancelForgetsTheBook, BOOKS);
}

#[test]
fn a_rescue_that_records_nothing_loses_an_attempt() {
    assert_falls(1, DEATHS, Broken::RescueForgetsTheAttempt, RECORDED);
}

#[test]
fn a_release_of_more_than_was_unheard_takes_what_is_worked_at() {
    let budget = Budget {
        unheard: 1,
        ..Budget::default()
    };
    assert_falls(TASKS, budget, Broken::ReleaseOfAll, LEASE);
}

#[test]
fn without_a_rescue_a_crash_strands_what_was_held() {
    assert_falls(1, DEATHS, Broken::NobodyRescues, ENDS);
}
