//! The control surface of batches and files: what happened, and what comes. No key needed.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::course::Ended;
use super::desk::Desk;
use super::records;
use crate::simulator::control::wrong;
use crate::simulator::state::Shared;

/// `GET /sim/batches`: every batch ever accepted, one JSON object a line.
pub(in crate::simulator) async fn jobs(State(shared): State<Arc<Shared>>) -> Response {
    /// Batches read under one hold of the lock.
    const SLICE: usize = 8;
    let slices = stream::unfold(0, move |from| {
        let records = records::jobs(&shared, from, SLICE);
        let slice = (!records.is_empty()).then(|| {
            let lines = Bytes::from(lines(&records));
            (
                Ok::<_, std::convert::Infallible>(lines),
                from + records.len(),
            )
        });
        std::future::ready(slice)
    });
    told(Body::from_stream(slices))
}

/// `GET /sim/files`: every file that ever was, one JSON object a line.
pub(in crate::simulator) async fn files(State(shared): State<Arc<Shared>>) -> Response {
    told(Body::from(lines(
        &shared.at_desk(|desk, _| desk.file_records()),
    )))
}

/// `POST /sim/batches`: changes the keys given, for batches that come after it, and answers with all.
pub(in crate::simulator) async fn change(
    State(shared): State<Arc<Shared>>,
    body: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Response {
    let order = match body {
        Ok(Json(order)) => order,
        Err(rejection) => return wrong(rejection.body_text()),
    };
    let changed = shared.at_desk(|desk, _| {
        desk.change(desk.settings.with(&order)?);
        Ok::<_, String>(desk.settings.clone())
    });
    match changed {
        Ok(settings) => Json(settings).into_response(),
        Err(why) => wrong(why),
    }
}

/// `POST /sim/batches/hasten`: `{"batch": "id" or "*"}` ends what is under way now, as it would have
/// ended later.
pub(in crate::simulator) async fn hasten(
    State(shared): State<Arc<Shared>>,
    body: Result<Json<Haste>, JsonRejection>,
) -> Response {
    match body {
        Ok(Json(haste)) => {
            let count = shared.at_desk(|desk, now_ms| desk.hasten(&haste.batch, now_ms));
            Json(json!({"ok": true, "batches": count})).into_response()
        }
        Err(rejection) => wrong(rejection.body_text()),
    }
}

/// Which batches shall end now.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::simulator) struct Haste {
    batch: String,
}

impl Desk {
    /// Ends batches now; says how many were under way.
    pub(in crate::simulator) fn hasten(&mut self, batch: &str, now_ms: u64) -> usize {
        let jobs = self.jobs.iter().enumerate();
        let ending: Vec<_> = jobs
            .filter(|(_, kept)| kept.ended.is_none() && (batch == "*" || kept.job.id == batch))
            .map(|(at, kept)| (at, kept.course.end(&kept.job)))
            .collect();
        let count = ending.len();
        for (at, ended) in ending {
            let at_ms = now_ms;
            self.end(at, Ended { at_ms, ..ended });
        }
        count
    }
}

fn lines<T: Serialize>(records: &[T]) -> String {
    let lines = records.iter();
    lines
        .map(|record| serde_json::to_string(record).unwrap_or_default() + "\n")
        .collect()
}

fn told(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/jsonl")], body).into_response()
}
