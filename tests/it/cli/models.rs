//! A model closed by hand, and opened.

use std::time::Duration;

use serde_json::json;

use super::Program;
use crate::support::{
    fleet::{Fleet, a_model},
    work::{ONE_TIER, a_process, claim, items, load},
};

#[tokio::test]
async fn a_paused_model_is_called_by_nobody_until_a_person_opens_it() {
    let fleet = Fleet::with(vec![a_model("a"), a_model("b")]).await;
    let store = &fleet.store;
    load(store, ONE_TIER, &items(4)).await.unwrap();
    let process = a_process(store, Duration::from_secs(60)).await;
    let program = Program::over(fleet.url());
    let act = |args: &[&str]| {
        let args = [&["--json", "models"], args].concat();
        program.run(&args).ok().objects().remove(0)
    };

    let why = "paused by hand: too dear";
    let paused = act(&["pause", "sim/a", "--reason", "too dear"]);
    assert_eq!(
        paused,
        json!({"model": "sim/a", "changed": true, "closed_by": why})
    );
    let again = act(&["pause", "sim/a", "--reason", "another"]);
    assert_eq!(
        again,
        json!({"model": "sim/a", "changed": false, "closed_by": why})
    );
    // what closes it by itself does not take the reason away
    store.park_model("sim/a", "gone").await.unwrap();
    let shown = program.run(&["--json", "models", "list"]).ok().objects();
    assert_eq!(shown[0]["closed_by"], format!("model parked: {why}"));
    let asked: Vec<_> = claim(store, process, 1).await;
    assert_eq!(asked[0].model, "sim/b", "the fallback");

    act(&["cool", "sim/a", "--for", "1h"]);
    let resumed = act(&["resume", "sim/a"]);
    assert_eq!(
        (&resumed["changed"], &resumed["closed_by"]),
        (&json!(true), &json!("cooldown: set by hand"))
    );
    assert_eq!(act(&["resume", "sim/a"])["changed"], false);
    act(&["pause", "sim/a"]);
    assert_eq!(act(&["clear", "sim/a"])["cleared"], true);
    assert_eq!(claim(store, process, 1).await[0].model, "sim/a");

    for verb in ["pause", "resume"] {
        program
            .run(&["models", verb, "sim/aa"])
            .refused(&["no model is called sim/aa", "did you mean sim/a?"]);
    }
}
