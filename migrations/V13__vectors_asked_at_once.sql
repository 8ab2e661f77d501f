-- Several interactive calls are made, looked up and claimed together, so that they may share one call of the provider.
drop function if exists tidegate.claim_v4(uuid, int, bigint, text[], text[], float8, timestamptz, boolean, uuid);
drop function if exists tidegate.ask_v1(uuid, uuid, text, int[], int, int, int, int, bytea, bigint, interval, int);
drop function if exists tidegate.kept_answer_v1(bytea, bigint, text);
