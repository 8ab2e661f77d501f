-- The chunks that have no vector, in the order of their documents.
--
-- Each row is an item; its columns are the fields of prompt.md. Tables are found by the connection's
-- search_path.
select c.chunk_id,
       md5(c.text) as text_hash,
       c.text
  from chunks c
 where c.embedding is null
