-- Writes the vector of each chunk as float4[], with what it was made by. Where pgvector is installed,
-- a column of type vector(768) takes it too: embedding::vector(768).
--
-- $1 jsonb is an array of {"item_id", "version", "task_id", "answer", "model", "finished_at", ...}; answer is
-- {"vector": [...], "dimensions", "task_type", "tag"}. A chunk whose text is another now is left alone:
-- source.sql finds it again.
update chunks c
   set embedding = translate(r.answer ->> 'vector', '[]', '{}')::float4[],
       embedding_model = r.model,
       embedding_task = r.answer ->> 'task_type',
       embedding_tag = r.answer ->> 'tag',
       embedded_at = r.finished_at
  from (select distinct on (z.item_id) z.*
          from jsonb_to_recordset($1) as z(
                 item_id text, version text, answer jsonb, model text, finished_at timestamptz
               )
         order by z.item_id, z.finished_at desc nulls last) r
 where c.chunk_id = r.item_id
   and md5(c.text) = r.version
