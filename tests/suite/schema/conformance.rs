//! Every column, check, reference, default, index and policy of the seed is
//! there as it says; what is added is written out here, so nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::{
    catalog::lines,
    seed::{CHECKS, COLUMNS, INDEXES, POLICIES, REFERENCES},
};
use crate::support::pg;

/// Columns of both tables of sums.
const RUN_SUMS: &[&str] = &[
    "owner uuid not null",
    "part text not null",
    "at timestamp with time zone not null",
    "agent_id text",
    "name text",
    "session_id uuid",
    "customer_id uuid",
    "runs bigint not null",
    "running bigint not null",
    "failed bigint not null",
    "calls bigint not null",
    "unpriced_calls bigint not null",
    "tokens_input bigint not null",
    "tokens_output bigint not null",
    "tokens_cache_read bigint not null",
    "ms bigint not null",
    "cost_usd numeric",
    "cost_reported_usd numeric",
    "last_at timestamp with time zone",
    "last_run_id uuid",
    "bins smallint[]",
    "counts integer[]",
    "wait_bins smallint[]",
    "wait_counts integer[]",
    "called text not null default ''::text",
    "status text",
];

/// Columns that the seed does not have.
const ADDED: &[(&str, &[&str])] = &[
    ("customers", &["deleted_at timestamp with time zone"]),
    (
        "agent_sessions",
        &[
            "external_id text",
            "metadata jsonb",
            "merge_times timestamp with time zone[]",
            "tenant_id uuid",
            "changed_at timestamp with time zone default now()",
        ],
    ),
    (
        "agent_messages",
        &[
            "run_id uuid",
            "step_id uuid",
            "seq bigint",
            "sighting boolean",
        ],
    ),
    (
        "agent_runs",
        &[
            "parent_run_id uuid",
            "name text",
            "error text",
            "end_metadata jsonb",
            "duration_ms bigint generated",
            "last_event_at timestamp with time zone",
            "finalized_by text",
            "reported_tokens_input integer",
            "reported_tokens_output integer",
            "timeout_ms bigint",
            "start_event_at timestamp with time zone",
            "alive_at timestamp with time zone",
            "abandon_at timestamp with time zone",
            "observed jsonb",
            "output_observed boolean",
            "status_observed boolean",
            "root_started_at timestamp with time zone",
            "tenant_id uuid",
            "error_observed boolean",
            "summed_by bigint",
            "views_shown boolean",
            "settle_at timestamp with time zone",
            "changed_at timestamp with time zone default now()",
            "gone_at timestamp with time zone",
        ],
    ),
    (
        "agent_steps",
        &[
            "parent_step_id uuid",
            "kind text",
            "status text",
            "error text",
            "model text",
            "started_at timestamp with time zone",
            "ended_at timestamp with time zone",
            "metadata jsonb",
            "closed_with_run boolean",
            "duration_reported boolean",
            "details_rank smallint",
            "details_at timestamp with time zone",
            "named_parent_step_id uuid",
            "details_view smallint",
            "other_view jsonb",
            "view smallint",
            "own_view jsonb",
        ],
    ),
    (
        "approvals",
        &[
            "run_id uuid",
            "step_id uuid",
            "metadata jsonb",
            "requested_event_at timestamp with time zone",
            "decided_event_at timestamp with time zone",
        ],
    ),
    (
        "users",
        &[
            "id uuid not null default gen_random_uuid()",
            "email text",
            "full_name text",
            "is_admin boolean not null default false",
            "created_at timestamp with time zone default now()",
        ],
    ),
    (
        "agent_token_counts",
        &[
            "id uuid not null default gen_random_uuid()",
            "run_id uuid not null",
            "step_id uuid",
            "model text",
            "input integer",
            "output integer",
            "cache_read integer",
            "cache_write integer",
            "reasoning integer",
            "rollup boolean not null default false",
            "created_at timestamp with time zone default now()",
            "seen_twice boolean",
        ],
    ),
    (
        "agent_scores",
        &[
            "id uuid not null default gen_random_uuid()",
            "run_id uuid not null",
            "step_id uuid",
            "name text not null",
            "value double precision",
            "label text",
            "comment text",
            "source text",
            "metadata jsonb",
            "created_at timestamp with time zone default now()",
        ],
    ),
    (
        "agent_contents",
        &[
            "run_id uuid not null",
            "hash uuid not null",
            "kind smallint not null",
            "prev uuid",
            "part uuid",
            "name text",
            "body jsonb",
        ],
    ),
    (
        "agent_content_scopes",
        &[
            "id uuid not null default gen_random_uuid()",
            "session_id uuid not null",
            "owner_id uuid not null",
            "month date not null",
        ],
    ),
    (
        "agent_stale_scopes",
        &[
            "id uuid not null default gen_random_uuid()",
            "scope_id uuid not null",
        ],
    ),
    (
        "agent_run_scopes",
        &["run_id uuid not null", "scope_id uuid not null"],
    ),
    (
        "agent_shared_contents",
        &[
            "scope_id uuid not null",
            "hash uuid not null",
            "kind smallint not null",
            "prev uuid",
            "part uuid",
            "name text",
            "body jsonb",
        ],
    ),
    (
        "agent_step_aliases",
        &[
            "id uuid not null",
            "run_id uuid not null",
            "step_id uuid",
            "parent_step_id uuid",
            "root_started_at timestamp with time zone",
            "root_ended_at timestamp with time zone",
            "root_status text",
            "root_error text",
            "root_name text",
            "run_pending boolean",
            "created_at timestamp with time zone not null default now()",
            "tenant_id uuid",
        ],
    ),
    (
        "ingest_dead_letters",
        &[
            "id uuid not null default gen_random_uuid()",
            "received_at timestamp with time zone not null default now()",
            "source text not null",
            "code text not null",
            "reason text not null",
            "payload jsonb not null",
            "replayed_at timestamp with time zone",
            "tenant_id uuid",
        ],
    ),
    (
        "ingest_keys",
        &[
            "id uuid not null default gen_random_uuid()",
            "name text not null",
            "key_sha256 bytea not null",
            "customer_id uuid",
            "created_at timestamp with time zone not null default now()",
            "revoked_at timestamp with time zone",
            "max_events_per_second bigint",
            "max_bytes_per_second bigint",
            "access text not null default 'write'::text",
        ],
    ),
    (
        "model_prices",
        &[
            "model text not null",
            "source text not null default 'operator'::text",
            "valid_from timestamp with time zone not null default '-infinity'::timestamp with time zone",
            "above_input_tokens bigint not null default 0",
            "input numeric",
            "output numeric",
            "cache_read numeric",
            "cache_write numeric",
            "reasoning numeric",
            "priced_as text",
            "updated_at timestamp with time zone not null default now()",
        ],
    ),
    (
        "retention_rules",
        &[
            "id uuid not null default gen_random_uuid()",
            "status text",
            "agent_id text",
            "customer_id uuid",
            "keep interval",
            "note text",
            "created_at timestamp with time zone not null default now()",
        ],
    ),
    (
        "ingest_tombstones",
        &[
            "id uuid not null",
            "is_session boolean not null default false",
            "at timestamp with time zone not null default now()",
            "erased_for text",
        ],
    ),
    ("run_sums", RUN_SUMS),
    ("run_sums_days", RUN_SUMS),
    (
        "run_sums_changes",
        &[
            "at timestamp with time zone not null",
            "noted_at timestamp with time zone not null default clock_timestamp()",
        ],
    ),
    (
        "run_sums_open",
        &[
            "run_id uuid not null",
            "owner uuid",
            "at timestamp with time zone not null",
        ],
    ),
    (
        "runtraced_admins",
        &[
            "user_id uuid not null",
            "granted_at timestamp with time zone not null default now()",
            "note text",
        ],
    ),
    (
        "ingest_ledger",
        &[
            "instance uuid not null",
            "shard integer not null",
            "started_at timestamp with time zone not null default now()",
            "updated_at timestamp with time zone not null default now()",
            "received bigint not null default 0",
            "committed bigint not null default 0",
            "duplicate bigint not null default 0",
            "refused bigint not null default 0",
            "spooled bigint not null default 0",
            "dead_lettered bigint not null default 0",
            "ignored bigint not null default 0",
            "spool uuid",
            "spool_progress jsonb",
        ],
    ),
];

