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

    let one_more = lines + &line(50_000);
    let (_, file) = read(
        fixture
            .openai_upload("larger.jsonl", &one_more)
            .await
            .unwrap(),
    )
    .await;
    let (_, created) = fixture.openai_create(&file["id"], CHAT).await;
    let ended = fixture.again(&created).await;
    assert_eq!(
        (&ended["status"], &ended["errors"]["data"][0]["code"]),
        (&json!("failed"), &json!("too_many_tasks"))
    );
}
