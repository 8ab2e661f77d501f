//! Limits set by hand, shown with what they follow from, and refused where they cannot be.

use std::time::Duration;

use serde_json::{Value, json};

use super::Program;
use crate::support::{
    fleet::{Fleet, a_model},
    work::{ONE_TIER, a_process, claim, items, load},
};

async fn two_models() -> (Fleet, Program) {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let program = Program::over(fleet.url());
    (fleet, program)
}

#[track_caller]
fn set(program: &Program, args: &[&str]) -> Value {
    let args = [&["--json", "models", "set", "sim/a"], args].concat();
    program.run(&args).ok().objects().remove(0)
}

#[tokio::test]
async fn a_limit_set_by_hand_is_told_before_and_after_and_obeyed_by_the_next_claim() {
    let (fleet, program) = two_models().await;
    load(&fleet.store, ONE_TIER, &items(9)).await.unwrap();
    let process = a_process(&fleet.store, Duration::from_secs(60)).await;

    let told = set(&program, &["--rpm", "2", "--window", "sliding"]);
    let both = |before: Value, after: Value| json!({"before": before, "after": after});
    assert_eq!(
        told["changed"],
        json!({"rpm": both(Value::Null, json!(2)), "window": both(Value::Null, json!("sliding"))})
    );
    let again = set(&program, &["--rpm", "2", "--window", "sliding"]);
    assert_eq!(again, json!({"model": "sim/a", "changed": {}}));
    let models = async |slots| {
        let mut models: Vec<_> = claim(&fleet.store, process, slots)
            .await
            .into_iter()
            .map(|it| it.model)
            .collect();
        models.sort();
        models
    };
    assert_eq!(models(3).await, ["sim/a", "sim/a", "sim/b"]);
    assert_eq!(models(1).await, ["sim/b"]);
    let told = set(&program, &["--rpm", "none"]);
    assert_eq!(told["changed"]["rpm"], both(json!(2), Value::Null));
    assert_eq!(models(1).await, ["sim/a"]);

    let told = set(
        &program,
        &[
            "--rpm",
            "60",
            "--window",
            "bucket",
            "--burst",
            "10",
            "--rpd",
            "1_000",
            "--tpd",
            "9",
            "--output-tpm",
            "8",
        ],
    );
    assert_eq!(told["changed"]["burst"], both(Value::Null, json!(10)));
    assert_eq!(told["changed"]["rpd"], both(Value::Null, json!(1_000)));
    let told = set(
        &program,
        &["--input-price-usd", "0.25", "--output-price-usd", "none"],
    );
    assert_eq!(
        told["changed"]["input_price_usd"],
        both(json!("0.10"), json!("0.25"))
    );
    assert_eq!(
        told["changed"]["output_price_usd"],
        both(json!("0.40"), Value::Null)
    );
    let words = program
        .run(&[
            "models",
            "set",
            "sim/a",
            "--rpm",
            "30",
            "--max-concurrency",
            "4",
        ])
        .ok();
    assert!(words.stdout.contains("sim/a: rpm 60 -> 30"), "{words:?}");
    assert!(
        words.stdout.contains("max_concurrency 10000 -> 4"),
        "{words:?}"
    );
}

#[tokio::test]
async fn one_bucket_has_many_names_and_is_told_where_it_has_its_own() {
    let (_fleet, program) = two_models().await;
    set(&program, &["--rpm", "5", "--window", "fixed"]);
    let shared = [
        "--json",
        "models",
        "set",
        "sim/b",
        "--shares-limits-of",
        "sim/a",
    ];
    let told = program.run(&shared).ok().objects().remove(0);
    assert_eq!(told["changed"]["shares_limits_of"]["after"], "a");
    assert_eq!(told["changed"]["rpm"]["after"], 5);
    program
        .run(&["models", "set", "sim/b", "--rpm", "3"])
        .refused(&[
            "rpm: the limits of sim/b are those of a",
            "help: set it there",
        ]);
    program
        .run(&["models", "set", "sim/a", "--shares-limits-of", "sim/b"])
        .refused(&["sim/b shares the limits of a itself"]);
    let told = program
        .run(&[
            "--json",
            "models",
            "set",
            "sim/b",
            "--shares-limits-of",
            "none",
        ])
        .ok()
        .objects();
    assert_eq!(told[0]["changed"]["rpm"]["after"], Value::Null);
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let (fleet, program) = two_models().await;
    set(&program, &["--rpm", "5"]);
    let before = program
        .run(&["--json", "models", "show", "sim/a"])
        .ok()
        .objects()
        .remove(0);
    for (args, words) in [
        (&["--rpm", "0"][..], "pause"),
        (&["--rpm", "-3"], "1 to 10000000"),
        (&["--rpm", "99999999999"], "1 to 10000000"),
        (&["--tpm", "many"], "or none"),
        (&["--tpm", "1.5"], "whole number"),
        (&["--max-concurrency", "1000000"], "1 to 100000"),
        (&["--window", "slidng"], "sliding, fixed, bucket"),
        (&["--window", "bucket"], "burst"),
        (&["--burst", "3"], "window"),
        (&["--window", "bucket", "--burst", "6"], "at most rpm"),
        (&["--input-price-usd", "-1"], "not negative"),
        (&["--output-price-usd", "cheap"], "no decimal number"),
        (&["--shares-limits-of", "a"], "<provider entry>/<wire name>"),
        (&["--batch", "yes"], "true, false or none"),
        (&["--batch-price-percent", "101"], "from 0 to 100"),
        (&["--shares-limits-of", "sim/bb"], "did you mean sim/b?"),
        (
            &["--shares-limits-of", "sim/a"],
            "has its own limits already",
        ),
        (&[], "nothing to set"),
    ] {
        program
            .run(&[&["models", "set", "sim/a"], args].concat())
            .refused(&[words]);
    }
    for verb in [&["set", "sim/aa", "--rpm", "3"][..], &["show", "sim/aa"]] {
        program
            .run(&[&["models"], verb].concat())
            .refused(&["no model is called sim/aa", "did you mean sim/a?"]);
    }
    let after = program
        .run(&["--json", "models", "show", "sim/a"])
        .ok()
        .objects()
        .remove(0);
    assert_eq!(before["adjustments"], after["adjustments"]);
    assert_eq!(before["shares"], after["shares"]);
    let limits = "select count(*) from tidegate.limits where dimension <> 'concurrency'";
    assert_eq!(fleet.count(limits).await, 1);
}