/// Constraints that the seed does not have.
const ADDED_CONSTRAINTS: &[&str] = &[
    "agent_contents: agent_contents_body_check CHECK (((kind = 0) OR (body IS NULL) OR (jsonb_typeof(body) = (ARRAY['array'::text, 'object'::text])[kind])))",
    "agent_contents: agent_contents_kind_check CHECK (((kind >= 0) AND (kind <= 2)))",
    "agent_contents: agent_contents_leaf_check CHECK (((kind <> 0) OR (num_nonnulls(prev, part) = 0)))",
    "agent_contents: agent_contents_name_check CHECK (((name IS NOT NULL) = ((kind = 2) AND (part IS NOT NULL))))",
    "agent_contents: agent_contents_part_check CHECK ((num_nonnulls(part, body) = 1))",
    "agent_contents: agent_contents_pkey PRIMARY KEY (run_id, hash)",
    "agent_contents: agent_contents_run_id_fkey FOREIGN KEY (run_id) REFERENCES agent_runs(id)",
    "agent_content_scopes: agent_content_scopes_key UNIQUE (session_id, owner_id, month)",
    "agent_content_scopes: agent_content_scopes_pkey PRIMARY KEY (id)",
    "agent_run_scopes: agent_run_scopes_pkey PRIMARY KEY (run_id)",
    "agent_run_scopes: agent_run_scopes_run_id_fkey FOREIGN KEY (run_id) REFERENCES agent_runs(id) ON DELETE CASCADE",
    "agent_run_scopes: agent_run_scopes_scope_id_fkey FOREIGN KEY (scope_id) REFERENCES agent_content_scopes(id)",
    "agent_shared_contents: agent_shared_contents_body_check CHECK (((kind = 0) OR (body IS NULL) OR (jsonb_typeof(body) = (ARRAY['array'::text, 'object'::text])[kind])))",
    "agent_shared_contents: agent_shared_contents_kind_check CHECK (((kind >= 0) AND (kind <= 2)))",
    "agent_shared_contents: agent_shared_contents_leaf_check CHECK (((kind <> 0) OR (num_nonnulls(prev, part) = 0)))",
    "agent_shared_contents: agent_shared_contents_name_check CHECK (((name IS NOT NULL) = ((kind = 2) AND (part IS NOT NULL))))",
    "agent_shared_contents: agent_shared_contents_part_check CHECK ((num_nonnulls(part, body) = 1))",
    "agent_shared_contents: agent_shared_contents_pkey PRIMARY KEY (scope_id, hash)",
    "agent_shared_contents: agent_shared_contents_scope_id_fkey FOREIGN KEY (scope_id) REFERENCES agent_content_scopes(id)",
    "agent_stale_scopes: agent_stale_scopes_pkey PRIMARY KEY (id)",
    "agent_messages: agent_messages_run_id_fkey FOREIGN KEY (run_id) REFERENCES agent_runs(id)",
    "agent_runs: agent_runs_finalized_by_check CHECK ((finalized_by = ANY (ARRAY['client'::text, 'root_span'::text, 'abandoned'::text])))",
    "agent_scores: agent_scores_pkey PRIMARY KEY (id)",
    "agent_scores: agent_scores_run_id_fkey FOREIGN KEY (run_id) REFERENCES agent_runs(id)",
    "agent_step_aliases: agent_step_aliases_pkey PRIMARY KEY (run_id, id)",
    "agent_step_aliases: agent_step_aliases_root_status_check CHECK ((root_status = ANY (ARRAY['completed'::text, 'failed'::text])))",
    "agent_steps: agent_steps_status_check CHECK ((status = ANY (ARRAY['running'::text, 'completed'::text, 'failed'::text])))",
    "agent_token_counts: agent_token_counts_cache_read_check CHECK ((cache_read >= 0))",
    "agent_token_counts: agent_token_counts_cache_write_check CHECK ((cache_write >= 0))",
    "agent_token_counts: agent_token_counts_input_check CHECK ((input >= 0))",
    "agent_token_counts: agent_token_counts_output_check CHECK ((output >= 0))",
    "agent_token_counts: agent_token_counts_pkey PRIMARY KEY (id)",
    "agent_token_counts: agent_token_counts_reasoning_check CHECK ((reasoning >= 0))",
    "agent_token_counts: agent_token_counts_run_id_fkey FOREIGN KEY (run_id) REFERENCES agent_runs(id)",
    "approvals: approvals_run_id_fkey FOREIGN KEY (run_id) REFERENCES agent_runs(id)",
    "ingest_dead_letters: ingest_dead_letters_pkey PRIMARY KEY (id)",
    "ingest_keys: ingest_keys_access_check CHECK ((access = ANY (ARRAY['write'::text, 'read'::text, 'decide'::text])))",
    "ingest_keys: ingest_keys_customer_id_fkey FOREIGN KEY (customer_id) REFERENCES customers(id)",
    "ingest_keys: ingest_keys_key_sha256_check CHECK ((octet_length(key_sha256) = 32))",
    "ingest_keys: ingest_keys_key_sha256_key UNIQUE (key_sha256)",
    "ingest_keys: ingest_keys_max_bytes_per_second_check CHECK ((max_bytes_per_second > 0))",
    "ingest_keys: ingest_keys_max_events_per_second_check CHECK ((max_events_per_second > 0))",
    "ingest_keys: ingest_keys_pkey PRIMARY KEY (id)",
    "ingest_ledger: ingest_ledger_pkey PRIMARY KEY (instance, shard)",
    "model_prices: model_prices_above_input_tokens_check CHECK ((above_input_tokens >= 0))",
    "model_prices: model_prices_cache_read_check CHECK ((cache_read >= (0)::numeric))",
    "model_prices: model_prices_cache_write_check CHECK ((cache_write >= (0)::numeric))",
    "model_prices: model_prices_input_check CHECK ((input >= (0)::numeric))",
    "model_prices: model_prices_output_check CHECK ((output >= (0)::numeric))",
    "model_prices: model_prices_pkey PRIMARY KEY (model, source, valid_from, above_input_tokens)",
    "model_prices: model_prices_reasoning_check CHECK ((reasoning >= (0)::numeric))",
    "model_prices: model_prices_source_check CHECK ((source = ANY (ARRAY['operator'::text, 'catalog'::text])))",
    "ingest_tombstones: ingest_tombstones_pkey PRIMARY KEY (id, is_session)",
    "retention_rules: retention_rules_keep_check CHECK (((keep >= '01:00:00'::interval) AND (keep <= '100 years'::interval)))",
    "retention_rules: retention_rules_pkey PRIMARY KEY (id)",
    "retention_rules: retention_rules_status_check CHECK ((status = ANY (ARRAY['completed'::text, 'failed'::text])))",
    "runtraced_admins: runtraced_admins_pkey PRIMARY KEY (user_id)",
    "runtraced_admins: runtraced_admins_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE",
    "users: users_pkey PRIMARY KEY (id)",
];

