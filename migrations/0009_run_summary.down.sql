-- Undoes 0009_run_summary: drops the view and its helper; no data is lost.

DROP VIEW IF EXISTS run_summary;
DROP FUNCTION IF EXISTS public.ms_between(timestamptz, timestamptz);
