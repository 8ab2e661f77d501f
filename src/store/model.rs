//! Models, providers and limits: synced from the file, parked, cooled, shown.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Store, StoreError};

/// A provider entry of tidegate.toml, without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderRow {
    /// The entry's name.
    pub name: String,
    /// `gemini` or `openai`.
    pub kind: String,
    /// Where it is reached.
    pub base_url: String,
    /// Entries of one scope share limits and cooldowns.
    pub quota_scope: String,
    /// Time zone of its day quotas.
    pub day_zone: String,
    /// Provider batches under way at once. `None`: the file does not say.
    pub batch_jobs: Option<u32>,
}

/// A model entry of tidegate.toml. `None`: the file does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRow {
    /// `<provider entry>/<wire name>`.
    pub model: String,
    /// Hash of the entry: it is written only when this changed.
    pub hash: Vec<u8>,
    /// Requests per minute.
    pub rpm: Option<u32>,
    /// Tokens per minute, as the provider counts them.
    pub tpm: Option<u64>,
    /// Output tokens per minute.
    pub output_tpm: Option<u64>,
    /// Requests per day of the provider's calendar.
    pub rpd: Option<u32>,
    /// Tokens per day, as the provider counts them.
    pub tpd: Option<u64>,
    /// Calls at once.
    pub max_concurrency: Option<u32>,
    /// `sliding`, `fixed` or `bucket`.
    pub counting: Option<&'static str>,
    /// Bucket: how many may start at once.
    pub burst: Option<u32>,
    /// Micro-dollars per million input tokens.
    pub input_price_microusd: Option<i64>,
    /// Micro-dollars per million output tokens.
    pub output_price_microusd: Option<i64>,
    /// The wire name whose limits it shares: one bucket, many names.
    pub shares: Option<String>,
    /// Whether it has a batch mode.
    pub batch: Option<bool>,
    /// What its batches cost, in percent of single calls.
    pub batch_price_percent: Option<u32>,
    /// Input tokens that may stand in its batches at once.
    pub batch_enqueued_tokens: Option<u64>,
}

impl ModelRow {
    /// As the database keeps it: what the file says, and with that what it does not say any more.
    fn entry(&self) -> serde_json::Value {
        serde_json::json!({
            "rpm": self.rpm,
            "tpm": self.tpm,
            "output_tpm": self.output_tpm,
            "rpd": self.rpd,
            "tpd": self.tpd,
            "max_concurrency": self.max_concurrency,
            "window": self.counting,
            "burst": self.burst,
            "input_price_microusd": self.input_price_microusd,
            "output_price_microusd": self.output_price_microusd,
            "shares": self.shares,
            "batch": self.batch,
            "batch_price_percent": self.batch_price_percent,
            "batch_enqueued_tokens": self.batch_enqueued_tokens,
        })
    }
}

/// The present state of a model.
#[derive(Clone, Debug, Serialize)]
pub struct ModelStatus {
    /// Its name.
    pub model: String,
    /// Why it may not be called now. `None`: it may.
    pub closed_by: Option<String>,
    /// Until when, as far as that is known.
    pub until: Option<DateTime<Utc>>,
    /// Seconds until then.
    pub wait_seconds: Option<f64>,
    /// Calls under way in the fleet.
    pub in_flight: i64,
    /// Calls granted in the last 60 s.
    pub calls_last_minute: i64,
    /// Its limit of requests per minute.
    pub requests_per_minute: Option<i64>,
    /// Its limit of tokens per minute.
    pub tokens_per_minute: Option<i64>,
    /// Its limit of requests per day.
    pub requests_per_day: Option<i64>,
    /// What was told of its calls at once.
    pub max_concurrency: Option<i64>,
    /// Calls at once that it may have now.
    pub concurrency: Option<i64>,
    /// Its limit of output tokens per minute.
    pub output_tokens_per_minute: Option<i64>,
    /// Its limit of tokens per day.
    pub tokens_per_day: Option<i64>,
    /// The wire name whose limits it shares.
    pub shares: Option<String>,
    /// Refusals in a row.
    pub strikes: i32,
    /// Micro-dollars per million input tokens.
    pub input_price_microusd: Option<i64>,
    /// Micro-dollars per million output tokens.
    pub output_price_microusd: Option<i64>,
    /// Whether it has a batch mode. `None`: nobody said otherwise.
    pub batch_mode: Option<bool>,
    /// How that is known.
    pub batch_note: Option<String>,
    /// What its batches cost, in percent of single calls.
    pub batch_percent: i16,
    /// Input tokens that may stand in its batches at once. `None`: not bounded.
    pub batch_tokens: Option<i64>,
    /// Batches of its provider entry that may be under way at once.
    pub batch_jobs: i32,
}