async fn tables(connection: &mut PgConnection) -> BTreeMap<String, Vec<String>> {
    let all = lines(
        connection,
        "SELECT c.relname || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
           || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
           || CASE WHEN a.attgenerated <> '' THEN ' generated' ELSE coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') END
         FROM pg_class AS c
         JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> '_sqlx_migrations'
         ORDER BY c.relname, a.attnum",
    )
    .await;
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for line in all {
        let (table, column) = line.split_once(' ').unwrap();
        let columns = found.entry(table.to_owned()).or_default();
        columns.push(column.to_owned());
    }
    found
}

#[tokio::test]
async fn columns_are_the_seeds_and_then_the_added_ones() {
    let database = pg::database().await;
    let mut connection = database.connect().await;
    let mut expected = BTreeMap::<String, Vec<String>>::new();
    for (table, columns) in COLUMNS.iter().chain(ADDED) {
        let entry = expected.entry((*table).to_owned()).or_default();
        entry.extend(columns.iter().map(|column| (*column).to_owned()));
    }
    assert_eq!(COLUMNS.len(), 14);
    let found = tables(&mut connection).await;
    for (table, columns) in &expected {
        assert_eq!(found.get(table), Some(columns), "{table}");
    }
    assert!(found.keys().eq(expected.keys()), "{:?}", found.keys());
}

