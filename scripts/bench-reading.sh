#!/usr/bin/env bash
# How fast the page's API reads: fills an empty database with RUNS runs of STEPS steps over WEEKS weeks,
# and times what the page asks. Usage, while a daemon serves that database:
#   scripts/bench-reading.sh DATABASE_URL http://127.0.0.1:4318 [RUNS [STEPS [WEEKS]]]
# With RUNS 0 it only times.
set -euo pipefail

url=$1 http=$2 runs=${3:-100000} steps=${4:-20} weeks=${5:-1}

fill() {
    psql -qX "$url" -v ON_ERROR_STOP=1 -v runs="$runs" -v steps="$steps" -v weeks="$weeks" <<'SQL'
SET synchronous_commit = off;
SET session_replication_role = replica;
CREATE TEMP VIEW told AS
  SELECT n, md5('run' || n)::uuid AS id, now() - n * (:weeks * 604800.0 / :runs) * INTERVAL '1 second' AS t,
    (ARRAY['gpt-4o', 'claude-sonnet-4-5', 'gpt-4o-mini', 'o3', 'our-model'])[1 + n % 5] AS model
  FROM generate_series(1, :runs) AS n;
INSERT INTO agent_runs (id, agent_id, agent_type, name, status, finalized_by, started_at, ended_at, start_event_at,
  last_event_at, total_tokens_input, total_tokens_output, error, input, output, metadata)
SELECT id, 'agent-' || n % 12, 'assistant', 'run ' || n, CASE WHEN n % 11 = 0 THEN 'failed' ELSE 'completed' END,
  'client', t, t + (1000 + n * 7919::bigint % 60000) * INTERVAL '1 ms', t, t, 8000, 800,
  CASE WHEN n % 11 = 0 THEN 'error number ' || n % 37 END, 'please do ' || n || repeat(' word', 30),
  'done ' || n || repeat(' word', 30), jsonb_build_object('team', 't' || n % 7, 'tags', jsonb_build_array('x' || n % 5))
FROM told;
INSERT INTO agent_steps (id, run_id, step_type, kind, name, model, status, started_at, ended_at, created_at, duration_ms,
  input, output)
SELECT md5('step' || n || '.' || k)::uuid, id, CASE WHEN k % 5 < 2 THEN 'llm_call' ELSE 'tool_call' END, NULL,
  CASE WHEN k % 5 < 2 THEN 'chat' ELSE 'tool-' || (n + k) % 25 END, CASE WHEN k % 5 < 2 THEN model END,
  CASE WHEN (n + k) % 97 = 0 THEN 'failed' ELSE 'completed' END, t, t + INTERVAL '1 s', t, 50 + n * k::bigint % 400,
  jsonb_build_object('q', 'word ' || n), jsonb_build_object('a', 'answer ' || k)
FROM told, generate_series(1, :steps) AS k;
INSERT INTO agent_token_counts (id, run_id, step_id, model, input, output, cache_read, created_at)
SELECT md5('count' || n || '.' || k)::uuid, id, md5('step' || n || '.' || k)::uuid, model, 1000, 100, 400, t
FROM told, generate_series(1, :steps) AS k
WHERE k % 5 < 2;
-- What triggers note, had they not been off.
INSERT INTO run_sums_changes (at) SELECT DISTINCT quarter_hour(started_at) FROM agent_runs;
SQL
    # The daemon does the same, bit by bit.
    while [[ $(psql -qXAt "$url" -c "SELECT fill_run_sums(20000, 20000, '0 s')") != 0 ]]; do :; done
    psql -qX "$url" -c 'VACUUM ANALYZE'
}

[[ $runs == 0 ]] || fill
run=$(curl -sf "$http/api/runs?limit=1" | grep -o '"run_id":"[^"]*"' | head -1 | cut -d'"' -f4)
printf '| request | ms |\n| --- | --- |\n'
for path in '/api/runs' '/api/runs?status=failed' '/api/runs?agent=agent-3' '/api/runs?model=o3' '/api/runs?tool=tool-3' \
    '/api/runs?tag=x3' '/api/runs?meta.team=t3' '/api/runs?error=number+36' '/api/runs?min_cost=0.02' '/api/runs?q=number+36' \
    '/api/runs?q=nobody+said+this' "/api/runs/$run" '/api/stats?since=1h' '/api/stats?since=24h' '/api/stats?since=7d' '/api/cost?by=agent&since=7d' \
    '/api/cost?by=model&since=7d' '/api/cost?by=session&since=7d' '/api/cost?by=customer&since=7d' '/api/cost?by=user&since=7d' \
    '/api/cost?by=day&since=7d'; do
    # The best of three: the others wait for something else.
    best=$(for _ in 1 2 3; do curl -s -o /dev/null -w '%{time_total} %{http_code}\n' "$http$path"; done | sort -n | head -1)
    [[ $best == *200 ]] || best="0 ${best#* }"
    printf '| `%s` | %s |\n' "${path/$run/ID}" "$(awk '{ print $2 == 200 ? int($1 * 1000 + 0.5) : "status " $2 }' <<<"$best")"
done
