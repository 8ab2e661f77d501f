-- Takes each part to the table of its kind, with the revision of the facts that it was made of.
--
-- $1 jsonb is an array of {"item_id", "component", "version", "task_id", "answer", "model",
-- "finished_at"}: one element per component and item, whatever mix of components was done together.
-- A part that is asked for again replaces the former one; one made of older facts than those that
-- stand there changes nothing. `model` is null for local components.
with answers as (
    -- of two answers for one part the later one counts
    select distinct on (r.item_id, r.component)
           r.item_id as symbol, r.component, r.version::integer as revision, r.answer, r.model
      from jsonb_to_recordset($1) as r(
             item_id text, component text, version text, answer jsonb, model text,
             finished_at timestamptz
           )
      join materials m on m.symbol = r.item_id
     order by r.item_id, r.component, r.finished_at desc nulls last
),
put_frontmatter as (
    insert into material_frontmatter as t (symbol, revision, title, description, slug, keywords, model)
    select symbol, revision, answer ->> 'title', answer ->> 'description', answer ->> 'slug', answer -> 'keywords', model from answers where component = 'frontmatter'
        on conflict (symbol) do update
       set (revision, title, description, slug, keywords, model) = (excluded.revision, excluded.title, excluded.description, excluded.slug, excluded.keywords, excluded.model)
     where t.revision <= excluded.revision
),
put_metatags as (
    insert into material_metatags as t (symbol, revision, meta_title, meta_description, og_type, model)
    select symbol, revision, answer ->> 'meta_title', answer ->> 'meta_description', answer ->> 'og_type', model from answers where component = 'metatags'
        on conflict (symbol) do update
       set (revision, meta_title, meta_description, og_type, model) = (excluded.revision, excluded.meta_title, excluded.meta_description, excluded.og_type, excluded.model)
     where t.revision <= excluded.revision
),
put_text as (
    insert into material_text as t (symbol, revision, body, model)
    select symbol, revision, answer #>> '{}', model from answers where component = 'text'
        on conflict (symbol) do update
       set (revision, body, model) = (excluded.revision, excluded.body, excluded.model)
     where t.revision <= excluded.revision
),
put_table as (
    insert into material_table as t (symbol, revision, caption, rows, model)
    select symbol, revision, answer ->> 'caption', answer -> 'rows', model from answers where component = 'table'
        on conflict (symbol) do update
       set (revision, caption, rows, model) = (excluded.revision, excluded.caption, excluded.rows, excluded.model)
     where t.revision <= excluded.revision
),
put_tags as (
    insert into material_tags as t (symbol, revision, tags, model)
    select symbol, revision, answer -> 'tags', model from answers where component = 'tags'
        on conflict (symbol) do update
       set (revision, tags, model) = (excluded.revision, excluded.tags, excluded.model)
     where t.revision <= excluded.revision
),
put_captions as (
    insert into material_captions as t (symbol, revision, captions, model)
    select symbol, revision, answer -> 'captions', model from answers where component = 'captions'
        on conflict (symbol) do update
       set (revision, captions, model) = (excluded.revision, excluded.captions, excluded.model)
     where t.revision <= excluded.revision
),
put_faq as (
    insert into material_faq as t (symbol, revision, questions, model)
    select symbol, revision, answer -> 'questions', model from answers where component = 'faq'
        on conflict (symbol) do update
       set (revision, questions, model) = (excluded.revision, excluded.questions, excluded.model)
     where t.revision <= excluded.revision
),
put_summary as (
    insert into material_summary as t (symbol, revision, body, model)
    select symbol, revision, answer #>> '{}', model from answers where component = 'summary'
        on conflict (symbol) do update
       set (revision, body, model) = (excluded.revision, excluded.body, excluded.model)
     where t.revision <= excluded.revision
),
put_comparison as (
    insert into material_comparison as t (symbol, revision, body, model)
    select symbol, revision, answer #>> '{}', model from answers where component = 'comparison'
        on conflict (symbol) do update
       set (revision, body, model) = (excluded.revision, excluded.body, excluded.model)
     where t.revision <= excluded.revision
)
insert into material_jsonld as t (symbol, revision, document, model)
select symbol, revision, answer, model from answers where component = 'jsonld'
    on conflict (symbol) do update
   set (revision, document, model) = (excluded.revision, excluded.document, excluded.model)
 where t.revision <= excluded.revision
