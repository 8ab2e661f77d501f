-- After the last chunk: the two signals of the score, both 0 to 1, from all articles there are.
--
-- hotness of a cluster (a theme in a decade): its articles as a share of those of the decade's most
-- frequent theme. goodness of a domain (a party in a century): how many different names (words with
-- a capital inside a sentence) its articles hold on average, as a share of the best domain's.
with names as (
    select a.domain,
           (select count(distinct word[1])
              from regexp_matches(a.body, '[a-z,;] ([A-Z][a-z]{2,})', 'g') as word) as found
      from articles a
     where a.domain is not null
),
good as (
    select n.domain, count(*) as articles, avg(n.found) as mean
      from names n
     group by n.domain
),
domains as (
    insert into domain_statistics as d (domain, articles, goodness)
    select g.domain, g.articles, coalesce(g.mean / nullif(max(g.mean) over (), 0), 0)
      from good g
        on conflict (domain) do update
       set articles = excluded.articles, goodness = excluded.goodness
     where (d.articles, d.goodness) is distinct from (excluded.articles, excluded.goodness)
),
hot as (
    select a.cluster, count(*) as articles, substring(a.cluster from '[^-]*$') as decade
      from articles a
     where a.cluster is not null
     group by a.cluster
)
insert into clusters as c (cluster, hotness)
select h.cluster, h.articles::double precision / max(h.articles) over (partition by h.decade)
  from hot h
    on conflict (cluster) do update
   set hotness = excluded.hotness
 where c.hotness is distinct from excluded.hotness