#[tokio::test]
async fn a_model_is_shown_with_each_limit_what_it_follows_from_and_what_it_does_not_know() {
    let (fleet, program) = two_models().await;
    load(&fleet.store, ONE_TIER, &items(3)).await.unwrap();
    set(
        &program,
        &[
            "--rpm",
            "5",
            "--window",
            "sliding",
            "--input-price-usd",
            "none",
            "--output-price-usd",
            "none",
        ],
    );
    set(&program, &["--rpm", "7"]);
    let process = a_process(&fleet.store, Duration::from_secs(60)).await;
    claim(&fleet.store, process, 1).await;
    program
        .run(&[
            "models",
            "cool",
            "sim/a",
            "--for",
            "1h",
            "--reason",
            "by a test",
        ])
        .ok();

    let shown = program
        .run(&["--json", "models", "show", "sim/a"])
        .ok()
        .objects()
        .remove(0);
    assert_eq!(shown["closed_by"], "cooldown: by a test");
    assert_eq!(shown["cooldown"]["reason"], "by a test");
    assert_eq!(
        (&shown["in_flight"], &shown["waiting"]),
        (&json!(1), &json!(2))
    );
    assert!(shown["next_task"].is_string(), "{shown}");
    let limits = shown["limits"].as_array().unwrap();
    let requests = limits
        .iter()
        .find(|it| it["dimension"] == "requests")
        .unwrap();
    assert_eq!(
        (
            &requests["size"],
            &requests["room"],
            &requests["source"],
            &requests["evidence"]
        ),
        (&json!(7), &json!(6), &json!("hand"), &json!("set by hand"))
    );
    let all = shown["adjustments"].as_array().unwrap();
    assert!(
        all.iter().all(|it| it["what"] != "cap"),
        "nobody told one: {shown}"
    );
    let newest = &all[0];
    assert_eq!(
        (
            &newest["what"],
            &newest["old"],
            &newest["new"],
            &newest["reason"]
        ),
        (&json!("size"), &json!(5), &json!(7), &json!("set by hand"))
    );
    let screen = program.run(&["models", "show", "sim/a"]).ok();
    for words in [
        "cooldown: by a test",
        "unknown",
        "requests per minute",
        "set by hand",
        "2 tasks as their first choice",
    ] {
        assert!(screen.stdout.contains(words), "lacks {words:?}: {screen:?}");
    }
    assert!(!screen.stdout.contains("$0"), "{screen:?}");

    let listed = program.run(&["--json", "models", "list"]).ok().objects();
    assert_eq!(
        (&listed[0]["waiting"], &listed[1]["waiting"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(listed[0]["next_task"], shown["next_task"]);
    let table = program.run(&["models", "list"]).ok();
    assert!(table.stdout.contains("STARTS NEXT"), "{table:?}");
}

#[tokio::test]
async fn a_batch_mode_set_by_hand_is_told_before_and_after_and_shown() {
    let (_fleet, program) = two_models().await;
    let told = set(
        &program,
        &["--batch", "false", "--batch-price-percent", "40"],
    );
    let both = |before: Value, after: Value| json!({"before": before, "after": after});
    assert_eq!(
        told["changed"],
        json!({"batch": both(Value::Null, json!(false)), "batch_price_percent": both(json!(50), json!(40))})
    );
    let shown = |words: &str| {
        let screen = program.run(&["models", "show", "sim/a"]).ok().stdout;
        assert!(screen.contains(words), "{screen}");
    };
    shown("none (set by hand)");
    set(
        &program,
        &["--batch", "none", "--batch-enqueued-tokens", "2_000"],
    );
    shown("40 % of the price; up to 2000 tokens enqueued; up to 100 of sim under way");
}
