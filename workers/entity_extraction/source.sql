-- The articles that wait for their entities, with the two signals of their score joined in.
--
-- Each row of this query is an item; its columns are the fields of prompt.md. The id, category and
-- version columns and the signals are named in worker.toml. An article without a cluster or a
-- domain has null there, which counts 0. Tables are found by the connection's search_path.
select a.article_id,
       a.revision,
       a.title,
       a.body,
       a.domain,
       a.published_on,
       c.hotness as cluster_hotness,
       d.goodness as domain_goodness
  from articles a
  left join clusters c on c.cluster = a.cluster
  left join domain_statistics d on d.domain = a.domain
 where a.extracted_entities = false
