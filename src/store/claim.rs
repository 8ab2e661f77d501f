//! Claim: take tasks together with the right to call their models.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    Executor, Store, StoreError,
    link::Conn,
    needed::{Needed, needed},
};

/// A claim that met another at an equal task is said again so often, at once.
const KEY_RACES_MAX: u32 = 3;

/// What a process asks for.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The process, whose lease must hold.
    pub process: Uuid,
    /// Calls it can make at once from now: 1 to 10,000.
    pub slots: u32,
    /// Drawn at random for this claim: with the epoch it is the claim's identity.
    pub nonce: i64,
    /// Provider entries the process has a key for; other models are as if closed to it.
    pub providers: Vec<String>,
    /// Workers it serves. `None`: all.
    pub workers: Option<Vec<String>>,
    /// These tasks only, of one lane: interactive calls, which may use what is reserved for those.
    pub tasks: Option<Vec<Uuid>>,
}

/// One task taken, with the permit to call one model for it now.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The task.
    pub task: Uuid,
    /// Its run.
    pub run: Uuid,
    /// Its item's id in the source.
    pub item: Option<String>,
    /// Raised by each retry by hand.
    pub generation: i32,
    /// Its lane.
    pub lane: i32,
    /// Its tier.
    pub tier: i16,
    /// The model to call.
    pub model: String,
    /// The model's number in the database.
    pub model_id: i32,
    /// The model's place in the ladder, from 1.
    pub rung: i16,
    /// How many models the ladder has.
    pub ladder_len: i16,
    /// Its priority.
    pub priority: f64,
    /// Input tokens reserved.
    pub est_input: i32,
    /// Output tokens reserved.
    pub est_output: i32,
    /// This attempt, from 1.
    pub attempt: i32,
    /// Attempts it may have.
    pub max_attempts: i32,
    /// Raised at every claim; fences every write.
    pub epoch: i32,
    /// The claim's nonce; fences every write.
    pub nonce: i64,
    /// Charged calls per rung so far.
    pub tries: Vec<i16>,
    /// Deaths of processes that held it.
    pub rescues: i16,
    /// Milliseconds of calling and back-off so far.
    pub spent_ms: i64,
    /// The call whose intent was committed with the claim.
    pub call: Uuid,
    /// When it was granted, by the database's clock.
    pub granted_at: DateTime<Utc>,
    /// How long the call may take, in milliseconds.
    pub call_timeout_ms: i32,
    /// Micro-dollars per million input tokens, if known.
    pub input_price: Option<i64>,
    /// Micro-dollars per million output tokens, if known.
    pub output_price: Option<i64>,
    /// The worker definition it belongs to.
    pub definition: Vec<u8>,
    /// It is not worth starting any more.
    pub expired: bool,
    /// Its worker.
    pub worker: String,
    /// Its component; empty for a worker of one step.
    pub component: String,
    /// The pack that it travels in: the call that leads. `None`: it is asked alone.
    pub pack: Option<Uuid>,
}

impl Claimed {
    /// It stands for its call: it is asked alone, or leads a pack.
    pub fn leads(&self) -> bool {
        self.pack.is_none_or(|pack| pack == self.call)
    }
}

/// What a claim came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claim {
    /// The tasks taken; those of a pack stand together, the one that leads first.
    pub tasks: Vec<Claimed>,
    /// Tasks that stood in front and need no call of their own went out of the way: there may be more
    /// to take at once.
    pub put_aside: u32,
}

