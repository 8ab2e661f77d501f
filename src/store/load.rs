//! Loading a run: items first, as they are read; then tasks in order of rank, a chunk a statement.

use uuid::Uuid;

use super::{Store, StoreError, run::taken_over};

/// Items or tasks written by one statement at most; also about the length of a sealed segment.
pub const CHUNK: usize = 1_000;

/// One row of the source, scored: as it is stored, and as it is read back in order of rank.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredItem {
    /// Unique in its run.
    pub id: String,
    /// JSON text, byte for byte.
    pub body: String,
    /// Its version, if the source has one.
    pub version: Option<String>,
    /// Its category, if the source has one.
    pub category: Option<String>,
    /// Finite.
    pub score: f64,
    /// The task that is done anew for it.
    pub of_task: Option<Uuid>,
}

/// One step of one ranked item, with the prompt's estimate; an error makes a task that is born failed.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedTask {
    /// The task to be: drawn by the loader, so that others of its item can name it. Ids ascend in order
    /// of rank, and a step comes after those that it needs.
    pub id: Uuid,
    /// The item.
    pub item: String,
    /// The step; empty for a worker of one.
    pub component: String,
    /// Tasks whose answers it reads.
    pub needs: Vec<Need>,
    /// Its tier.
    pub tier: i16,
    /// Its lane.
    pub lane: i32,
    /// Orders tasks inside a tier, higher first.
    pub priority: f64,
    /// Input tokens, estimated from the rendered prompt.
    pub est_tokens: i32,
    /// Key of the normalised request.
    pub cache_key: Vec<u8>,
    /// Its category.
    pub category: Option<String>,
    /// Why no prompt could be made of it.
    pub error: Option<String>,
    /// The task that it does anew.
    pub of_task: Option<Uuid>,
}

/// A task whose answer another one reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Under which name it is read.
    pub component: String,
    /// The task.
    pub task: Uuid,
    /// It is of an earlier run and done; else it is of this load, and waited for.
    pub settled: bool,
}

/// What a chunk came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enqueued {
    /// Tasks made ready.
    pub enqueued: i64,
    /// Items that wait in another run, or were answered meanwhile.
    pub skipped: i64,
    /// Tasks born failed.
    pub refused: i64,
}

/// How tasks of a lane take their fallbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routing {
    /// `auto`, `ladder`, `spread` or `patient`.
    pub policy: &'static str,
    /// How long a better model is waited for, in milliseconds.
    pub patience_ms: i32,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            policy: "auto",
            patience_ms: 60_000,
        }
    }
}

/// How tasks of a lane spare calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saving {
    /// Items that travel together at most, 1 to 1,000. 1: each is asked alone.
    pub pack_size: i16,
    /// Input tokens of all items of a pack together at most.
    pub pack_tokens: i32,
    /// How old an answer may be that is used again, in seconds. `None`: none is kept or shared.
    pub cache_s: Option<i64>,
    /// The cache's version, told with what is kept.
    pub cache_version: Option<String>,
    /// Hash of the template that asks, told with what is kept.
    pub prompt_hash: Option<Vec<u8>>,
}

impl Default for Saving {
    /// Each alone, nothing kept.
    fn default() -> Self {
        Self {
            pack_size: 1,
            pack_tokens: i32::MAX,
            cache_s: None,
            cache_version: None,
            prompt_hash: None,
        }
    }
}

/// A lane to be.
#[derive(Clone, Debug)]
pub struct NewLane {
    /// The step; empty for a worker of one.
    pub component: String,
    /// Lower first.
    pub component_priority: i32,
    /// The tier.
    pub tier: i16,
    /// Numbers of the models, the primary first. Empty: it asks none.
    pub ladder: Vec<i32>,
    /// Output tokens reserved per call, until it is known how long answers are.
    pub est_output: i32,
    /// Tokens of the longest answer, for which money is reserved. `None`: not bounded.
    pub max_output: Option<i32>,
    /// How its tasks take their fallbacks.
    pub routing: Routing,
    /// How long a call may take, in milliseconds.
    pub call_timeout_ms: i32,
    /// How its tasks spare calls.
    pub saving: Saving,
}

