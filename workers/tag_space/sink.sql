-- Writes the labels of each page, with the version of the page that they are of.
--
-- $1 jsonb is an array of {"item_id", "version", "task_id", "answer", "model", "finished_at", ...}, one
-- element a page, however many pages were asked about in one prompt. Labels of a version that the page
-- no longer has are not written: source.sql finds it again.
insert into page_labels as l (page_id, version, labels, model)
select distinct on (p.page_id)
       p.page_id,
       p.version,
       -- each once, in the order of the answer
       array(select t.label
               from jsonb_array_elements_text(r.answer -> 'labels') with ordinality as t(label, place)
              group by t.label
              order by min(t.place)),
       r.model
  from jsonb_to_recordset($1) as r(
         item_id text, version text, answer jsonb, model text, finished_at timestamptz
       )
  join pages p on p.page_id = r.item_id and p.version::text = r.version
 order by p.page_id, r.finished_at desc nulls last
    on conflict (page_id) do update
   set version = excluded.version,
       labels = excluded.labels,
       model = excluded.model,
       labelled_at = excluded.labelled_at
 where l.version <= excluded.version
