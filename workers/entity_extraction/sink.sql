-- Takes answers to the tables that asked: the entities, and the mark that they are there.
--
-- The contract of a sink: one statement, run inside the transaction that completes the tasks, so
-- its writes stand exactly when the tasks are done, once. Its one parameter is $1 jsonb, an array of
--   {"item_id": text, "component": text, "version": text or null, "task_id": uuid, "answer": {...},
--    "model": text, "finished_at": timestamptz}
-- where `component` is empty but for workers with components, `answer` met schema.json and `version` is the item's, if the source names a version column.
-- It must not commit, and may be given the same item again (a reprocess): it replaces, never adds.
with answers as (
    -- Of two answers for one item the later one counts.
    select distinct on (r.item_id) r.item_id, r.version, r.answer, r.model
      from jsonb_to_recordset($1) as r(
             item_id text, version text, task_id uuid, answer jsonb, model text,
             finished_at timestamptz
           )
     order by r.item_id, r.finished_at desc nulls last
),
marked as (
    -- An article that was edited since it was read, or deleted, takes no answer: it waits still.
    update articles a
       set extracted_entities = true,
           extracted_at = now()
      from answers r
     where a.article_id = r.item_id
       and (r.version is null or r.version = a.revision::text)
    returning a.article_id, r.answer, r.model
),
beyond as (
    -- All parts of one statement see the same snapshot, and a row may be written by one part only:
    -- so old entities are not deleted and inserted anew, but overwritten below, and only those
    -- whose number no new one takes are deleted here.
    delete from article_entities e
     using marked m
     where e.article_id = m.article_id
       and e.ordinal > jsonb_array_length(m.answer -> 'entities')
)
insert into article_entities (article_id, ordinal, name, kind, span_start, span_end, model)
select m.article_id,
       e.ordinal,
       e.entity ->> 'name',
       e.entity ->> 'kind',
       (e.entity -> 'span' ->> 0)::numeric::integer,
       (e.entity -> 'span' ->> 1)::numeric::integer,
       m.model
  from marked m
 cross join lateral jsonb_array_elements(m.answer -> 'entities')
                    with ordinality as e(entity, ordinal)
    on conflict (article_id, ordinal) do update
   set name = excluded.name,
       kind = excluded.kind,
       span_start = excluded.span_start,
       span_end = excluded.span_end,
       model = excluded.model
