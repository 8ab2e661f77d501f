//! How a worker's tasks are asked: `[strategy]`.

use std::time::Duration;

use tidegate::{
    definition::StrategySpec,
    task::{Purpose, Strategy},
};

use super::{check, check_set, with};

fn spec(table: &str) -> StrategySpec {
    check(&with("[strategy]\nmode = \"auto\"\n", table))
        .expect(table)
        .strategy
}

#[test]
fn a_worker_without_the_table_waits_for_no_batch() {
    assert_eq!(spec(""), StrategySpec::default());
    assert_eq!(StrategySpec::default().mode, Strategy::Individual);
    assert_eq!(spec("[strategy]\n").mode, Strategy::Auto);
}

#[test]
fn mode_purpose_and_deadline_are_taken_as_they_are_written() {
    for (mode, word) in [
        ("auto", Strategy::Auto),
        ("individual", Strategy::Individual),
        ("batch", Strategy::Batch),
        ("hybrid", Strategy::Hybrid),
    ] {
        let spec = spec(&format!("[strategy]\nmode = \"{mode}\"\n"));
        assert_eq!((spec.mode, spec.purpose), (word, Purpose::Bulk));
    }
    let spec = spec("[strategy]\npurpose = \"rag_query\"\ndeadline_s = 604800\n");
    assert_eq!(
        (spec.mode, spec.purpose, spec.deadline),
        (
            Strategy::Auto,
            Purpose::Interactive,
            Some(Duration::from_secs(604_800))
        )
    );
}

#[test]
fn a_mode_is_forced_by_purpose_and_by_an_override_above_it() {
    let forced = "[strategy]\nmode = \"auto\"\nby_purpose = { rag_query = \"individual\", bulk = \"batch\" }\n";
    assert_eq!(spec(forced).mode, Strategy::Batch);
    let of = |purpose: &str| spec(&format!("{forced}purpose = \"{purpose}\"\n")).mode;
    assert_eq!(of("rag_query"), Strategy::Individual);
    assert_eq!(of("quick_enrichment"), Strategy::Auto);
    let set = |more: &[(&str, &str)]| {
        let by_purpose = ("strategy.by_purpose.bulk", "batch");
        let all: Vec<_> = [by_purpose].into_iter().chain(more.to_vec()).collect();
        check_set(&all).expect("it holds").strategy.mode
    };
    assert_eq!(set(&[]), Strategy::Batch);
    assert_eq!(set(&[("strategy.mode", "hybrid")]), Strategy::Hybrid);
}

#[test]
fn every_value_of_the_table_can_be_overridden() {
    let spec = check_set(&[
        ("strategy.mode", "hybrid"),
        ("strategy.purpose", "quick_enrichment"),
        ("strategy.deadline_s", "30"),
    ])
    .expect("it holds")
    .strategy;
    let wanted = StrategySpec {
        mode: Strategy::Hybrid,
        purpose: Purpose::Interactive,
        deadline: Some(Duration::from_secs(30)),
    };
    assert_eq!(spec, wanted);
}
