-- Undoes 0044_shared_contents: gives each run its contents back, and drops what the runs of a session shared.

-- Nobody may share anything more.
LOCK TABLE agent_content_scopes, agent_run_scopes, agent_shared_contents IN ACCESS EXCLUSIVE MODE;

INSERT INTO agent_contents (run_id, hash, kind, prev, part, name, body)
SELECT s.run_id, c.hash, c.kind, c.prev, c.part, c.name, c.body
FROM agent_run_scopes AS s
CROSS JOIN LATERAL public.shared_pieces(s.scope_id, ARRAY(SELECT public.content_references(s.run_id, true))) AS p (hash)
JOIN agent_shared_contents AS c ON c.scope_id = s.scope_id AND c.hash = p.hash
ON CONFLICT ON CONSTRAINT agent_contents_pkey DO NOTHING;

CREATE OR REPLACE FUNCTION public.content_value(run_id uuid, value jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE COST 1000 SET search_path = ''
AS $function$
DECLARE
  hash text;
BEGIN
  -- A larger value is no reference. Its size is known without reading it.
  IF pg_column_size(value) < 128 THEN
    hash := value ->> '$content';
    IF hash ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' AND value = jsonb_build_object('$content', hash)
      AND has_table_privilege('public.agent_contents', 'SELECT')
    THEN
      PERFORM set_config('runtraced.run', run_id::text, true);
      RETURN coalesce(public.content_of(run_id, hash::uuid, '{}'), value);
    END IF;
  END IF;
  RETURN value;
END
$function$;

DROP FUNCTION public.runs_sharing_text(text);
DROP FUNCTION public.run_shares_text(uuid, text);
DROP FUNCTION public.shared_text(uuid, uuid[], text);
DROP FUNCTION public.unneeded_contents(uuid);
DROP FUNCTION public.shared_pieces(uuid, uuid[]);
DROP FUNCTION public.content_references(uuid, boolean);
DROP FUNCTION public.shared_content(uuid, uuid);
DROP FUNCTION public.shared_content_of(uuid, uuid, uuid[]);
DROP TABLE agent_shared_contents;
DROP TABLE agent_run_scopes;
DROP TABLE agent_content_scopes;
DROP TABLE agent_stale_scopes;
DROP FUNCTION public.note_stale_scopes();
