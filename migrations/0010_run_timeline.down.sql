-- Undoes 0010_run_timeline: drops the view and its helper; no data is lost.

DROP VIEW IF EXISTS run_timeline;
DROP FUNCTION IF EXISTS public.run_step_tree(uuid);
