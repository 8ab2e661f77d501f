//! `tidegate bench queue`: tasks that do nothing, so that what is measured is the queue.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    CliError, Context, Exit, WORKER,
    fleet::Processes,
    latency,
    report::{Drain, Measured, Rate},
};
use crate::{
    client::{Task, enqueue_all},
    engine::Program,
    store::{
        self, Store,
        bench::{PATIENCE, RawQueue, Scratch},
        migrate,
    },
    task::{LocalError, typed},
};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Tasks per drain
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1_000..))]
    tasks: u32,
    /// Worker processes, a drain for each number
    #[arg(long, default_value = "1,4", value_name = "N,M", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: Vec<u32>,
    /// Tasks a process works on at once
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slots: u32,
    /// Bytes of a payload
    #[arg(long, default_value_t = 200, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    payload: u32,
    /// Tasks a second for the latency
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Seconds of latency
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Each drain so many times; the median is shown
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    times: u32,
}

/// Tasks of one call of enqueue.
const CHUNK: u32 = 10_000;
/// Connections of the raw control.
const RAW_CLIENTS: usize = 4;

pub(super) async fn run(args: Args, context: &Context) -> Result<Exit, CliError> {
    let opened = Box::pin(context.open_unchecked()).await?;
    let measured = match Scratch::make(&opened.settings).await {
        Ok(scratch) => {
            let mut settings = opened.settings.clone();
            settings.url = scratch.url.clone().into();
            let measured = measure(&args, context, &settings).await;
            let dropped = scratch.drop_it().await;
            measured.and_then(|measured| Ok(dropped.map(|()| measured)?))
        }
        Err(error) => Err(error.into()),
    };
    let closed = opened.close().await;
    let measured = measured?;
    closed?;
    measured.show(&context.printer)?;
    Ok(Exit::Ok)
}

async fn measure(
    args: &Args,
    context: &Context,
    settings: &store::Settings,
) -> Result<Measured, CliError> {
    let store = Store::connect(settings).await?;
    migrate::run(&store).await?;
    let say = |line: String| context.printer.say(line);
    let payload = serde_json::Value::from("x".repeat(args.payload as usize - 2));

    let mut raw = Vec::new();
    let mut drains: Vec<Vec<Drain>> = args.processes.iter().map(|_| Vec::new()).collect();
    let mut inserts = Vec::new();
    // control and queue by turns: the machine's speed may change while we look
    for turn in 1..=args.times {
        say(format!("turn {turn} of {}: raw SQL control", args.times));
        raw.push(raw_control(&store, args.tasks, &payload.to_string()).await?);
        for (place, processes) in args.processes.iter().enumerate() {
            say(format!(
                "turn {turn} of {}: {processes} processes",
                args.times
            ));
            let (insert, drain) = drain(&store, settings, args, *processes, &payload).await?;
            inserts.push(insert);
            drains[place].push(drain);
        }
    }
    say(format!("latency at {} tasks/s", args.rate));
    let latency = latency::measure(&store, settings, args.rate, args.seconds).await?;
    let server = store.server_facts().await?;
    store.pool().close().await;
    Ok(Measured {
        tasks: args.tasks,
        payload_bytes: args.payload,
        server,
        raw_insert: Rate::median(raw.iter().map(|raw| raw.0)),
        raw_drain: Rate::median(raw.iter().map(|raw| raw.1)),
        insert: Rate::median(inserts),
        drains: drains.into_iter().map(Drain::median).collect(),
        latency,
        latency_rate: args.rate,
    })
}

async fn raw_control(store: &Store, tasks: u32, payload: &str) -> Result<(f64, f64), CliError> {
    let queue = RawQueue::make(store).await?;
    let began = Instant::now();
    queue.insert(tasks.into(), payload).await?;
    let insert = f64::from(tasks) / began.elapsed().as_secs_f64();
    let began = Instant::now();
    let clients = (0..RAW_CLIENTS).map(|_| queue.drain());
    for drained in futures_util::future::join_all(clients).await {
        drained?;
    }
    Ok((insert, f64::from(tasks) / began.elapsed().as_secs_f64()))
}

/// Inserts, then lets processes that wait for it drain it. Returns tasks/s of the insert, and the drain.
async fn drain(
    store: &Store,
    settings: &store::Settings,
    args: &Args,
    processes: u32,
    payload: &serde_json::Value,
) -> Result<(f64, Drain), CliError> {
    let noop = typed(|_: serde::de::IgnoredAny| async { Ok::<_, LocalError>(()) });
    store
        .register_worker(&Program::new(noop).to_worker(WORKER))
        .await?;
    store.pause_worker(WORKER, "the bench fills it").await?;
    let fleet = {
        use secrecy::ExposeSecret;
        Processes::start(store, settings.url.expose_secret(), processes, args.slots).await?
    };
    let before = done(store).await?;
    let wal_before_insert = store.wal_bytes().await?;
    let began = Instant::now();
    let mut left = args.tasks;
    while left > 0 {
        let now = left.min(CHUNK);
        let tasks: Result<Vec<Task>, _> = (0..now).map(|_| Task::new(WORKER, payload)).collect();
        let tasks = tasks.map_err(|error| {
            CliError::input(error.to_string(), "this is a mistake in the bench")
        })?;
        enqueue_all(store.pool(), WORKER, tasks).await?;
        left -= now;
    }
    let insert = f64::from(args.tasks) / began.elapsed().as_secs_f64();
    let insert_wal = store.wal_bytes().await? - wal_before_insert;
    store.settle_tables().await?;

    let wal_before = store.wal_bytes().await?;
    let began = Instant::now();
    store.resume_worker(WORKER).await?;
    let goal = before + i64::from(args.tasks);
    while done(store).await? < goal {
        if began.elapsed() > PATIENCE {
            return Err(CliError::input(
                "the drain did not end",
                "see the server's log",
            ));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    let wal = store.wal_bytes().await? - wal_before;
    let memory_mb = fleet.memory_mb();
    fleet.stop().await;
    Ok((
        insert,
        Drain {
            processes,
            per_second: f64::from(args.tasks) / took.as_secs_f64(),
            wal_bytes_per_task: wal as f64 / f64::from(args.tasks),
            insert_wal_bytes_per_task: insert_wal as f64 / f64::from(args.tasks),
            memory_mb,
        },
    ))
}

async fn done(store: &Store) -> Result<i64, CliError> {
    let counts = store.counts(WORKER).await?;
    Ok(counts
        .iter()
        .find(|(state, _)| state == "done")
        .map_or(0, |(_, n)| *n))
}
