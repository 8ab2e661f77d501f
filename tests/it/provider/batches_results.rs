//! Results of batches: each line as it comes, whatever the others are, and no cut file taken for a whole.

use serde_json::{Value, json};
use tidegate::{
    llm::{BatchAnswer, BatchLine, CallError, EmbedParams},
    provider::Kind,
};
use tokio::sync::mpsc;

use super::{
    KEY, PROMPT, SYSTEM, Subject, VENDORS, Vendor, assert_silent,
    batches::{answering, batches, desk, refused},
    raw_server, write,
};

/// A line that says `hello`.
fn hello(vendor: &Vendor, key: &str) -> String {
    let body: Value = serde_json::from_str(vendor.hello).expect("JSON");
    line(vendor, key, &body)
}

fn line(vendor: &Vendor, key: &str, body: &Value) -> String {
    let line = match vendor.kind {
        Kind::Gemini => json!({"key": key, "response": body}),
        _ => {
            json!({"id": "r", "custom_id": key, "error": null, "response": {"status_code": 200,
                "request_id": "q", "body": body}})
        }
    };
    line.to_string()
}

/// A line that tells of a failure in these words.
fn failing(vendor: &Vendor, key: &str, words: &str) -> String {
    let line = match vendor.kind {
        Kind::Gemini => json!({"key": key, "error": {"code": 3, "message": words}}),
        _ => {
            json!({"custom_id": key, "response": {"status_code": 400,
                "body": {"error": {"message": words, "type": "invalid_request_error"}}}})
        }
    };
    line.to_string()
}

/// Reads the file, and gives besides its end all lines that came.
async fn read(
    subject: &Subject,
    output: &str,
    embed: Option<&EmbedParams>,
) -> (Result<(), CallError>, Vec<BatchLine>) {
    // the narrowest channel: each line waits for the one before
    let (lines, mut came) = mpsc::channel(1);
    let taken = async {
        let mut all = Vec::new();
        while let Some(line) = came.recv().await {
            all.push(line);
        }
        all
    };
    let read = async {
        let ended = batches(subject).results(output, embed, &lines).await;
        drop(lines);
        ended
    };
    let (ended, lines) = tokio::join!(read, taken);
    for line in &lines {
        assert_silent(&format!("{line:?}"));
    }
    if let Err(error) = &ended {
        assert_silent(&format!("{error} {error:?}"));
    }
    (ended, lines)
}

fn seen(lines: &[BatchLine]) -> Vec<(Option<&str>, &str)> {
    let class = |line: &BatchLine| match &line.answer {
        Ok(BatchAnswer::Text(_)) => "text",
        Ok(BatchAnswer::Vector { .. }) => "vector",
        Err(error) => error.class(),
    };
    let lines = lines.iter();
    lines
        .map(|line| (line.key.as_deref(), class(line)))
        .collect()
}

#[tokio::test]
async fn a_damaged_line_spoils_no_other_and_the_last_needs_no_end() {
    for vendor in VENDORS {
        let file = [
            hello(vendor, "a"),
            "{\"key\": \"b\", \"resp".to_owned(),
            String::new(),
            failing(vendor, "c", "no"),
            "[]\r".to_owned(),
            hello(vendor, "d"),
        ];
        let (server, subject) = answering(vendor, 200, &file.join("\n")).await;
        let (ended, lines) = read(&subject, desk(vendor).ids.1, None).await;
        assert_eq!(ended, Ok(()));
        assert_eq!(
            seen(&lines),
            [
                (Some("a"), "text"),
                (None, "damaged"),
                (Some("c"), "rejected"),
                (None, "damaged"),
                (Some("d"), "text"),
            ]
        );
        let [asked] = &server.received_requests().await.unwrap()[..] else {
            panic!("one download is one request");
        };
        let url = match vendor.kind {
            Kind::Gemini => "/download/v1/files/in:download?alt=media",
            _ => "/v1/files/file-in/content",
        };
        assert!(asked.url.as_str().ends_with(url), "{}", asked.url);
        assert_eq!(asked.headers[vendor.key_header.0], vendor.key_header.1);
    }
}

#[tokio::test]
async fn an_empty_file_holds_no_lines() {
    for vendor in VENDORS {
        let (_server, subject) = answering(vendor, 200, "\n").await;
        assert_eq!(read(&subject, "f", None).await, (Ok(()), vec![]));
    }
}

