//! Gemini's files: uploads in parts, names, lists, downloads, their end.

use super::*;

/// Sends a part of an upload.
async fn part(fixture: &Fixture, url: &str, command: &str, offset: usize, text: &str) -> Response {
    let request = fixture.client.post(url).body(text.to_owned());
    let request = request.header("X-Goog-Upload-Command", command);
    let request = request.header("X-Goog-Upload-Offset", offset.to_string());
    request.send().await.unwrap()
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    let value = answer.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_file_comes_in_parts() {
    let fixture = Fixture::start(open()).await;
    let file = json!({"name": "files/my-own", "displayName": "mine"});
    let url = fixture.begin_upload(file).await.unwrap();
    for (offset, text) in [(0, "abc"), (3, "def"), (3, "def")] {
        let answer = part(&fixture, &url, "upload", offset, text).await;
        assert_eq!(header(&answer, "x-goog-upload-status"), "active");
    }
    let elsewhere = part(&fixture, &url, "upload", 9, "x").await;
    assert_eq!(elsewhere.status(), StatusCode::BAD_REQUEST);
    assert_eq!(header(&elsewhere, "x-goog-upload-size-received"), "6");
    let asked = part(&fixture, &url, "query", 0, "").await;
    assert_eq!(header(&asked, "x-goog-upload-size-received"), "6");
    // who did not hear the end may ask for it again
    for _ in 0..2 {
        let answer = part(&fixture, &url, "upload, finalize", 6, "ghi").await;
        assert_eq!(header(&answer, "x-goog-upload-status"), "final");
        let (_, told) = read(answer).await;
        let file = &told["file"];
        assert_eq!(file["name"], "files/my-own");
        assert_eq!(
            (&file["sizeBytes"], &file["state"]),
            (&json!("9"), &json!("ACTIVE"))
        );
        assert_eq!(
            (&file["source"], &file["mimeType"]),
            (&json!("UPLOADED"), &json!("application/jsonl"))
        );
        assert_eq!(file["displayName"], "mine");
    }
    let (_, seen) = fixture.gemini_get("files/my-own").await;
    assert!(seen["expirationTime"].is_string() && seen["uri"].is_string());
    assert_eq!(fixture.simulator.files().len(), 1);
}

#[tokio::test]
async fn a_name_is_given_once_and_must_be_sound() {
    let fixture = Fixture::start(open()).await;
    let named = |name: &str| json!({"name": name});
    let url = fixture.begin_upload(named("files/one")).await.unwrap();
    let second = fixture.begin_upload(named("files/one")).await.unwrap();
    part(&fixture, &url, "upload, finalize", 0, "x").await;
    let raced = read(part(&fixture, &second, "upload, finalize", 0, "y").await).await;
    let told = fixture.begin_upload(named("files/one")).await.unwrap_err();
    for (status, said) in [raced, told] {
        assert_eq!(
            (status, &said["error"]["status"]),
            (StatusCode::CONFLICT, &json!("ALREADY_EXISTS"))
        );
    }
    let (status, _) = fixture
        .begin_upload(named("files/Not_So"))
        .await
        .unwrap_err();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let deleted = fixture
        .gemini(Method::DELETE, "files/one")
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.status(), StatusCode::OK);
    assert!(fixture.begin_upload(named("files/one")).await.is_ok());
}

#[tokio::test]
async fn only_results_can_be_downloaded() {
    let fixture = Fixture::start(open()).await;
    let file = fixture.gemini_upload(request_lines(&["a"])).await;
    let (status, _) = fixture
        .gemini_get(&format!("{file}:download?alt=media"))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (_, created) = fixture.of_file(&file).await;
    let ended = fixture.again(&created).await;
    let lines = fixture.gemini_results(&ended).await;
    let name = text(&ended["response"]["responsesFile"]);
    let url = fixture.root(&format!("download/v1beta/{name}:download?alt=media"));
    let request = fixture.client.get(url).header("x-goog-api-key", "k");
    assert_eq!(request.send().await.unwrap().text().await.unwrap(), lines);
    let (_, told) = fixture.gemini_get(name).await;
    assert_eq!(told["sizeBytes"], lines.len().to_string());
    assert!(told["downloadUri"].is_string());
}

#[tokio::test]
async fn a_missing_or_expired_file_is_forbidden() {
    let settings = BatchSettings {
        files_live_s: 0,
        ..BatchSettings::default()
    };
    let fixture = Fixture::start(batches(settings)).await;
    let expired = fixture.gemini_upload("x".to_owned()).await;
    for name in ["files/never", &expired] {
        let of_file = fixture.of_file(name).await;
        for (status, said) in [fixture.gemini_get(name).await, of_file] {
            assert_eq!(
                (status, &said["error"]["status"]),
                (StatusCode::FORBIDDEN, &json!("PERMISSION_DENIED"))
            );
        }
        let deleting = fixture.gemini(Method::DELETE, name).send().await.unwrap();
        assert_eq!(deleting.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(fixture.gemini_get("files").await.1, json!({}));
}

#[tokio::test]
async fn files_are_listed_page_by_page() {
    let fixture = Fixture::start(open()).await;
    for _ in 0..12 {
        fixture.gemini_upload("x".to_owned()).await;
    }
    let (_, first) = fixture.gemini_get("files").await;
    assert_eq!(first["files"].as_array().unwrap().len(), 10);
    let path = format!(
        "files?pageSize=100&pageToken={}",
        text(&first["nextPageToken"])
    );
    let (_, second) = fixture.gemini_get(&path).await;
    assert_eq!(second["files"].as_array().unwrap().len(), 2);
    assert!(second.get("nextPageToken").is_none());
}

#[tokio::test]
async fn an_upload_may_be_called_off_and_an_unknown_one_is_not_found() {
    let fixture = Fixture::start(open()).await;
    let url = fixture.begin_upload(json!({})).await.unwrap();
    let answer = part(&fixture, &url, "cancel", 0, "").await;
    assert_eq!(header(&answer, "x-goog-upload-status"), "cancelled");
    let gone = part(&fixture, &url, "upload, finalize", 0, "x").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    assert!(fixture.simulator.files().is_empty());
}
