-- The tables that source.sql reads and sink.sql writes, in the current schema. May be run again.

create table if not exists articles (
    article_id text primary key,
    title text not null,
    body text not null,
    published_on date,
    president text,
    party text,
    domain text,
    cluster text,
    revision integer not null default 1,
    extracted_entities boolean not null default false,
    extracted_at timestamptz
);

-- source.sql looks for the few that wait among the many that are done.
create index if not exists articles_waiting on articles (article_id) where extracted_entities = false;

create table if not exists clusters (
    cluster text primary key,
    hotness double precision not null
);

create table if not exists domain_statistics (
    domain text primary key,
    articles integer not null,
    goodness double precision not null
);

create table if not exists article_entities (
    article_id text not null references articles on delete cascade,
    ordinal integer not null,
    name text not null,
    kind text not null,
    span_start integer not null,
    span_end integer not null,
    model text not null,
    primary key (article_id, ordinal)
);

-- An edited text asks for its entities again.
create or replace function articles_edited() returns trigger language plpgsql as $$
begin
    new.revision := old.revision + 1;
    new.extracted_entities := false;
    new.extracted_at := null;
    return new;
end
$$;

create or replace trigger articles_edited
    before update of title, body on articles
    for each row
    when ((old.title, old.body) is distinct from (new.title, new.body))
    execute function articles_edited();
