//! A large cache: look-ups by key, and claims while it is trimmed and while it is not.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Stage,
    scene::{self, ENTRY},
};
use crate::cli::bench::{
    figures::{Bar, Figure, percentile},
    world::World,
};
use crate::{
    cli::{CliError, bench::workers::io},
    store::{
        Store,
        cache::CacheBounds,
        claim::{ClaimRequest, Claimed},
        process::Registration,
        settle::{Answered, ClaimKey, Spent},
    },
    task::Answer,
};

/// Entries of one insert.
const CHUNK: i64 = 50_000;
/// Keys of one look-up, as many as a claim of a hundred has, and look-ups.
const KEYS: usize = 100;
const LOOK_UPS: usize = 2_000;
/// Tasks a claim asks for; claims of a turn; turns without and with trimming, one after the other.
const SLOTS: u32 = 20;
const CLAIMS: u32 = 250;
const TURNS: u32 = 4;
/// Longer than it may take.
const LEASE: Duration = Duration::from_secs(900);

pub(super) async fn run(stage: &Stage<'_>) -> Result<Vec<Figure>, CliError> {
    let entries = i64::from(stage.args.entries);
    stage
        .printer
        .say(format_args!("million: a cache of {entries} entries"));
    World::with(stage.place, scene::simulated(), async |world| {
        let mut from = 0;
        while from < entries {
            let to = entries.min(from + CHUNK);
            world.store.fill_cache(from, to).await?;
            from = to;
        }
        world.store.settle_cache().await?;
        let mut look_ups = look_ups(&world.store, entries).await?;

        scene::write(
            &world.folder.0,
            "tidegate.toml",
            scene::settings(world.simulator),
        )?;
        scene::worker(&world.folder.0, 1)?;
        scene::items(&world.folder.0, SLOTS * CLAIMS * TURNS, 1, false)?;
        world.load(&[]).await?;
        world.store.settle_tables().await?;
        let (mut calm, mut trimming, trimmed) = turns(world).await?;
        let of = |name: &str, what: &str, value: f64, unit| {
            Figure::new("million", name, what, value, unit)
        };
        let (calm_p99, trimming_p99) = (percentile(&mut calm, 99), percentile(&mut trimming, 99));
        Ok(vec![
            of("entries", "entries of the cache", entries as f64, ""),
            of(
                "look_up_p50_ms",
                "look-up of 100 keys, p50",
                percentile(&mut look_ups, 50),
                "ms",
            ),
            of(
                "look_up_p99_ms",
                "look-up of 100 keys, p99",
                percentile(&mut look_ups, 99),
                "ms",
            )
            .bar(Bar::AtMost(5.0)),
            of(
                "claim_p50_ms",
                "claim of 20, p50",
                percentile(&mut calm, 50),
                "ms",
            ),
            of("claim_p99_ms", "claim of 20, p99", calm_p99, "ms"),
            of(
                "claim_trimming_p50_ms",
                "claim of 20 while trimming, p50",
                percentile(&mut trimming, 50),
                "ms",
            ),
            of(
                "claim_trimming_p99_ms",
                "claim of 20 while trimming, p99",
                trimming_p99,
                "ms",
            ),
            of(
                "claim_ratio",
                "p99 while trimming by p99 without",
                trimming_p99 / calm_p99,
                "",
            )
            .bar(Bar::AtMost(2.0)),
            of(
                "trimmed_per_second",
                "entries trimmed a second meanwhile",
                trimmed,
                "/s",
            ),
        ])
    })
    .await
}

/// The times of look-ups, in ms: half of the keys are kept.
async fn look_ups(store: &Store, entries: i64) -> Result<Vec<f64>, CliError> {
    let mut took = Vec::with_capacity(LOOK_UPS);
    for _ in 0..LOOK_UPS {
        let keys: Vec<Vec<u8>> = (0..KEYS)
            .map(|_| {
                let number = rand::random::<u64>() % (entries.unsigned_abs() * 2);
                Sha256::digest(format!("cache {number}")).to_vec()
            })
            .collect();
        let began = Instant::now();
        let found = store.look_up(&keys).await?;
        took.push(began.elapsed().as_secs_f64() * 1_000.0);
        if found == 0 {
            return Err(io("find kept answers", std::io::ErrorKind::NotFound.into()));
        }
    }
    Ok(took)
}

/// The times of claims, in ms, without and with trimming by turns, and entries trimmed a second.
async fn turns(world: &World<'_>) -> Result<(Vec<f64>, Vec<f64>, f64), CliError> {
    let process = Registration::of_this_process("bench", SLOTS, LEASE);
    world.store.register(&process).await?;
    let (mut calm, mut trimming) = (Vec::new(), Vec::new());
    let (mut trimmed, mut trimming_for) = (0, Duration::ZERO);
    for turn in 0..TURNS {
        if turn % 2 == 0 {
            claims(&world.store, process.id, &mut calm).await?;
            continue;
        }
        let stop = CancellationToken::new();
        let trimmer = Store::connect(&world.settings).await?;
        let trims = tokio::spawn(trim(trimmer, stop.clone()));
        let began = Instant::now();
        let claimed = claims(&world.store, process.id, &mut trimming).await;
        trimming_for += began.elapsed();
        stop.cancel();
        let ended = trims.await;
        claimed?;
        trimmed += ended.map_err(|error| io("trim", std::io::Error::other(error)))??;
    }
    let per_second = trimmed as f64 / trimming_for.as_secs_f64().max(1e-3);
    Ok((calm, trimming, per_second))
}

/// Trims without a pause until told to stop. Returns how many entries went.
async fn trim(store: Store, stop: CancellationToken) -> Result<u64, CliError> {
    let none = CacheBounds {
        entries: 0,
        bytes: u64::MAX,
    };
    let mut all = 0;
    while !stop.is_cancelled() {
        all += store.trim_cache(&none).await?;
    }
    store.pool().close().await;
    Ok(all)
}

/// Claims and settles one after the other; what claims took is added.
async fn claims(store: &Store, process: Uuid, took: &mut Vec<f64>) -> Result<(), CliError> {
    for _ in 0..CLAIMS {
        let request = ClaimRequest {
            process,
            slots: SLOTS,
            nonce: rand::random(),
            providers: vec![ENTRY.to_owned()],
            workers: None,
            tasks: None,
        };
        let began = Instant::now();
        let taken = store.claim(&request).await?.tasks;
        took.push(began.elapsed().as_secs_f64() * 1_000.0);
        if taken.is_empty() {
            return Err(io("claim", std::io::ErrorKind::NotFound.into()));
        }
        let answers = taken.iter().map(answered).collect();
        store.settle_done(process, answers, None).await?;
    }
    Ok(())
}

fn answered(claimed: &Claimed) -> Answered {
    Answered {
        leads: None,
        claim: ClaimKey::from(claimed),
        item: None,
        version: None,
        answer: Answer::text("a word"),
        spent: Spent::default(),
        model_version: None,
        response_id: None,
    }
}
