//! Batches of every vendor as they are created: once, or it is not known.

use serde_json::{Value, json};
use tidegate::{
    llm::{BatchDraft, BatchState, CallError, RemoteBatch},
    provider::{Batches, Kind},
};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::{Subject, VENDORS, Vendor, assert_silent, raw_server, write};

pub(super) const TOKEN: &str = "tide-0123456789abcdef0123456789abcdef";

/// What the laws need to know of a vendor's batches.
pub(super) struct Desk {
    /// A batch that was just made with [`TOKEN`].
    pub(super) made: fn() -> Value,
    /// A batch by another name and of no token, that is through.
    pub(super) other: fn() -> Value,
    /// A page of a list with this batch, and what the next one is asked for by.
    pub(super) page: fn(Value, Option<&str>) -> Value,
    /// What asks for the next page.
    pub(super) next: &'static str,
    /// The ids of batch and file.
    pub(super) ids: (&'static str, &'static str),
}

pub(super) fn desk(vendor: &Vendor) -> Desk {
    match vendor.kind {
        Kind::Gemini => Desk {
            made: || {
                json!({"name": "batches/one", "metadata": {"displayName": TOKEN, "state": "BATCH_STATE_PENDING",
                    "model": "models/m", "batchStats": {"requestCount": "2", "pendingRequestCount": "2"}}})
            },
            other: || {
                json!({"name": "batches/two", "done": true, "metadata": {"displayName": "nightly",
                    "state": "BATCH_STATE_SUCCEEDED", "output": {"responsesFile": "files/out"}},
                    "response": {"responsesFile": "files/out"}})
            },
            page: |batch, next| json!({"operations": [batch], "nextPageToken": next}),
            next: "pageToken",
            ids: ("batches/one", "files/in"),
        },
        _ => Desk {
            made: || {
                json!({"id": "batch_one", "object": "batch", "status": "validating", "errors": null,
                    "input_file_id": "file-in", "output_file_id": null, "error_file_id": null,
                    "request_counts": {"total": 2, "completed": 0, "failed": 0},
                    "metadata": {"submission": TOKEN}})
            },
            other: || {
                json!({"id": "batch_two", "status": "completed", "output_file_id": "file-out",
                    "metadata": null})
            },
            page: |batch, next| json!({"object": "list", "data": [batch], "last_id": next, "has_more": next.is_some()}),
            next: "after",
            ids: ("batch_one", "file-in"),
        },
    }
}

pub(super) fn batches(subject: &Subject) -> &dyn Batches {
    subject.provider.batches().expect("both vendors have them")
}

/// Its error, which shows nothing.
pub(super) fn refused<T: std::fmt::Debug>(result: Result<T, CallError>) -> CallError {
    let error = result.expect_err("it is refused");
    assert_silent(&format!("{error} {error:?}"));
    error
}

pub(super) async fn answering(vendor: &Vendor, status: u16, body: &str) -> (MockServer, Subject) {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(status).set_body_string(body);
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let subject = Subject::at(vendor, &format!("{}/v1", server.uri()));
    (server, subject)
}

fn draft(vendor: &Vendor) -> BatchDraft<'static> {
    BatchDraft {
        wire_name: "m",
        embeds: false,
        token: TOKEN,
        file: desk(vendor).ids.1,
    }
}

pub(super) async fn create(vendor: &Vendor, subject: &Subject) -> Result<RemoteBatch, CallError> {
    batches(subject).create(&draft(vendor)).await
}