#[tokio::test]
async fn f44_a_cut_download_is_an_error_and_what_came_before_is_good() {
    for vendor in VENDORS {
        let two = format!("{}\n{}", hello(vendor, "a"), hello(vendor, "b"));
        let length = two.len();
        let framed = format!("content-length: {}\r\n\r\n{two}", length + 1);
        let chunked = format!("transfer-encoding: chunked\r\n\r\n{length:x}\r\n{two}\r\n");
        let open = format!("\r\n{}", &two[..length - 1]);
        for rest in [framed, chunked, open] {
            let answer = format!("HTTP/1.1 200 OK\r\n{rest}");
            let base = raw_server(async move |mut stream| write(&mut stream, &answer).await).await;
            let (ended, lines) = read(&Subject::at(vendor, &base), "f", None).await;
            let error = refused(ended);
            assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
            assert_eq!(seen(&lines), [(Some("a"), "text")]);
        }
    }
}

#[tokio::test]
async fn where_nobody_listens_any_more_reading_ends_quietly() {
    for vendor in VENDORS {
        // a server that would never end
        let first = format!("{}\n", hello(vendor, "a"));
        let base = raw_server(async move |mut stream| {
            let length = first.len();
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            write(&mut stream, &format!("{head}{length:x}\r\n{first}\r\n")).await;
            std::future::pending().await
        })
        .await;
        let subject = Subject::at(vendor, &base);
        let (lines, mut came) = mpsc::channel(1);
        let leaving = async move {
            assert!(came.recv().await.is_some());
        };
        let read = batches(&subject).results("f", None, &lines);
        let (ended, ()) = tokio::join!(read, leaving);
        assert_eq!(ended, Ok(()));
    }
}

#[tokio::test]
async fn vectors_are_read_and_one_of_another_length_is_damaged() {
    for vendor in VENDORS {
        let vector = |values: &Value| match vendor.kind {
            Kind::Gemini => json!({"embedding": {"values": values}}),
            _ => json!({"data": [{"index": 0, "embedding": values}], "model": "m-1",
                "usage": {"prompt_tokens": 3, "total_tokens": 3}}),
        };
        let file = [
            line(vendor, "a", &vector(&json!([1, 2]))),
            line(vendor, "b", &vector(&json!([1]))),
            hello(vendor, "c"),
        ];
        let (_server, subject) = answering(vendor, 200, &file.join("\n")).await;
        let asked = EmbedParams {
            dimensions: Some(2),
            ..EmbedParams::default()
        };
        let (ended, lines) = read(&subject, "f", Some(&asked)).await;
        assert_eq!(ended, Ok(()));
        assert_eq!(
            seen(&lines),
            [
                (Some("a"), "vector"),
                (Some("b"), "damaged"),
                (Some("c"), "damaged")
            ]
        );
    }
}

#[tokio::test]
async fn answers_that_stand_in_the_batch_are_read_like_a_file() {
    let vendor = &VENDORS[0];
    let body: Value = serde_json::from_str(vendor.hello).unwrap();
    let list = json!([
        {"response": body, "metadata": {"key": "a"}},
        {"error": {"code": 14, "message": "m"}, "metadata": {"key": "b"}},
        {"response": body},
    ]);
    let batch = json!({"name": "batches/one", "done": true,
        "metadata": {"state": "BATCH_STATE_SUCCEEDED"},
        "response": {"inlinedResponses": {"inlinedResponses": list}}});
    let (server, subject) = answering(vendor, 200, &batch.to_string()).await;
    let told = batches(&subject).look("batches/one").await.unwrap();
    let (ended, lines) = read(&subject, &told.outputs[0], None).await;
    assert_eq!(ended, Ok(()));
    assert_eq!(
        seen(&lines),
        [
            (Some("a"), "text"),
            (Some("b"), "provider_failed"),
            (None, "text")
        ]
    );
    let asked = server.received_requests().await.unwrap();
    assert_eq!(asked[1].url.path(), "/v1/batches/one");
}

#[tokio::test]
async fn an_item_that_quotes_us_is_not_quoted() {
    let words = format!("Bad item: 'api_key:{KEY}' asked \"{PROMPT}\" under {SYSTEM}!");
    for vendor in VENDORS {
        let unclear = match vendor.kind {
            Kind::Gemini => json!({"candidates": [{"finishReason": words}]}),
            _ => json!({"choices": [{"message": {"content": "x"}, "finish_reason": words}]}),
        };
        let file = [
            failing(vendor, "a", &words),
            line(
                vendor,
                "b",
                &json!({"error": {"message": words, "code": 400}}),
            ),
            line(vendor, "c", &json!({"error": words})),
            line(vendor, "d", &unclear),
            json!({"custom_id": "e", "response": null, "error": {"code": "x", "message": words}})
                .to_string(),
            words.clone(),
        ];
        let (_server, subject) = answering(vendor, 200, &file.join("\n")).await;
        // `read` looks for the canaries
        let (ended, lines) = read(&subject, "f", None).await;
        assert_eq!((ended, lines.len()), (Ok(()), file.len()));
        assert!(lines.iter().all(|line| line.answer.is_err()));
    }
}
