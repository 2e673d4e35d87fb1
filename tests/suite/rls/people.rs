//! Two managers with a customer each, a user with a session, and everything
//! that may hang off them, once for each.

use sqlx::{AssertSqlSafe, Connection as _, Error, PgConnection};

use crate::support::pg::{self, TestDatabase};

/// Who asks: the claims of his requests.
pub const ANN: &str = r#"{"sub":"00000000-0000-0000-0000-00000000000a"}"#;
pub const BEN: &str = r#"{"sub":"00000000-0000-0000-0000-00000000000b"}"#;
pub const ADMIN: &str = r#"{"sub":"00000000-0000-0000-0000-0000000000ad"}"#;
pub const STRANGER: &str = r#"{"sub":"00000000-0000-0000-0000-000000000057"}"#;
/// Nobody, and claims that are none: each must be as good as nobody.
pub const NOBODY: &[&str] = &[
    "",
    "{}",
    r#"{"role":"anon"}"#,
    r#"{"sub":""}"#,
    r#"{"sub":"ann"}"#,
    r#"{"sub":null}"#,
    r#"["sub"]"#,
    r#""sub""#,
    "null",
    "not json",
    r#"{"sub":"00000000-0000-0000-0000-00000000000"#,
];

/// `#` stands for the last hex digit of a person.
const OF_EACH: &str = r"
INSERT INTO users (id, email) VALUES ('00000000-0000-0000-0000-00000000000#', '#@example.org');
INSERT INTO customers (id, name, arr, csm_id)
  VALUES ('c0000000-0000-0000-0000-00000000000#', 'customer of #', 1, '00000000-0000-0000-0000-00000000000#');
INSERT INTO stakeholders (customer_id, name, email) VALUES ('c0000000-0000-0000-0000-00000000000#', 'n', 'e');
INSERT INTO contracts (id, customer_id)
  VALUES ('cc000000-0000-0000-0000-00000000000#', 'c0000000-0000-0000-0000-00000000000#');
INSERT INTO entitlements (customer_id, contract_id, product)
  VALUES ('c0000000-0000-0000-0000-00000000000#', 'cc000000-0000-0000-0000-00000000000#', 'p');
INSERT INTO health_scores (customer_id, overall) VALUES ('c0000000-0000-0000-0000-00000000000#', 7);
INSERT INTO usage_metrics (customer_id, date) VALUES ('c0000000-0000-0000-0000-00000000000#', '2026-01-01');
INSERT INTO risk_signals (customer_id, severity) VALUES ('c0000000-0000-0000-0000-00000000000#', 'high');
INSERT INTO renewal_pipeline (customer_id, renewal_date)
  VALUES ('c0000000-0000-0000-0000-00000000000#', current_date + 30);
INSERT INTO qbrs (customer_id) VALUES ('c0000000-0000-0000-0000-00000000000#');
INSERT INTO agent_sessions (id, user_id)
  VALUES ('50000000-0000-0000-0000-00000000000#', '00000000-0000-0000-0000-00000000000#');
-- A run of one's own session, one of no session about one's own customer, and
-- one of neither, which only admins see.
INSERT INTO agent_runs (id, session_id, customer_id, agent_id, agent_type, status) VALUES
  ('10000000-0000-0000-0000-00000000000#', '50000000-0000-0000-0000-00000000000#', NULL, 'a', 'b', 'running'),
  ('20000000-0000-0000-0000-00000000000#', NULL, 'c0000000-0000-0000-0000-00000000000#', 'a', 'b', 'running'),
  ('30000000-0000-0000-0000-00000000000#', NULL, NULL, 'a', 'b', 'running');
INSERT INTO agent_steps (run_id, name) SELECT id, 's' FROM agent_runs WHERE right(id::text, 1) = '#';
INSERT INTO agent_contents (run_id, hash, kind, body) SELECT id, id, 0, '1' FROM agent_runs WHERE right(id::text, 1) = '#';
INSERT INTO agent_content_scopes (id, session_id, owner_id, month) SELECT id, id, id, '2026-01-01' FROM agent_runs WHERE right(id::text, 1) = '#';
INSERT INTO agent_run_scopes (run_id, scope_id) SELECT id, id FROM agent_runs WHERE right(id::text, 1) = '#';
INSERT INTO agent_shared_contents (scope_id, hash, kind, body) SELECT id, id, 0, '1' FROM agent_runs WHERE right(id::text, 1) = '#';
INSERT INTO agent_step_aliases (id, run_id) SELECT id, id FROM agent_runs WHERE right(id::text, 1) = '#';
INSERT INTO agent_token_counts (run_id, input) SELECT id, 1 FROM agent_runs WHERE right(id::text, 1) = '#';
INSERT INTO agent_scores (run_id, name, value) SELECT id, 'n', 1 FROM agent_runs WHERE right(id::text, 1) = '#';
-- Messages and approvals: of the session alone, and of a run alone.
INSERT INTO agent_messages (session_id, run_id, content) VALUES
  ('50000000-0000-0000-0000-00000000000#', NULL, 'm'), (NULL, '20000000-0000-0000-0000-00000000000#', 'm'),
  (NULL, '30000000-0000-0000-0000-00000000000#', 'm');
