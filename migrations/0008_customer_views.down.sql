-- Undoes 0008_customer_views: drops the three views; no data is lost.

DROP VIEW IF EXISTS upcoming_renewals;
DROP VIEW IF EXISTS customers_at_risk;
DROP VIEW IF EXISTS customer_health;