impl Store {
    /// Takes tasks for up to `slots` calls that may be made now. An empty answer is normal: nothing waits,
    /// or nothing may be called.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the process was declared lost. When the connection broke, it
    /// is not known whether tasks were taken: see [`release_unheard`](Self::release_unheard).
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        let mut lost = 0;
        loop {
            match claim(&self.pool, request).await {
                Err(error) if error.is_key_race() && lost < KEY_RACES_MAX => lost += 1,
                said => return said,
            }
        }
    }

    /// The same, and the connection that it came over: what was taken is read over it, since a grant
    /// does not last while another connection is waited for.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub async fn claim_to_read(
        &self,
        request: &ClaimRequest,
    ) -> Result<(Claim, Reading), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let mut lost = 0;
        let claim = loop {
            match claim(&mut connection, request).await {
                Err(error) if error.is_key_race() && lost < KEY_RACES_MAX => lost += 1,
                said => break said?,
            }
        };
        Ok((claim, Reading(connection)))
    }

    /// Gives back, uncharged, what a claim took whose answer was lost on the way: nothing was sent
    /// for it. Returns how many tasks.
    ///
    /// # Errors
    /// As every statement.
    pub async fn release_unheard(&self, process: Uuid, nonce: i64) -> Result<usize, StoreError> {
        let released = sqlx::query!(
            r#"select tidegate.settle_open_v1($1, coalesce((
                 select jsonb_agg(jsonb_build_object('task', r.id, 'nonce', r.nonce, 'epoch', r.epoch, 'call_id', r.call_id,
                                  'granted_at', r.granted_at, 'fate', 'release', 'delay_ms', 0, 'exhaust_rung', false,
                                  'error_class', 'not_sent', 'error', 'the answer to the claim was lost', 'sent', false))
                   from tidegate.running r where r.process_id = $1 and r.nonce = $2), '[]')) as id"#,
            process,
            nonce,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(released.len())
    }

    /// The first choice of each of these lanes, in any order.
    ///
    /// # Errors
    /// As every statement.
    pub async fn first_choices(&self, lanes: &[i32]) -> Result<Vec<(i32, String)>, StoreError> {
        let rows = sqlx::query!(
            "select n.lane, m.model from tidegate.lanes n join tidegate.models m on m.model_id = n.ladder[1] where n.lane = any($1)",
            lanes
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (row.lane, row.model)).collect())
    }

    /// The bodies of these tasks (their payload, or their item), in any order.
    ///
    /// # Errors
    /// As every statement.
    pub async fn bodies(&self, tasks: &[Uuid]) -> Result<Vec<TaskBody>, StoreError> {
        bodies(&self.pool, tasks).await
    }
}

async fn claim<'e>(
    executor: impl Executor<'e>,
    request: &ClaimRequest,
) -> Result<Claim, StoreError> {
    // a row without a task tells only that some were put aside
    let mut rows = sqlx::query_as!(
    ClaimRow,
    r#"select o_task as task, o_run as run, o_item as item, o_generation as generation, o_lane as lane, o_tier as tier,
              o_model as model, o_model_id as model_id, o_rung as rung, o_ladder_len as ladder_len, o_priority as priority,
              o_est_input as est_input, o_attempt as attempt, o_max_attempts as max_attempts, o_epoch as epoch,
              o_tries as tries, o_rescues as rescues, o_spent_ms as spent_ms, o_est_output as est_output, o_call as call,
              o_granted_at as granted_at, o_call_timeout_ms as call_timeout_ms, o_input_price as input_price,
              o_output_price as output_price, o_definition as definition, o_expired as expired,
              o_worker as worker, o_component as component, o_pack as pack, o_put_aside as "put_aside!", o_place as place
         from tidegate.claim_v5($1, $2, $3, $4, $5, p_interactive => $6::uuid[] is not null, p_tasks => $6)"#,
    request.process,
    i32::try_from(request.slots).unwrap_or(i32::MAX),
    request.nonce,
    &request.providers,
    request.workers.as_deref(),
        request.tasks.as_deref(),
)
.fetch_all(executor)
.await?;
    let put_aside = rows.first().map_or(0, |row| row.put_aside.unsigned_abs());
    // in the order of the choice, those of a pack together
    rows.sort_by_key(|row| {
        (
            row.place,
            row.pack.is_some_and(|pack| Some(pack) != row.call),
        )
    });
    let tasks = rows
        .into_iter()
        .filter_map(|row| row.claimed(request.nonce))
        .collect();
    Ok(Claim { tasks, put_aside })
}

