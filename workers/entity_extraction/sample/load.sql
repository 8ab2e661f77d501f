-- Takes a chunk of articles.jsonl.gz, $1 jsonb (an array of its objects), into articles.
-- An article that is there and unchanged is left alone; a changed text is marked to be read again
-- (by the trigger in setup.sql).
insert into articles as a
       (article_id, title, body, published_on, president, party, domain, cluster)
select r.article_id, r.title, r.body, r.published_on, r.president, r.party, r.domain, r.cluster
  from jsonb_to_recordset($1) as r(
         article_id text, title text, body text, published_on date, president text, party text,
         domain text, cluster text
       )
    on conflict (article_id) do update
   set title = excluded.title,
       body = excluded.body,
       published_on = excluded.published_on,
       president = excluded.president,
       party = excluded.party,
       domain = excluded.domain,
       cluster = excluded.cluster
 where (a.title, a.body, a.published_on, a.president, a.party, a.domain, a.cluster)
       is distinct from
       (excluded.title, excluded.body, excluded.published_on, excluded.president, excluded.party,
        excluded.domain, excluded.cluster)
