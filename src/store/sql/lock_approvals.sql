-- Locks the approvals of a batch, in the order of their ids. $1 ids.
SELECT id FROM approvals WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE
