//! `POST /upload/v1beta/files`: resumable uploads, in as many requests as it takes.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::failure::Failure;
use super::files::described;
use super::generate::{key, read};
use super::judge::{known_keys, object, typed};
use crate::simulator::batches::{Sent, Took};
use crate::simulator::listener::Wire;
use crate::simulator::query::query;
use crate::simulator::sent::reset;
use crate::simulator::state::Shared;

/// Begins an upload, or takes a part of one.
pub(in crate::simulator) async fn upload(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let begun = query(&uri, "upload_id");
    let answered = match begun {
        None => begin(&shared, &uri, &headers, body),
        Some(id) => go_on(&shared, &wire, id, &headers, body),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

/// What a client says of its file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileMeta {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, alias = "display_name")]
    display_name: Option<String>,
    #[serde(default, alias = "mime_type")]
    mime_type: Option<String>,
}

/// Names, as the client may give them; the rest it may say too, and nobody listens.
const FILE_KEYS: [&str; 6] = [
    "name",
    "displayName",
    "mimeType",
    "sizeBytes",
    "source",
    "sha256Hash",
];

fn begin(
    shared: &Shared,
    uri: &Uri,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    key(shared, uri, headers)?;
    let said = |name| text(headers, name);
    if said("x-goog-upload-protocol") != "resumable" || said("x-goog-upload-command") != "start" {
        return Err(Failure::invalid(
            "The simulator takes uploads of protocol resumable, whose first command is start.",
        ));
    }
    let meta = meta(&read(body)?)?;
    let id = meta.name.as_deref().map(file_id).transpose()?;
    let name = meta.display_name.unwrap_or_default();
    if name.chars().count() > 512 {
        return Err(Failure::invalid(
            "display_name must be at most 512 characters.",
        ));
    }
    let mime = Some(said("x-goog-upload-header-content-type")).filter(|told| !told.is_empty());
    let mime = meta.mime_type.or(mime.map(str::to_owned));
    let mime = mime.unwrap_or_else(|| "application/octet-stream".to_owned());
    let upload = shared
        .at_desk(|desk, now_ms| desk.begin_upload(id.clone(), name, mime, now_ms))
        .ok_or_else(|| Failure::file_exists(id.as_deref().unwrap_or_default()))?;
    let url = format!(
        "http://{}/upload/{}/files?upload_id={upload}&upload_protocol=resumable",
        text(headers, header::HOST.as_str()),
        uri.path().split('/').nth(2).unwrap_or("v1beta"),
    );
    let mut response = Json(json!({})).into_response();
    tell(&mut response, "x-goog-upload-url", &url);
    tell(&mut response, STATUS, "active");
    Ok(response)
}

fn go_on(
    shared: &Shared,
    wire: &Wire,
    id: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let commands: Vec<&str> = text(headers, "x-goog-upload-command")
        .split(',')
        .map(str::trim)
        .collect();
    if commands == ["cancel"] {
        shared.at_desk(|desk, _| desk.cancel_upload(id));
        let mut response = Json(json!({})).into_response();
        tell(&mut response, STATUS, "cancelled");
        return Ok(response);
    }
    let (query, known) = (commands == ["query"], ["upload", "finalize", "query"]);
    if !commands.iter().all(|command| known.contains(command)) {
        return Err(Failure::invalid("Invalid X-Goog-Upload-Command."));
    }
    let bytes = if query { Bytes::new() } else { read(body)? };
    let offset = text(headers, "x-goog-upload-offset").parse();
    let sent = Sent {
        offset: offset.unwrap_or(if bytes.is_empty() { 0 } else { u64::MAX }),
        bytes,
        finalize: commands.contains(&"finalize"),
    };
    match shared.at_desk(|desk, now_ms| desk.upload(id, &sent, now_ms)) {
        Took::Unknown => Err(Failure::not_found()),
        Took::Exists => Err(Failure::file_exists("")),
        Took::Active(here) => Ok(active(Json(json!({})).into_response(), here)),
        Took::Elsewhere(here) => {
            let told = format!("The upload goes on at byte {here}.");
            Ok(active(Failure::invalid(told).into_response(), here))
        }
        Took::Final(_, true) => Ok(reset(wire)),
        Took::Final(file, false) => {
            let told = json!({"file": described(shared, &file, headers)});
            let mut response = Json(told).into_response();
            tell(&mut response, STATUS, "final");
            Ok(response)
        }
    }
}

const STATUS: &str = "x-goog-upload-status";

fn active(mut response: Response, here: u64) -> Response {
    tell(&mut response, STATUS, "active");
    tell(
        &mut response,
        "x-goog-upload-size-received",
        &here.to_string(),
    );
    response
}

fn tell(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        let name = HeaderName::from_static(name);
        response.headers_mut().insert(name, value);
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn meta(body: &[u8]) -> Result<FileMeta, Failure> {
    if body.is_empty() {
        return Ok(FileMeta::default());
    }
    let mut members = object(body)?;
    known_keys(&members, &["file"], None)?;
    let Some(file) = members.remove("file") else {
        return Ok(FileMeta::default());
    };
    if let Some(members) = file.as_object() {
        known_keys(members, &FILE_KEYS, Some("file"))?;
    }
    typed(file)
}

/// `files/` and at most 40 of a-z, 0-9 and dashes, which do not stand at the ends.
fn file_id(name: &str) -> Result<String, Failure> {
    let id = name.strip_prefix("files/").unwrap_or_default();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let sound = (1..=40).contains(&id.len()) && id.chars().all(fits);
    if !sound || id.starts_with('-') || id.ends_with('-') {
        return Err(Failure::invalid(format!(
            "* CreateFileRequest.file.name: '{name}' is not files/ and at most 40 lowercase \
             letters, digits and dashes.\n"
        )));
    }
    Ok(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_own_name_is_checked() {
        for name in ["files/a", "files/tidegate-3f0c9b1e", "files/0"] {
            assert!(file_id(name).is_ok(), "{name}");
        }
        let long = format!("files/{}", "a".repeat(41));
        for name in [
            "a",
            "files/",
            "files/-a",
            "files/a-",
            "files/A",
            "files/a_b",
            &long,
        ] {
            assert!(file_id(name).is_err(), "{name}");
        }
    }
}
