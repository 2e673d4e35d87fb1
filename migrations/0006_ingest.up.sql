-- The daemon's own tables: events that Postgres refused, the keys that may
-- write, and the count of every event received.
--
-- Rollback: 0006_ingest.down.sql

CREATE TABLE ingest_dead_letters (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  received_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  source TEXT NOT NULL,
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  payload JSONB NOT NULL,
  replayed_at TIMESTAMPTZ
);

COMMENT ON TABLE ingest_dead_letters IS
  'Events that only Postgres could refuse, kept whole so that nothing is thrown away. Written by the daemon';
COMMENT ON COLUMN ingest_dead_letters.id IS 'Made by the database';
COMMENT ON COLUMN ingest_dead_letters.received_at IS 'When it was put here, by the database''s clock';
COMMENT ON COLUMN ingest_dead_letters.source IS 'The door it came through: the protocol and its method';
COMMENT ON COLUMN ingest_dead_letters.code IS 'Why, for programs: the SQLSTATE or the daemon''s own code';
COMMENT ON COLUMN ingest_dead_letters.reason IS 'Why, for people';
COMMENT ON COLUMN ingest_dead_letters.payload IS 'The event in the protocol''s JSON form; can be sent again as it is';
COMMENT ON COLUMN ingest_dead_letters.replayed_at IS 'When it was sent again with success, NULL: not yet';

CREATE TABLE ingest_keys (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  name TEXT NOT NULL,
  key_sha256 BYTEA NOT NULL UNIQUE CHECK (octet_length(key_sha256) = 32),
  customer_id UUID REFERENCES customers(id),
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  revoked_at TIMESTAMPTZ
);

COMMENT ON TABLE ingest_keys IS 'Who may send events, and for whom. Written by the operator';
COMMENT ON COLUMN ingest_keys.id IS 'Names the key without giving it away';
COMMENT ON COLUMN ingest_keys.name IS 'Whose key it is, for people';
COMMENT ON COLUMN ingest_keys.key_sha256 IS 'SHA-256 of the key; the key itself is stored nowhere';
COMMENT ON COLUMN ingest_keys.customer_id IS 'The only customer it may write for; NULL: any';
COMMENT ON COLUMN ingest_keys.created_at IS 'By the database''s clock';
COMMENT ON COLUMN ingest_keys.revoked_at IS 'From when on it is refused; NULL: valid';

CREATE TABLE ingest_ledger (
  instance UUID,
  shard INTEGER,
  started_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  received BIGINT NOT NULL DEFAULT 0,
  committed BIGINT NOT NULL DEFAULT 0,
  duplicate BIGINT NOT NULL DEFAULT 0,
  refused BIGINT NOT NULL DEFAULT 0,
  spooled BIGINT NOT NULL DEFAULT 0,
  dead_lettered BIGINT NOT NULL DEFAULT 0,
  ignored BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (instance, shard)
);

COMMENT ON TABLE ingest_ledger IS
  'What became of every event received, by daemon process and shard: read it through ingest_reconciliation. Written by the daemon';
COMMENT ON COLUMN ingest_ledger.instance IS 'One daemon process, from its start to its end';
COMMENT ON COLUMN ingest_ledger.shard IS 'The shard of that process';
COMMENT ON COLUMN ingest_ledger.started_at IS 'When the row was made, by the database''s clock';
COMMENT ON COLUMN ingest_ledger.updated_at IS 'When the row was last changed, by the database''s clock';
COMMENT ON COLUMN ingest_ledger.received IS 'Events taken from a client, whatever became of them';
COMMENT ON COLUMN ingest_ledger.committed IS 'Events that made or changed a row';
COMMENT ON COLUMN ingest_ledger.duplicate IS 'Events that were there already';
COMMENT ON COLUMN ingest_ledger.refused IS 'Events refused with a reason';
COMMENT ON COLUMN ingest_ledger.spooled IS 'Events in the disk spool, to be committed later';
COMMENT ON COLUMN ingest_ledger.dead_lettered IS 'Events kept in ingest_dead_letters';
COMMENT ON COLUMN ingest_ledger.ignored IS 'Events that have nothing to store';

CREATE VIEW ingest_reconciliation WITH (security_invoker = true) AS
SELECT
  instance,
  min(started_at) AS started_at,
  max(updated_at) AS updated_at,
  sum(received)::bigint AS received,
  sum(committed)::bigint AS committed,
  sum(duplicate)::bigint AS duplicate,
  sum(refused)::bigint AS refused,
  sum(spooled)::bigint AS spooled,
  sum(dead_lettered)::bigint AS dead_lettered,
  sum(ignored)::bigint AS ignored,
  sum(received - (committed + duplicate + refused + spooled + dead_lettered + ignored))::bigint AS in_flight
FROM ingest_ledger
GROUP BY instance;

COMMENT ON VIEW ingest_reconciliation IS
  'Per daemon process: received = committed + duplicate + refused + spooled + dead_lettered + ignored + in_flight';
COMMENT ON COLUMN ingest_reconciliation.in_flight IS
  'Received and not yet settled; 0 when the daemon is at rest, anything else then is a loss';
