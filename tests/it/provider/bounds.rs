//! No call lasts for ever, and no answer fills the memory. Timeouts are configured tiny; nothing
//! here measures time.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use tidegate::llm::CallError;
use tokio::io::AsyncWriteExt;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::{Subject, VENDORS, raw_server, write};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

fn assert_too_large(error: &CallError) {
    assert!(matches!(error, CallError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("larger than"), "{error}");
}

#[tokio::test]
async fn f08_a_server_that_never_answers_is_given_up() {
    for vendor in VENDORS {
        let base = raw_server(async |_open| std::future::pending().await).await;
        let error = Subject::at(vendor, &base).hasty().refusal().await;
        assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
        assert!(error.to_string().contains("within 200ms"), "{error}");
    }
}

#[tokio::test]
async fn a_body_that_falls_silent_is_given_up() {
    for vendor in VENDORS {
        let base = raw_server(async |mut stream| {
            write(&mut stream, CHUNKED).await;
            write(&mut stream, "1\r\n{\r\n").await;
            std::future::pending().await
        })
        .await;
        let mut subject = Subject::at(vendor, &base);
        subject.limits.idle = Duration::from_millis(50);
        let error = subject.refusal().await;
        assert!(
            error.to_string().contains("paused for more than 50ms"),
            "{error}"
        );
        assert_eq!(error.class(), "unknown_outcome");
    }
}

#[tokio::test]
async fn f08_a_body_that_trickles_for_ever_meets_the_deadline() {
    for vendor in VENDORS {
        let base = raw_server(async |mut stream| {
            write(&mut stream, CHUNKED).await;
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            while stream.write_all(b"1\r\n \r\n").await.is_ok() {
                tick.tick().await;
            }
        })
        .await;
        let error = Subject::at(vendor, &base).hasty().refusal().await;
        assert!(error.to_string().contains("within 200ms"), "{error}");
        assert_eq!(error.class(), "unknown_outcome");
    }
}

#[tokio::test]
async fn silence_before_the_answer_is_not_bounded_by_idle() {
    for vendor in VENDORS {
        let answer = ResponseTemplate::new(200)
            .set_body_string(vendor.hello)
            .set_delay(Duration::from_millis(100));
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(answer).mount(&server).await;
        let mut subject = Subject::at(vendor, &server.uri());
        subject.limits.idle = Duration::from_millis(20);
        assert_eq!(subject.ask().await.unwrap().text, "hello");
    }
}

#[tokio::test]
async fn f46_a_declared_size_above_the_cap_is_not_read() {
    for vendor in VENDORS {
        let base = raw_server(async |mut stream| {
            write(
                &mut stream,
                "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n",
            )
            .await;
            std::future::pending().await
        })
        .await;
        assert_too_large(&Subject::at(vendor, &base).refusal().await);
    }
}

#[tokio::test]
async fn f46_an_endless_body_is_cut_at_the_cap() {
    for vendor in VENDORS {
        let base = raw_server(async |mut stream| {
            write(&mut stream, CHUNKED).await;
            let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {}
        })
        .await;
        assert_too_large(&Subject::at(vendor, &base).refusal().await);
    }
}

#[tokio::test]
async fn f46_the_cap_counts_after_decompression() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..64 {
        bomb.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    for vendor in VENDORS {
        let answer = ResponseTemplate::new(200)
            .insert_header("content-encoding", "gzip")
            .set_body_bytes(bomb.clone());
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(answer).mount(&server).await;
        assert_too_large(&Subject::at(vendor, &server.uri()).refusal().await);
    }
}

#[tokio::test]
async fn an_answer_of_the_exact_cap_is_read() {
    for vendor in VENDORS {
        for (size, fits) in [(2048, true), (2049, false)] {
            let body = format!("{:size$}", vendor.hello);
            let server = MockServer::start().await;
            let answer = ResponseTemplate::new(200).set_body_string(body);
            Mock::given(any()).respond_with(answer).mount(&server).await;
            let mut subject = Subject::at(vendor, &server.uri());
            subject.limits.max_body_bytes = 2048;
            assert_eq!(subject.ask().await.is_ok(), fits);
        }
    }
}

#[tokio::test]
async fn f46_an_endless_refusal_keeps_its_status() {
    for vendor in VENDORS {
        let base = raw_server(async |mut stream| {
            write(
                &mut stream,
                "HTTP/1.1 401 No\r\ntransfer-encoding: chunked\r\n\r\n",
            )
            .await;
            while stream.write_all(b"4\r\nnope\r\n").await.is_ok() {}
        })
        .await;
        let error = Subject::at(vendor, &base).refusal().await;
        assert!(matches!(error, CallError::KeyRefused { .. }), "{error:?}");
        assert!(error.to_string().chars().count() < 600);
    }
}
