-- Whether there are sums that no longer hold.
SELECT EXISTS (SELECT FROM run_sums_changes c JOIN run_sums s ON s.at = c.at)
    OR EXISTS (SELECT FROM run_sums_changes c JOIN run_sums_days d ON d.at = date_bin('1 day', c.at, '1970-01-01 00:00+00'))