INSERT INTO approvals (session_id, run_id, action_type, status) VALUES
  ('50000000-0000-0000-0000-00000000000#', NULL, 'x', 'pending'),
  (NULL, '20000000-0000-0000-0000-00000000000#', 'x', 'pending'),
  (NULL, '30000000-0000-0000-0000-00000000000#', 'x', 'pending');
";

const OF_ALL: &str = r"
-- A run of one's own session is not his whose customer it is about.
UPDATE agent_runs SET customer_id = 'c0000000-0000-0000-0000-00000000000b'
  WHERE session_id = '50000000-0000-0000-0000-00000000000a';
UPDATE agent_runs SET customer_id = 'c0000000-0000-0000-0000-00000000000a'
  WHERE session_id = '50000000-0000-0000-0000-00000000000b';
INSERT INTO users (id) VALUES
  ('00000000-0000-0000-0000-0000000000ad'), ('00000000-0000-0000-0000-000000000057');
INSERT INTO runtraced_admins (user_id) VALUES ('00000000-0000-0000-0000-0000000000ad');
INSERT INTO ingest_dead_letters (source, code, reason, payload) VALUES ('grpc', 'x', 'y', '{}');
INSERT INTO ingest_keys (name, key_sha256) VALUES ('k', sha256('k'));
INSERT INTO ingest_ledger (instance, shard, received, committed) VALUES (gen_random_uuid(), 0, 3, 2);
";

const CUSTOMER_TABLES: [&str; 9] = [
    "customers",
    "stakeholders",
    "contracts",
    "entitlements",
    "health_scores",
    "usage_metrics",
    "risk_signals",
    "renewal_pipeline",
    "qbrs",
];

fn migrate(url: &str, flags: &[&str]) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_runtraced"));
    let output = command
        .arg("migrate")
        .args(flags)
        .env("DATABASE_URL", url)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A database with these people, and a role that product users come in by.
#[derive(Debug)]
pub struct People {
    database: TestDatabase,
    pub owner: PgConnection,
    role: String,
}

impl People {
    /// All rights on all tables: only policies stand in the way.
    pub async fn new() -> Self {
        Self::on(pg::database().await, OF_EACH).await
    }

    /// The same in a database without customer tables.
    pub async fn without_customers() -> Self {
        let database = pg::database().await;
        migrate(database.url(), &["--without-customers"]);
        let is_of_customer = |statement: &&str| {
            let table = statement.split_once("INSERT INTO ").map(|(_, rest)| rest);
            let table = table.and_then(|rest| rest.split(' ').next());
            table.is_some_and(|table| CUSTOMER_TABLES.contains(&table))
        };
        let kept = OF_EACH.split(";\n").filter(|one| !is_of_customer(one));
        Self::on(database, &kept.collect::<Vec<_>>().join(";\n")).await
    }

    /// Migrates the database with more flags.
    pub fn migrate(&self, flags: &[&str]) {
        migrate(self.database.url(), flags);
    }

    async fn on(database: TestDatabase, of_each: &str) -> Self {
        let mut owner = database.connect().await;
        let role = format!("product_{}", database.name);
        let setup = [
            of_each.replace('#', "a"),
            of_each.replace('#', "b"),
            OF_ALL.to_owned(),
            format!("CREATE ROLE {role} NOLOGIN"),
            format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"),
        ];
        for sql in setup {
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut owner)
                .await
                .unwrap();
        }
        Self {
            database,
            owner,
            role,
        }
    }

    /// Runs a statement as this person and forgets what it did. How many rows
    /// it gave or changed.
    pub async fn as_person(&mut self, claims: &str, sql: &str) -> Result<u64, Error> {
        let mut transaction = self.owner.begin().await?;
        sqlx::query(
            "SELECT set_config('request.jwt.claims', $1, true), set_config('role', $2, true)",
        )
        .bind(claims)
        .bind(&self.role)
        .execute(&mut *transaction)
        .await?;
        let done = sqlx::query(AssertSqlSafe(sql.to_owned()))
            .execute(&mut *transaction)
            .await;
        transaction.rollback().await?;
        done.map(|done| done.rows_affected())
    }

    /// How many rows of a table or view this person sees.
    pub async fn sees(&mut self, claims: &str, relation: &str) -> u64 {
        self.as_person(claims, &format!("SELECT * FROM {relation}"))
            .await
            .unwrap()
    }
}
