-- Deletes the sums of days in which something has changed since, as old_sums.sql does those of quarters.
DELETE FROM run_sums_days d
WHERE d.at IN (SELECT date_bin('1 day', c.at, '1970-01-01 00:00+00') FROM run_sums_changes c)
