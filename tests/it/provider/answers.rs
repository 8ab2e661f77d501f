//! What the statuses and headers mean, for every vendor alike.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use tidegate::llm::{CallError, Verdict};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, method, path},
};

use super::{Subject, VENDORS, Vendor};

/// Headers of an answer, and the wait they name.
type Case = (&'static [(&'static str, &'static str)], Option<Duration>);

async fn answering(vendor: &Vendor, answer: ResponseTemplate) -> (MockServer, Subject) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let subject = Subject::at(vendor, &server.uri());
    (server, subject)
}

#[tokio::test]
async fn a_complete_answer_is_a_reply_compressed_or_not() {
    for vendor in VENDORS {
        let plain = ResponseTemplate::new(200).set_body_string(vendor.hello);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(vendor.hello.as_bytes()).unwrap();
        let gzip = ResponseTemplate::new(200)
            .insert_header("content-encoding", "gzip")
            .set_body_bytes(gzip.finish().unwrap());
        for answer in [plain, gzip] {
            let (_server, subject) = answering(vendor, answer).await;
            assert_eq!(subject.ask().await.unwrap().text, "hello");
        }
    }
}

#[tokio::test]
async fn broken_compression_is_no_reply() {
    for vendor in VENDORS {
        let answer = ResponseTemplate::new(200)
            .insert_header("content-encoding", "gzip")
            .set_body_string("this is no gzip");
        let (_server, subject) = answering(vendor, answer).await;
        assert_eq!(
            subject.refusal().await.verdict(),
            Verdict::Retry { after: None }
        );
    }
}

#[tokio::test]
async fn f40_a_wish_to_wait_is_read_from_every_header() {
    let cases: [Case; 6] = [
        (&[], None),
        (&[("retry-after", "7")], Some(Duration::from_secs(7))),
        (&[("retry-after", "0.25")], Some(Duration::from_millis(250))),
        (
            &[("retry-after-ms", "1500"), ("retry-after", "9")],
            Some(Duration::from_millis(1500)),
        ),
        (
            &[
                ("date", "Sun, 22 Nov 2026 10:00:00 GMT"),
                ("retry-after", "Sun, 22 Nov 2026 10:00:30 GMT"),
            ],
            Some(Duration::from_secs(30)),
        ),
        (&[("retry-after", "tomorrow")], None),
    ];
    for vendor in VENDORS {
        for (headers, wait) in cases {
            for status in [429, 500, 503] {
                let answer = ResponseTemplate::new(status).append_headers(headers.iter().copied());
                let (_server, subject) = answering(vendor, answer).await;
                let asked = match subject.refusal().await.verdict() {
                    Verdict::CoolDown { wait, .. } => wait,
                    Verdict::Retry { after } => after,
                    other => panic!("{other:?}"),
                };
                assert_eq!(asked, wait, "{status} {headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn f44_a_success_that_is_none_is_damaged() {
    for vendor in VENDORS {
        for body in [
            "",
            "null",
            "{}",
            "[]",
            "{\"candidates\":[",
            "<html>hello</html>",
            "\u{0}",
        ] {
            let answer = ResponseTemplate::new(200).set_body_string(body);
            let (_server, subject) = answering(vendor, answer).await;
            let error = subject.refusal().await;
            assert!(
                matches!(error, CallError::Damaged { .. }),
                "{body}: {error:?}"
            );
            assert!(subject.check().await.is_err(), "{body}");
        }
    }
}

#[tokio::test]
async fn the_key_check_asks_for_the_models() {
    for vendor in VENDORS {
        let server = MockServer::start().await;
        let (at, body) = vendor.models;
        let answer = ResponseTemplate::new(200).set_body_string(body);
        Mock::given(method("GET"))
            .and(path(at))
            .respond_with(answer)
            .mount(&server)
            .await;
        assert_eq!(Subject::at(vendor, &server.uri()).check().await, Ok(()));

        let lost = Subject::at(vendor, &format!("{}/wrong", server.uri()));
        let error = lost.check().await.unwrap_err();
        assert!(
            matches!(error, CallError::Rejected { status: 404, .. }),
            "{error:?}"
        );

        let (_server, refused) = answering(vendor, ResponseTemplate::new(401)).await;
        let error = refused.check().await.unwrap_err();
        assert!(matches!(error, CallError::KeyRefused { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn calls_run_side_by_side() {
    for vendor in VENDORS {
        let answer = ResponseTemplate::new(200).set_body_string(vendor.hello);
        let (server, subject) = answering(vendor, answer).await;
        let calls = futures_util::future::join_all((0..20).map(|_| subject.ask())).await;
        assert!(calls.iter().all(Result::is_ok));
        assert_eq!(server.received_requests().await.unwrap().len(), 20);
    }
}
