//! Which path leads where. `/v1` is of both vendors: `models` and `shared_paths` see who speaks.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use super::state::Shared;
use super::{batches, control, gemini, models, openai, shared_paths};

/// All that the simulator offers.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    /// Gemini's own limit of a request.
    const BODY_MAX: usize = 20 * 1024 * 1024;
    vendors()
        .merge(control_surface())
        .fallback(models::none)
        .method_not_allowed_fallback(models::none)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(shared)
}

fn vendors() -> Router<Arc<Shared>> {
    /// Gemini's own limit of a file; it may come in parts.
    const GEMINI_FILE_MAX: usize = 2 * 1024 * 1024 * 1024;
    /// OpenAI's limit of a file for a batch, and what frames it.
    const OPENAI_FILE_MAX: usize = 209_715_200 + 64 * 1024;
    let gemini_upload = || post(gemini::upload).layer(DefaultBodyLimit::max(GEMINI_FILE_MAX));
    let openai_upload = post(openai::upload).layer(DefaultBodyLimit::max(OPENAI_FILE_MAX));
    let mut router = Router::new();
    for version in ["v1beta", "v1"] {
        let below = |path: &str| format!("/{version}/{path}");
        router = router
            .route(&below("models"), get(models::list))
            .route(&below("models/{call}"), get(models::one).post(gemini::post))
            .route(&below("files"), get(shared_paths::files))
            .route(
                &below("files/{id}"),
                get(shared_paths::file).delete(shared_paths::delete_file),
            )
            .route(&below("batches"), get(shared_paths::jobs))
            .route(
                &below("batches/{id}"),
                get(shared_paths::job)
                    .post(shared_paths::cancel)
                    .delete(shared_paths::delete),
            )
            .route(&format!("/upload/{version}/files"), gemini_upload())
            .route(
                &format!("/download/{version}/files/{{id}}"),
                get(shared_paths::file),
            );
    }
    router
        .route("/v1/chat/completions", post(openai::chat))
        .route("/v1/embeddings", post(openai::embeddings))
        .route("/v1/files", openai_upload)
        .route("/v1/files/{id}/content", get(openai::content))
        .route("/v1/batches", post(openai::create))
        .route("/v1/batches/{id}/cancel", post(openai::cancel))
}

fn control_surface() -> Router<Arc<Shared>> {
    Router::new()
        .route("/sim/counters", get(control::counters))
        .route("/sim/log", get(control::log))
        .route("/sim/outage", post(control::outage))
        .route("/sim/limits", post(control::limits))
        .route(
            "/sim/batches",
            get(batches::list_jobs).post(batches::change),
        )
        .route("/sim/batches/hasten", post(batches::hasten))
        .route("/sim/files", get(batches::list_files))
        .route("/sim/reset", post(control::reset))
}
