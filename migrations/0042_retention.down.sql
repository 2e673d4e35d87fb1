-- Undoes 0042_retention. What was deleted stays deleted, and late events bring runs back as placeholders.

CREATE OR REPLACE FUNCTION public.ingest_write_epoch() RETURNS integer
LANGUAGE sql STABLE SET search_path = ''
AS $function$ SELECT 3 $function$;

-- Half of a run is worth nothing: deletions that have begun are finished.
DO $migration$
DECLARE
  one text;
BEGIN
  FOREACH one IN ARRAY ARRAY['agent_steps', 'agent_messages', 'agent_token_counts', 'agent_scores', 'agent_step_aliases', 'approvals'] LOOP
    EXECUTE format('DELETE FROM %I WHERE run_id IN (SELECT id FROM agent_runs WHERE gone_at IS NOT NULL)', one);
  END LOOP;
END
$migration$;
DELETE FROM agent_runs WHERE gone_at IS NOT NULL;

DROP TABLE ingest_tombstones;
DROP TABLE retention_rules;
DROP INDEX idx_agent_runs_changed, idx_agent_runs_gone, idx_ingest_dead_letters_received;
ALTER TABLE agent_sessions DROP COLUMN changed_at;
ALTER TABLE agent_runs DROP COLUMN gone_at, DROP COLUMN changed_at;
