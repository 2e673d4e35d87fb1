-- Takes the user $1 out of decisions, with the notes.
UPDATE approvals
SET decided_by = NULL, notes = NULL,
    metadata = CASE WHEN metadata ? 'unresolved_decided_by' AND jsonb_typeof(metadata) = 'object'
                    THEN nullif(metadata - 'unresolved_decided_by', '{}') ELSE metadata END
WHERE decided_by::text = $1 OR metadata ->> 'unresolved_decided_by' = $1
