-- Forgets the sample: its table and all that was written to it.
drop table if exists chunks cascade;
drop function if exists chunks_changed();
drop function if exists chunk_similarity(float4[], float4[])
