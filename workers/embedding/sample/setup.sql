-- The table that source.sql reads and sink.sql writes, in the current schema. May be run again.

create table if not exists chunks (
    chunk_id text primary key,
    document text not null,
    position integer not null,
    text text not null,
    embedding float4[],
    embedding_model text,
    embedding_task text,
    embedding_tag text,
    embedded_at timestamptz,
    unique (document, position)
);

-- source.sql looks for the few that wait among the many that are done.
create index if not exists chunks_waiting on chunks (chunk_id) where embedding is null;

-- A vector is of one text only.
create or replace function chunks_changed() returns trigger language plpgsql as $$
begin
    new.embedding := null;
    return new;
end
$$;

create or replace trigger chunks_changed
    before update of text on chunks
    for each row
    when (old.text is distinct from new.text)
    execute function chunks_changed();

-- How alike two vectors are, from -1 to 1, for a look at the sample. A large table wants an index:
-- pgvector's.
create or replace function chunk_similarity(a float4[], b float4[]) returns float8
language sql immutable strict parallel safe as $$
    select sum(x::float8 * y) / nullif(sqrt(sum(x::float8 * x)) * sqrt(sum(y::float8 * y)), 0)
      from unnest(a, b) as t(x, y)
$$;
