//! `batches` of OpenAI's: created, listed, told of, cancelled.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::batch::{described, status};
use super::chat::{key, noted_key, read};
use super::failure::Failure;
use super::files::{list, page};
use super::handed_in;
use crate::simulator::batches::{Content, Draft, Kind, Phase, Vendor, View};
use crate::simulator::listener::Wire;
use crate::simulator::model::Denied;
use crate::simulator::sent::reset;
use crate::simulator::state::{Rejected, Shared};

/// `POST /v1/batches`.
pub(in crate::simulator) async fn create(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match submit(&shared, &headers, body) {
        Ok((_, true)) => reset(&wire),
        Ok((view, false)) => Json(described(&view)).into_response(),
        Err(failure) => failure.into_response(),
    }
}

/// `GET /v1/batches`: the newest first.
pub(in crate::simulator) fn jobs(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Response {
    let listed = || {
        key(shared, headers)?;
        let jobs = shared.at_desk(|desk, now_ms| desk.listed(Vendor::OpenAi, now_ms));
        let (page, more) = page(&jobs, uri, (20, 100), |view| &view.job.id)?;
        Ok::<_, Failure>(Json(list(page.iter().map(described).collect(), more)))
    };
    listed().into_response()
}

/// `GET /v1/batches/{id}`.
pub(in crate::simulator) fn job(shared: &Shared, id: &str, headers: &HeaderMap) -> Response {
    let found = key(shared, headers).and_then(|_| {
        let found = shared.at_desk(|desk, now_ms| desk.job(Vendor::OpenAi, id, now_ms));
        found.ok_or_else(|| Failure::no_batch(id))
    });
    match found {
        Ok(view) => Json(described(&view)).into_response(),
        Err(failure) => failure.into_response(),
    }
}

/// `POST /v1/batches/{id}/cancel`.
pub(in crate::simulator) async fn cancel(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let cancelled = key(&shared, &headers).and_then(|_| {
        let found = shared.at_desk(|desk, now_ms| desk.cancel(Vendor::OpenAi, &id, now_ms));
        match found.ok_or_else(|| Failure::no_batch(&id))? {
            view if matches!(view.phase, Phase::Ended(_)) => Err(Failure::ended(status(&view))),
            view => Ok(view),
        }
    });
    match cancelled {
        Ok(view) => Json(described(&view)).into_response(),
        Err(failure) => failure.into_response(),
    }
}

/// The body of a create.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    input_file_id: String,
    endpoint: String,
    completion_window: String,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    #[serde(default)]
    output_expires_after: Option<ExpiresAfter>,
}

#[derive(Deserialize)]
struct ExpiresAfter {
    anchor: String,
    seconds: u64,
}

fn submit(
    shared: &Shared,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(View, bool), Failure> {
    let key_hash = noted_key(shared, headers)?;
    if !shared.settings.models.iter().any(|model| model.batch) {
        return Err(Failure::not_found());
    }
    let create: Create = serde_json::from_slice(&read(body)?).map_err(|error| {
        Failure::invalid(format!(
            "We could not parse the JSON body of your request. {error}"
        ))
    })?;
    let kind = checked(&create)?;
    let id = create.input_file_id.as_str();
    let file = shared.at_desk(|desk, now_ms| desk.file(Vendor::OpenAi, id, now_ms).cloned());
    let file = file
        .filter(|file| file.purpose == "batch")
        .map(|file| file.content);
    let Some(Content::Uploaded { bytes, .. }) = file else {
        let message =
            format!("Invalid 'input_file_id': there is no file '{id}' of purpose 'batch'.");
        return Err(Failure::of("input_file_id", "invalid_value", message));
    };
    let find = |name: &str| {
        let found = shared.model(name);
        found.filter(|(_, model)| model.dimensions().is_some() == (kind == Kind::Vectors))
    };
    let handed_in = handed_in::read(&bytes, (&create.endpoint, kind), find);
    if handed_in.found.is_some_and(|(_, model)| !model.batch) {
        let failure = Failure::unknown_model(&handed_in.model);
        shared.reject(Rejected::UnknownModel, key_hash, failure.http);
        return Err(failure);
    }
    let place = handed_in.found.map(|(at, _)| at);
    if place.is_some_and(|at| shared.is_broke(at)) {
        return Err(Failure::denied(
            &Denied::NoMoney,
            &handed_in.model,
            &shared.settings,
        ));
    }
    let token = create
        .metadata
        .as_ref()
        .and_then(|pairs| pairs.get("submission"));
    let draft = Draft {
        vendor: Vendor::OpenAi,
        kind,
        model: (place, handed_in.model),
        token: token.and_then(Value::as_str).unwrap_or_default().to_owned(),
        items: handed_in.items,
        input_file: Some(create.input_file_id),
        flaws: handed_in.flaws,
        metadata: create.metadata.map(Value::Object),
        priority: 0,
        output_live_s: create.output_expires_after.map(|after| after.seconds),
        key_hash,
    };
    shared
        .at_desk(|desk, now_ms| desk.submit(draft, now_ms))
        .map_err(Failure::refused)
}

/// What the lines ask for, by the endpoint, if the rest is right.
fn checked(create: &Create) -> Result<Kind, Failure> {
    let wrong = |param: &str, told: &str| {
        Failure::of(
            param,
            "invalid_value",
            format!("Invalid '{param}': {told}."),
        )
    };
    if create.completion_window != "24h" {
        return Err(wrong("completion_window", "only '24h' is supported"));
    }
    let pairs = create.metadata.iter().flatten();
    let fits = |(key, value): (&String, &Value)| {
        let text = value.as_str();
        key.chars().count() <= 64 && text.is_some_and(|text| text.chars().count() <= 512)
    };
    if pairs.clone().count() > 16 || !pairs.clone().all(fits) {
        let told = "at most 16 pairs, of keys up to 64 and texts up to 512 characters";
        return Err(wrong("metadata", told));
    }
    if let Some(after) = &create.output_expires_after
        && (after.anchor != "created_at" || !(3_600..=2_592_000).contains(&after.seconds))
    {
        let told = "expected created_at and 3600 to 2592000 seconds";
        return Err(wrong("output_expires_after", told));
    }
    match create.endpoint.as_str() {
        "/v1/chat/completions" => Ok(Kind::Answers),
        "/v1/embeddings" => Ok(Kind::Vectors),
        _ => Err(wrong(
            "endpoint",
            "the simulator offers '/v1/chat/completions' and '/v1/embeddings'",
        )),
    }
}
