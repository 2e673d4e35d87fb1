-- Undoes 0034_costs: prices, also those of the operator, are gone.

DROP VIEW IF EXISTS run_costs;
DROP VIEW IF EXISTS agent_token_costs;
DROP FUNCTION IF EXISTS public.reported_cost(jsonb);
DROP TABLE IF EXISTS model_prices;
