-- Forgets the sample: its tables and all that was written to them.
drop table if exists article_entities, articles, clusters, domain_statistics cascade
