-- The tables that source.sql reads and sink.sql writes, in the current schema. May be run again.

create table if not exists pages (
    page_id text primary key,
    space text not null,
    section text,
    title text not null,
    body text not null,
    version integer not null default 1
);

create table if not exists page_labels (
    page_id text primary key references pages on delete cascade,
    version integer not null,
    labels text[] not null,
    model text,
    labelled_at timestamptz not null default now()
);

-- An edited text makes another version.
create or replace function pages_edited() returns trigger language plpgsql as $$
begin
    new.version := old.version + 1;
    return new;
end
$$;

create or replace trigger pages_edited
    before update of title, body on pages
    for each row
    when ((old.title, old.body) is distinct from (new.title, new.body))
    execute function pages_edited();
