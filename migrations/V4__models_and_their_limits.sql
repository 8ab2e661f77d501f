-- What may be called, and how much: the claim reads and debits these rows in its own transaction.
create table tidegate.providers (
  name text primary key,                      -- the entry in tidegate.toml: one key
  kind text not null,
  base_url text not null,
  quota_scope text not null,                  -- entries of one scope share limits and cooldowns
  day_zone text not null,                     -- the calendar of its day quotas
  parked text,                                -- why nobody may call it (bad key, no money); null: open
  parked_at timestamptz
);

create table tidegate.models (
  model_id int generated always as identity primary key,
  model text not null unique,                 -- provider entry / wire name
  provider text not null references tidegate.providers (name),
  wire_name text not null,
  input_price_microusd bigint check (input_price_microusd >= 0),    -- per million tokens; null: unknown
  output_price_microusd bigint check (output_price_microusd >= 0),
  parked text,                                -- why nobody may call it (404); null: open
  parked_at timestamptz,
  file_hash bytea,                            -- of its entry in tidegate.toml at the last sync: a restart undoes nothing set by hand
  created_at timestamptz not null default clock_timestamp()
);

-- A limit may serve several models (one bucket, many names) and a model has several limits.
create table tidegate.limits (
  limit_id int generated always as identity primary key,
  quota_scope text not null,
  name text not null,                         -- usually the wire name; for a worker's own limit `worker:<name>`
  dimension text not null check (dimension in ('requests', 'input_tokens', 'total_tokens', 'concurrency')),
  window_kind text not null check (window_kind in ('minute', 'day', 'none')),
  size bigint not null check (size >= 0),
  counting text not null default 'unknown' check (counting in ('unknown', 'sliding', 'fixed', 'bucket')),
  burst bigint check (burst > 0),             -- bucket: how many may start at once; unknown: how many we dare so far
  guard_ms int not null default 1000 check (guard_ms between 0 and 60000),  -- a call may arrive this much after its grant
  worker text,                                -- set: counts the calls in flight of this worker
  evidence text,                              -- how its size or way of counting was found out
  changed_at timestamptz not null default clock_timestamp(),
  check ((dimension = 'concurrency') = (window_kind = 'none')),
  check (counting <> 'bucket' or burst is not null),
  unique (quota_scope, name, dimension, window_kind)
);

create table tidegate.model_limits (
  model_id int not null references tidegate.models (model_id),
  limit_id int not null references tidegate.limits (limit_id),
  primary key (model_id, limit_id)
);
create index model_limits_by_limit on tidegate.model_limits (limit_id);

-- The limiter's book: append-only and cumulative. What a window used = the last total less the total at its start.
create table tidegate.limit_book (
  limit_id int not null,
  at timestamptz not null,
  total bigint not null,
  full_at timestamptz not null,               -- bucket: when it will be full again (the theoretical arrival time of GCRA)
  primary key (limit_id, at)
) with (autovacuum_vacuum_scale_factor = 0.05);

-- What a call used more or less than was reserved, at the moment of its grant.
create table tidegate.limit_settlements (
  limit_id int not null,
  at timestamptz not null,
  delta bigint not null
);
create index limit_settlements_by_time on tidegate.limit_settlements (limit_id, at) include (delta);

create table tidegate.model_cooldowns (
  quota_scope text not null,
  wire_name text not null,
  model text not null,                        -- the name under which it was last seen
  until timestamptz not null,
  reason text not null,
  who text not null,
  strikes int not null default 0,
  since timestamptz not null default clock_timestamp(),
  primary key (quota_scope, wire_name)
);
comment on table tidegate.model_cooldowns is 'A model is not called before `until`. Written by whoever sees the 429, obeyed by every claim';
