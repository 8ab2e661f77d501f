//! Which path leads where. `/v1` is of both vendors: each handler of both asks who speaks.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

use super::state::Shared;
use super::{control, gemini, models, openai};

/// All that the simulator offers.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    /// Gemini's own limit of a request.
    const BODY_MAX: usize = 20 * 1024 * 1024;
    let mut router = Router::new();
    for version in ["v1beta", "v1"] {
        router = router
            .route(&format!("/{version}/models"), get(models::list))
            .route(
                &format!("/{version}/models/{{call}}"),
                get(models::one).post(gemini::post),
            );
    }
    router
        .route("/v1/chat/completions", post(openai::chat))
        .route("/v1/embeddings", post(openai::embeddings))
        .route("/sim/counters", get(control::counters))
        .route("/sim/log", get(control::log))
        .route("/sim/outage", post(control::outage))
        .route("/sim/limits", post(control::limits))
        .route("/sim/reset", post(control::reset))
        .fallback(models::none)
        .method_not_allowed_fallback(models::none)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(shared)
}
