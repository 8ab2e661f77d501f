//! `bench limits`, as small as it may be: its fields, by the provider's own log, and bad flags.

use sqlx::{Connection, PgConnection};

use super::Program;
use crate::support::{TestDb, TestServer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_limit_is_used_without_a_refusal_and_the_scratch_is_gone() {
    // a server of its own: others make scratches beside it
    let server = TestServer::with_connections(60).await;
    let args = "bench limits --json --tasks 20 --models 60,60 --processes 2 --latency 20";
    let args: Vec<&str> = args.split(' ').collect();
    let objects = Program::over(server.url()).run(&args).ok().objects();
    let [run] = &objects[..] else {
        panic!("one line for one case: {objects:?}");
    };
    let of = |key: &str| run[key].as_f64().unwrap_or_else(|| panic!("{key}: {run}"));
    for (key, value) in [
        ("done", 20.0),
        ("calls", 20.0),
        ("calls_per_task", 1.0),
        ("refused", 0.0),
        ("refused_share", 0.0),
        ("repeated", 0.0),
        ("over", 0.0),
        ("deaths", 0.0),
        ("processes", 2.0),
    ] {
        assert_eq!(of(key), value, "{key}: {run}");
    }
    // 20 tasks are the burst of both models: only the latency is left
    assert_eq!(of("optimum_s"), 0.02, "{run}");
    assert!(of("makespan_s") >= 0.0 && of("ratio") >= 0.0, "{run}");
    let models = run["models"].as_array().expect("models");
    assert_eq!(models.len(), 2, "{run}");
    let calls: u64 = models.iter().filter_map(|it| it["calls"].as_u64()).sum();
    assert_eq!(calls, 20, "{run}");
    for model in models {
        assert!(model["most_in_60s"].as_u64() <= Some(60), "{run}");
    }
    assert_eq!(scratches(&server).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_not_ours_is_asked_or_it_is_said_how_to_get_it() {
    let db = TestDb::new().await;
    let args = "bench limits --json --independent --tasks 12 --models 60,30 --processes 2";
    let args: Vec<&str> = args.split(' ').collect();
    let ran = Program::over(db.url()).run(&args);
    if ran.code == Some(1) {
        ran.refused(&["nginx is not installed", "apt-get install nginx-light"]);
        return;
    }
    let run = ran.ok().objects().remove(0);
    for (key, value) in [("done", 12), ("calls", 12), ("refused", 0), ("over", 0)] {
        assert_eq!(run[key], value, "{key}: {run}");
    }
    assert_eq!(run["provider"], "nginx", "{run}");
}

/// Databases of benches on the server; a killed one may have left its own.
/// Scratch databases that are there.
pub(super) async fn scratches(server: &TestServer) -> Vec<String> {
    let mut session = PgConnection::connect(server.url())
        .await
        .expect("a session");
    sqlx::query_scalar(
        "select datname::text from pg_database where datname like 'tidegate_bench_%'",
    )
    .fetch_all(&mut session)
    .await
    .expect("the server answers")
}

#[test]
fn flags_that_make_no_sense_are_told() {
    for (args, words) in [
        ("--tasks 0", &["--tasks", "0"][..]),
        ("--tasks many", &["--tasks", "many"]),
        ("--models 0", &["--models", "0"]),
        ("--models 60,,60", &["--models"]),
        ("--processes 0", &["--processes"]),
        ("--slots 0", &["--slots"]),
        ("--window round", &["round", "bucket", "sliding", "fixed"]),
        ("--known some", &["some", "all", "size", "none"]),
        ("--kill 0", &["--kill"]),
        ("--runs 0", &["--runs"]),
        ("--independent --tokens", &["--independent", "--tokens"]),
        (
            "--independent --window sliding",
            &["--independent", "--window", "help: leave out"],
        ),
    ] {
        let args: Vec<&str> = "bench limits".split(' ').chain(args.split(' ')).collect();
        Program::new().run(&args).refused(words);
    }
}
