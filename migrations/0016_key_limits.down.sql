-- Undoes 0016_key_limits: keys have no limits then.

ALTER TABLE ingest_keys
  DROP COLUMN IF EXISTS max_bytes_per_second,
  DROP COLUMN IF EXISTS max_events_per_second;
