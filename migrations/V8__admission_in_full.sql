-- Admission in full: more dimensions, budgets, the gate after a cooldown, adaptive concurrency, what was learned and from what,
-- policies of routing, pacing.

alter table tidegate.limits
  drop constraint limits_dimension_check,
  drop constraint limits_window_kind_check,
  add check (dimension in ('requests', 'input_tokens', 'output_tokens', 'total_tokens', 'concurrency', 'money')),
  add check (window_kind in ('minute', 'day', 'run', 'none')),
  add column run_id uuid,                     -- a budget of this run
  add column told bigint check (told >= 0),   -- what a person said its size is; null: nobody did, it was learned
  add column told_burst bigint,               -- what a person said of the burst: refusals lower it, quiet lets it grow back
  add column source text not null default 'file' check (source in ('file', 'hand', 'learned')),
  add column adaptive boolean not null default false,  -- calls at once: its size follows what the model bears
  add column cut_at timestamptz,              -- adaptive: when it was cut; only calls granted later may cut again
  add column refused_at timestamptz,          -- learned from refusals: the last one; between two of them what was accepted is the rate
  add column said bigint,                     -- the size that the provider said last
  add column said_at timestamptz,
  add column interactive_at timestamptz,      -- a little stays reserved for interactive calls for ten minutes after the last one
  add check (dimension <> 'money' or window_kind in ('day', 'run')),
  add check ((run_id is not null) = (window_kind = 'run'));
-- half a second: a grant that was not used within 400 ms is given back
alter table tidegate.limits alter column guard_ms set default 500;
update tidegate.limits set guard_ms = 500 where guard_ms = 1000;
update tidegate.limits set told = size, told_burst = case when counting = 'bucket' then burst end;
create unique index limits_of_runs on tidegate.limits (run_id) where run_id is not null;
create unique index limits_of_days on tidegate.limits (dimension) where dimension = 'money' and window_kind = 'day';
comment on column tidegate.limits.size is 'What holds now: what was told, lowered or found out by what the provider says';

-- Every change of a limit, with what it followed from.
create table tidegate.limit_adjustments (
  at timestamptz not null default clock_timestamp(),
  limit_id int not null,
  what text not null,                         -- size, counting, burst, guard, foreign
  old bigint,
  new bigint,
  reason text not null
);
create index limit_adjustments_by_time on tidegate.limit_adjustments (limit_id, at);

alter table tidegate.models
  add column file_entry jsonb,                -- what its entry in tidegate.toml said at the last sync
  add column shares text;                     -- the wire name whose limits it shares (one bucket, many names)

-- Calls at once of every model follow what it bears, from now on; what was told is where they end.
update tidegate.limits set adaptive = true where dimension = 'concurrency' and worker is null;
insert into tidegate.limits (quota_scope, name, dimension, window_kind, size, counting, source, adaptive, evidence)
select distinct p.quota_scope, m.wire_name, 'concurrency', 'none', 3, 'sliding', 'learned', true, 'nothing is known yet: a few at once'
  from tidegate.models m join tidegate.providers p on p.name = m.provider
on conflict (quota_scope, name, dimension, window_kind) do nothing;
insert into tidegate.model_limits (model_id, limit_id)
select m.model_id, l.limit_id
  from tidegate.models m join tidegate.providers p on p.name = m.provider
  join tidegate.limits l on l.quota_scope = p.quota_scope and l.name = m.wire_name and l.dimension = 'concurrency'
on conflict do nothing;

-- The gate after a cooldown: one call in flight until a call granted after its end succeeds, then a ramp.
alter table tidegate.model_cooldowns
  add column proven_at timestamptz;           -- when the first call after `until` came back
update tidegate.model_cooldowns set proven_at = until where until <= now();

-- A task too large for what is left of a limit is waited for: others leave it room, once it was passed over for long enough.
create table tidegate.limit_holds (
  limit_id int primary key,
  task_id uuid not null,
  need bigint not null,
  since timestamptz not null
);

-- Output tokens that nine of ten answers stay below, of what a worker asks a model: what a claim reserves.
create table tidegate.output_quantiles (
  worker text not null,
  component text not null,
  model_id int not null,
  tokens int not null check (tokens >= 0),
  answers int not null,                       -- from how many answers
  at timestamptz not null default clock_timestamp(),
  primary key (worker, component, model_id)
);

alter table tidegate.lanes
  -- auto: the first free model within a provider, patient before crossing to another
  add column policy text not null default 'auto' check (policy in ('auto', 'ladder', 'spread', 'patient')),
  add column patience_ms int not null default 60000 check (patience_ms >= 0),
  add column max_output int check (max_output > 0);   -- tokens of the longest answer: money is reserved for it

alter table tidegate.running add column est_output int not null default 0;
alter table tidegate.calls add column est_output_tokens int;

-- Pacing, for those who want it: null: none.
alter table tidegate.runs
  add column stagger_ms int check (stagger_ms > 0),       -- between two starts of the run, in the whole fleet
  add column cool_after int check (cool_after > 0),       -- after so many tasks claimed ...
  add column cool_ms int check (cool_ms > 0),             -- ... the run rests for so long
  add check ((cool_after is null) = (cool_ms is null));
create table tidegate.run_pacing (
  run_id uuid primary key,
  next_at timestamptz not null,
  since_rest int not null
) with (fillfactor = 50);

-- What tidegate.toml said at the last sync, of what is no model: written only where it changed, so that what was set by hand stays.
create table tidegate.file_values (
  name text primary key,
  value text not null,
  at timestamptz not null default clock_timestamp()
);

-- Functions that the former program calls stay as they are, and views keep their columns (new ones at the end): old and new
-- processes work side by side. They are dropped by a later migration.

-- Newest calls of a model, for learning and for its state; what is asked by time alone reads whole days.
create index calls_by_model on tidegate.calls (model, started_at);
drop index tidegate.calls_by_time;
