//! `bench saving`, as small as it may be: what it counts, what it compares, and bad flags.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Program, bench_limits::scratches};
use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_asked_is_counted_by_the_providers_log_and_the_scratch_is_gone() {
    let server = TestServer::with_connections(60).await;
    let args = "bench saving --json --case again,packs,equal --items 200 --packed 100";
    let args: Vec<&str> = args.split(' ').collect();
    let objects = Program::over(server.url()).run(&args).ok().objects();
    let figures: BTreeMap<(&str, &str), &Value> = objects
        .iter()
        .map(|it| ((word(it, "case"), word(it, "name")), it))
        .collect();
    for (case, name, value) in [
        ("again", "first_calls", 200.0),
        ("again", "second_calls", 0.0),
        ("again", "second_done", 200.0),
        ("again", "third_calls", 20.0),
        ("again", "third_changed_asked", 20.0),
        ("again", "third_others_asked", 0.0),
        ("again", "third_done", 200.0),
        ("packs", "whole_calls_per_item", 0.2),
        ("packs", "whole_same_as_alone", 100.0),
        ("packs", "damaged_same_as_alone", 100.0),
        ("equal", "calls", 1.0),
        ("equal", "alike", 100.0),
    ] {
        let figure = figures[&(case, name)];
        assert_eq!(figure["value"], value, "{figure}");
        assert_eq!(figure["met"], true, "{figure}");
    }
    let rate = figures[&("again", "second_per_second")];
    assert_eq!(rate["bar"]["at_least"], 5_000.0, "{rate}");
    assert!(rate["value"].as_f64() > Some(0.0) && rate["must"] == false);
    let damaged = figures[&("packs", "damaged_calls_per_item")];
    assert!(damaged["value"].as_f64() > Some(0.2), "{damaged}");
    assert_eq!(scratches(&server).await, [""; 0]);
}

fn word<'a>(figure: &'a Value, key: &str) -> &'a str {
    let word = figure[key].as_str();
    word.unwrap_or_else(|| panic!("{key}: {figure}"))
}

#[test]
fn flags_that_make_no_sense_are_told() {
    for (args, words) in [
        (
            "--case some",
            &["some", "again", "packs", "equal", "pages", "million"][..],
        ),
        ("--items 0", &["--items", "0"]),
        ("--packed 4", &["--packed", "4"]),
        ("--pages 0", &["--pages", "0"]),
        ("--entries 10", &["--entries", "10"]),
        ("--processes 0", &["--processes"]),
        ("--slots 0", &["--slots"]),
    ] {
        let args: Vec<&str> = "bench saving".split(' ').chain(args.split(' ')).collect();
        Program::new().run(&args).refused(words);
    }
}
