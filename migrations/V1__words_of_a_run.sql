-- What is to be done: the checked worker folders, the runs made from them, and the bodies of their items.
create schema if not exists tidegate;

create table tidegate.worker_definitions (
  hash bytea primary key check (octet_length(hash) = 32),
  name text not null,
  version text not null,
  folder json not null,                       -- file name -> text, as it was checked; json, so that its text is kept
  created_at timestamptz not null default clock_timestamp()
);
comment on table tidegate.worker_definitions is 'Worker folders by content hash: processes work from this, so that pods need no files';

create table tidegate.runs (
  id uuid primary key,
  worker text not null,
  definition_hash bytea not null references tidegate.worker_definitions (hash),
  source text not null,                       -- where the items came from, for people
  state text not null default 'loading' check (state in ('loading', 'active', 'paused', 'done', 'cancelled')),
  weight real not null default 1 check (weight > 0),
  mix real[] not null check (array_length(mix, 1) >= 1),
  loader_id uuid,                             -- the process that reads the source; it may be taken over once that process is lost
  source_read boolean not null default false, -- all items are stored; ranking may begin
  items_total bigint not null default 0,
  items_skipped bigint not null default 0,    -- waiting in another run already
  items_refused bigint not null default 0,    -- failed before any call (no prompt could be made of them)
  ranked bigint not null default 0,           -- items ranked and enqueued so far
  created_at timestamptz not null default clock_timestamp(),
  loaded_at timestamptz,
  finished_at timestamptz,
  check (state = 'loading' or loaded_at is not null or state = 'cancelled')
);
create unique index runs_one_loading on tidegate.runs (worker, definition_hash, source) where state = 'loading';
create index runs_open on tidegate.runs (id) where state in ('loading', 'active', 'paused');

create table tidegate.items (
  run_id uuid not null references tidegate.runs (id),
  item_id text not null check (octet_length(item_id) between 1 and 1024),
  body text not null,                         -- JSON text, byte for byte (jsonb would change it)
  version text,
  category text,
  score float8 not null check (score > '-infinity' and score < 'infinity'),
  primary key (run_id, item_id)
);
create index items_by_rank on tidegate.items (run_id, score desc, item_id);
