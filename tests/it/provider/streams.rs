//! Listening to an answer: what is a reply, what is none, and how long it may take. Timeouts are
//! configured tiny; nothing here measures time.

use std::time::Duration;

use tidegate::{
    llm::{CallError, Usage},
    provider::Kind,
};
use tokio::io::AsyncWriteExt;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::{PROMPT, STREAMED, Subject, VENDORS, Vendor, raw_server, write};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// A server that answers whole, and whoever asks it.
async fn answering(vendor: &Vendor, answer: ResponseTemplate) -> (MockServer, Subject) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let subject = Subject::at(vendor, &server.uri());
    (server, subject)
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

#[tokio::test]
async fn a_stream_is_asked_for_and_understood() {
    for vendor in VENDORS {
        let answer = ResponseTemplate::new(200).set_body_string(vendor.stream);
        let (server, subject) = answering(vendor, answer).await;
        let (reply, pieces) = subject.listen().await;
        let reply = reply.unwrap();
        assert_eq!((reply.text.as_str(), pieces.len()), (STREAMED, 2));
        let usage = Usage {
            input_tokens: 5,
            output_tokens: 2,
            ..Usage::default()
        };
        assert_eq!(reply.usage, Some(usage));
        assert_eq!(reply.model_version.as_deref(), Some("m-1"));
        assert_eq!(reply.response_id.as_deref(), Some("r"));

        let asked = &server.received_requests().await.unwrap()[0];
        assert_eq!(asked.headers[vendor.key_header.0], vendor.key_header.1);
        let body = String::from_utf8_lossy(&asked.body);
        assert!(body.contains(PROMPT));
        let target = (asked.url.path(), asked.url.query());
        if vendor.kind == Kind::Gemini {
            assert_eq!(target, ("/models/m:streamGenerateContent", Some("alt=sse")));
        } else {
            assert_eq!(target, (vendor.path, None));
            assert!(body.contains(r#""stream":true,"stream_options":{"include_usage":true}"#));
        }
    }
}

#[tokio::test]
async fn an_answer_that_comes_whole_is_one_piece() {
    for vendor in VENDORS {
        let answer = ResponseTemplate::new(200).set_body_string(vendor.hello);
        let (_server, subject) = answering(vendor, answer).await;
        let (reply, pieces) = subject.listen().await;
        assert_eq!(reply.unwrap().text, "hello");
        assert_eq!(pieces, ["hello"]);
    }
}

#[tokio::test]
async fn a_refusal_before_the_stream_means_what_it_always_means() {
    for vendor in VENDORS {
        for (status, class) in [
            (401, "key_refused"),
            (429, "rate_limited"),
            (503, "overloaded"),
        ] {
            let body = (vendor.error)("no");
            let answer = ResponseTemplate::new(status).set_body_string(body);
            let (_server, subject) = answering(vendor, answer).await;
            assert_eq!(subject.listen().await.0.unwrap_err().class(), class);
        }
    }
}

#[tokio::test]
async fn an_error_in_mid_stream_is_an_error_that_says_what_had_come() {
    for vendor in VENDORS {
        for body in vendor.failing {
            let answer = ResponseTemplate::new(200).set_body_string(*body);
            let (_server, subject) = answering(vendor, answer).await;
            let (answer, pieces) = subject.listen().await;
            let error = answer.unwrap_err();
            assert_eq!(error.class(), "overloaded", "{body}");
            assert!(
                error
                    .to_string()
                    .contains("after 3 characters of text: busy"),
                "{error}"
            );
            assert_eq!(pieces, ["Gr\u{fc}"]);
        }
    }
}

#[tokio::test]
async fn what_is_no_stream_is_damaged() {
    for vendor in VENDORS {
        for body in [
            "",
            " \n",
            "<html>no</html>",
            "data: nonsense\n\n",
            "data: [1]\n\n",
            "data: {}\n\n",
            ": only\n\n: comments\n\n",
            "{\"a\": 1}",
            "{\"cut",
        ] {
            let answer = ResponseTemplate::new(200).set_body_string(body);
            let (_server, subject) = answering(vendor, answer).await;
            let (answer, pieces) = subject.listen().await;
            let error = answer.unwrap_err();
            assert!(
                matches!(error, CallError::Damaged { .. }),
                "{body}: {error:?}"
            );
            assert_eq!(pieces, [""; 0]);
        }
    }
}

#[tokio::test]
async fn silence_counts_after_the_first_text_and_not_before() {
    for vendor in VENDORS {
        let body = vendor.stream;
        let late = raw_server(async move |mut stream| {
            write(&mut stream, CHUNKED).await;
            write(&mut stream, &chunk(": ping\n\n")).await;
            tokio::time::sleep(Duration::from_millis(150)).await;
            write(&mut stream, &format!("{}0\r\n\r\n", chunk(body))).await;
        });
        let mut subject = Subject::at(vendor, &late.await);
        subject.limits.idle = Duration::from_millis(50);
        assert_eq!(subject.listen().await.0.unwrap().text, STREAMED);

        let begun = vendor.failing[0].split("\n{").next().unwrap();
        let begun = begun.split_inclusive("\n\n").next().unwrap();
        let begun = format!("{}\n\n", begun.trim_end());
        let silent = raw_server(async move |mut stream| {
            write(&mut stream, &format!("{CHUNKED}{}", chunk(&begun))).await;
            std::future::pending().await
        });
        let mut subject = Subject::at(vendor, &silent.await);
        subject.limits.idle = Duration::from_millis(50);
        let (answer, pieces) = subject.listen().await;
        let error = answer.unwrap_err();
        assert_eq!(error.class(), "unknown_outcome");
        let said = error.to_string();
        assert!(
            said.contains("after 3 characters") && said.contains("more than 50ms"),
            "{said}"
        );
        assert_eq!(pieces, ["Gr\u{fc}"]);
    }
}

#[tokio::test]
async fn a_stream_that_only_pings_meets_the_deadline() {
    for vendor in VENDORS {
        let base = raw_server(async |mut stream| {
            write(&mut stream, CHUNKED).await;
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            while stream
                .write_all(chunk(": ping\n\n").as_bytes())
                .await
                .is_ok()
            {
                tick.tick().await;
            }
        });
        let subject = Subject::at(vendor, &base.await).hasty();
        let error = subject.listen().await.0.unwrap_err();
        assert!(error.to_string().contains("within 200ms"), "{error}");
        assert_eq!(error.class(), "unknown_outcome");
    }
}

#[tokio::test]
async fn f46_an_endless_stream_is_cut_at_the_cap() {
    for vendor in VENDORS {
        let first = vendor.stream.split_inclusive("\n\n");
        let text = first.clone().find(|it| it.contains("Gr")).unwrap();
        let json = vendor.stream.lines().find(|it| it.contains("Gr")).unwrap();
        assert!(text.contains(json));
        let event = format!("{json}\n\n").repeat(20);
        for endless in [
            event,
            "x".repeat(999),
            ": ping\n\n".repeat(99),
            "{\n".repeat(99),
        ] {
            let base = raw_server(async move |mut stream| {
                write(&mut stream, CHUNKED).await;
                while stream.write_all(chunk(&endless).as_bytes()).await.is_ok() {}
            });
            let mut subject = Subject::at(vendor, &base.await);
            subject.limits.max_body_bytes = 2048;
            let error = subject.listen().await.0.unwrap_err();
            assert!(matches!(error, CallError::Damaged { .. }), "{error:?}");
            assert!(error.to_string().contains("larger than"), "{error}");
        }
    }
}
