//! `--claims`: what a claim costs, without processes and calls.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    case::loader,
    claimer::{Claim, SLOTS, at, claim_all, sorted},
    optimum::{Quota, last_start},
    scenario::{Known, Scene, Window},
    told::provider,
};
use crate::{
    cli::{CliError, Printer, bench::folder::Folder},
    store::{self, Store, bench::Scratch, migrate},
};

/// What claims cost.
#[derive(Clone, Debug, serde::Serialize)]
struct Told {
    /// Connections that claim, each for a process of its own.
    claimers: u32,
    tasks: u32,
    /// What the limits grant in a second.
    granted_per_second: f64,
    tasks_per_second: f64,
    claims: usize,
    /// Of these, how many took something.
    claims_with_tasks: usize,
    /// All claims, waits for other claimers included.
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Claims that took something.
    taking_p50_ms: f64,
    taking_p99_ms: f64,
    /// One claimer alone takes 100 a claim, and nothing is in its way: the round trip included.
    alone_100_p50_ms: f64,
    alone_100_p99_ms: f64,
}

/// How long claims go on under limits.
const SECONDS: u64 = 20;
/// Claims of 100 by one alone.
const ALONE: u32 = 100;
/// Limits that are in nobody's way.
const HIGH_RPM: u32 = 10_000_000;
/// The default ladder, raised so that it grants 300 a second.
const RAISED: u32 = 15;
/// Most tasks loaded.
const TASKS_MAX: u32 = 200_000;
/// Where nobody is called.
const NOBODY: &str = "http://127.0.0.1:9/v1beta";

/// A case for each number of claimers.
pub(super) async fn run(
    models: &[u32],
    claimers: &[u32],
    server: &store::Settings,
    stop: &CancellationToken,
    printer: &Printer,
) -> Result<(), CliError> {
    let mut all = Vec::new();
    for claimers in claimers {
        printer.say(format_args!("{claimers} connections claim for {SECONDS} s"));
        let told = tokio::select! {
            told = case(models, *claimers, server) => told?,
            () = stop.cancelled() => return Err(CliError::input("interrupted", "start it anew; its database may be left: tidegate_bench_...")),
        };
        if printer.is_json() {
            printer.object(&told)?;
        }
        all.push(told);
    }
    if printer.is_json() {
        return Ok(());
    }
    let ms = |value: f64| format!("{value:.1}");
    let row = |told: &Told| {
        vec![
            told.claimers.to_string(),
            format!(
                "{:.0} of {:.0}",
                told.tasks_per_second, told.granted_per_second
            ),
            format!("{}, {} took tasks", told.claims, told.claims_with_tasks),
            ms(told.p50_ms),
            ms(told.p99_ms),
            ms(told.max_ms),
            format!("{:.1} {:.1}", told.taking_p50_ms, told.taking_p99_ms),
            ms(told.alone_100_p50_ms),
            ms(told.alone_100_p99_ms),
        ]
    };
    let headers = [
        "claimers",
        "tasks/s",
        "claims",
        "p50 ms",
        "p99 ms",
        "max ms",
        "that took: p50 p99",
        "100 alone p50",
        "100 alone p99",
    ];
    let rows: Vec<_> = all.iter().map(row).collect();
    printer.table(&headers, &rows)
}

async fn case(models: &[u32], claimers: u32, server: &store::Settings) -> Result<Told, CliError> {
    let scratch = Scratch::make(server).await?;
    let mut settings = server.clone();
    settings.url = scratch.url.clone().into();
    settings.max_connections = 2;
    let measured = Box::pin(measured(models, claimers, &settings)).await;
    let dropped = scratch.drop_it().await;
    let told = measured?;
    dropped?;
    Ok(told)
}

async fn measured(
    models: &[u32],
    claimers: u32,
    settings: &store::Settings,
) -> Result<Told, CliError> {
    let store = Store::connect(settings).await?;
    migrate::run(&store).await?;
    let rpm: Vec<u32> = models
        .iter()
        .map(|rpm| rpm.saturating_mul(RAISED))
        .collect();
    let mut scene = scene(&rpm, Window::Bucket, 1);
    for model in &mut scene.models {
        model.requests.burst = Some((model.requests.size / 60).max(1));
    }
    let quotas: Vec<Quota> = scene.models.iter().map(|model| model.requests).collect();
    let end = Duration::from_secs(SECONDS);
    let grants: u64 = quotas.iter().map(|quota| quota.granted_by(end)).sum();
    scene.tasks = u32::try_from(grants).unwrap_or(u32::MAX).min(TASKS_MAX);
    load(&store, &scene).await?;
    let began = Instant::now();
    let claims = claim_all(settings, claimers, scene.tasks).await?;
    let took_s = began.elapsed().as_secs_f64();
    let least = last_start(scene.tasks.into(), &quotas).unwrap_or_default();

    // then one alone, with limits that are in nobody's way
    let high = self::scene(
        &vec![HIGH_RPM; models.len()],
        Window::Sliding,
        ALONE * SLOTS,
    );
    load(&store, &high).await?;
    let alone = claim_all(settings, 1, high.tasks).await?;
    store.pool().close().await;

    let alone_ms = sorted(alone.iter().filter(|claim| claim.taken == SLOTS as usize));
    let all_ms = sorted(claims.iter());
    let taking = |claim: &&Claim| claim.taken > 0;
    let taking_ms = sorted(claims.iter().filter(taking));
    Ok(Told {
        claimers,
        tasks: scene.tasks,
        granted_per_second: f64::from(scene.tasks) / least.as_secs_f64().max(1e-3),
        tasks_per_second: f64::from(scene.tasks) / took_s,
        claims: claims.len(),
        claims_with_tasks: taking_ms.len(),
        p50_ms: at(&all_ms, 50),
        p99_ms: at(&all_ms, 99),
        max_ms: at(&all_ms, 100),
        taking_p50_ms: at(&taking_ms, 50),
        taking_p99_ms: at(&taking_ms, 99),
        alone_100_p50_ms: at(&alone_ms, 50),
        alone_100_p99_ms: at(&alone_ms, 99),
    })
}

fn scene(rpm: &[u32], window: Window, tasks: u32) -> Scene {
    Scene::new(tasks, rpm, window, Duration::ZERO, (false, false))
}

/// Tells the limits and loads the tasks.
async fn load(store: &Store, scene: &Scene) -> Result<(), CliError> {
    let rows = scene.rows(Known::All);
    store.sync_models(&[provider(NOBODY)], &rows).await?;
    let folder = Folder::make()?;
    let definition = scene.definition(&folder.0)?;
    loader(store, &definition, &folder)?.load().await?;
    Ok(())
}
