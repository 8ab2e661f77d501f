//! OpenAI's files: uploaded as forms, listed, read, deleted.

use super::*;

async fn upload(fixture: &Fixture, fields: &[(&str, Option<&str>, &str)]) -> (StatusCode, Value) {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let request = fixture.openai(Method::POST, "files").body(form(fields));
    read(request.header("content-type", kind).send().await.unwrap()).await
}

#[tokio::test]
async fn a_file_is_kept_as_it_came() {
    let fixture = Fixture::start(open()).await;
    let (status, file) = read(
        fixture
            .openai_upload("token-1.jsonl", "a\r\nb\n")
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&file["filename"], &file["bytes"]),
        (&json!("token-1.jsonl"), &json!(5))
    );
    assert_eq!(
        (&file["purpose"], &file["object"]),
        (&json!("batch"), &json!("file"))
    );
    assert_eq!(fixture.openai_results(&file["id"]).await, "a\r\nb\n");
    let path = format!("files/{}", text(&file["id"]));
    assert_eq!(fixture.openai_get(&path).await.1, file);
    let deleted = fixture.openai(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(read(deleted).await.1["deleted"], true);
    for answer in [
        fixture.openai_get(&path).await,
        fixture.openai_get(&format!("{path}/content")).await,
    ] {
        assert_eq!(answer.0, StatusCode::NOT_FOUND);
    }
    assert!(fixture.simulator.files()[0].deleted);
}

#[tokio::test]
async fn files_are_listed_by_purpose_the_newest_first() {
    let fixture = Fixture::start(open()).await;
    for name in ["one", "two"] {
        upload(
            &fixture,
            &[("purpose", None, "batch"), ("file", Some(name), "x")],
        )
        .await;
    }
    upload(
        &fixture,
        &[("purpose", None, "evals"), ("file", Some("three"), "x")],
    )
    .await;
    let names = |list: &Value| -> Vec<String> {
        let files = list["data"].as_array().unwrap().iter();
        files
            .map(|file| text(&file["filename"]).to_owned())
            .collect()
    };
    let (_, all) = fixture.openai_get("files").await;
    assert_eq!(names(&all), ["three", "two", "one"]);
    let (_, some) = fixture.openai_get("files?purpose=batch&limit=1").await;
    assert_eq!(
        (names(&some), &some["has_more"]),
        (vec!["two".to_owned()], &json!(true))
    );
    let path = format!("files?purpose=batch&after={}", text(&some["last_id"]));
    assert_eq!(names(&fixture.openai_get(&path).await.1), ["one"]);
}

#[tokio::test]
async fn a_wrong_form_is_told_so() {
    let fixture = Fixture::start(open()).await;
    let file = ("file", Some("x"), "x");
    let purpose = ("purpose", None, "batch");
    let expires = |seconds| {
        [
            purpose,
            file,
            ("expires_after[anchor]", None, "created_at"),
            ("expires_after[seconds]", None, seconds),
        ]
    };
    for fields in [
        &[file][..],
        &[purpose],
        &[file, ("purpose", None, "fun")],
        &expires("1"),
    ] {
        assert_eq!(
            upload(&fixture, fields).await.0,
            StatusCode::BAD_REQUEST,
            "{fields:?}"
        );
    }
    let (_, kept) = upload(&fixture, &expires("3600")).await;
    let lives = kept["expires_at"].as_u64().unwrap() - kept["created_at"].as_u64().unwrap();
    assert_eq!(lives, 3600);
    let request = fixture.openai(Method::POST, "files").json(&json!({}));
    assert_eq!(
        request.send().await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
    let request = fixture.client.post(fixture.root("v1/files"));
    assert_eq!(
        request.send().await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
}