async fn bodies<'e>(
    executor: impl Executor<'e>,
    tasks: &[Uuid],
) -> Result<Vec<TaskBody>, StoreError> {
    Ok(sqlx::query_as!(
        TaskBody,
        r#"select t.id as "task!", coalesce(t.item_id, t.id::text) as "item!", coalesce(t.payload, i.body) as "body!", i.version as "version?"
             from tidegate.tasks t
             left join tidegate.items i on t.payload is null and i.run_id = t.run_id and i.item_id = t.item_id
            where t.id = any($1) and (t.payload is not null or i.body is not null)"#,
        tasks
    )
    .fetch_all(executor)
    .await?)
}

/// What claimed tasks are about, by task.
#[derive(Clone, Debug, Default)]
pub struct Bodies {
    /// Their items.
    pub items: HashMap<Uuid, TaskBody>,
    /// The answers that they read.
    pub needed: HashMap<Uuid, Vec<Needed>>,
}

/// A connection over which tasks were claimed.
#[derive(Debug)]
pub struct Reading(Conn);

impl Reading {
    /// What these tasks are about, by plain selects.
    ///
    /// # Errors
    /// As every statement; what was taken is taken.
    pub async fn bodies(mut self, tasks: &[Claimed]) -> Result<Bodies, StoreError> {
        let ids: Vec<Uuid> = tasks.iter().map(|task| task.task).collect();
        let mut read = Bodies::default();
        for body in bodies(&mut self.0, &ids).await? {
            read.items.insert(body.task, body);
        }
        // a worker of one step reads nobody's
        if tasks.iter().any(|task| !task.component.is_empty()) {
            for needed in needed(&mut self.0, &ids).await? {
                read.needed.entry(needed.task).or_default().push(needed);
            }
        }
        Ok(read)
    }
}

/// The item a task is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskBody {
    /// The task.
    pub task: Uuid,
    /// The item's id.
    pub item: String,
    /// JSON text, byte for byte.
    pub body: String,
    /// Its version, if the source has one.
    pub version: Option<String>,
}

/// A row as the function returns it: all of a task, or nothing of one.
struct ClaimRow {
    task: Option<Uuid>,
    run: Option<Uuid>,
    item: Option<String>,
    generation: Option<i32>,
    lane: Option<i32>,
    tier: Option<i16>,
    model: Option<String>,
    model_id: Option<i32>,
    rung: Option<i16>,
    ladder_len: Option<i16>,
    priority: Option<f64>,
    est_input: Option<i32>,
    est_output: Option<i32>,
    attempt: Option<i32>,
    max_attempts: Option<i32>,
    epoch: Option<i32>,
    tries: Option<Vec<i16>>,
    rescues: Option<i16>,
    spent_ms: Option<i64>,
    call: Option<Uuid>,
    granted_at: Option<DateTime<Utc>>,
    call_timeout_ms: Option<i32>,
    input_price: Option<i64>,
    output_price: Option<i64>,
    definition: Option<Vec<u8>>,
    expired: Option<bool>,
    worker: Option<String>,
    component: Option<String>,
    pack: Option<Uuid>,
    put_aside: i32,
    place: Option<i64>,
}

impl ClaimRow {
    fn claimed(self, nonce: i64) -> Option<Claimed> {
        Some(Claimed {
            task: self.task?,
            run: self.run?,
            item: self.item,
            generation: self.generation?,
            lane: self.lane?,
            tier: self.tier?,
            model: self.model?,
            model_id: self.model_id?,
            rung: self.rung?,
            ladder_len: self.ladder_len?,
            priority: self.priority?,
            est_input: self.est_input?,
            est_output: self.est_output?,
            attempt: self.attempt?,
            max_attempts: self.max_attempts?,
            epoch: self.epoch?,
            nonce,
            tries: self.tries?,
            rescues: self.rescues?,
            spent_ms: self.spent_ms?,
            call: self.call?,
            granted_at: self.granted_at?,
            call_timeout_ms: self.call_timeout_ms?,
            input_price: self.input_price,
            output_price: self.output_price,
            definition: self.definition?,
            expired: self.expired?,
            worker: self.worker?,
            component: self.component?,
            pack: self.pack,
        })
    }
}
