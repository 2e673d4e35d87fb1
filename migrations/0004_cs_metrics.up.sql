-- The seed's five customer-success tables.
--
-- Rollback: 0004_cs_metrics.down.sql

-- What IF (NOT) EXISTS skips is nothing to report.
SET LOCAL client_min_messages = warning;

-- A product may have some of these tables already: they are kept as they are,
-- and only those created here are marked as ours (the down file drops no other).
SELECT set_config('runtraced.there_before', coalesce(string_agg(relname, ','), ''), true)
FROM pg_class
WHERE oid IN (to_regclass('health_scores'), to_regclass('usage_metrics'), to_regclass('risk_signals'), to_regclass('renewal_pipeline'), to_regclass('qbrs'));

CREATE TABLE IF NOT EXISTS health_scores (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  customer_id UUID REFERENCES customers(id),
  overall INTEGER NOT NULL,
  product INTEGER,
  risk INTEGER,
  outcomes INTEGER,
  voice INTEGER,
  engagement INTEGER,
  calculated_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE TABLE IF NOT EXISTS usage_metrics (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  customer_id UUID REFERENCES customers(id),
  date DATE NOT NULL,
  dau INTEGER,
  wau INTEGER,
  mau INTEGER,
  session_duration_avg INTEGER,
  feature_adoption JSONB,
  adoption_score INTEGER
);

CREATE TABLE IF NOT EXISTS risk_signals (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  customer_id UUID REFERENCES customers(id),
  signal_type TEXT CHECK (signal_type IN (
    'usage_drop', 'champion_left', 'support_escalation',
    'nps_detractor', 'competitor_threat', 'payment_issue'
  )),
  severity TEXT CHECK (severity IN ('low', 'medium', 'high', 'critical')),
  description TEXT,
  detected_at TIMESTAMPTZ DEFAULT NOW(),
  resolved_at TIMESTAMPTZ
);

CREATE TABLE IF NOT EXISTS renewal_pipeline (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  customer_id UUID REFERENCES customers(id),
  renewal_date DATE NOT NULL,
  current_arr NUMERIC,
  forecasted_arr NUMERIC,
  stage TEXT CHECK (stage IN ('healthy', 'at_risk', 'churned', 'expanded')),
  probability INTEGER,
  notes TEXT
);

CREATE TABLE IF NOT EXISTS qbrs (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  customer_id UUID REFERENCES customers(id),
  scheduled_date DATE,
  status TEXT CHECK (status IN ('scheduled', 'completed', 'cancelled')),
  attendees JSONB,
  presentation_url TEXT,
  action_items JSONB,
  notes TEXT
);

CREATE INDEX IF NOT EXISTS idx_risk_signals_unresolved ON risk_signals(customer_id) WHERE resolved_at IS NULL;
CREATE INDEX IF NOT EXISTS idx_usage_metrics_date ON usage_metrics(customer_id, date);
CREATE INDEX IF NOT EXISTS idx_health_scores_customer ON health_scores(customer_id, calculated_at DESC);
CREATE INDEX IF NOT EXISTS idx_risk_signals_customer ON risk_signals(customer_id);
CREATE INDEX IF NOT EXISTS idx_renewal_pipeline_customer ON renewal_pipeline(customer_id);
CREATE INDEX IF NOT EXISTS idx_renewal_pipeline_date ON renewal_pipeline(renewal_date);
CREATE INDEX IF NOT EXISTS idx_qbrs_customer ON qbrs(customer_id);

DO $migration$
DECLARE
  created record;
BEGIN
  FOR created IN
    SELECT *
    FROM (VALUES
      ('health_scores', 'Health of a customer over time (PROVE framework), each 0 to 100'),
      ('usage_metrics', 'How much a customer uses the product, by day'),
      ('risk_signals', 'Signs that a customer may leave; open while resolved_at is NULL'),
      ('renewal_pipeline', 'Renewals ahead and their forecast'),
      ('qbrs', 'Quarterly business reviews')
    ) AS t (name, about)
    WHERE name <> ALL (string_to_array(current_setting('runtraced.there_before'), ','))
  LOOP
    EXECUTE format('COMMENT ON TABLE %I IS %L', created.name, created.about || ' [created by runtraced]');
  END LOOP;
END
$migration$;
