-- Batches at a provider's Batch API as durable machines, and the choice between them and single calls.

alter table tidegate.models
  add column batch_mode boolean,              -- false: it has none (told, or seen); null: nobody said otherwise
  add column batch_note text,                 -- how that was found out
  add column batch_percent smallint not null default 50 check (batch_percent between 0 and 100),  -- its price in a batch, of the usual one
  add column batch_tokens bigint check (batch_tokens > 0),      -- input tokens enqueued at once; null: not bounded
  add column batch_rest_until timestamptz,    -- refused for too much being enqueued: nothing new is enqueued before
  add column batch_strikes int not null default 0;
alter table tidegate.providers
  add column batch_jobs int not null default 100 check (batch_jobs > 0);  -- batches under way at once

-- How tasks of a run are asked: one by one, by batch, both, or as it is best (src/plan decides).
alter table tidegate.runs
  add column strategy text not null default 'individual' check (strategy in ('individual', 'auto', 'batch', 'hybrid')),
  add column purpose text not null default 'bulk' check (purpose in ('bulk', 'interactive')),
  add column within_s int check (within_s > 0);  -- answers are wanted within so many seconds of their being ready
alter table tidegate.lanes
  add column held boolean not null default false,     -- waits until it is chosen how it is asked: claims take nothing of it
  add column decided_at timestamptz,
  add column decided_items int not null default 0,    -- how many waited then
  add column singly boolean not null default false;   -- came back for want of time: asked one by one until it is empty
create index lanes_held on tidegate.lanes (lane) where held;
create index runs_by_strategy on tidegate.runs (id) where strategy <> 'individual';

-- One row a batch. Each step outside is preceded by a committed row that names it: the token is there before the file and the batch are.
create table tidegate.provider_batches (
  id uuid primary key,
  token text not null unique,                 -- by which file and batch are found again at the provider
  run_id uuid not null,
  worker text not null,
  component text not null,
  lane int not null,
  model text not null,
  model_id int not null,
  provider text not null,
  embeds boolean not null default false,
  -- intended: file and batch are still to be made; creating: asked for, and it is not known yet what came of it; submitted: it is there;
  -- ended: over at the provider, its answers are being stored; stored: files and batch are to be removed; over
  state text not null check (state in ('intended', 'creating', 'submitted', 'ended', 'stored', 'over')),
  outcome text check (outcome in ('succeeded', 'failed', 'expired', 'cancelled', 'refused', 'empty', 'lost')),
  items int not null,
  est_tokens bigint not null,
  remote_id text,
  remote_state text,                          -- the provider's word
  input_file text,
  outputs text[] not null default '{}',
  through bigint,                             -- items that are through, as the provider tells
  created_at timestamptz not null default clock_timestamp(),
  began_at timestamptz,                       -- its file may be at the provider from then on
  uploaded_at timestamptz,
  creating_at timestamptz,
  submitted_at timestamptz,
  ended_at timestamptz,
  stored_at timestamptz,
  over_at timestamptz,
  next_at timestamptz not null default clock_timestamp(),
  fails int not null default 0,               -- steps that failed in a row
  looks int not null default 0,               -- times it was looked for in the provider's list and not found
  polls int not null default 0,
  owner uuid,                                 -- the process that does its next step, and until when nobody else does
  owned_until timestamptz,
  rescue_at timestamptz,                      -- what is not back by then is asked one by one
  rescued int not null default 0,
  cancel_wanted boolean not null default false,
  cancelled_at timestamptz,
  failed int not null default 0,              -- items that brought an error
  missing int not null default 0,
  unknown int not null default 0,             -- lines that belong to no item, or to one that had its line already
  decision uuid,
  split_of uuid,                              -- it is a half of one that was refused
  last_error text
) with (fillfactor = 70);
create index provider_batches_due on tidegate.provider_batches (next_at) where state <> 'over';
create index provider_batches_by_run on tidegate.provider_batches (run_id);
comment on table tidegate.provider_batches is 'Batches at providers'' Batch APIs; `tidegate batches list`';

-- The book of what stands in a batch (`waits`), and of what a batch still owes though its task went on without it.
create table tidegate.batch_items (
  batch_id uuid not null,
  n int not null,
  id uuid not null,
  lane int not null,
  priority float8 not null,
  est_input int not null,
  est_output int not null,
  attempts int not null,
  epoch int not null,
  tries smallint[] not null,
  rescues smallint not null,
  spent_ms bigint not null,
  nonce bigint not null,
  process_id uuid not null,
  model_id int not null,
  rung smallint not null,
  call_id uuid not null,
  granted_at timestamptz not null,
  cache_key bytea,
  waits boolean not null default true,
  primary key (batch_id, id)
) with (autovacuum_vacuum_scale_factor = 0.05);
create unique index batch_items_once on tidegate.batch_items (id) where waits;
create index batch_items_by_key on tidegate.batch_items (cache_key) where waits and cache_key is not null;
create index batch_items_in_order on tidegate.batch_items (batch_id, n);

alter table tidegate.calls add column batch_id uuid;  -- asked in this batch: no call of its own

-- Each choice, with what it was made of.
create table tidegate.strategy_decisions (
  id uuid primary key,
  at timestamptz not null default clock_timestamp(),
  run_id uuid,
  worker text not null,
  component text not null default '',
  model text not null,
  items int not null,
  mode text not null,                         -- what was asked for
  purpose text not null,
  strategy text not null check (strategy in ('individual', 'batch', 'hybrid')),
  singles int not null,
  reason text not null,
  facts jsonb not null                        -- latencies, prices, deadline, as they were known
);
create index strategy_decisions_by_time on tidegate.strategy_decisions (at);
create index strategy_decisions_by_model on tidegate.strategy_decisions (model, at);
create index strategy_decisions_by_run on tidegate.strategy_decisions (run_id);

-- How long calls and batches of a model took lately.
create table tidegate.latencies (
  model_id int not null,
  how text not null check (how in ('individual', 'batch')),
  p50_ms bigint not null,
  p90_ms bigint not null,
  samples int not null,
  newest_at timestamptz not null,             -- of the samples
  at timestamptz not null default clock_timestamp(),
  primary key (model_id, how)
) with (fillfactor = 50);

-- Replaced: they do not know how tasks are asked.
drop function if exists tidegate.register_worker_v3(text, bytea, uuid, boolean, boolean, int, real[], int[], int, int, int, int, text, int, int, int, int,
                                                    smallint, int, bigint, text, bytea);
drop function if exists tidegate.redefine_run_v2(uuid, bytea, real[], int, int, int);
-- And of a provider entry, how many batches may be under way.
drop function if exists tidegate.sync_provider_v1(text, text, text, text, text);
