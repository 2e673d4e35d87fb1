-- Undoes 0013_bridged_spans: drops the aliases and the added columns with their
-- data; policies, grants and indexes go with them. What came of them stays:
-- parents that were resolved, fields that were observed.

DROP FUNCTION IF EXISTS public.merge_observed(jsonb, jsonb);

DROP TABLE IF EXISTS agent_step_aliases;

ALTER TABLE agent_messages DROP COLUMN IF EXISTS sighting;

ALTER TABLE agent_steps
  DROP COLUMN IF EXISTS view,
  DROP COLUMN IF EXISTS other_view,
  DROP COLUMN IF EXISTS details_view,
  DROP COLUMN IF EXISTS named_parent_step_id;

ALTER TABLE agent_runs
  DROP COLUMN IF EXISTS root_started_at,
  DROP COLUMN IF EXISTS output_observed,
  DROP COLUMN IF EXISTS status_observed,
  DROP COLUMN IF EXISTS observed;
