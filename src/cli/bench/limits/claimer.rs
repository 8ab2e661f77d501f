//! Claims as processes of a fleet make them, over connections of this process, without any call.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::told::ENTRY;
use crate::{
    cli::CliError,
    store::{
        self, Store,
        claim::{ClaimRequest, Claimed},
        process::Registration,
        settle::{Answered, ClaimKey, Spent},
    },
    task::Answer,
};

/// Tasks a claim asks for.
pub(super) const SLOTS: u32 = 100;
/// The pause of a process that got less than it asked for, as `engine` has it.
const POLL: Duration = Duration::from_millis(200);
/// More than it may take; leases are as long.
const PATIENCE: Duration = Duration::from_secs(300);

/// One claim.
pub(super) struct Claim {
    pub(super) took: Duration,
    pub(super) taken: usize,
}

/// So many claimers until so many tasks were taken.
pub(super) async fn claim_all(
    settings: &store::Settings,
    claimers: u32,
    tasks: u32,
) -> Result<Vec<Claim>, CliError> {
    let left = Arc::new(AtomicI64::new(tasks.into()));
    let claimers = (0..claimers).map(|_| tokio::spawn(claim(settings.clone(), left.clone())));
    let mut claims = Vec::new();
    for ended in futures_util::future::join_all(claimers).await {
        let ended = ended.map_err(|error| CliError::Io {
            doing: "claim".to_owned(),
            source: std::io::Error::other(error),
        })?;
        claims.extend(ended?);
    }
    Ok(claims)
}

/// Claims as a process does, which looks again at once when it got all it asked for, and settles
/// what it took as if every call took no time.
async fn claim(settings: store::Settings, left: Arc<AtomicI64>) -> Result<Vec<Claim>, CliError> {
    let store = Store::connect(&settings).await?;
    let process = Registration::of_this_process("bench", SLOTS, PATIENCE);
    store.register(&process).await?;
    let (began, mut claims) = (Instant::now(), Vec::new());
    while left.load(Ordering::Relaxed) > 0 && began.elapsed() < PATIENCE {
        let request = ClaimRequest {
            process: process.id,
            slots: SLOTS,
            nonce: rand::random(),
            providers: vec![ENTRY.to_owned()],
            workers: None,
            tasks: None,
        };
        let asked_at = Instant::now();
        let taken = store.claim(&request).await?.tasks;
        claims.push(Claim {
            took: asked_at.elapsed(),
            taken: taken.len(),
        });
        let got = taken.len();
        left.fetch_sub(i64::try_from(got).unwrap_or_default(), Ordering::Relaxed);
        if got > 0 {
            let answers = taken.iter().map(answered).collect();
            store.settle_done(process.id, answers, None).await?;
        }
        if got < SLOTS as usize {
            tokio::time::sleep(POLL.mul_f64(0.5 + rand::random::<f64>())).await;
        }
    }
    store.unregister(process.id).await?;
    store.pool().close().await;
    Ok(claims)
}

fn answered(claimed: &Claimed) -> Answered {
    Answered {
        claim: ClaimKey::from(claimed),
        item: None,
        version: None,
        answer: Answer::text("a word"),
        spent: Spent::default(),
        model_version: None,
        response_id: None,
        leads: None,
    }
}

/// The times of these, in ms.
pub(super) fn sorted<'a>(claims: impl Iterator<Item = &'a Claim>) -> Vec<f64> {
    let mut ms: Vec<f64> = claims.map(|it| it.took.as_secs_f64() * 1_000.0).collect();
    ms.sort_by(f64::total_cmp);
    ms
}

/// The time that so many in a hundred stay below.
pub(super) fn at(sorted: &[f64], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(f64::NAN)
}
