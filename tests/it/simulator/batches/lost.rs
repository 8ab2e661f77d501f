//! Creates and uploads whose caller cannot know what became of them.

use super::*;

fn losing(replies: f64, uploads: f64) -> BatchSettings {
    BatchSettings {
        lost_replies: replies,
        lost_uploads: uploads,
        ..BatchSettings::default()
    }
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_was_accepted_and_is_in_the_list() {
    let fixture = Fixture::start(batches(losing(1.0, 0.0))).await;
    let (_, file) = read(
        fixture
            .openai_upload("x", &chat_lines(&["a"])[0].to_string())
            .await
            .unwrap(),
    )
    .await;
    let gemini = json!({"batch": {"displayName": "lost", "inputConfig": {"requests": {"requests": requests(&["a"])}}}});
    let openai = json!({"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h", "metadata": {"submission": "lost"}});
    let path = format!("models/{MODEL}:batchGenerateContent");
    for request in [
        fixture.gemini(Method::POST, &path).json(&gemini),
        fixture.openai(Method::POST, "batches").json(&openai),
    ] {
        assert!(request.send().await.unwrap_err().is_request());
    }
    let (_, list) = fixture.gemini_get("batches").await;
    assert_eq!(list["operations"][0]["metadata"]["displayName"], "lost");
    let (_, list) = fixture.openai_get("batches").await;
    assert_eq!(list["data"][0]["metadata"]["submission"], "lost");
    let records = fixture.simulator.batches();
    assert!(
        records
            .iter()
            .all(|batch| batch.lost_reply && batch.token == "lost")
    );
    assert_eq!(fixture.simulator.counters().batches.lost_replies, 2);
}

#[tokio::test]
async fn a_file_whose_answer_is_lost_is_there_by_its_name() {
    let fixture = Fixture::start(batches(losing(0.0, 1.0))).await;
    let url = fixture
        .begin_upload(json!({"name": "files/mine"}))
        .await
        .unwrap();
    let request = fixture.client.post(url).body("x");
    let request = request.header("X-Goog-Upload-Command", "upload, finalize");
    let sent = request.header("X-Goog-Upload-Offset", "0").send().await;
    assert!(sent.unwrap_err().is_request());
    assert_eq!(fixture.gemini_get("files/mine").await.0, StatusCode::OK);
    let (status, _) = fixture
        .begin_upload(json!({"name": "files/mine"}))
        .await
        .unwrap_err();
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        fixture
            .openai_upload("mine.jsonl", "x")
            .await
            .unwrap_err()
            .is_request()
    );
    let (_, list) = fixture.openai_get("files").await;
    assert_eq!(list["data"][0]["filename"], "mine.jsonl");
    assert!(
        fixture
            .simulator
            .files()
            .iter()
            .all(|file| file.lost_upload)
    );
    assert_eq!(fixture.simulator.counters().batches.lost_uploads, 2);
}

#[tokio::test]
async fn a_share_is_lost_and_as_many_were_accepted_as_were_asked() {
    let fixture = Fixture::start(batches(losing(0.5, 0.0))).await;
    let path = format!("models/{MODEL}:batchGenerateContent");
    let mut lost = 0;
    for at in 0..40 {
        let batch = json!({"batch": {"displayName": at.to_string(), "inputConfig": {"requests": {"requests": requests(&["a"])}}}});
        lost += u32::from(
            fixture
                .gemini(Method::POST, &path)
                .json(&batch)
                .send()
                .await
                .is_err(),
        );
    }
    assert!((8..33).contains(&lost), "{lost}");
    assert_eq!(fixture.simulator.batches().len(), 40);
}
