-- The tables that source.sql reads and sink.sql writes, in the current schema. May be run again.

create table if not exists materials (
    symbol text primary key,
    name text not null,
    number integer not null,
    atomic_mass double precision,
    "group" integer,
    period integer,
    block text,
    series text,
    melting_point_k double precision,
    boiling_point_k double precision,
    density_g_cm3 double precision,
    electronic_configuration text,
    radioactive boolean not null default false,
    crust_mg_per_kg double precision,
    discovery_year integer,
    discoverers text,
    name_origin text,
    revision integer not null default 1
);

-- A table for each component: a part per material.
create table if not exists material_frontmatter (
    symbol text primary key references materials on delete cascade,
    revision integer not null,
    title text not null,
    description text not null,
    slug text not null,
    keywords jsonb not null,
    model text
);

create table if not exists material_metatags (
    symbol text primary key references materials on delete cascade,
    revision integer not null,
    meta_title text not null,
    meta_description text not null,
    og_type text not null,
    model text
);

create table if not exists material_text (
    symbol text primary key references materials on delete cascade,
    revision integer not null,
    body text not null,
    model text
);

create table if not exists material_table (
    symbol text primary key references materials on delete cascade,
    revision integer not null,
    caption text not null,
    rows jsonb not null,
    model text
);

create table if not exists material_tags (
    symbol text primary key references materials on delete cascade,
    revision integer not null,
    tags jsonb not null,
    model text
);

create table if not exists material_captions (
    symbol text primary key references materials on delete cascade,
    revision integer not null,
    captions jsonb not null,
    model text
);

create table if not exists material_faq (
    symbol text primary key references materials on delete cascade,
    revision integer not null,
    questions jsonb not null,
    model text
);

create table if not exists material_summary (
    symbol text primary key references materials on delete cascade,
    revision integer not null,
    body text not null,
    model text
);

create table if not exists material_comparison (
    symbol text primary key references materials on delete cascade,
    revision integer not null,
    body text not null,
    model text
);

create table if not exists material_jsonld (
    symbol text primary key references materials on delete cascade,
    revision integer not null,
    document jsonb not null,
    model text
);

-- Changed facts make another revision, which is asked about anew.
create or replace function materials_changed() returns trigger language plpgsql as $$
begin
    new.revision := old.revision + 1;
    return new;
end
$$;

create or replace trigger materials_changed
    before update on materials
    for each row
    when (to_jsonb(old) - 'revision' is distinct from to_jsonb(new) - 'revision')
    execute function materials_changed();
