//! The provider of a case and its own log: our simulator, or a server that is not ours.

use std::{path::Path, time::Duration};

use super::{
    measure::{How, Seen},
    nginx::Nginx,
    scenario::Scene,
};
use crate::{
    cli::CliError,
    simulator::{CallRecord, Running, Simulator},
};

/// The provider of a case.
pub(super) enum Provider {
    /// In this process, on a port of its own; the fleet's processes know nothing of it but its URL.
    Ours(Running),
    /// An nginx with `limit_req`.
    Nginx(Nginx),
}

impl Provider {
    pub(super) async fn start(
        scene: &Scene,
        independent: bool,
        folder: &Path,
    ) -> Result<Self, CliError> {
        Ok(if independent {
            Self::Nginx(Nginx::start(scene, folder).await?)
        } else {
            Self::Ours(Simulator::start(scene.simulator()).await?)
        })
    }

    /// As a client takes it.
    pub(super) fn base_url(&self) -> String {
        match self {
            Self::Ours(simulator) => simulator.base_url(),
            Self::Nginx(nginx) => nginx.base_url(),
        }
    }

    /// What it saw since this moment, in milliseconds since 1970.
    pub(super) fn log_since(&self, unix_ms: u64) -> Result<Vec<Seen>, CliError> {
        let mut log: Vec<Seen> = match self {
            Self::Ours(simulator) => simulator.log().into_iter().map(seen).collect(),
            Self::Nginx(nginx) => nginx.log()?,
        };
        log.retain(|seen| seen.at_ms >= unix_ms);
        Ok(log)
    }

    /// Halves every limit from now on.
    pub(super) async fn halve(&self, scene: &Scene) -> Result<(), CliError> {
        let Self::Ours(simulator) = self else {
            return Ok(()); // the flags exclude each other
        };
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .map_err(failed)?;
        let url = format!("http://{}/sim/limits", simulator.addr());
        for model in &scene.models {
            let halved = serde_json::json!({
                "model": model.name,
                "rpm": model.requests.size / 2,
                "burst": model.requests.burst.map(|burst| burst.div_ceil(2)),
                "tpm": model.tokens.map(|size| size / 2),
            });
            let told = client.post(&url).json(&halved).send().await;
            told.and_then(reqwest::Response::error_for_status)
                .map_err(failed)?;
        }
        Ok(())
    }

    pub(super) async fn stop(self) -> Result<(), CliError> {
        match self {
            Self::Ours(simulator) => Ok(simulator.shutdown().await?),
            Self::Nginx(nginx) => {
                nginx.stop().await;
                Ok(())
            }
        }
    }
}

fn seen(call: CallRecord) -> Seen {
    let how = match (call.status, call.outcome.as_str()) {
        (429, _) => How::Refused,
        (499, _) | (_, "abandoned") => How::Abandoned,
        (200, _) => How::Answered,
        _ => How::Other,
    };
    Seen {
        at_ms: call.unix_ms,
        took_ms: call.took_ms,
        model: call.model,
        input_tokens: call.input_tokens,
        how,
    }
}

fn failed(error: reqwest::Error) -> CliError {
    CliError::Io {
        doing: "halve the simulator's limits".to_owned(),
        source: std::io::Error::other(error),
    }
}

/// How long the simulator's control may take.
const PATIENCE: Duration = Duration::from_secs(10);
