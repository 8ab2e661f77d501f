//! Files on their way up: whole, in pieces, to no other place than the provider's.

use std::io::Write;

use serde_json::{Value, json};
use tidegate::{llm::CallError, provider::Kind};
use wiremock::{
    Mock, MockServer, Request, Respond, ResponseTemplate,
    matchers::{any, header, method},
};

use super::{
    KEY, PROMPT, Subject, VENDORS,
    batches::{TOKEN, answering, batches, refused},
    raw_server, write,
};

const PIECE: usize = 8 << 20;

fn file(bytes: usize) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let text = format!("{PROMPT}\n").repeat(bytes / PROMPT.len() + 1);
    file.write_all(&text.as_bytes()[..bytes]).expect("written");
    file
}

/// Begins an upload, and says that pieces go to this place.
async fn begin_at(server: &MockServer, place: &str) {
    let begun = ResponseTemplate::new(200).insert_header("x-goog-upload-url", place);
    Mock::given(header("X-Goog-Upload-Command", "start"))
        .respond_with(begun)
        .mount(server)
        .await;
}

/// Takes pieces, and after the last names the file.
struct Taking;

impl Respond for Taking {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let is_last = request.headers["X-Goog-Upload-Command"] == "upload, finalize";
        let (status, body) = match is_last {
            true => (
                "final",
                json!({"file": {"name": format!("files/{TOKEN}"), "state": "ACTIVE"}}),
            ),
            false => ("active", json!({})),
        };
        ResponseTemplate::new(200)
            .insert_header("x-goog-upload-status", status)
            .set_body_json(body)
    }
}

async fn taking() -> (MockServer, Subject) {
    let server = MockServer::start().await;
    let place = format!("{}/upload/v1/files?upload_id=7", server.uri());
    begin_at(&server, &place).await;
    Mock::given(any()).respond_with(Taking).mount(&server).await;
    let subject = Subject::at(&VENDORS[0], &format!("{}/v1", server.uri()));
    (server, subject)
}

#[tokio::test]
async fn a_large_file_goes_to_gemini_in_pieces_and_a_small_one_in_one() {
    for (bytes, pieces) in [(0, 1), (100, 1), (PIECE, 1), (PIECE + 1, 2)] {
        let (server, subject) = taking().await;
        let file = file(bytes);
        let id = batches(&subject).upload(TOKEN, file.path()).await.unwrap();
        assert_eq!(id, format!("files/{TOKEN}"));

        let asked = server.received_requests().await.unwrap();
        assert_eq!(asked.len(), 1 + pieces);
        let begun = &asked[0];
        assert_eq!(begun.url.path(), "/upload/v1/files");
        let length = &begun.headers["X-Goog-Upload-Header-Content-Length"];
        assert_eq!(length, &bytes.to_string());
        let body: Value = begun.body_json().unwrap();
        let named = json!({"name": format!("files/{TOKEN}"), "displayName": TOKEN});
        assert_eq!(body, json!({ "file": named }));

        let mut came = Vec::new();
        for (at, piece) in asked[1..].iter().enumerate() {
            assert_eq!(piece.url.query(), Some("upload_id=7"));
            let offset = &piece.headers["X-Goog-Upload-Offset"];
            assert_eq!(offset, &came.len().to_string());
            let is_last = piece.headers["X-Goog-Upload-Command"] == "upload, finalize";
            assert_eq!(is_last, at + 1 == pieces);
            came.extend_from_slice(&piece.body);
        }
        assert!(
            came == std::fs::read(file.path()).unwrap(),
            "the file came whole"
        );
        assert!(asked.iter().all(|it| !it.url.as_str().contains(KEY)));
    }
}

