-- Ask less: answers that are kept, equal work asked once, packs, steps that need others.

-- Answers by the key of their request: used again wherever the same would be asked. Which model answered is provenance.
create table tidegate.result_cache (
  key bytea primary key check (octet_length(key) = 32),
  answer text not null,                       -- JSON text, byte for byte
  bytes int not null,
  worker text not null,
  component text not null default '',
  version text,                               -- `cache.version` of the worker
  prompt_hash bytea,                          -- of the template that asked
  model text not null,
  model_version text,
  input_tokens bigint,
  output_tokens bigint,
  cost_microusd bigint,
  task_id uuid not null,                      -- the task that it was asked for
  created_at timestamptz not null default clock_timestamp(),
  used_at timestamptz not null default clock_timestamp()  -- to about ten minutes: whoever was used longest ago goes first
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);
create index result_cache_by_use on tidegate.result_cache (used_at);
comment on table tidegate.result_cache is 'Answers kept by the key of their request; `tidegate cache purge` or a delete forgets them';

-- What the cache did and what it holds, as changes; summed up by day as they grow old.
create table tidegate.cache_uses (
  at timestamptz not null default clock_timestamp(),
  worker text not null,
  hits bigint not null default 0,
  misses bigint not null default 0,           -- answers that were asked for though they would have been kept
  entries bigint not null default 0,
  bytes bigint not null default 0
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
create index cache_uses_by_time on tidegate.cache_uses (at);

alter table tidegate.lanes
  add column pack_tokens int not null default 2147483647 check (pack_tokens > 0),  -- input tokens of all items of a pack together
  add column cache_s bigint check (cache_s > 0),  -- how old an answer may be that is used again; null: none is kept or shared
  add column cache_version text,
  add column prompt_hash bytea,
  add column hits boolean not null default false;  -- asks no model: what its tasks would ask is answered already

alter table tidegate.running
  add column lead boolean not null default true,   -- false: a further item of its pack's call
  add column cache_key bytea;                 -- what is asked, where equal tasks wait for its answer
-- Equal work in flight is asked once. A row that goes away, on whatever way, lets the next one ask.
create unique index running_once_a_key on tidegate.running (cache_key) where cache_key is not null;

-- One row an item: counted as a call is the one that leads. The others of its pack carry their share of tokens and cost.
alter table tidegate.calls
  add column lead boolean not null default true,
  add column pack_id uuid;                    -- the leading call; null: it asked for one item
alter table tidegate.task_attempts_closed add column pack_id uuid;

-- Follows: an equal task is in flight; it waits for that one's answer.
alter table tidegate.blocked add column follows bytea;
create index blocked_by_key on tidegate.blocked (follows) where follows is not null;

-- Items that were lost in a pack travel with so many at most from then on.
create table tidegate.pack_most (
  task_id uuid primary key,
  most smallint not null check (most > 0)
);
-- How many items travel together, of what a worker asks; what was lost since it last changed.
create table tidegate.pack_sizes (
  worker text not null,
  component text not null,
  size smallint not null check (size > 0),
  packs bigint not null default 0,
  items bigint not null default 0,
  lost bigint not null default 0,
  changed_at timestamptz not null default clock_timestamp(),
  primary key (worker, component)
) with (fillfactor = 50);
create table tidegate.pack_adjustments (
  at timestamptz not null default clock_timestamp(),
  worker text not null,
  component text not null,
  old smallint not null,
  new smallint not null,
  reason text not null
);
create index pack_adjustments_by_worker on tidegate.pack_adjustments (worker, component, at);

alter table tidegate.task_results
  add column cached boolean not null default false;  -- it was there already: no call was made

-- Which task's answer a task reads, by component: of the same run, or of an earlier one.
create table tidegate.task_inputs (
  task_id uuid not null,
  component text not null,
  of_task uuid not null,
  primary key (task_id, component)
);
create index task_inputs_by_source on tidegate.task_inputs (of_task);
