//! The choice of the claim in a real Postgres beside its executable specification.

mod board;
mod scene;
mod write;

use proptest::test_runner::{Config, FileFailurePersistence, TestError, TestRunner};
use tidegate::route::{Pick, admit};
use uuid::Uuid;

use crate::support::TestDb;
use scene::Scene;

/// Scenes compared; each is a transaction that is rolled back.
const CASES: u32 = 100;

/// What some scenes came to: a comparison of nothing with nothing proves nothing.
#[derive(Debug, Default)]
struct Seen {
    picks: usize,
    fallbacks: usize,
    passed_over: usize,
    refused: usize,
    /// Picks that travel with another.
    packed: usize,
}

#[test]
fn sql_and_the_specification_take_the_same_tasks_for_the_same_models() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let db = runtime.block_on(async {
        let db = TestDb::new().await;
        write::prepare(db.pool()).await;
        db
    });
    let seen = std::cell::RefCell::new(Seen::default());
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        max_shrink_iters: 3_000,
        max_shrink_time: 40_000,
        source_file: Some(file!()),
        test_name: Some("route::same_picks"),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/it/route/regressions.txt"
        )))),
        ..Config::default()
    });
    let compared = runner.run(&scene::scenes(), |scene| {
        runtime.block_on(compare(&db, &scene, &seen));
        Ok(())
    });
    match compared {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("{reason}"),
        Err(TestError::Fail(reason, scene)) => panic!("{reason}\nin this scene:\n{scene:#?}"),
    }
    let Seen {
        picks,
        fallbacks,
        passed_over,
        refused,
        packed,
    } = seen.into_inner();
    assert!(
        picks > 100 && fallbacks > 10 && passed_over > 3 && refused > 50 && packed > 20,
        "scenes in which little happens: {picks} picks, {fallbacks} by fallbacks, {packed} packed, {passed_over} passed over, {refused} left"
    );
}

async fn compare(db: &TestDb, scene: &Scene, seen: &std::cell::RefCell<Seen>) {
    let board = board::of(scene);
    let admission = admit(&board, scene.slots, scene.offset);
    let mut expected: Vec<Pick> = admission.picks.clone();
    expected.sort_unstable();
    let holds = board::holds_after(scene, &board, &admission);

    let mut transaction = db.pool().begin().await.expect("begun");
    write::write(&mut transaction, scene).await;
    let mut taken = write::claim(&mut transaction, scene).await;
    let held = write::holds(&mut transaction).await;
    transaction.rollback().await.expect("as if it had not been");
    taken.sort_unstable();
    assert_eq!(taken, expected, "taken by SQL, by the specification");
    assert_eq!(held, holds, "holds after it, by SQL, by the specification");

    let mut seen = seen.borrow_mut();
    seen.picks += expected.len();
    seen.fallbacks += expected.iter().filter(|pick| pick.rung > 1).count();
    seen.packed += expected.iter().filter(|it| it.lead != it.task).count();
    seen.passed_over += admission.passed_over.len();
    let waiting: usize = board.lanes.iter().map(|lane| lane.tasks.len()).sum();
    seen.refused += waiting - expected.len();
}

/// The id of a thing of a scene: kinds do not mix, and ids of one kind are ordered as its numbers.
fn id(kind: u8, number: usize) -> Uuid {
    let number = u128::try_from(number).expect("a small number");
    Uuid::from_u128(u128::from(kind) << 64 | number)
}
