-- Undoes 0011_run_waterfall: drops the functions; no data is lost.

DROP FUNCTION IF EXISTS public.run_waterfall(uuid, integer);
DROP FUNCTION IF EXISTS public.waterfall_bar(bigint, bigint, bigint, integer, text, boolean);
DROP FUNCTION IF EXISTS public.waterfall_fit(text, integer, boolean);
DROP FUNCTION IF EXISTS public.waterfall_count(bigint);
DROP FUNCTION IF EXISTS public.waterfall_ms(bigint);
