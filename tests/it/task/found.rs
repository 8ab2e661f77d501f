//! What the walks found, each as small as it may be.

use std::time::Duration;

use tidegate::{
    client::{EnqueueFate, Task},
    store::{
        claim::Claimed,
        enqueue::OnKey,
        local::{LocalDone, LocalRequest, LocalTask},
        settle::{Fate, Settled},
        unrendered::Rendered,
    },
    task::State,
};
use uuid::Uuid;

use super::world::World;
use crate::support::{
    TestDb,
    work::{answered, claim, unanswered},
};

/// A task of the worker that asks models (`false`), or of the local one.
fn a_task(world: &World<'_>, local: bool) -> Task {
    Task::new(world.workers[usize::from(local)].as_str(), &1)
        .expect("a payload")
        .key("k")
}

fn replacing(world: &World<'_>, local: bool) -> Task {
    a_task(world, local).on_key(OnKey::Replace)
}

async fn state(world: &World<'_>, id: Uuid) -> State {
    let sql = "select state from tidegate.tasks where id = $1";
    let word: String = sqlx::query_scalar(sql)
        .bind(id)
        .fetch_one(world.db.pool())
        .await
        .expect("a task");
    word.parse().expect("a state")
}

/// Claims everything of the local worker.
async fn take(world: &World<'_>) -> Vec<LocalTask> {
    let request = LocalRequest {
        process: world.processes[0],
        slots: 5,
        nonce: rand::random(),
        programs: vec![world.workers[1].clone()],
        workers: None,
        kept: false,
    };
    world.store.claim_local(&request).await.expect("a claim")
}

/// A task of the worker that asks models, rendered.
async fn asking(world: &World<'_>) -> Uuid {
    let task = a_task(world, false);
    let id = task.enqueue(world.db.pool()).await.expect("enqueued").id;
    render(world).await;
    id
}

async fn render(world: &World<'_>) {
    let worker = [world.workers[0].clone()];
    let soon = Duration::ZERO;
    let taken = world.store.take_unrendered(9, soon, Some(&worker)).await;
    let done = taken.expect("taken").into_iter().map(|it| Rendered {
        task: it.task,
        est_tokens: 1,
        cache_key: vec![1],
        error: None,
    });
    let done: Vec<Rendered> = done.collect();
    world.store.rendered(&done).await.expect("rendered");
}

/// Two claims of one task by one process: it was cancelled and put back while the first was under way.
async fn claimed_twice(world: &World<'_>) -> (Claimed, Claimed) {
    let (id, process) = (asking(world).await, world.processes[0]);
    let first = claim(&world.store, process, 1).await.remove(0);
    world.store.cancel(&[id]).await.expect("cancelled");
    world.store.retry(&[id]).await.expect("put back");
    let second = claim(&world.store, process, 1).await.remove(0);
    (first, second)
}

#[tokio::test]
async fn a_task_is_given_back_once_though_two_claims_of_it_end_in_one_batch() {
    let db = TestDb::new().await;
    let world = World::new(&db).await;
    let (first, second) = claimed_twice(&world).await;
    let both = [
        unanswered(&first, Fate::Release),
        unanswered(&second, Fate::Release),
    ];
    let held = world.store.settle_open(world.processes[0], &both).await;
    assert_eq!(held.expect("settled"), [second.task]);
    assert_eq!(claim(&world.store, world.processes[1], 5).await.len(), 1);
}

#[tokio::test]
async fn of_two_answers_in_one_batch_the_one_whose_claim_holds_is_kept() {
    let db = TestDb::new().await;
    let world = World::new(&db).await;
    let (first, second) = claimed_twice(&world).await;
    let both = vec![answered(&first, "old"), answered(&second, "new")];
    let fates = world
        .store
        .settle_done(world.processes[0], both, None)
        .await;
    let fates: Vec<Settled> = fates.expect("settled").into_iter().map(|it| it.1).collect();
    assert_eq!(fates, [Settled::Superseded, Settled::Done]);
    let answers: Vec<String> = sqlx::query_scalar("select answer from tidegate.task_results")
        .fetch_all(db.pool())
        .await
        .expect("answers");
    assert_eq!(answers, ["\"new\""]);
}

#[tokio::test]
async fn of_two_late_answers_in_one_batch_one_completes_the_task() {
    let db = TestDb::new().await;
    let world = World::new(&db).await;
    let (first, second) = claimed_twice(&world).await;
    let open = [unanswered(&second, Fate::Release)];
    let released = world.store.settle_open(world.processes[0], &open).await;
    assert_eq!(released.expect("released").len(), 1);
    let both = vec![answered(&first, "old"), answered(&second, "new")];
    let fates = world
        .store
        .settle_done(world.processes[0], both, None)
        .await;
    let fates: Vec<Settled> = fates.expect("settled").into_iter().map(|it| it.1).collect();
    assert!(fates.contains(&Settled::Salvaged) && fates.contains(&Settled::Superseded));
    assert_eq!(state(&world, first.task).await, State::Done);
}

#[tokio::test]
async fn a_late_answer_to_a_payload_that_was_replaced_completes_nothing() {
    let db = TestDb::new().await;
    let world = World::new(&db).await;
    let task = a_task(&world, true);
    let id = task.enqueue(db.pool()).await.expect("enqueued").id;
    let old = take(&world).await.remove(0);
    world.store.cancel(&[id]).await.expect("cancelled");
    world.store.retry(&[id]).await.expect("put back");
    let new = replacing(&world, true).enqueue(db.pool()).await;
    assert_eq!(new.expect("enqueued").fate, EnqueueFate::Replaced);
    let late = LocalDone::of(vec![(old, "1".to_owned(), 1)]);
    let fates = world.store.settle_local(world.processes[0], &late).await;
    assert_eq!(fates.expect("settled"), (0, 1), "superseded");
    assert_eq!(state(&world, id).await, State::Ready);
}

#[tokio::test]
async fn a_rendered_task_is_replaced_and_rendered_again() {
    let db = TestDb::new().await;
    let world = World::new(&db).await;
    let id = asking(&world).await;
    let new = replacing(&world, false).enqueue(db.pool()).await;
    assert_eq!(new.expect("enqueued").fate, EnqueueFate::Replaced);
    assert_eq!(state(&world, id).await, State::Blocked);
    render(&world).await;
    assert_eq!(state(&world, id).await, State::Ready);
}

#[tokio::test]
async fn a_task_put_back_while_its_need_is_open_waits_for_its_prompt_alone() {
    let db = TestDb::new().await;
    let world = World::new(&db).await;
    let needed = a_task(&world, true);
    let needed = needed.enqueue(db.pool()).await.expect("enqueued").id;
    let waits = a_task(&world, false).needs([needed]);
    let waits = waits.enqueue(db.pool()).await.expect("enqueued").id;
    world.store.settle_needs().await.expect("looked");
    world.store.cancel(&[waits]).await.expect("cancelled");
    world.store.retry(&[waits]).await.expect("put back");
    let done = take(&world).await.remove(0);
    let done = LocalDone::of(vec![(done, "1".to_owned(), 1)]);
    let settled = world.store.settle_local(world.processes[0], &done).await;
    assert_eq!(settled.expect("settled"), (0, 0));
    world
        .store
        .settle_needs()
        .await
        .expect("nobody is in its way");
    render(&world).await;
    assert_eq!(state(&world, waits).await, State::Ready);
}
