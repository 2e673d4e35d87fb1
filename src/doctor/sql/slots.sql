-- What is wrong with the slots. $1 their schemas, $2 the tables that each has.
-- `lost`: tables that a slot lacks, and names in public that are no view that reads with the rights of whoever asks.
-- `open`: tables without row level security. `bare`: indexes that some slots have and others lack.
-- `followed`: whether an event trigger gives the tables the rights that somebody grants on the views.
WITH wanted AS (
    SELECT s.name AS place, t.name AS name, to_regclass(s.name || '.' || t.name)::oid AS oid
    FROM unnest($1::text[]) AS s (name) CROSS JOIN unnest($2::text[]) AS t (name)
), indexes AS (
    SELECT w.name, x.relname AS index_name, count(*) FILTER (WHERE i.indisvalid) AS slots
    FROM wanted w
    JOIN pg_index i ON i.indrelid = w.oid
    JOIN pg_class x ON x.oid = i.indexrelid
    GROUP BY w.name, x.relname
)
SELECT ARRAY(
           SELECT w.place || '.' || w.name FROM wanted w LEFT JOIN pg_class c ON c.oid = w.oid
           WHERE c.relkind IS DISTINCT FROM 'r'
           UNION ALL
           SELECT 'public.' || t.name FROM unnest($2) AS t (name)
           LEFT JOIN pg_class c ON c.oid = to_regclass('public.' || t.name)
           WHERE (c.relkind = 'v' AND c.reloptions && ARRAY['security_invoker=true', 'security_invoker=on']) IS NOT TRUE
           ORDER BY 1) AS lost,
       ARRAY(
           SELECT w.place || '.' || w.name FROM wanted w JOIN pg_class c ON c.oid = w.oid
           WHERE NOT c.relrowsecurity ORDER BY 1) AS open,
       ARRAY(
           SELECT i.index_name::text FROM indexes i WHERE i.slots < cardinality($1) ORDER BY 1) AS bare,
       EXISTS (
           SELECT FROM pg_event_trigger WHERE evtname = 'runtraced_share_slots' AND evtenabled IN ('O', 'A')) AS followed
