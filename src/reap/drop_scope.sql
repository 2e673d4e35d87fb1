-- Deletes the scope $1 if it has no runs. One whose last run was deleted a moment ago still has contents: it is looked at again.
DELETE FROM agent_content_scopes
WHERE id = $1
  AND NOT EXISTS (SELECT FROM agent_run_scopes WHERE scope_id = $1)
  AND NOT EXISTS (SELECT FROM agent_shared_contents WHERE scope_id = $1)
