//! Results that are not as they should be.

use std::collections::BTreeSet;

use super::*;
use tidegate::simulator::Damage;

/// The results of a hundred items, damaged so: Gemini's file, and both of OpenAI's in one.
async fn results(damage: &[Damage]) -> [String; 2] {
    let settings = BatchSettings {
        damage: damage.to_vec(),
        ..BatchSettings::default()
    };
    let fixture = Fixture::start(batches(settings)).await;
    let prompts = hundred();
    let file = fixture
        .gemini_upload(request_lines(&borrowed(&prompts)))
        .await;
    let (_, gemini) = fixture.of_file(&file).await;
    let (_, openai) = fixture
        .openai_batch(CHAT, &chat_lines(&borrowed(&prompts)))
        .await;
    let (gemini, openai) = (fixture.again(&gemini).await, fixture.again(&openai).await);
    // billed is what was done, whatever became of it
    assert_eq!(fixture.simulator.counters().models[MODEL].batch_items, 200);
    [
        fixture.gemini_results(&gemini).await,
        fixture.openai_results(&openai["output_file_id"]).await,
    ]
}

fn keys(results: &str) -> Vec<String> {
    let lines = parsed(results).into_iter();
    lines
        .map(|line| text(line.get("key").unwrap_or(&line["custom_id"])).to_owned())
        .collect()
}

fn sent() -> BTreeSet<String> {
    (0..100).map(|at| format!("task-{at}")).collect()
}

#[tokio::test]
async fn lines_may_be_missing_or_doubled_or_strange() {
    for results in results(&[Damage::Missing]).await {
        let count = keys(&results).len();
        assert!((70..100).contains(&count), "{count}");
    }
    for results in results(&[Damage::Duplicate]).await {
        let keys = keys(&results);
        assert!((101..130).contains(&keys.len()), "{}", keys.len());
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), sent());
    }
    for results in results(&[Damage::UnknownId]).await {
        let keys = keys(&results);
        let strange = keys.iter().filter(|key| !sent().contains(*key)).count();
        assert!((1..30).contains(&strange) && keys.len() == 100, "{strange}");
    }
}

#[tokio::test]
async fn a_file_may_be_cut_or_empty_or_in_another_order() {
    for results in results(&[Damage::Cut]).await {
        let (whole, last) = results.rsplit_once('\n').unwrap();
        assert_eq!(parsed(whole).len(), 50);
        assert!(serde_json::from_str::<Value>(last).is_err(), "{last}");
    }
    assert_eq!(results(&[Damage::Empty]).await, ["", ""]);
    for results in results(&[Damage::Reordered]).await {
        let keys = keys(&results);
        let in_order: Vec<_> = (0..100).map(|at| format!("task-{at}")).collect();
        assert_ne!(keys, in_order);
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), sent());
    }
}

#[tokio::test]
async fn inline_results_are_damaged_too_but_stay_json() {
    for (damage, counts) in [
        (Damage::Missing, 70..100),
        (Damage::Duplicate, 101..130),
        (Damage::UnknownId, 100..101),
        (Damage::Cut, 50..51),
    ] {
        let settings = BatchSettings {
            damage: vec![damage],
            ..BatchSettings::default()
        };
        let fixture = Fixture::start(batches(settings)).await;
        let prompts = hundred();
        let (_, created) = fixture.inline("t", requests(&borrowed(&prompts))).await;
        let ended = fixture.again(&created).await;
        let list = ended["response"]["inlinedResponses"]["inlinedResponses"]
            .as_array()
            .unwrap();
        assert!(counts.contains(&list.len()), "{damage:?} {}", list.len());
        let strange = list
            .iter()
            .filter(|one| !sent().contains(text(&one["metadata"]["key"])));
        assert_eq!(strange.count() > 0, damage == Damage::UnknownId);
    }
}

#[tokio::test]
async fn empty_inline_results_are_left_out_as_proto3_does() {
    let settings = BatchSettings {
        damage: vec![Damage::Empty],
        ..BatchSettings::default()
    };
    let fixture = Fixture::start(batches(settings)).await;
    let (_, created) = fixture.inline("t", requests(&["a"])).await;
    let ended = fixture.again(&created).await;
    assert_eq!(ended["metadata"]["state"], "BATCH_STATE_SUCCEEDED");
    assert_eq!(ended["response"]["inlinedResponses"], json!({}));
}
