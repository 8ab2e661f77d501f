//! `files` of Gemini's: listed, told of, downloaded, deleted. Uploads: `upload`.

use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use super::failure::Failure;
use super::generate::key;
use crate::simulator::batches::{Content, Stored, Vendor, size, stream};
use crate::simulator::query::query;
use crate::simulator::state::Shared;

/// `GET files`.
pub(in crate::simulator) fn files(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Response {
    let listed = || {
        key(shared, uri, headers)?;
        let files = shared.at_desk(|desk, now_ms| desk.files_of(Vendor::Gemini, now_ms));
        let (page, next) = page(&files, uri, (10, 100), |file| file.number)?;
        let told = page.map(|file| described(shared, file, headers));
        let mut list = json!({"files": told.collect::<Vec<_>>()});
        proto(&mut list, "files", next);
        Ok::<_, Failure>(Json(list))
    };
    listed().into_response()
}

/// `GET files/{id}` and `GET files/{id}:download?alt=media`, also below `/download`.
pub(in crate::simulator) fn file(
    shared: &Arc<Shared>,
    name: &str,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    let (id, method) = name.split_once(':').unwrap_or((name, ""));
    let found = key(shared, uri, headers).and_then(|_| {
        let found = shared.at_desk(|desk, now_ms| desk.file(Vendor::Gemini, id, now_ms).cloned());
        found.ok_or_else(|| Failure::no_file(id))
    });
    match (found, method, query(uri, "alt")) {
        (Err(failure), ..) => failure.into_response(),
        (Ok(file), "", _) => Json(described(shared, &file, headers)).into_response(),
        (Ok(file), "download", Some("media")) => match file.content {
            Content::Uploaded { .. } => Failure::not_generated().into_response(),
            Content::Output(_) => {
                let kind = [(header::CONTENT_TYPE, file.mime.clone())];
                (kind, stream(shared.clone(), &file)).into_response()
            }
        },
        _ => Failure::not_found().into_response(),
    }
}

/// `DELETE files/{id}`.
pub(in crate::simulator) fn delete_file(
    shared: &Shared,
    id: &str,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    let deleted = key(shared, uri, headers).and_then(|_| {
        let deleted = shared.at_desk(|desk, now_ms| desk.delete_file(Vendor::Gemini, id, now_ms));
        deleted.then_some(()).ok_or_else(|| Failure::no_file(id))
    });
    match deleted {
        Ok(()) => Json(json!({})).into_response(),
        Err(failure) => failure.into_response(),
    }
}

/// A page of what is sorted with the largest number first, and the token of the next one: the number
/// of the last that was shown, so that what comes meanwhile moves nothing.
pub(super) fn page<'a, T>(
    all: &'a [T],
    uri: &Uri,
    (usual, most): (usize, usize),
    number: impl Fn(&T) -> u64 + 'a,
) -> Result<(impl Iterator<Item = &'a T>, Option<u64>), Failure> {
    let told = |name| match query(uri, name) {
        None | Some("") => Ok(None),
        Some(text) => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| Failure::invalid(format!("Invalid value at '{name}': {text}"))),
    };
    let size = told("pageSize")?.filter(|size| *size > 0);
    let size = size.map_or(usual, |size| {
        usize::try_from(size).unwrap_or(most).min(most)
    });
    let before = told("pageToken")?.unwrap_or(u64::MAX);
    let start = all.iter().take_while(|one| number(one) >= before).count();
    let end = (start + size).min(all.len());
    let next = (start < end && end < all.len()).then(|| number(&all[end - 1]));
    Ok((all[start..end].iter(), next))
}

/// Takes an empty list out, and puts the token of the next page in, as proto3 does.
pub(super) fn proto(list: &mut Value, key: &str, next: Option<u64>) {
    let Some(members) = list.as_object_mut() else {
        return;
    };
    members.retain(|name, value| name != key || value.as_array().is_some_and(|it| !it.is_empty()));
    if let Some(next) = next {
        members.insert("nextPageToken".to_owned(), json!(next.to_string()));
    }
}

/// A File. Numbers of 64 bits are strings.
pub(super) fn described(shared: &Shared, file: &Stored, headers: &HeaderMap) -> Value {
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    let uri = format!(
        "http://{}/v1beta/files/{}",
        host.unwrap_or("generativelanguage.googleapis.com"),
        file.id
    );
    let mut told = json!({
        "name": format!("files/{}", file.id),
        "mimeType": file.mime,
        "createTime": timestamp(file.created_ms),
        "updateTime": timestamp(file.created_ms),
        "uri": uri,
        "state": "ACTIVE",
    });
    if !file.name.is_empty() {
        told["displayName"] = json!(file.name);
    }
    let bytes = size(shared, file);
    if bytes > 0 {
        told["sizeBytes"] = json!(bytes.to_string());
    }
    if let Some(at_ms) = file.expires_ms {
        told["expirationTime"] = json!(timestamp(at_ms));
    }
    match &file.content {
        Content::Uploaded { sha256, .. } => {
            told["source"] = json!("UPLOADED");
            // the hash in hex, and that in base64: so Gemini does
            told["sha256Hash"] = json!(STANDARD.encode(sha256));
        }
        Content::Output(_) => {
            told["source"] = json!("GENERATED");
            told["downloadUri"] = json!(format!("{uri}:download?alt=media"));
        }
    }
    told
}

/// A time, as protobuf writes it.
pub(super) fn timestamp(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms)
        .ok()
        .and_then(DateTime::from_timestamp_millis);
    let at = at.unwrap_or(DateTime::UNIX_EPOCH);
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(query: &str) -> (Vec<u64>, Option<u64>) {
        let uri = format!("/v1beta/files{query}").parse().unwrap();
        let all = [9, 7, 5, 4, 1];
        let (page, next) = page(&all, &uri, (2, 3), |number| *number).unwrap();
        (page.copied().collect(), next)
    }

    #[test]
    fn pages_in_a_row_are_the_list() {
        assert_eq!(shown(""), (vec![9, 7], Some(7)));
        assert_eq!(shown("?pageToken=7"), (vec![5, 4], Some(4)));
        assert_eq!(shown("?pageToken=4"), (vec![1], None));
        assert_eq!(shown("?pageToken=1"), (vec![], None));
        assert_eq!(shown("?pageSize=100"), (vec![9, 7, 5], Some(5)));
        assert_eq!(shown("?pageSize=3&pageToken=6"), (vec![5, 4, 1], None));
    }

    #[test]
    fn times_are_those_of_protobuf() {
        assert_eq!(timestamp(1_500), "1970-01-01T00:00:01.500000000Z");
    }
}