impl Store {
    /// Writes provider entries and models; what did not change in the file is left as it stands.
    /// Returns how many models were written.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a model of a provider entry that is not there.
    pub async fn sync_models(
        &self,
        providers: &[ProviderRow],
        models: &[ModelRow],
    ) -> Result<usize, StoreError> {
        for provider in providers {
            sqlx::query_scalar!(
                r#"select tidegate.sync_provider_v2($1, $2, $3, $4, $5, $6)::text as done"#,
                provider.name,
                provider.kind,
                provider.base_url,
                provider.quota_scope,
                provider.day_zone,
                provider
                    .batch_jobs
                    .map(|it| i32::try_from(it).unwrap_or(i32::MAX)),
            )
            .fetch_one(&self.pool)
            .await?;
        }
        let mut written = 0;
        for model in models {
            let changed = sqlx::query_scalar!(
                r#"select tidegate.sync_model_v2($1, $2, $3) as "changed!""#,
                model.model,
                model.hash,
                model.entry(),
            )
            .fetch_one(&self.pool)
            .await?;
            written += usize::from(changed);
        }
        Ok(written)
    }

    /// The numbers of these models, in order, as far as they are known; registers none.
    ///
    /// # Errors
    /// As every statement.
    pub async fn known_models(&self, names: &[String]) -> Result<Vec<Option<i32>>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select m.model_id as "id?" from unnest($1::text[]) with ordinality u (name, place)
                 left join tidegate.models m on m.model = u.name order by u.place"#,
            names
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The numbers of these models, in order; a name that is new is registered without limits.
    ///
    /// # Errors
    /// [`StoreError::Refused`] names the first whose provider entry is not there.
    pub async fn model_ids(&self, names: &[String]) -> Result<Vec<i32>, StoreError> {
        let mut ids = Vec::with_capacity(names.len());
        for name in names {
            let id = sqlx::query_scalar!("select tidegate.register_model_v1($1) as id", name)
                .fetch_one(&self.pool)
                .await?;
            ids.push(id.ok_or_else(|| {
                StoreError::Refused(format!(
                    "model `{name}`: no provider entry is called `{}`\n  help: add [providers.{}] to tidegate.toml",
                    name.split('/').next().unwrap_or_default(),
                    name.split('/').next().unwrap_or_default(),
                ))
            })?);
        }
        Ok(ids)
    }

    /// The most input tokens that any of these models takes per minute. `None`: one of them has no
    /// such limit.
    ///
    /// # Errors
    /// As every statement.
    pub async fn tokens_per_minute(&self, models: &[i32]) -> Result<Option<i64>, StoreError> {
        let sizes = sqlx::query_scalar!(
            "select (select max(l.size) from tidegate.model_limits ml join tidegate.limits l on l.limit_id = ml.limit_id
                      where ml.model_id = m.id and l.window_kind = 'minute' and l.dimension in ('input_tokens', 'total_tokens'))
               from unnest($1::int[]) m (id)",
            models
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(sizes
            .into_iter()
            .collect::<Option<Vec<i64>>>()
            .and_then(|all| all.into_iter().max()))
    }

    /// Closes a model for the whole fleet, never earlier than it is closed already. `wait: None`:
    /// 5 s, doubling with each strike to 15 min. Returns until when.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a model that is not there.
    pub async fn cool_down(
        &self,
        model: &str,
        wait: Option<Duration>,
        until_day_ends: bool,
        reason: &str,
        who: &str,
    ) -> Result<DateTime<Utc>, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select tidegate.cool_down_v1($1, make_interval(secs => $2), $3, $4, $5) as "until!""#,
            model,
            wait.map(|wait| wait.as_secs_f64()) as _,
            until_day_ends,
            reason,
            who,
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Opens a model: its cooldown, and what parked it or its provider. `false`: it was open.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a model that is not there.
    pub async fn clear_cooldown(&self, model: &str) -> Result<bool, StoreError> {
        Ok(
            sqlx::query_scalar!(r#"select tidegate.clear_cooldown($1) as "hit!""#, model)
                .fetch_one(&self.pool)
                .await?,
        )
    }

    /// Closes a model until a person opens it.
    ///
    /// # Errors
    /// As every statement.
    pub async fn park_model(&self, model: &str, reason: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "update tidegate.models set parked = $2, parked_at = clock_timestamp() where model = $1 and parked is null",
            model,
            reason
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Closes a provider entry until a person opens it.
    ///
    /// # Errors
    /// As every statement.
    pub async fn park_provider(&self, provider: &str, reason: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "update tidegate.providers set parked = $2, parked_at = clock_timestamp() where name = $1 and parked is null",
            provider,
            reason
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The present state of models: of these, or of all.
    ///
    /// # Errors
    /// As every statement.
    pub async fn model_status(
        &self,
        only: Option<&[String]>,
    ) -> Result<Vec<ModelStatus>, StoreError> {
        Ok(sqlx::query_as!(
            ModelStatus,
            r#"select model as "model!", closed_by, until, wait_seconds, in_flight as "in_flight!",
                      calls_last_minute as "calls_last_minute!", requests_per_minute, tokens_per_minute, requests_per_day,
                      max_concurrency, concurrency, output_tokens_per_minute, tokens_per_day, shares, strikes as "strikes!", input_price_microusd, output_price_microusd,
                      batch_mode, batch_note, batch_percent as "batch_percent!", batch_tokens, batch_jobs as "batch_jobs!"
                 from tidegate.model_status
                where $1::text[] is null or model = any($1)
                order by model"#,
            only as _,
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