impl Store {
    /// Stores items of a run that is being loaded by this process. Returns the first id that the run
    /// already has, if any: then nothing of the chunk is stored.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the loading was taken over by another process.
    pub async fn add_items(
        &self,
        run: Uuid,
        loader: Uuid,
        items: &[ScoredItem],
    ) -> Result<Option<String>, StoreError> {
        let mut ids = Vec::with_capacity(items.len());
        let mut bodies = Vec::with_capacity(items.len());
        let mut versions = Vec::with_capacity(items.len());
        let mut categories = Vec::with_capacity(items.len());
        let mut scores = Vec::with_capacity(items.len());
        for item in items {
            ids.push(item.id.as_str());
            bodies.push(item.body.as_str());
            versions.push(item.version.as_deref());
            categories.push(item.category.as_deref());
            scores.push(item.score);
        }
        let stored = sqlx::query!(
            "with ours as (select id from tidegate.runs where id = $1 and loader_id = $7 and state = 'loading' and not source_read for share)
             insert into tidegate.items (run_id, item_id, body, version, category, score)
             select ours.id, g.* from ours, unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::float8[]) g",
            run,
            &ids as &[&str],
            &bodies as &[&str],
            &versions as &[Option<&str>],
            &categories as &[Option<&str>],
            &scores,
            loader,
        )
        .execute(&self.pool)
        .await;
        match stored {
            Ok(stored) if stored.rows_affected() == 0 && !items.is_empty() => Err(taken_over()),
            Ok(_) => Ok(None),
            Err(error) if is_duplicate(&error) => self.duplicate_of(run, &ids).await.map(Some),
            Err(error) => Err(error.into()),
        }
    }

    async fn duplicate_of(&self, run: Uuid, ids: &[&str]) -> Result<String, StoreError> {
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = ids.iter().find(|id| !seen.insert(**id)) {
            return Ok((*twice).to_owned());
        }
        Ok(sqlx::query_scalar!(
            "select item_id from tidegate.items where run_id = $1 and item_id = any($2) limit 1",
            run,
            ids as &[&str],
        )
        .fetch_optional(&self.pool)
        .await?
        .unwrap_or_default())
    }

    /// The next items in order of rank (score descending, then id), after this one.
    ///
    /// # Errors
    /// As every statement.
    pub async fn items_by_rank(
        &self,
        run: Uuid,
        after: Option<(f64, &str)>,
        skip: i64,
        limit: i64,
    ) -> Result<Vec<ScoredItem>, StoreError> {
        let (score, id) = after.unwrap_or((f64::INFINITY, ""));
        // two stretches of one index, each bounded: an `or` over both would walk it from its beginning
        Ok(sqlx::query_as!(
            ScoredItem,
            r#"select z.item_id as "id!", z.body as "body!", z.version, z.category, z.of_task, z.score as "score!" from (
                 (select item_id, body, version, category, score, of_task from tidegate.items
                   where run_id = $1 and score = $2 and item_id > $3
                   order by score desc, item_id limit $4::bigint + $5::bigint)
                 union all
                 (select item_id, body, version, category, score, of_task from tidegate.items
                   where run_id = $1 and score < $2
                   order by score desc, item_id limit $4::bigint + $5::bigint)) z
               order by z.score desc, z.item_id
              offset $4 limit $5"#,
            run,
            score,
            id,
            skip,
            limit,
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The lane of a run, tier and ladder; made if it is not there.
    ///
    /// # Errors
    /// As every statement.
    pub async fn ensure_lane(&self, run: Uuid, lane: &NewLane) -> Result<i32, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select tidegate.ensure_lane_v3($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) as "lane!""#,
            run,
            lane.component,
            lane.component_priority,
            lane.tier,
            &lane.ladder,
            lane.est_output,
            lane.max_output,
            lane.call_timeout_ms,
            lane.routing.policy,
            lane.routing.patience_ms,
            lane.saving.pack_size,
            lane.saving.pack_tokens,
            lane.saving.cache_s,
            lane.saving.cache_version,
            lane.saving.prompt_hash.as_deref(),
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Makes one chunk of ranked items tasks, all or nothing. `from`: how many items were ranked before,
    /// `ranked`: how many these are.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the loading was taken over by another process.
    pub async fn enqueue_ranked(
        &self,
        run: Uuid,
        loader: Uuid,
        from: i64,
        ranked: i32,
        tasks: &[RankedTask],
    ) -> Result<Enqueued, StoreError> {
        let column = |f: fn(&RankedTask) -> &str| tasks.iter().map(f).collect::<Vec<_>>();
        let needs: Vec<(Uuid, &Need)> = tasks
            .iter()
            .flat_map(|task| task.needs.iter().map(|need| (task.id, need)))
            .collect();
        let row = sqlx::query!(
            r#"select o_enqueued as "enqueued!", o_skipped as "skipped!", o_refused as "refused!"
                 from tidegate.enqueue_ranked_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)"#,
            run,
            loader,
            from,
            ranked,
            &tasks.iter().map(|t| t.id).collect::<Vec<_>>(),
            &column(|t| &t.item) as &[&str],
            &column(|t| &t.component) as &[&str],
            &tasks.iter().map(|t| t.tier).collect::<Vec<_>>(),
            &tasks.iter().map(|t| t.lane).collect::<Vec<_>>(),
            &tasks.iter().map(|t| t.priority).collect::<Vec<_>>(),
            &tasks.iter().map(|t| t.est_tokens).collect::<Vec<_>>(),
            &tasks
                .iter()
                .map(|t| t.cache_key.as_slice())
                .collect::<Vec<_>>() as &[&[u8]],
            &tasks
                .iter()
                .map(|t| t.category.as_deref())
                .collect::<Vec<_>>() as &[Option<&str>],
            &tasks.iter().map(|t| t.error.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
            &tasks.iter().map(|t| t.of_task).collect::<Vec<_>>() as &[Option<Uuid>],
            &needs.iter().map(|(task, _)| *task).collect::<Vec<_>>(),
            &needs
                .iter()
                .map(|(_, need)| need.component.as_str())
                .collect::<Vec<_>>() as &[&str],
            &needs.iter().map(|(_, need)| need.task).collect::<Vec<_>>(),
            &needs.iter().map(|(_, need)| need.settled).collect::<Vec<_>>(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Enqueued {
            enqueued: row.enqueued.into(),
            skipped: row.skipped.into(),
            refused: row.refused.into(),
        })
    }
}

fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|e| e.code()).as_deref() == Some("23505")
}
