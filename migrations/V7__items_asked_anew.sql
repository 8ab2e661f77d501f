-- Items that are asked about anew point to the task that was done before.

alter table tidegate.items add column of_task uuid;   -- the task that its task does anew

-- its successor has one argument more, which need not be given
drop function if exists tidegate.enqueue_ranked_v1(uuid, uuid, bigint, uuid[], text[], smallint[], int[], float8[], int[], bytea[], text[], text[]);
