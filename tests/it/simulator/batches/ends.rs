//! How batches end, and what of their items can be read then.

use super::*;
use tidegate::simulator::{BatchEnd, Faults};

async fn ended_as(end: BatchEnd) -> (Fixture, Value, Value) {
    let settings = BatchSettings {
        end,
        end_at: 0.25,
        ..BatchSettings::default()
    };
    let fixture = Fixture::start(batches(settings)).await;
    let prompts = hundred();
    let (_, gemini) = fixture.inline("t", requests(&borrowed(&prompts))).await;
    let (_, openai) = fixture
        .openai_batch(CHAT, &chat_lines(&borrowed(&prompts)))
        .await;
    let (gemini, openai) = (fixture.again(&gemini).await, fixture.again(&openai).await);
    (fixture, gemini, openai)
}

#[tokio::test]
async fn what_expires_has_its_finished_items_at_openai_and_nothing_at_gemini() {
    let (fixture, gemini, openai) = ended_as(BatchEnd::Expired).await;
    assert_eq!(gemini["metadata"]["state"], "BATCH_STATE_EXPIRED");
    assert!(
        gemini["done"] == true && gemini["error"]["code"] == 4 && gemini.get("response").is_none()
    );
    assert_eq!(openai["status"], "expired");
    let good = parsed(&fixture.openai_results(&openai["output_file_id"]).await);
    let bad = parsed(&fixture.openai_results(&openai["error_file_id"]).await);
    assert_eq!((good.len(), bad.len()), (25, 75));
    assert!(
        bad.iter()
            .all(|line| line["error"]["code"] == "batch_expired")
    );
    assert_eq!(
        openai["request_counts"],
        json!({"total": 100, "completed": 25, "failed": 75})
    );
    let counters = fixture.simulator.counters();
    assert_eq!(
        (counters.batches.expired, counters.models[MODEL].batch_items),
        (2, 25)
    );
}

#[tokio::test]
async fn what_fails_has_no_results() {
    let (fixture, gemini, openai) = ended_as(BatchEnd::Failed).await;
    assert_eq!(
        (&gemini["metadata"]["state"], &gemini["error"]["code"]),
        (&json!("BATCH_STATE_FAILED"), &json!(13))
    );
    assert_eq!(openai["status"], "failed");
    assert_eq!(openai["errors"]["data"].as_array().unwrap().len(), 1);
    assert!(openai["output_file_id"].is_null() && openai["error_file_id"].is_null());
    assert_eq!(fixture.simulator.counters().models[MODEL].batch_items, 0);
}

#[tokio::test]
async fn what_others_cancel_has_its_finished_items_at_openai() {
    let (fixture, gemini, openai) = ended_as(BatchEnd::Cancelled).await;
    assert_eq!(gemini["error"]["code"], 1);
    let good = parsed(&fixture.openai_results(&openai["output_file_id"]).await);
    assert_eq!((&openai["status"], good.len()), (&json!("cancelled"), 25));
    assert!(
        fixture
            .simulator
            .batches()
            .iter()
            .all(|batch| !batch.cancelled)
    );
}

#[tokio::test]
async fn items_fail_singly_with_errors_that_pass() {
    let settings = BatchSettings {
        item_errors: 0.3,
        ..BatchSettings::default()
    };
    let fixture = Fixture::start(batches(settings)).await;
    let prompts = hundred();
    let (_, gemini) = fixture.inline("t", requests(&borrowed(&prompts))).await;
    let gemini = fixture.again(&gemini).await;
    assert_eq!(gemini["metadata"]["state"], "BATCH_STATE_SUCCEEDED");
    let list = gemini["response"]["inlinedResponses"]["inlinedResponses"]
        .as_array()
        .unwrap();
    let codes: Vec<_> = list
        .iter()
        .filter_map(|one| one["error"]["code"].as_u64())
        .collect();
    assert!((15..45).contains(&codes.len()), "{codes:?}");
    assert!(codes.iter().all(|code| [4, 8, 13, 14].contains(code)));
    assert_eq!(
        gemini["metadata"]["batchStats"]["failedRequestCount"],
        codes.len().to_string()
    );

    let (_, openai) = fixture
        .openai_batch(CHAT, &chat_lines(&borrowed(&prompts)))
        .await;
    let openai = fixture.again(&openai).await;
    let bad = parsed(&fixture.openai_results(&openai["error_file_id"]).await);
    assert_eq!(openai["request_counts"]["failed"], bad.len());
    let status = |line: &Value| line["response"]["status_code"].as_u64().unwrap();
    assert!(
        bad.iter()
            .all(|line| [0, 429, 500, 503].contains(&status(line)))
    );
    let counted = &fixture.simulator.counters().models[MODEL];
    let failed = u64::try_from(codes.len() + bad.len()).unwrap();
    assert_eq!(
        (counted.batch_items, counted.batch_items_failed),
        (200 - failed, failed)
    );
}

#[tokio::test]
async fn faults_of_content_befall_items_and_faults_of_calls_do_not() {
    let faults = Faults {
        http_503: 0.5,
        lone_surrogate: 0.5,
        ..Faults::default()
    };
    let fixture = Fixture::start(Settings {
        faults,
        ..batches(BatchSettings::default())
    })
    .await;
    let prompts = hundred();
    let file = fixture
        .gemini_upload(request_lines(&borrowed(&prompts)))
        .await;
    let (_, created) = fixture.of_file(&file).await;
    let ended = fixture.again(&created).await;
    let results = fixture.gemini_results(&ended).await;
    let spoiled = results
        .lines()
        .filter(|line| line.contains("\\ud800"))
        .count();
    assert!((30..70).contains(&spoiled), "{spoiled}");
    assert_eq!(
        ended["metadata"]["batchStats"]["successfulRequestCount"],
        "100"
    );
    assert_eq!(fixture.gemini_results(&ended).await, results);
}
