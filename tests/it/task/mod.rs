//! The state machine of a task, walked at random in a real Postgres beside a twin that moves by
//! `task::State::after` alone.

mod batches;
mod care;
mod found;
mod hands;
mod op;
mod settles;
mod twin;
mod world;

use proptest::{
    collection::vec,
    test_runner::{Config, FileFailurePersistence, TestError, TestRunner},
};

use crate::support::TestDb;
use world::World;

/// Sequences walked; each step is compared and audited.
const CASES: u32 = 10;

#[test]
fn whatever_is_done_to_tasks_they_stand_where_the_one_table_says_and_the_books_agree() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let db = runtime.block_on(TestDb::new());
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        max_shrink_iters: 4_000,
        max_shrink_time: 45_000,
        source_file: Some(file!()),
        test_name: Some("task::states"),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/it/task/regressions.txt"
        )))),
        ..Config::default()
    });
    let walk = runner.run(&vec(op::any_op(), 1..400), |ops| {
        runtime.block_on(async {
            let mut world = World::new(&db).await;
            for op in &ops {
                world.act(op).await;
                world.agrees(op).await;
            }
            world.every_attempt_is_recorded().await;
        });
        Ok(())
    });
    match walk {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("{reason}"),
        Err(TestError::Fail(reason, ops)) => {
            let steps: Vec<String> = ops.iter().map(|op| format!("{op:?}")).collect();
            panic!("{reason}\nby these steps:\n{}", steps.join("\n"));
        }
    }
}
