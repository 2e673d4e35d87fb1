-- Undoes 0023_user_writes: users may set every column of their own sessions, messages and approvals again.

DROP TRIGGER IF EXISTS users_set_only_what_is_theirs ON agent_sessions;
DROP TRIGGER IF EXISTS users_set_only_what_is_theirs ON agent_messages;
DROP TRIGGER IF EXISTS users_decide_once ON approvals;

DROP POLICY IF EXISTS "Users set only what is theirs to set" ON agent_sessions;
DROP POLICY IF EXISTS "Users set only what is theirs to set" ON agent_messages;
DROP POLICY IF EXISTS "Users set only what is theirs to set" ON approvals;

DROP FUNCTION IF EXISTS public.decide_approval();
DROP FUNCTION IF EXISTS public.refuse_user_write();
DROP FUNCTION IF EXISTS public.sees_customer(uuid);
DROP FUNCTION IF EXISTS public.is_random_id(uuid);

COMMENT ON COLUMN agent_sessions.tenant_id IS
  'Merge state: the customer whose tenant key created the row; keys of other customers may not write to it. NULL: '
  'created without a tenant key, so customer_id decides';
