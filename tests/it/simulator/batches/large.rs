//! Batches as large as vendors take them.

use super::*;

#[tokio::test]
async fn fifty_thousand_lines_are_answered() {
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let line = |at: u32| {
        chat_line(&format!("task-{at}"), chat_body(&format!("Prompt {at}"))).to_string() + "\n"
    };
    let lines: String = (0..50_000).map(line).collect();
    let (_, file) = read(fixture.openai_upload("large.jsonl", &lines).await.unwrap()).await;
    let (_, created) = fixture.openai_create(&file["id"], CHAT).await;
    let ended = fixture.again(&created).await;
    assert_eq!(ended["request_counts"]["completed"], 50_000);
    let results = fixture.openai_results(&ended["output_file_id"]).await;
    assert_eq!(results.lines().count(), 50_000);
}

#[tokio::test]
async fn a_file_may_be_larger_than_a_request() {
    const BYTES: usize = 25 << 20;
    let fixture = Fixture::start(batches(BatchSettings::default())).await;
    let name = fixture.gemini_upload("x".repeat(BYTES)).await;
    assert_eq!(
        fixture.gemini_get(&name).await.1["sizeBytes"],
        BYTES.to_string()
    );
    let uploaded = fixture.openai_upload("large", &"x".repeat(BYTES)).await;
    assert_eq!(read(uploaded.unwrap()).await.1["bytes"], BYTES);
    let (status, _) = fixture.inline("t", requests(&[&"x".repeat(BYTES)])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
