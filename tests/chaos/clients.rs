//! Clients of the queue: they load runs, cancel, put back, pause and resume, and note what they were
//! told.

use std::{process::Stdio, sync::Arc, time::Duration};

use serde_json::Value;
use sqlx::Executor;
use tidegate::{
    client,
    store::{self, Store},
};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    history::{Act, Told, What},
    plan::Dice,
    world::{World, lock},
};

/// Nothing more is loaded while so many tasks have not ended.
const OPEN_MAX: i64 = 250;
/// How runs are asked: two of five by batch.
const WAYS: [&str; 5] = ["individual", "individual", "individual", "batch", "hybrid"];
/// A load that takes longer is killed.
const LOAD_MAX: Duration = Duration::from_secs(30);
/// A client's act that takes longer is given up.
const ACT_MAX: Duration = Duration::from_secs(20);

/// Starts them; they end what they are at once the token is cancelled.
pub(crate) fn start(world: &Arc<World>, seed: u64, ending: &CancellationToken) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for number in 0..2 {
        let dice = Dice::new(seed ^ (0x10AD + number));
        let loader = Client::new(world, dice, ending);
        clients.spawn(loader.load_again_and_again(number));
    }
    let dice = Dice::new(seed ^ 0x4A9D);
    clients.spawn(Client::new(world, dice, ending).meddle());
    clients
}

struct Client {
    world: Arc<World>,
    dice: Dice,
    ending: CancellationToken,
}

impl Client {
    fn new(world: &Arc<World>, dice: Dice, ending: &CancellationToken) -> Self {
        Self {
            world: world.clone(),
            dice,
            ending: ending.clone(),
        }
    }

    /// `false`: it is to end.
    async fn pause(&mut self, from: u64, to: u64) -> bool {
        tokio::select! {
            () = self.ending.cancelled() => false,
            () = tokio::time::sleep(self.dice.ms(from, to)) => true,
        }
    }

    async fn load_again_and_again(mut self, number: u64) {
        let mut asked = 0;
        while self.pause(200, 2_500).await {
            let open = "select count(*) from tidegate.tasks where state not in ('done', 'failed', 'cancelled')";
            let open: Result<i64, _> = sqlx::query_scalar(open).fetch_one(&self.world.admin).await;
            if open.is_ok_and(|open| open < OPEN_MAX) {
                let count = 10 + self.dice.below(60);
                let items = self.ask(number, asked, count).await;
                asked += count;
                // what went wrong is part of the plan
                let way = self.dice.one(&WAYS);
                let _ = load(&self.world, items, way).await;
            }
        }
    }

    /// Puts new questions into the user's table, as its owner would: again until it is done.
    async fn ask(&mut self, number: u64, from: usize, count: usize) -> Vec<String> {
        let ids: Vec<String> = (from..from + count)
            .map(|n| format!("q{number}-{n:06}"))
            .collect();
        let bodies: Vec<String> = ids
            .iter()
            .map(|id| format!("what is known of {id}?"))
            .collect();
        let weights: Vec<f64> = ids
            .iter()
            .map(|_| self.dice.ms(0, 1_000).as_secs_f64())
            .collect();
        let insert = async || {
            sqlx::query("insert into questions select * from unnest($1::text[], $2::text[], $3::float8[]) on conflict do nothing")
                .bind(&ids).bind(&bodies).bind(&weights)
                .execute(&self.world.admin).await
        };
        while insert().await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        ids
    }

    async fn meddle(mut self) {
        let Ok(store) = self.store().await else {
            return;
        };
        while self.pause(500, 2_000).await {
            match self.dice.below(100) {
                0..40 => {
                    let open = "state in ('ready', 'running', 'scheduled', 'in_batch')";
                    let tasks = self.some_tasks(open).await;
                    let done = timeout(ACT_MAX, store.cancel(&tasks)).await;
                    let told = match done {
                        Ok(Ok(count)) => told(usize::try_from(count).unwrap_or(0)),
                        _ => Told::Unknown,
                    };
                    let what = What::Cancel(tasks);
                    self.world.note(Act { what, told });
                }
                40..80 => {
                    let tasks = self.some_tasks("state in ('failed', 'cancelled')").await;
                    let done = timeout(ACT_MAX, client::retry(&store, &tasks)).await;
                    let told = match done {
                        Ok(Ok(retried)) => told(retried.ready),
                        _ => Told::Unknown,
                    };
                    let what = What::Retry(tasks);
                    self.world.note(Act { what, told });
                }
                _ => self.pause_a_run(&store).await,
            }
        }
    }

    async fn store(&mut self) -> Result<Store, ()> {
        let mut settings = store::Settings::new(self.world.url.clone());
        settings.acquire_timeout = Duration::from_secs(4);
        loop {
            if let Ok(store) = Store::connect(&settings).await {
                return Ok(store);
            }
            if !self.pause(100, 300).await {
                return Err(());
            }
        }
    }

    async fn some_tasks(&mut self, which: &str) -> Vec<Uuid> {
        let count = 1 + self.dice.below(5);
        let sql = format!(
            "select id from tidegate.tasks where {which} and item_id is not null order by random() limit {count}"
        );
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_all(&self.world.admin)
            .await
            .unwrap_or_default()
    }

    async fn pause_a_run(&mut self, store: &Store) {
        let run: Result<Option<Uuid>, _> = sqlx::query_scalar(
            "select id from tidegate.runs where state = 'active' order by random() limit 1",
        )
        .fetch_optional(&self.world.admin)
        .await;
        let Ok(Some(run)) = run else { return };
        for switch in ["pause_run", "resume_run"] {
            let sql = format!("select tidegate.{switch}('{run}')");
            let done = timeout(ACT_MAX, store.pool().execute(sqlx::AssertSqlSafe(sql))).await;
            let told = if matches!(done, Ok(Ok(_))) {
                told(0)
            } else {
                Told::Unknown
            };
            let what = What::Switch;
            self.world.note(Act { what, told });
            self.pause(500, 4_000).await;
        }
    }
}

fn told(tasks: usize) -> Told {
    Told::Ok { run: None, tasks }
}

/// Loads a run by the program, to be asked in this way, and notes what it was told.
///
/// # Errors
/// With the program's words.
pub(crate) async fn load(world: &World, items: Vec<String>, way: &str) -> Result<(), String> {
    let child = world
        .program(&["run", "asking", "--json", "--batching-strategy", way])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let pid = child.id();
    lock(&world.loaders).extend(pid);
    let output = timeout(LOAD_MAX, child.wait_with_output()).await;
    lock(&world.loaders).retain(|id| Some(*id) != pid);
    let (told, loaded) = match output {
        Ok(Ok(output)) if output.status.success() => (confirmed(&output.stdout), Ok(())),
        Ok(Ok(output)) => {
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            (Told::Unknown, Err(words))
        }
        _ => (Told::Unknown, Err(format!("no word within {LOAD_MAX:?}"))),
    };
    let what = What::Load { items };
    world.note(Act { what, told });
    loaded
}

/// What a load that ended well has said.
fn confirmed(stdout: &[u8]) -> Told {
    let said: Value = serde_json::from_slice(stdout).expect("a run is told as JSON");
    let number = |key: &str| {
        let count = said[key].as_u64().expect("a count");
        usize::try_from(count).expect("a small count")
    };
    Told::Ok {
        run: said["run_id"].as_str().and_then(|id| id.parse().ok()),
        tasks: number("enqueued") + number("refused"),
    }
}
