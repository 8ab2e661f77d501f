//! A seed is a plan.

use std::time::Duration;

use super::plan::{Fault, Planned, plan};

fn planned(seed: u64, seconds: u64) -> Vec<Planned> {
    let lease = Duration::from_secs(5);
    plan(seed, Duration::from_secs(seconds), 4, lease, &["a", "b"])
}

#[test]
fn a_seed_makes_the_same_plan_and_another_one_another() {
    assert_eq!(planned(7, 60), planned(7, 60));
    assert_ne!(planned(7, 60), planned(8, 60));
    assert_eq!(planned(7, 600)[..20], planned(7, 60)[..20]);
}

#[test]
fn ten_minutes_have_a_hundred_deaths_and_every_kind_of_fault() {
    for seed in 0..20 {
        let faults = planned(seed, 600);
        let deaths = faults.iter().map(|it| match it.fault {
            Fault::Kill { .. } | Fault::KillLoader => 1,
            Fault::KillAll => 4,
            _ => 0,
        });
        assert!(deaths.sum::<usize>() >= 100, "seed {seed}");
        let kinds: std::collections::BTreeSet<String> = faults
            .iter()
            .map(|it| format!("{:?}", it.fault))
            .filter_map(|it| it.split([' ', '{']).next().map(str::to_owned))
            .collect();
        assert!(kinds.len() >= 13, "seed {seed}: {kinds:?}");
    }
}
