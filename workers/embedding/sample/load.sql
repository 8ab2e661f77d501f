-- Takes a chunk of chunks.jsonl.gz, $1 jsonb (an array of its objects), into chunks: the passages of the
-- addresses since 1961. One that is there and unchanged stays as it is.
insert into chunks as c (chunk_id, document, position, text)
select r.article_id,
       split_part(r.title, ': passage ', 1),
       split_part(split_part(r.title, ': passage ', 2), ' of ', 1)::integer,
       r.body
  from jsonb_to_recordset($1) as r(article_id text, title text, body text, published_on date)
 where r.published_on >= '1961-01-01'
    on conflict (chunk_id) do update
   set text = excluded.text
 where c.text is distinct from excluded.text
