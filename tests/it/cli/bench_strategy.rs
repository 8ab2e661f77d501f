//! `bench strategy`, as small as it may be: what it counts, what it has bars for, and bad flags.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Program, bench_limits::scratches};
use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_beside_bulk_work_and_batches_under_kills_are_judged_by_the_providers_account() {
    let server = TestServer::with_connections(80).await;
    let args = "bench strategy --json --case beside,stream,batch,kills --bulk 1000 --seconds 2 --items 60 --batch-seconds 1";
    let figures = Figures::of(&server, args);
    for (case, name, value) in [
        ("batch", "done_60", 60.0),
        ("batch", "batches_60", 1.0),
        ("batch", "singly_60", 0.0),
        ("batch", "price_60", 0.5),
        ("batch", "off_60", 0.0),
        ("stream", "whole", 4.0),
        ("stream", "once", 4.0),
        ("kills", "lost", 0.0),
        ("kills", "doubled", 0.0),
        ("kills", "orphaned", 0.0),
        ("kills", "files", 0.0),
        ("kills", "again", 0.0),
        ("kills", "off", 0.0),
        ("kills", "left", 0.0),
    ] {
        let figure = figures.get(case, name);
        assert_eq!(figure["value"], value, "{figure}");
        assert_eq!(figure["met"], true, "{figure}");
    }
    assert!(figures.value("kills", "deaths") >= 1.0);
    let asked = figures.value("beside", "asked");
    assert!(asked >= 1.0 && figures.value("beside", "once") == asked);
    assert!(figures.value("beside", "bulk_left") >= 1.0);
    for (case, name, bar) in [
        ("beside", "over_p50_ms", 30.0),
        ("beside", "over_p99_ms", 100.0),
        ("beside", "list_5", 1.3),
        ("stream", "first_p50_ms", 15.0),
        ("batch", "ratio_60", 1.05),
    ] {
        let figure = figures.get(case, name);
        assert_eq!(figure["bar"]["at_most"], bar, "{figure}");
        assert_eq!(figure["must"], false, "a time changes nothing: {figure}");
    }
    assert_eq!(scratches(&server).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn choices_are_measured_against_always_one_way_and_bulk_takes_the_cheaper_one() {
    let server = TestServer::with_connections(60).await;
    let args =
        "bench strategy --json --case grid --sizes 1,4,30 --scale 200 --decisions 4 --seed 3";
    let figures = Figures::of(&server, args);
    for phase in ["usual", "faster", "slower"] {
        assert_eq!(figures.value("grid", &format!("{phase}_lost")), 0.0);
        for size in [1, 4, 30] {
            let time = figures.get("grid", &format!("{phase}_time_{size}"));
            assert_eq!(time["bar"]["at_most"], 1.1, "{time}");
            let cost = figures.get("grid", &format!("{phase}_cost_{size}"));
            assert_eq!(
                (&cost["must"], &cost["value"]),
                (&Value::Bool(true), &Value::from(1.0)),
                "{cost}"
            );
        }
    }
    assert_eq!(scratches(&server).await, [""; 0]);
}

struct Figures(BTreeMap<(String, String), Value>);

impl Figures {
    fn of(server: &TestServer, args: &str) -> Self {
        let args: Vec<&str> = args.split(' ').collect();
        let objects = Program::over(server.url()).run(&args).ok().objects();
        let key = |it: &Value, key: &str| it[key].as_str().expect("a word").to_owned();
        let named = objects
            .into_iter()
            .map(|it| ((key(&it, "case"), key(&it, "name")), it));
        Self(named.collect())
    }

    fn get(&self, case: &str, name: &str) -> &Value {
        &self.0[&(case.to_owned(), name.to_owned())]
    }

    fn value(&self, case: &str, name: &str) -> f64 {
        self.get(case, name)["value"].as_f64().expect("a number")
    }
}

#[test]
fn flags_that_make_no_sense_are_told() {
    for (args, words) in [
        (
            "--case some",
            &["some", "beside", "stream", "batch", "grid", "kills"][..],
        ),
        ("--items 1", &["--items", "1"]),
        ("--sizes 0", &["--sizes", "0"]),
        ("--scale 0", &["--scale", "0"]),
        ("--bulk 10", &["--bulk", "10"]),
        ("--decisions 0", &["--decisions"]),
        ("--seconds 0", &["--seconds"]),
        ("--batch-seconds 0", &["--batch-seconds"]),
        ("--processes 0", &["--processes"]),
    ] {
        let args: Vec<&str> = "bench strategy".split(' ').chain(args.split(' ')).collect();
        Program::new().run(&args).refused(words);
    }
}
