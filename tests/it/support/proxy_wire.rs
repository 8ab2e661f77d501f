//! Statements and answers are seen as they are, however their bytes arrive.

use super::proxy::wire::{Replies, Statement, Statements};

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    let length = u32::try_from(body.len() + 4).expect("a short message");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn conversation() -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 8, 0, 3, 0, 0];
    bytes.extend(message(b'Q', b"BEGIN\0"));
    bytes.extend(message(b'P', b"s1\0select claim_v1()\0\0\0"));
    bytes.extend(message(b'S', b""));
    bytes.extend(message(b'B', b"\0s1\0\0\0\0\0\0\0"));
    bytes.extend(message(b'S', b""));
    bytes.extend(message(b'Q', b"COMMIT\0"));
    bytes
}

#[test]
fn statements_are_seen_when_they_are_executed_however_their_bytes_arrive() {
    let told = |text: &str, answer| Statement {
        text: text.to_owned(),
        answer,
    };
    let all = [
        told("BEGIN", 2),
        told("select claim_v1()", 4),
        told("COMMIT", 5),
    ];
    for size in [1, 3, 7, 1000] {
        let mut statements = Statements::default();
        let bytes = conversation();
        let seen: Vec<_> = bytes
            .chunks(size)
            .flat_map(|chunk| statements.feed(chunk))
            .collect();
        assert_eq!(seen, all, "in pieces of {size}");
    }
}

#[test]
fn a_server_is_counted_ready_when_it_says_so() {
    let mut replies = Replies::default();
    let mut bytes = message(b'R', &[0, 0, 0, 0]);
    bytes.extend(message(b'Z', b"I"));
    bytes.extend(message(b'D', b"Z Z Z"));
    assert_eq!(replies.feed(&bytes), 1);
    assert_eq!(replies.feed(&message(b'Z', b"T")[..3]), 1);
    assert_eq!(replies.feed(&message(b'Z', b"T")[3..]), 2);
}
