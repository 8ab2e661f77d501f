//! Did bytes leave? And did a whole answer come back?

use tidegate::llm::CallError;
use tokio::net::TcpListener;

use super::{Subject, VENDORS, raw_server, write};

/// The base URL of a port that nobody listens on.
async fn deserted() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

fn assert_unknown(error: &CallError) {
    assert!(matches!(error, CallError::Unknown { .. }), "{error:?}");
}

fn assert_unreachable(error: &CallError) {
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    for vendor in VENDORS {
        let subject = Subject::at(vendor, &deserted().await);
        assert_unreachable(&subject.refusal().await);
        let error = subject.check().await.unwrap_err();
        assert_unreachable(&error);
        assert!(!error.to_string().contains("pageSize"), "no query: {error}");
    }
}

#[tokio::test]
async fn failed_tls_is_unreachable() {
    for vendor in VENDORS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            write(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        });
        assert_unreachable(&Subject::at(vendor, &base).refusal().await);
    }
}

#[tokio::test]
async fn f43_a_reset_after_the_request_is_unknown() {
    for vendor in VENDORS {
        let reset = raw_server(async |stream| stream.set_zero_linger().unwrap()).await;
        assert_unknown(&Subject::at(vendor, &reset).refusal().await);
        let close = raw_server(async |stream| drop(stream)).await;
        assert_unknown(&Subject::at(vendor, &close).refusal().await);
    }
}

#[tokio::test]
async fn a_request_is_sent_once_even_if_its_connection_dies() {
    for vendor in VENDORS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            super::read_request(&mut stream).await;
            drop(stream);
            listener
        });
        assert_unknown(&Subject::at(vendor, &base).refusal().await);
        let listener = served.await.unwrap();
        // A second connection would already wait here; the call is over.
        let listener = listener.into_std().unwrap();
        let again = listener.accept().unwrap_err();
        assert_eq!(again.kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[tokio::test]
async fn a_request_on_a_used_connection_is_sent_once_too() {
    for vendor in VENDORS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let length = vendor.hello.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{}",
            vendor.hello
        );
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            super::read_request(&mut stream).await;
            write(&mut stream, &answer).await;
            super::read_request(&mut stream).await;
            drop(stream);
            listener
        });
        let subject = Subject::at(vendor, &base);
        assert_eq!(subject.ask().await.unwrap().text, "hello");
        assert_unknown(&subject.refusal().await);
        let listener = served.await.unwrap().into_std().unwrap();
        assert_eq!(
            listener.accept().unwrap_err().kind(),
            std::io::ErrorKind::WouldBlock
        );
    }
}

#[tokio::test]
async fn half_a_head_is_unknown() {
    for vendor in VENDORS {
        let base = raw_server(async |mut stream| write(&mut stream, "HTTP/1.1 200 O").await).await;
        assert_unknown(&Subject::at(vendor, &base).refusal().await);
    }
}

#[tokio::test]
async fn f44_a_cut_body_is_unknown() {
    for vendor in VENDORS {
        for head in [
            "content-length: 1000\r\n\r\n{\"cand",
            "transfer-encoding: chunked\r\n\r\n6\r\n{\"cand\r\n",
        ] {
            let answer = format!("HTTP/1.1 200 OK\r\n{head}");
            let base = raw_server(async move |mut stream| write(&mut stream, &answer).await).await;
            assert_unknown(&Subject::at(vendor, &base).refusal().await);
        }
    }
}

#[tokio::test]
async fn the_status_of_a_cut_refusal_still_counts() {
    for vendor in VENDORS {
        let answer = "HTTP/1.1 503 No\r\nretry-after: 7\r\ncontent-length: 1000\r\n\r\n{\"err";
        let base = raw_server(async move |mut stream| write(&mut stream, answer).await).await;
        assert_eq!(
            Subject::at(vendor, &base).refusal().await.class(),
            "overloaded"
        );
    }
}

#[tokio::test]
async fn no_http_at_all_is_unknown() {
    for vendor in VENDORS {
        let base = raw_server(async |mut stream| write(&mut stream, "SSH-2.0-no\r\n").await).await;
        assert_unknown(&Subject::at(vendor, &base).refusal().await);
    }
}
