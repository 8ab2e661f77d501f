-- Takes a chunk of pages.jsonl.gz, $1 jsonb (an array of its objects), into pages. A page that is
-- there stays as it is, edits included.
insert into pages (page_id, space, section, title, body)
select r.article_id, 'addresses', r.domain, r.title, r.body
  from jsonb_to_recordset($1) as r(article_id text, title text, body text, domain text)
    on conflict (page_id) do nothing
