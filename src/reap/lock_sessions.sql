-- Locks those of the sessions $1 that nobody works on: nothing new can refer to them.
SELECT id FROM agent_sessions WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE SKIP LOCKED
