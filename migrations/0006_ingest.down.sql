-- Undoes 0006_ingest: drops the daemon's own tables with their data. Every
-- key has to be made anew afterwards, and dead letters are gone.

DROP VIEW IF EXISTS ingest_reconciliation;
DROP TABLE IF EXISTS ingest_ledger;
DROP TABLE IF EXISTS ingest_keys;
DROP TABLE IF EXISTS ingest_dead_letters;
