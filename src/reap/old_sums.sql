-- Deletes the sums of quarters in which something has changed since: they do not hold, and are made anew.
DELETE FROM run_sums s WHERE s.at IN (SELECT c.at FROM run_sums_changes c)
