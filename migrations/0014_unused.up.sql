-- No release used this number. It does nothing, so that the numbers have no hole.
--
-- Rollback: 0014_unused.down.sql
SELECT 1;
