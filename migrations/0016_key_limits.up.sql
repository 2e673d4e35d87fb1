-- How much a key may send. The daemon keeps the account of each key in memory,
-- so with several daemons the limits are those of each.
--
-- Rollback: 0016_key_limits.down.sql

ALTER TABLE ingest_keys
  ADD COLUMN max_events_per_second BIGINT CHECK (max_events_per_second > 0),
  ADD COLUMN max_bytes_per_second BIGINT CHECK (max_bytes_per_second > 0);

COMMENT ON COLUMN ingest_keys.max_events_per_second IS
  'Events that it may send per second to one daemon; NULL: as many as it likes';
COMMENT ON COLUMN ingest_keys.max_bytes_per_second IS
  'Bytes of events, as they weigh in the daemon''s memory, that it may send per second to one daemon; NULL: any';