pub(super) fn rejected(error: &CallError) -> u16 {
    match error {
        CallError::Rejected { status, .. } => *status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_create_is_one_request_that_names_token_and_file() {
    for vendor in VENDORS {
        for embeds in [false, true] {
            let desk = desk(vendor);
            let (server, subject) = answering(vendor, 200, &(desk.made)().to_string()).await;
            let draft = BatchDraft {
                embeds,
                ..draft(vendor)
            };
            let made = batches(&subject).create(&draft).await.unwrap();
            assert_eq!(made.id, desk.ids.0);
            assert_eq!(made.token.as_deref(), Some(TOKEN));
            assert_eq!(made.input_file.as_deref(), Some(desk.ids.1));
            assert_eq!(made.state, BatchState::Waiting);
            assert_eq!((made.through, made.items), (Some(0), Some(2)));

            let [asked] = &server.received_requests().await.unwrap()[..] else {
                panic!("one create is one request");
            };
            assert_eq!(asked.headers[vendor.key_header.0], vendor.key_header.1);
            let body: Value = asked.body_json().unwrap();
            match (vendor.kind, embeds) {
                (Kind::Gemini, _) => {
                    let path = match embeds {
                        true => "/v1/models/m:asyncBatchEmbedContent",
                        false => "/v1/models/m:batchGenerateContent",
                    };
                    assert_eq!(asked.url.path(), path);
                    let batch =
                        json!({"displayName": TOKEN, "inputConfig": {"fileName": "files/in"}});
                    assert_eq!(body, json!({"batch": batch}));
                }
                (_, embeds) => {
                    assert_eq!(asked.url.path(), "/v1/batches");
                    let endpoint = match embeds {
                        true => "/v1/embeddings",
                        false => "/v1/chat/completions",
                    };
                    assert_eq!(
                        body,
                        json!({"input_file_id": "file-in", "endpoint": endpoint,
                            "completion_window": "24h", "metadata": {"submission": TOKEN}})
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_create_that_tells_little_is_told_by_what_was_asked() {
    for vendor in VENDORS {
        let id = desk(vendor).ids.0;
        let bare = json!({"name": id, "id": id}).to_string();
        let (_server, subject) = answering(vendor, 200, &bare).await;
        let made = create(vendor, &subject).await.unwrap();
        assert_eq!(made.token.as_deref(), Some(TOKEN));
        assert_eq!(made.input_file.as_deref(), Some(desk(vendor).ids.1));
    }
}

#[tokio::test]
async fn a_create_without_batch_mode_says_so() {
    for vendor in VENDORS {
        for (status, body) in [
            (
                404,
                (vendor.error)("models/m is not found, or not supported"),
            ),
            (404, "<html>no</html>".to_owned()),
            (405, String::new()),
        ] {
            let (_server, subject) = answering(vendor, status, &body).await;
            let error = refused(create(vendor, &subject).await);
            let says = matches!(error, CallError::ModelGone { .. })
                || matches!(
                    error,
                    CallError::Rejected {
                        status: 404 | 405,
                        ..
                    }
                );
            assert!(says, "{status} {error:?}");
        }
    }
}

#[tokio::test]
async fn a_create_for_which_too_much_is_enqueued_is_rate_limited() {
    for vendor in VENDORS {
        let words = "Enqueued token limit reached for m in organization o. Limit: 900,000.";
        let coded =
            json!({"error": {"message": words, "type": "t", "code": "token_limit_exceeded"}});
        let mut answers = vec![(429, (vendor.error)(words))];
        if vendor.kind == Kind::OpenAi {
            answers.extend([(400, coded.to_string()), (400, (vendor.error)(words))]);
        }
        for (status, body) in answers {
            let (_server, subject) = answering(vendor, status, &body).await;
            let error = refused(create(vendor, &subject).await);
            assert_eq!(error.class(), "rate_limited", "{status} {body}");
        }
    }
}

#[tokio::test]
async fn a_create_that_this_account_or_this_file_cannot_have_stops_no_single_call() {
    let of = |code: u16, status: &str, message: &str| {
        json!({"error": {"code": code, "status": status, "message": message}}).to_string()
    };
    let absent = "You do not have permission to access the File in or it may not exist.";
    for (status, body) in [
        (400, of(400, "FAILED_PRECONDITION", "Batches need billing.")),
        (403, of(403, "PERMISSION_DENIED", absent)),
        (404, of(404, "NOT_FOUND", "files/in is not found")),
    ] {
        let (_server, subject) = answering(&VENDORS[0], status, &body).await;
        let error = refused(create(&VENDORS[0], &subject).await);
        assert_eq!(rejected(&error), 400, "{error:?}");
    }
    let body = (VENDORS[1].error)("No such File object: file-in");
    let (_server, subject) = answering(&VENDORS[1], 404, &body).await;
    let error = refused(create(&VENDORS[1], &subject).await);
    assert_eq!(rejected(&error), 400, "{error:?}");
}

#[tokio::test]
async fn a_create_whose_reply_is_lost_or_unreadable_may_have_created() {
    for vendor in VENDORS {
        let unknown = |error: CallError| {
            assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
        };
        let close = raw_server(async |stream| drop(stream)).await;
        unknown(refused(create(vendor, &Subject::at(vendor, &close)).await));
        let cut = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"na";
        let cut = raw_server(async move |mut stream| write(&mut stream, cut).await).await;
        unknown(refused(create(vendor, &Subject::at(vendor, &cut)).await));
        for body in ["", "{}", "[]", "<html>", "{\"na"] {
            let (_server, subject) = answering(vendor, 200, body).await;
            unknown(refused(create(vendor, &subject).await));
        }
        let (_server, subject) = answering(vendor, 500, "").await;
        let error = refused(create(vendor, &subject).await);
        assert_eq!(error.class(), "provider_failed");
    }
}
