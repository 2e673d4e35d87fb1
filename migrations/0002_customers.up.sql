-- Users, and the customers that everything else belongs to: the seed's four
-- core tables, the `users` they reference, and the soft delete on customers.
--
-- Rollback: 0002_customers.down.sql

-- What IF (NOT) EXISTS skips is nothing to report.
SET LOCAL client_min_messages = warning;

-- A product may have some of these tables already: they are kept as they are,
-- and only those created here are marked as ours (the down file drops no other).
SELECT set_config('runtraced.there_before', coalesce(string_agg(relname, ','), ''), true)
FROM pg_class
WHERE oid IN (to_regclass('users'), to_regclass('customers'), to_regclass('stakeholders'), to_regclass('contracts'), to_regclass('entitlements'));

CREATE TABLE IF NOT EXISTS users (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  email TEXT,
  full_name TEXT,
  is_admin BOOLEAN NOT NULL DEFAULT false,
  created_at TIMESTAMPTZ DEFAULT NOW()
);
ALTER TABLE users ADD COLUMN IF NOT EXISTS is_admin BOOLEAN NOT NULL DEFAULT false;

CREATE TABLE IF NOT EXISTS customers (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  name TEXT NOT NULL,
  arr NUMERIC NOT NULL,
  tier TEXT CHECK (tier IN ('enterprise', 'mid-market', 'smb')),
  health_score INTEGER DEFAULT 50,
  renewal_date DATE,
  csm_id UUID REFERENCES users(id),
  status TEXT DEFAULT 'active',
  created_at TIMESTAMPTZ DEFAULT NOW(),
  updated_at TIMESTAMPTZ DEFAULT NOW()
);
ALTER TABLE customers ADD COLUMN IF NOT EXISTS deleted_at TIMESTAMPTZ;

CREATE TABLE IF NOT EXISTS stakeholders (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  customer_id UUID REFERENCES customers(id),
  name TEXT NOT NULL,
  email TEXT NOT NULL,
  title TEXT,
  role TEXT CHECK (role IN ('champion', 'sponsor', 'user', 'detractor')),
  is_primary BOOLEAN DEFAULT false,
  sentiment TEXT CHECK (sentiment IN ('positive', 'neutral', 'negative')),
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE TABLE IF NOT EXISTS contracts (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  customer_id UUID REFERENCES customers(id),
  file_url TEXT,
  parsed_data JSONB,
  start_date DATE,
  end_date DATE,
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE TABLE IF NOT EXISTS entitlements (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  customer_id UUID REFERENCES customers(id),
  contract_id UUID REFERENCES contracts(id),
  product TEXT NOT NULL,
  quantity INTEGER,
  status TEXT DEFAULT 'active',
  created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX IF NOT EXISTS idx_customers_health ON customers(health_score);
CREATE INDEX IF NOT EXISTS idx_customers_renewal ON customers(renewal_date);
CREATE INDEX IF NOT EXISTS idx_customers_csm ON customers(csm_id);
CREATE INDEX IF NOT EXISTS idx_stakeholders_customer ON stakeholders(customer_id);
CREATE INDEX IF NOT EXISTS idx_contracts_customer ON contracts(customer_id);
CREATE INDEX IF NOT EXISTS idx_entitlements_customer ON entitlements(customer_id);
CREATE INDEX IF NOT EXISTS idx_entitlements_contract ON entitlements(contract_id);

DO $migration$
DECLARE
  created record;
BEGIN
  FOR created IN
    SELECT *
    FROM (VALUES
      ('users', 'People who use the product; the sub claim of a request is a users.id'),
      ('customers', 'Customers, the central entity; csm_id is who looks after one'),
      ('stakeholders', 'Contacts at a customer'),
      ('contracts', 'Contracts of a customer'),
      ('entitlements', 'What a customer purchased')
    ) AS t (name, about)
    WHERE name <> ALL (string_to_array(current_setting('runtraced.there_before'), ','))
  LOOP
    EXECUTE format('COMMENT ON TABLE %I IS %L', created.name, created.about || ' [created by runtraced]');
  END LOOP;
END
$migration$;

COMMENT ON COLUMN users.is_admin IS
  'Sees the data of every customer and user; set by the operator alone, no policy lets a user write it';
COMMENT ON COLUMN customers.deleted_at IS
  'When the customer was deleted (soft delete), NULL: not. The customer views leave such rows out, the table does not: '
  'queries of one''s own filter on deleted_at IS NULL. Set by the product';
