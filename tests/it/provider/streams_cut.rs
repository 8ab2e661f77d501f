//! Streams that are cut, wherever: pieces of the network change nothing, and what is not whole is
//! never a reply.

use tidegate::{
    llm::{CallError, Reply},
    provider::Kind,
};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::{STREAMED, Subject, VENDORS, Vendor, read_request};

/// How a server sends a body, and lets go.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    /// In chunks, and their end.
    Whole,
    /// In chunks, and the connection ends before them.
    Cut,
    /// Without a length: the end of the connection is that of the body.
    Closed,
}

/// The bytes of an answer whose body comes in these pieces.
fn answer(pieces: &[&[u8]], ending: Ending) -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\nconnection: close\r\n".to_vec();
    if ending != Ending::Closed {
        bytes.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        if ending == Ending::Closed {
            bytes.extend_from_slice(piece);
            continue;
        }
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    if ending == Ending::Whole {
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
    bytes
}

/// A server that gives each connection the next of these answers, and who asks it. One client for
/// all: making one reads the machine's certificates.
async fn serving(vendor: &Vendor, answers: Vec<Vec<u8>>) -> Subject {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    // ends with the test's runtime
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            read_request(&mut stream).await;
            // the client may have gone already: it needs no more than the mark of the end
            let _ = stream.write_all(&answer).await;
        }
    });
    Subject::at(vendor, &base)
}

async fn heard(vendor: &Vendor, body: &str, ending: Ending) -> Result<Reply, CallError> {
    let subject = serving(vendor, vec![answer(&[body.as_bytes()], ending)]).await;
    subject.listen().await.0
}

#[tokio::test]
async fn where_a_stream_is_split_makes_no_difference() {
    for vendor in VENDORS {
        let bytes = vendor.stream.as_bytes();
        let mut ways: Vec<Vec<&[u8]>> = (0..bytes.len())
            .map(|at| vec![&bytes[..at], &bytes[at..]])
            .collect();
        ways.push(bytes.chunks(1).collect());
        let answers = ways.iter().map(|pieces| answer(pieces, Ending::Whole));
        let subject = serving(vendor, answers.collect()).await;
        for at in 0..ways.len() {
            let (reply, pieces) = subject.listen().await;
            assert_eq!(reply.unwrap().text, STREAMED, "{at}");
            assert_eq!(pieces.len(), 2, "{at}");
        }
    }
}

#[tokio::test]
async fn f44_a_stream_cut_anywhere_is_never_a_reply_before_its_end() {
    for vendor in VENDORS {
        let bytes = vendor.stream.as_bytes();
        let mark = vendor.stream.find(vendor.end_mark).unwrap() + vendor.end_mark.len();
        for ending in [Ending::Cut, Ending::Closed] {
            let answers = (0..=bytes.len()).map(|at| answer(&[&bytes[..at]], ending));
            let subject = serving(vendor, answers.collect()).await;
            for at in 0..=bytes.len() {
                let (answer, pieces) = subject.listen().await;
                let said = pieces.concat();
                assert!(STREAMED.starts_with(&said), "{at}: {said}");
                match answer {
                    Ok(reply) => {
                        assert!(at >= mark, "{ending:?} at {at} of {mark}");
                        assert_eq!(reply.text, STREAMED);
                    }
                    Err(error) => {
                        // a body whose own end is missing is cut, whatever it says
                        let is_whole = at >= mark && ending == Ending::Closed;
                        assert!(!is_whole, "{at} of {mark}: {error}");
                        let class = error.class();
                        assert!(["unknown_outcome", "damaged"].contains(&class), "{error:?}");
                        let chars = format!("after {} characters", said.chars().count());
                        assert!(
                            said.is_empty() || error.to_string().contains(&chars),
                            "{error}"
                        );
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn the_end_must_be_sure() {
    for vendor in VENDORS {
        let marked = vendor.stream;
        let (unmarked, _) = marked.split_once("data: [DONE]").unwrap_or((marked, ""));
        let is_openai = vendor.kind == Kind::OpenAi;
        for (body, ending, is_reply) in [
            (marked, Ending::Whole, true),
            (marked, Ending::Closed, true),
            // the mark is the end; without one the body's end is
            (marked, Ending::Cut, is_openai),
            (unmarked, Ending::Whole, true),
            (unmarked, Ending::Closed, !is_openai),
            (unmarked, Ending::Cut, false),
        ] {
            let answer = heard(vendor, body, ending).await;
            assert_eq!(answer.is_ok(), is_reply, "{ending:?} {answer:?}");
        }
    }
}

#[tokio::test]
async fn how_the_answer_ended_counts_in_a_stream_too() {
    for vendor in VENDORS {
        let (stop, cut, refused) = match vendor.kind {
            Kind::Gemini => ("\"STOP\"", "\"MAX_TOKENS\"", "\"SAFETY\""),
            _ => ("\"stop\"", "\"length\"", "\"content_filter\""),
        };
        let ended = async |reason: &str| {
            let body = vendor.stream.replace(stop, reason);
            heard(vendor, &body, Ending::Whole).await.unwrap_err()
        };
        let usage = ended(cut).await.usage().expect("it is counted");
        assert_eq!(usage.output_tokens, 2);
        assert_eq!(ended(cut).await.class(), "truncated");
        assert_eq!(ended(refused).await.class(), "filtered");
        let open = ended("null").await;
        assert!(matches!(open, CallError::Damaged { .. }), "{open:?}");
        assert!(open.to_string().contains("no finish reason"), "{open}");
    }
}
