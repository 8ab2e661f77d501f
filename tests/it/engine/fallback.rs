//! The ladder, decided at the claim.

use std::time::Duration;

use crate::support::fleet::{Fleet, a_model, simulated};
use tidegate::simulator::OutageKind;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_primary_sends_its_tier_to_the_fallback_at_once() {
    let fleet = Fleet::with(["best", "good"].map(a_model).to_vec()).await;
    fleet.articles(40).await;
    fleet
        .store
        .cool_down(
            "sim/best",
            Some(Duration::from_secs(600)),
            false,
            "closed by a test",
            "test",
        )
        .await
        .expect("a cooldown");
    fleet
        .work_off(
            [&["sim/best", "sim/good"], &["sim/good"], &["sim/good"]],
            "sim/good",
        )
        .await;
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.tasks where tier = 0 and model_used = 'sim/good'")
            .await,
        12
    );
    assert!(
        fleet
            .simulator
            .log()
            .iter()
            .all(|call| call.model == "good")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_closes_the_model_for_all_and_costs_no_attempt() {
    let fleet = Fleet::with(["best", "good"].map(a_model).to_vec()).await;
    fleet.articles(40).await;
    fleet
        .simulator
        .outage("best", OutageKind::Minute, Duration::from_secs(600));
    fleet
        .work_off(
            [&["sim/best", "sim/good"], &["sim/good"], &["sim/good"]],
            "sim/good",
        )
        .await;
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.tasks where state = 'done' and attempts = 1")
            .await,
        40
    );
    assert!(
        fleet
            .count("select count(*) from tidegate.tasks where deferrals > 0")
            .await
            > 0
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.model_cooldowns where until > now()")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ladder_crosses_from_one_vendor_to_the_other() {
    for (closed, ladder) in [
        ("g", &["sim/g", "oa/o"][..]),
        ("o", &["oa/o", "sim/g"]),
        // a limit is a reason too, and every answer comes from a call of its own
        ("", &["oa/o", "sim/g"]),
    ] {
        let mut models = ["g", "o"].map(a_model);
        models[1].rpm = Some(if closed.is_empty() { 5 } else { 1_000 });
        let fleet = Fleet::crossed(simulated(models.to_vec())).await;
        fleet.articles(20).await;
        if !closed.is_empty() {
            let outage = OutageKind::Minute;
            fleet
                .simulator
                .outage(closed, outage, Duration::from_secs(600));
        }
        fleet.work_off([ladder; 3], ladder[1]).await;
        let answered = "select count(*) from tidegate.tasks where state = 'done' and attempts = 1";
        assert_eq!(fleet.count(answered).await, 20, "{ladder:?}");
        let entities = "select count(*) from article_entities";
        assert!(fleet.count(entities).await > 0, "{ladder:?}");
        let by_first = fleet
            .count("select count(*) from tidegate.tasks where model_used = 'oa/o'")
            .await;
        let expected = match closed {
            "g" => 20..=20,
            "o" => 0..=0,
            _ => 1..=5,
        };
        assert!(expected.contains(&by_first), "{ladder:?}: {by_first}");
        let uncounted = "select count(*) from tidegate.calls where outcome = 'ok' and (input_tokens is null or output_tokens is null or response_id is null or cost_estimated)";
        assert_eq!(fleet.count(uncounted).await, 0, "{ladder:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_the_provider_does_not_know_is_parked_and_burns_nothing() {
    let fleet = Fleet::with(vec![a_model("good")]).await;
    fleet.articles(20).await;
    fleet
        .work_off(
            [&["sim/never-was", "sim/good"], &["sim/good"], &["sim/good"]],
            "sim/good",
        )
        .await;
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.tasks where state = 'done' and attempts = 1")
            .await,
        20
    );
    assert_eq!(
        fleet
            .count("select count(*) from tidegate.models where parked is not null")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_article_too_long_for_a_model_goes_to_the_next_and_fails_alone_where_none_takes_it() {
    let (mut small, mut large) = (a_model("small"), a_model("large"));
    (small.input_token_limit, large.input_token_limit) = (900, 3_000);
    let fleet = Fleet::with(vec![small, large]).await;
    fleet.articles(12).await;
    let longer = "update articles set body = repeat(body || ' ', $1) where article_id = (select max(article_id) from articles where length(body) < 2000)";
    for times in [8, 40] {
        sqlx::query(longer)
            .bind(times)
            .execute(fleet.store.pool())
            .await
            .expect("an article grows");
    }
    let ladder: &[&str] = &["sim/small", "sim/large"];
    fleet.work_off([ladder; 3], "sim/large").await;
    assert_eq!(
        fleet.count("select count(*) from tidegate.tasks where state = 'done' and model_used = 'sim/small'").await,
        10
    );
    assert_eq!(
        fleet.count("select count(*) from tidegate.tasks where state = 'done' and model_used = 'sim/large' and attempts = 2").await,
        1
    );
    let sql = "select count(*) from tidegate.tasks where state = 'failed' and error_class = 'too_long' and last_error like '%3000%'";
    assert_eq!(fleet.count(sql).await, 1);
    assert_eq!(
        fleet.simulator.log().len(),
        10 + 2 + 2,
        "nothing is asked again of a model it is too long for"
    );
}
