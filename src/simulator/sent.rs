//! How the body of an answer goes out: whole, too short, or not at all.

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::listener::Wire;

const JSON_TYPE: &str = "application/json; charset=UTF-8";
pub(super) const NOT_JSON: &str =
    "<!DOCTYPE html><html><title>Error</title><p>That's an error.</html>";

pub(super) fn whole(body: String) -> Response {
    ([(header::CONTENT_TYPE, JSON_TYPE)], body).into_response()
}

/// The first half, not cutting a character.
pub(super) fn half(body: &str) -> &str {
    &body[..body.floor_char_boundary(body.len() / 2)]
}

/// Promises the whole body, sends half of it and closes the connection.
pub(super) fn short(body: &str) -> Response {
    let first = Bytes::from(half(body).to_owned());
    let pieces = stream::unfold(Some(first), |first| async move {
        let Some(first) = first else {
            // Lets the connection send what it has before it fails.
            tokio::task::yield_now().await;
            let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            return Some((Err(broken), None));
        };
        Some((Ok(first), None))
    });
    let headers = [
        (header::CONTENT_TYPE, JSON_TYPE.to_owned()),
        (header::CONTENT_LENGTH, body.len().to_string()),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

/// What is returned here is never sent: the write that would send it resets the connection.
pub(super) fn reset(wire: &Wire) -> Response {
    wire.reset();
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
