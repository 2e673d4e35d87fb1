-- The seed's three queries as views, without its parameters, and without
-- soft-deleted customers. They run with the reader's rights: row level
-- security holds through them.
--
-- Rollback: 0008_customer_views.down.sql

CREATE VIEW customer_health WITH (security_invoker = true) AS
SELECT
  c.id,
  c.name,
  c.arr,
  c.tier,
  c.health_score AS current_health_score,
  c.renewal_date,
  c.csm_id,
  c.status,
  c.created_at,
  c.updated_at,
  hs.overall AS health_score,
  hs.product,
  hs.risk,
  hs.outcomes,
  hs.voice,
  hs.engagement,
  hs.calculated_at AS health_calculated_at
FROM customers AS c
LEFT JOIN LATERAL (
  SELECT *
  FROM health_scores
  WHERE customer_id = c.id
  ORDER BY calculated_at DESC
  LIMIT 1
) AS hs ON true
WHERE c.deleted_at IS NULL;

COMMENT ON VIEW customer_health IS
  'Each customer with the latest breakdown of its health; for one: WHERE id = …. Soft-deleted customers are left out';
COMMENT ON COLUMN customer_health.current_health_score IS
  'customers.health_score, under a name of its own because health_score is the latest measurement here';
COMMENT ON COLUMN customer_health.health_score IS 'health_scores.overall of the latest measurement; NULL: never measured';
COMMENT ON COLUMN customer_health.health_calculated_at IS 'When the latest measurement was made';

CREATE VIEW customers_at_risk WITH (security_invoker = true) AS
SELECT
  c.id,
  c.name,
  c.arr,
  c.tier,
  c.health_score,
  c.renewal_date,
  c.csm_id,
  c.status,
  c.created_at,
  c.updated_at,
  count(rs.id) AS active_signals
FROM customers AS c
LEFT JOIN risk_signals AS rs ON rs.customer_id = c.id AND rs.resolved_at IS NULL
WHERE c.deleted_at IS NULL
  AND (c.health_score < 60 OR rs.severity IN ('high', 'critical'))
GROUP BY c.id
ORDER BY c.health_score ASC;

COMMENT ON VIEW customers_at_risk IS
  'Customers whose health is below 60 or who have an open signal that is high or critical, worst first. Soft-deleted customers are left out';
COMMENT ON COLUMN customers_at_risk.active_signals IS
  'Open signals: all of them where the health is below 60, else the high and critical ones';

CREATE VIEW upcoming_renewals WITH (security_invoker = true) AS
SELECT
  c.id AS customer_id,
  c.name,
  c.arr,
  c.tier,
  c.health_score,
  c.renewal_date AS customer_renewal_date,
  c.csm_id,
  c.status,
  c.created_at,
  c.updated_at,
  rp.id AS renewal_id,
  rp.renewal_date,
  rp.current_arr,
  rp.forecasted_arr,
  rp.stage,
  rp.probability,
  rp.notes
FROM customers AS c
JOIN renewal_pipeline AS rp ON rp.customer_id = c.id
WHERE c.deleted_at IS NULL
  AND rp.renewal_date BETWEEN now() AND now() + INTERVAL '90 days'
ORDER BY rp.renewal_date ASC;

COMMENT ON VIEW upcoming_renewals IS
  'Renewals of the next 90 days, next first. Soft-deleted customers are left out';
COMMENT ON COLUMN upcoming_renewals.customer_id IS 'customers.id and renewal_pipeline.customer_id, which are the same';
COMMENT ON COLUMN upcoming_renewals.customer_renewal_date IS 'customers.renewal_date';
COMMENT ON COLUMN upcoming_renewals.renewal_id IS 'renewal_pipeline.id';
COMMENT ON COLUMN upcoming_renewals.renewal_date IS
  'renewal_pipeline.renewal_date, taken as its midnight in the session''s time zone: one due today has begun and is no longer upcoming';