#[tokio::test]
async fn an_upload_that_is_sent_elsewhere_is_refused_and_nothing_goes_there() {
    let elsewhere = MockServer::start().await;
    Mock::given(any())
        .respond_with(Taking)
        .mount(&elsewhere)
        .await;
    let here = MockServer::start().await;
    let port = here.address().port();
    for place in [
        // another port of this host is another place too
        format!("{}/upload?upload_id=7", elsewhere.uri()),
        format!("http://localhost:{}/upload", elsewhere.address().port()),
        format!("https://127.0.0.1:{port}/upload"),
        "http://example.com/".to_owned(),
        "/upload/v1/files".to_owned(),
        "no URL".to_owned(),
    ] {
        here.reset().await;
        begin_at(&here, &place).await;
        let subject = Subject::at(&VENDORS[0], &here.uri());
        let error = refused(batches(&subject).upload(TOKEN, file(9).path()).await);
        assert!(matches!(error, CallError::Damaged { .. }), "{error:?}");
        assert_eq!(here.received_requests().await.unwrap().len(), 1);
    }
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_of_a_former_try_is_removed_and_uploaded_again_once() {
    let exists =
        json!({"error": {"code": 409, "status": "ALREADY_EXISTS", "message": "It is there."}});
    let exists = ResponseTemplate::new(409).set_body_json(exists);
    let (server, subject) = taking().await;
    let start = Mock::given(header("X-Goog-Upload-Command", "start"));
    let first = start.respond_with(exists.clone()).up_to_n_times(1);
    first.with_priority(1).mount(&server).await;
    let gone = ResponseTemplate::new(200);
    let delete = Mock::given(method("DELETE")).respond_with(gone);
    delete.with_priority(1).mount(&server).await;
    let id = batches(&subject).upload(TOKEN, file(9).path()).await;
    assert_eq!(id, Ok(format!("files/{TOKEN}")));
    let asked = server.received_requests().await.unwrap();
    let removed = &asked[1];
    assert_eq!(removed.method.as_str(), "DELETE");
    assert_eq!(removed.url.path(), format!("/v1/files/{TOKEN}"));
    assert_eq!(asked.len(), 4);

    let (server, subject) = taking().await;
    let start = Mock::given(header("X-Goog-Upload-Command", "start"));
    let always = start.respond_with(exists);
    always.with_priority(1).mount(&server).await;
    let delete = Mock::given(method("DELETE")).respond_with(ResponseTemplate::new(404));
    delete.with_priority(1).mount(&server).await;
    let error = refused(batches(&subject).upload(TOKEN, file(9).path()).await);
    assert!(
        matches!(error, CallError::Failed { status: 409, .. }),
        "{error:?}"
    );
    assert_eq!(server.received_requests().await.unwrap().len(), 3);
}

#[tokio::test]
async fn an_upload_that_is_broken_off_or_fails_is_no_file() {
    let file = file(PIECE + 1);
    for (status, body) in [
        (None, json!({})),
        (Some("final"), json!({})),
        (Some("cancelled"), json!({})),
    ] {
        let server = MockServer::start().await;
        begin_at(&server, &server.uri()).await;
        let mut answer = ResponseTemplate::new(200).set_body_json(body);
        if let Some(status) = status {
            answer = answer.insert_header("x-goog-upload-status", status);
        }
        Mock::given(any()).respond_with(answer).mount(&server).await;
        let subject = Subject::at(&VENDORS[0], &server.uri());
        let error = refused(batches(&subject).upload(TOKEN, file.path()).await);
        assert!(matches!(error, CallError::Damaged { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_upload_that_is_forgotten_half_way_may_be_begun_again() {
    let server = MockServer::start().await;
    begin_at(&server, &server.uri()).await;
    let gone = ResponseTemplate::new(404);
    Mock::given(any()).respond_with(gone).mount(&server).await;
    let subject = Subject::at(&VENDORS[0], &server.uri());
    let error = refused(batches(&subject).upload(TOKEN, file(9).path()).await);
    assert_eq!(error.class(), "provider_failed");
}

#[tokio::test]
async fn a_file_goes_to_openai_as_a_form_with_its_length_and_name() {
    let name = format!("filename=\"{TOKEN}.jsonl\"");
    for bytes in [0, 100, 1_000_000] {
        let told = json!({"id": "file-1", "object": "file", "status": "processed"}).to_string();
        let (server, subject) = answering(&VENDORS[1], 200, &told).await;
        let file = file(bytes);
        let id = batches(&subject).upload(TOKEN, file.path()).await.unwrap();
        assert_eq!(id, "file-1");

        let [asked] = &server.received_requests().await.unwrap()[..] else {
            panic!("one upload is one request");
        };
        assert_eq!(asked.url.path(), "/v1/files");
        let length = asked.headers["content-length"].to_str().unwrap();
        assert_eq!(length, asked.body.len().to_string());
        let form = asked.headers["content-type"].to_str().unwrap();
        let boundary = form.split_once("boundary=").unwrap().1;
        let body = String::from_utf8(asked.body.clone()).unwrap();
        let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
        let [_, purpose, content, end] = parts[..] else {
            panic!("{} parts", parts.len());
        };
        assert!(purpose.contains("name=\"purpose\"\r\n\r\nbatch\r\n"));
        assert!(content.contains(&name) && content.contains("name=\"file\""));
        let (_, content) = content.split_once("\r\n\r\n").unwrap();
        let content = content.strip_suffix("\r\n").unwrap();
        assert!(content.as_bytes() == std::fs::read(file.path()).unwrap());
        assert_eq!(end, "--\r\n");
    }
}

#[tokio::test]
async fn an_upload_whose_reply_is_lost_is_unknown_and_one_of_no_file_is_not_sent() {
    for vendor in VENDORS {
        let close = raw_server(async |stream| drop(stream)).await;
        let subject = Subject::at(vendor, &close);
        let error = refused(batches(&subject).upload(TOKEN, file(9).path()).await);
        assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");

        let (server, subject) = answering(vendor, 200, "{}").await;
        let nowhere = std::path::Path::new("/nowhere/at/all");
        let error = refused(batches(&subject).upload(TOKEN, nowhere).await);
        assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
        assert!(server.received_requests().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_refusal_in_mid_upload_is_heard() {
    for vendor in VENDORS {
        let answer = "HTTP/1.1 413 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let base = raw_server(async move |mut stream| write(&mut stream, answer).await).await;
        let subject = Subject::at(vendor, &base);
        let error = refused(batches(&subject).upload(TOKEN, file(9).path()).await);
        assert!(
            matches!(error, CallError::Rejected { status: 413, .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn uploads_are_found_by_their_token() {
    for vendor in VENDORS {
        let list = match vendor.kind {
            Kind::Gemini => json!({"files": [
                {"name": "files/x", "displayName": TOKEN, "source": "UPLOADED"},
                {"name": "files/y", "source": "GENERATED"}, {"name": "files/z"}]}),
            _ => json!({"object": "list", "has_more": false, "data": [
                {"id": "files/x", "filename": format!("{TOKEN}.jsonl"), "purpose": "batch"},
                {"id": "files/z", "filename": "other.jsonl", "purpose": "batch"}]}),
        };
        let (_server, subject) = answering(vendor, 200, &list.to_string()).await;
        let files = batches(&subject).files().await.unwrap();
        let seen: Vec<_> = files
            .iter()
            .map(|it| (it.id.as_str(), it.token.as_deref()))
            .collect();
        assert_eq!(seen, [("files/x", Some(TOKEN)), ("files/z", None)]);
    }
}
