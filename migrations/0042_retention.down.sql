-- Undoes 0042_retention. What was deleted stays deleted, and late events bring runs back as placeholders.

CREATE OR REPLACE FUNCTION public.ingest_write_epoch() RETURNS integer
LANGUAGE sql STABLE SET search_path = ''
AS $function$ SELECT 3 $function$;

DROP TABLE ingest_tombstones;
DROP TABLE retention_rules;
DROP INDEX idx_agent_runs_changed, idx_agent_runs_gone;
ALTER TABLE agent_sessions DROP COLUMN changed_at;
ALTER TABLE agent_runs DROP COLUMN gone_at, DROP COLUMN changed_at;
