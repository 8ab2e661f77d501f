//! The demo: whole, twice, and killed.

use std::{process::Stdio, time::Duration};

use serde_json::Value;

use super::Program;
use crate::support::{Janitor, TestFolder, binaries};

/// A demo whose private Postgres lives, and ends, with the test.
struct Demo {
    program: Program,
    folder: TestFolder,
    _janitor: Janitor,
}

impl Demo {
    async fn new() -> Self {
        let folder = TestFolder::new();
        let janitor = Janitor::of_ours(folder.path(), folder.path(), &binaries().await);
        let dir = folder.path().display().to_string();
        let program = Program::new().with("TIDEGATE_LOCAL_DIR", &dir);
        Self {
            program,
            folder,
            _janitor: janitor,
        }
    }

    /// Runs it to its end; its summary.
    #[track_caller]
    fn run(&self, args: &[&str]) -> Value {
        let args = [&["demo", "--json"], args].concat();
        self.program.run(&args).ok().objects().remove(0)
    }

    /// The calls that providers saw, over all runs.
    fn calls(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.join("demo/calls.jsonl"));
        log.map_or(0, |log| log.lines().count())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_article_is_done_without_a_refusal_and_a_second_demo_asks_nothing() {
    let demo = Demo::new().await;
    let first = demo.run(&["--articles", "60", "--processes", "2"]);
    assert_eq!(
        (&first["done"], &first["articles_waiting"]),
        (&60.into(), &0.into()),
        "{first}"
    );
    assert_eq!(
        (&first["calls"], &first["rate_limited"]),
        (&60.into(), &0.into()),
        "{first}"
    );
    assert_eq!(demo.calls(), 60, "by the provider's own log");
    for (name, model) in first["provider"]["models"].as_object().expect("models") {
        assert_eq!(model["refused_429"], 0, "{name}");
    }
    let second = demo.run(&["--articles", "60", "--processes", "1"]);
    assert_eq!(
        (&second["articles_waiting"], demo.calls()),
        (&0.into(), 60),
        "{second}"
    );
    let third = demo.run(&["--articles", "70", "--processes", "1"]);
    assert_eq!(
        (&third["articles_waiting"], demo.calls()),
        (&0.into(), 70),
        "{third}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_killed_half_way_is_taken_up_by_the_next() {
    let demo = Demo::new().await;
    let mut killed = demo
        .program
        .command(&["demo", "--articles", "300", "--processes", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let under_way = async {
        while demo.calls() < 50 {
            ticks.tick().await;
        }
    };
    let started = tokio::time::timeout(Duration::from_secs(100), under_way).await;
    killed.kill().expect("it can be killed");
    killed.wait().expect("it is gone");
    started.expect("calls were made");

    let next = demo.run(&["--articles", "300", "--processes", "2"]);
    assert_eq!(
        (&next["articles_waiting"], &next["failed"]),
        (&0.into(), &0.into()),
        "{next}"
    );
    let repeated = demo.calls() - 300;
    assert!(
        repeated <= 64,
        "{repeated} calls were repeated, at most 2 x 32 were in flight"
    );
}