#[tokio::test]
async fn constraints_are_the_seeds_and_the_added_ones_under_their_default_names() {
    let database = pg::database().await;
    let mut connection = database.connect().await;
    let mut expected: BTreeSet<String> = ADDED_CONSTRAINTS
        .iter()
        .map(|line| (*line).to_owned())
        .collect();
    for (table, _) in COLUMNS {
        expected.insert(format!("{table}: {table}_pkey PRIMARY KEY (id)"));
    }
    for (table, column, target) in REFERENCES {
        expected.insert(format!(
            "{table}: {table}_{column}_fkey FOREIGN KEY ({column}) REFERENCES {target}(id)"
        ));
    }
    for (table, column, values) in CHECKS {
        let values: Vec<_> = values.iter().map(|v| format!("'{v}'::text")).collect();
        let values = values.join(", ");
        expected.insert(format!(
            "{table}: {table}_{column}_check CHECK (({column} = ANY (ARRAY[{values}])))"
        ));
    }
    let found = lines(
        &mut connection,
        "SELECT conrelid::regclass || ': ' || conname || ' ' || pg_get_constraintdef(oid)
         FROM pg_constraint
         WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'u', 'f', 'c')
           AND conrelid <> '_sqlx_migrations'::regclass",
    )
    .await;
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[tokio::test]
async fn indexes_of_the_seed_and_of_the_write_path_are_there() {
    let database = pg::database().await;
    let mut connection = database.connect().await;
    let found = lines(
        &mut connection,
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%\\_pkey'",
    )
    .await;
    for index in INDEXES {
        assert!(found.iter().any(|found| found == index), "{index}");
    }
    // Every index on these costs each event: a new one has to be meant.
    let on_the_way = [
        "CREATE INDEX idx_agent_messages_run ON public.agent_messages USING btree (run_id, created_at) WHERE (run_id IS NOT NULL)",
        "CREATE INDEX idx_agent_messages_session ON public.agent_messages USING btree (session_id, created_at)",
        "CREATE INDEX idx_agent_steps_named_parent ON public.agent_steps USING btree (run_id, parent_step_id) WHERE (named_parent_step_id IS NOT NULL)",
        "CREATE INDEX idx_agent_steps_open ON public.agent_steps USING btree (run_id) WHERE ((status = 'running'::text) OR closed_with_run)",
        "CREATE INDEX idx_agent_steps_run ON public.agent_steps USING btree (run_id, created_at)",
        "CREATE INDEX idx_agent_steps_time ON public.agent_steps USING brin (created_at) WITH (pages_per_range='32')",
        "CREATE INDEX idx_agent_token_counts_run ON public.agent_token_counts USING btree (run_id)",
        "CREATE INDEX idx_agent_token_counts_time ON public.agent_token_counts USING brin (created_at) WITH (pages_per_range='32')",
    ];
    let busy = ["agent_steps ", "agent_messages ", "agent_token_counts "];
    let mut there: Vec<_> = found
        .iter()
        .filter(|index| busy.iter().any(|table| index.contains(table)))
        .collect();
    there.sort();
    assert_eq!(there, on_the_way.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn policies_of_the_seed_are_there_and_no_table_is_without() {
    let database = pg::database().await;
    let mut connection = database.connect().await;
    let found = lines(
        &mut connection,
        "SELECT tablename || ': ' || policyname || ' (' || cmd || ')' FROM pg_policies",
    )
    .await;
    for policy in POLICIES {
        assert!(found.iter().any(|found| found == policy), "{policy}");
    }
    let open = lines(
        &mut connection,
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND NOT relrowsecurity",
    )
    .await;
    assert_eq!(open, Vec::<String>::new());
    let as_owner = lines(
        &mut connection,
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'
           AND NOT coalesce('security_invoker=true' = ANY (reloptions), false)",
    )
    .await;
    assert_eq!(as_owner, Vec::<String>::new(), "views with owner's rights");
}
