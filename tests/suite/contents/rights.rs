//! Whoever sees a step sees its contents, and nobody else does.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use super::rows::{execute, insert_contents, insert_shared, insert_step, reference};
use crate::support::daemon::Daemon;
use crate::support::pg::{self, TestDatabase};
use crate::support::writer::{ROLE, writer};
use runtraced::store::MIGRATIONS;

const ANN: &str = r#"{"sub":"00000000-0000-0000-0000-00000000000a"}"#;
const BEN: &str = r#"{"sub":"00000000-0000-0000-0000-00000000000b"}"#;
const ADMIN: &str = r#"{"sub":"00000000-0000-0000-0000-0000000000ad"}"#;
const STRANGER: &str = r#"{"sub":"00000000-0000-0000-0000-000000000057"}"#;
const READER_A: &str = r#"{"runtraced_customer":"c0000000-0000-0000-0000-00000000000a"}"#;
const READER_B: &str = r#"{"runtraced_customer":"c0000000-0000-0000-0000-00000000000b"}"#;

/// A session of Ann with a run for each customer's key, a run without a session about the customer
/// that Ben looks after, and one that belongs to nobody.
const PEOPLE: &str = "
INSERT INTO users (id) VALUES
  ('00000000-0000-0000-0000-00000000000a'), ('00000000-0000-0000-0000-00000000000b'),
  ('00000000-0000-0000-0000-0000000000ad'), ('00000000-0000-0000-0000-000000000057');
INSERT INTO runtraced_admins (user_id) VALUES ('00000000-0000-0000-0000-0000000000ad');
INSERT INTO customers (id, name, arr, csm_id) VALUES
  ('c0000000-0000-0000-0000-00000000000a', 'a', 1, NULL),
  ('c0000000-0000-0000-0000-00000000000b', 'b', 1, '00000000-0000-0000-0000-00000000000b');
INSERT INTO agent_sessions (id, user_id)
  VALUES ('50000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000a');
INSERT INTO agent_runs (id, session_id, tenant_id, customer_id, agent_id, agent_type, status) VALUES
  ('00000000-0000-0000-0000-000000000001', '50000000-0000-0000-0000-00000000000a',
   'c0000000-0000-0000-0000-00000000000a', NULL, 'a', 'b', 'running'),
  ('00000000-0000-0000-0000-000000000002', '50000000-0000-0000-0000-00000000000a',
   'c0000000-0000-0000-0000-00000000000b', NULL, 'a', 'b', 'running'),
  ('00000000-0000-0000-0000-000000000003', NULL, NULL, 'c0000000-0000-0000-0000-00000000000b', 'a', 'b', 'running'),
  ('00000000-0000-0000-0000-000000000004', NULL, NULL, NULL, 'a', 'b', 'running')";

/// A list of two rows, of which one has a part.
const CONTENTS: &str = "1 0 0 0 - \"text\"\n2 1 0 0 - [\"first\"]\n3 1 2 1 -";

/// What the four steps refer to.
fn sent() -> Value {
    json!(["first", "text"])
}

async fn fill(owner: &mut PgConnection) {
    execute(owner, PEOPLE).await;
    for run in 1..=4 {
        let run = Uuid::from_u128(run);
        insert_contents(owner, run, CONTENTS).await;
        insert_step(owner, run, &reference(3), &reference(99)).await;
    }
}

/// A role with all rights on all tables: only policies stand in its way.
async fn product(owner: &mut PgConnection, database: &TestDatabase) -> String {
    let role = format!("product_{}", database.name);
    let sql =
        format!("CREATE ROLE {role} NOLOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}");
    execute(owner, &sql).await;
    role
}

/// Goes on as a role with these claims until the transaction ends.
async fn take_role(conn: &mut PgConnection, role: &str, claims: &str) {
    sqlx::query("SELECT set_config('request.jwt.claims', $1, true), set_config('role', $2, true)")
        .bind(claims)
        .bind(role)
        .execute(conn)
        .await
        .unwrap();
}

/// What a role with these claims may see: the runs of steps; of contents; of steps whose input is
/// shown; and of contents that are read without a step.
async fn seen(conn: &mut PgConnection, role: &str, claims: &str) -> [BTreeSet<Uuid>; 4] {
    let mut tx = conn.begin().await.unwrap();
    take_role(&mut tx, role, claims).await;
    let runs = "(VALUES (1), (2), (3), (4)) AS n (run)
                CROSS JOIN LATERAL (SELECT lpad(n.run::text, 32, '0')::uuid AS id) AS r";
    let mut seen = [(); 4].map(|()| BTreeSet::new());
    for (seen, query) in seen.iter_mut().zip([
        "SELECT run_id FROM agent_steps".to_owned(),
        "SELECT run_id FROM agent_contents".to_owned(),
        format!("SELECT run_id FROM run_timeline WHERE item = 'step' AND input = '{}'", sent()),
        // Whoever knows run and hash may ask.
        format!(
            "SELECT r.id FROM {runs}
             WHERE content_value(r.id, '{reference}') = '{sent}' OR content_of(r.id, '{hash}', '{{}}') = '{sent}'",
            reference = reference(3),
            hash = Uuid::from_u128(3),
            sent = sent(),
        ),
    ]) {
        let rows = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut *tx).await;
        *seen = rows.unwrap().into_iter().collect();
    }
    // Whoever names a run sees no more of it, and still what is theirs.
    for run in 1..=4 {
        sqlx::query("SELECT set_config('runtraced.run', $1, true)")
            .bind(Uuid::from_u128(run).to_string())
            .execute(&mut *tx)
            .await
            .unwrap();
        let named: Vec<Uuid> = sqlx::query_scalar("SELECT DISTINCT run_id FROM agent_contents")
            .fetch_all(&mut *tx)
            .await
            .unwrap();
        assert_eq!(
            named.into_iter().collect::<BTreeSet<_>>(),
            seen[1],
            "{claims}: {run}"
        );
    }
    tx.rollback().await.unwrap();
    seen
}

/// Scenario: users, a manager, an admin, readers of two customers whose runs are in one session, a
/// stranger, nobody; each with all rights on all tables.
/// Guarantees: the contents that one sees are those of the steps that one sees.
#[tokio::test]
async fn contents_are_seen_with_their_steps() {
    let database = pg::database().await;
    let mut owner = database.connect().await;
    fill(&mut owner).await;
    let role = product(&mut owner, &database).await;
    for (claims, runs) in [
        (ANN, &[1, 2][..]),
        (BEN, &[3]),
        (ADMIN, &[1, 2, 3, 4]),
        (READER_A, &[1]),
        (READER_B, &[2, 3]),
        (STRANGER, &[]),
        ("", &[]),
    ] {
        let want: BTreeSet<Uuid> = runs.iter().copied().map(Uuid::from_u128).collect();
        let got = seen(&mut owner, &role, claims).await;
        assert_eq!(got, [(); 4].map(|()| want.clone()), "{claims}");
    }
}

/// Scenario: nobody but the daemon writes contents; each of them tries, with all rights on the table.
/// Guarantees: no row is added, changed or deleted.
#[tokio::test]
async fn nobody_writes_contents() {
    let database = pg::database().await;
    let mut owner = database.connect().await;
    fill(&mut owner).await;
    let role = product(&mut owner, &database).await;
    for claims in [ANN, BEN, ADMIN, READER_A, STRANGER, ""] {
        for sql in [
            "INSERT INTO agent_contents (run_id, hash, kind, body) VALUES ('00000000-0000-0000-0000-000000000001', gen_random_uuid(), 0, '1')",
            "UPDATE agent_contents SET body = '1' WHERE kind = 0",
            "DELETE FROM agent_contents",
        ] {
            let mut tx = owner.begin().await.unwrap();
            take_role(&mut tx, &role, claims).await;
            let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await;
            match done {
                Ok(done) => assert_eq!(done.rows_affected(), 0, "{claims}: {sql}"),
                Err(error) => {
                    let code = error.as_database_error().and_then(|error| error.code());
                    assert_eq!(code.as_deref(), Some("42501"), "{claims}: {sql}: {error}");
                }
            }
            tx.rollback().await.unwrap();
        }
    }
}

/// Scenario: the role of the daemon that `grant` makes, and the role that the page reads as.
/// Guarantees: the first sees and writes all contents, and deletes none unless it is told to; the
/// second sees what the claims of a request let it see.
#[tokio::test(flavor = "multi_thread")]
async fn the_roles_of_grant_are_enough() {
    let database = pg::database().await;
    let mut owner = database.connect().await;
    fill(&mut owner).await;
    let url = writer(database.url()).await;
    let mut conn = PgConnection::connect(&url).await.unwrap();
    let all: BTreeSet<Uuid> = (1..=4).map(Uuid::from_u128).collect();
    assert_eq!(
        seen(&mut conn, ROLE, "").await,
        [(); 4].map(|()| all.clone())
    );
    execute(&mut conn, "INSERT INTO agent_contents (run_id, hash, kind, body) SELECT id, md5(id::text)::uuid, 0, '1' FROM agent_runs").await;
    let refused = sqlx::query("DELETE FROM agent_contents")
        .execute(&mut conn)
        .await;
    assert!(refused.is_err());
    grant(&database, &["--retention", "--reader", "page reader"]);
    execute(&mut conn, "DELETE FROM agent_contents WHERE body = '1'").await;
    for (claims, runs) in [(READER_A, &[1][..]), (READER_B, &[2, 3]), (STRANGER, &[])] {
        let want: BTreeSet<Uuid> = runs.iter().copied().map(Uuid::from_u128).collect();
        let got = seen(&mut conn, "page reader", claims).await;
        assert_eq!(got, [(); 4].map(|()| want.clone()), "{claims}");
    }
}

fn grant(database: &TestDatabase, flags: &[&str]) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_runtraced"));
    let granted = command
        .args(["grant", "--role", ROLE])
        .args(flags)
        .env("DATABASE_URL", database.url());
    let output = granted.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Roles that came before the migration: tools with policies of their own, about the run, about the
/// steps themselves, about columns that contents have with another meaning, and about the row as a
/// whole; and one that has rights and no policy.
const BEFORE: &str = r#"
CREATE ROLE {analyst} NOLOGIN; CREATE ROLE {picky} NOLOGIN; CREATE ROLE {other} NOLOGIN; CREATE ROLE {bare} NOLOGIN;
CREATE ROLE {joined} NOLOGIN; CREATE ROLE {named} NOLOGIN; CREATE ROLE {nameless} NOLOGIN; CREATE ROLE {kinds} NOLOGIN;
CREATE ROLE {whole} NOLOGIN;
GRANT SELECT ON agent_runs, agent_steps, agent_messages, agent_token_counts, approvals, agent_scores, run_timeline
  TO {analyst}, {picky}, {other}, {joined}, {named}, {nameless}, {kinds}, {whole};
CREATE POLICY "runs of a" ON agent_steps FOR SELECT TO {joined}
  USING (EXISTS (SELECT FROM agent_runs AS r WHERE r.id = run_id AND r.agent_id = 'a' AND r.status <> 'completed'));
CREATE POLICY "named reads everything" ON agent_steps FOR SELECT TO {named} USING (true);
CREATE POLICY "no secrets" ON agent_steps AS RESTRICTIVE FOR SELECT TO {named} USING (name IS DISTINCT FROM 'secret');
CREATE POLICY "without a name, or with" ON agent_steps FOR SELECT TO {nameless} USING (name IS NULL OR name <> '');
CREATE POLICY "of a kind" ON agent_steps FOR SELECT TO {kinds} USING (coalesce(kind, step_type) <> 'none');
CREATE POLICY "there" ON agent_steps FOR SELECT TO {whole} USING (agent_steps IS NOT NULL OR agent_steps.* IS DISTINCT FROM NULL);
CREATE POLICY "analyst reads everything" ON agent_steps FOR SELECT TO {analyst} USING (true);
CREATE POLICY "not the third" ON agent_steps AS RESTRICTIVE FOR SELECT TO {analyst}
  USING (run_id <> '00000000-0000-0000-0000-000000000003');
CREATE POLICY "picky reads everything" ON agent_steps FOR SELECT TO {picky} USING (true);
CREATE POLICY "no thoughts" ON agent_steps AS RESTRICTIVE FOR SELECT TO {picky} USING (step_type <> 'thinking');
CREATE POLICY "chats" ON agent_steps FOR SELECT TO {other} USING (name = 'chat')"#;

/// Scenario: a database of before the migration, in which roles have rights and policies of their own
/// on steps, and a daemon's role has been granted; then it is migrated.
/// Guarantees: they see the contents of what they see. Where a policy cannot hold for contents, they
/// see references, never more than before.
#[tokio::test(flavor = "multi_thread")]
async fn roles_of_before_see_what_they_saw() {
    let database = pg::empty_database().await;
    let mut owner = database.connect().await;
    MIGRATIONS.run_to(42, &mut owner).await.unwrap();
    let names = [
        "analyst", "picky", "other", "bare", "joined", "named", "nameless", "kinds", "whole",
    ];
    let roles = names.map(|name| format!("{name}_{}", database.name));
    let before = names.iter().zip(&roles);
    let before = before.fold(BEFORE.to_owned(), |sql, (name, role)| {
        sql.replace(&format!("{{{name}}}"), role)
    });
    let [
        analyst,
        picky,
        other,
        bare,
        joined,
        named,
        nameless,
        kinds,
        whole,
    ] = roles;
    execute(&mut owner, &before).await;
    // As a daemon of before was granted.
    let writer_before = format!("writer_{}", database.name);
    execute(
        &mut owner,
        &format!(
            "CREATE ROLE {writer_before} NOLOGIN;
             GRANT SELECT, INSERT, UPDATE, DELETE ON agent_steps TO {writer_before};
             CREATE POLICY \"runtraced writes as {writer_before}\" ON agent_steps FOR ALL TO {writer_before} USING (true) WITH CHECK (true)"
        ),
    )
    .await;
    MIGRATIONS.run(&mut owner).await.unwrap();
    execute(&mut owner, &format!("GRANT SELECT ON agent_runs, agent_messages, agent_token_counts, approvals, agent_scores, run_timeline TO {writer_before}; GRANT USAGE ON SCHEMA auth TO PUBLIC; CREATE POLICY all_runs ON agent_runs FOR SELECT USING (true)")).await;
    fill(&mut owner).await;
    let runs = |numbers: &[u128]| {
        numbers
            .iter()
            .copied()
            .map(Uuid::from_u128)
            .collect::<BTreeSet<_>>()
    };
    for (role, steps, contents) in [
        (&analyst, runs(&[1, 2, 4]), runs(&[1, 2, 4])),
        (&picky, runs(&[1, 2, 3, 4]), runs(&[])),
        (&other, runs(&[1, 2, 3, 4]), runs(&[])),
        (&joined, runs(&[1, 2, 3, 4]), runs(&[1, 2, 3, 4])),
        (&named, runs(&[1, 2, 3, 4]), runs(&[])),
        (&nameless, runs(&[1, 2, 3, 4]), runs(&[])),
        (&kinds, runs(&[1, 2, 3, 4]), runs(&[])),
        (&whole, runs(&[1, 2, 3, 4]), runs(&[])),
        (&writer_before, runs(&[1, 2, 3, 4]), runs(&[1, 2, 3, 4])),
    ] {
        let got = seen(&mut owner, role, "").await;
        assert_eq!(
            got,
            [steps, contents.clone(), contents.clone(), contents],
            "{role}"
        );
    }
    for (role, right, has) in [
        (&writer_before, "INSERT", true),
        (&writer_before, "DELETE", true),
        (&analyst, "INSERT", false),
        (&bare, "SELECT", false),
    ] {
        let query = "SELECT has_table_privilege($1, 'agent_contents', $2)";
        let given: bool = sqlx::query_scalar(query)
            .bind(role)
            .bind(right)
            .fetch_one(&mut owner)
            .await
            .unwrap();
        assert_eq!(given, has, "{role}: {right}");
    }
    // A daemon starts on it.
    Daemon::start(database.url()).await.finish().await;
}

/// Scenario: before the migration, a role may read some columns of steps, another one both values, a
/// third one has rights on every new table, and then everybody may read steps; after it, one may read
/// steps and not contents.
/// Guarantees: whoever may read both values of steps may read contents, nobody else, and nobody gets
/// another right. Who may not read them sees references.
#[tokio::test]
async fn rights_on_values_are_rights_on_contents() {
    let database = pg::empty_database().await;
    let mut owner = database.connect().await;
    MIGRATIONS.run_to(42, &mut owner).await.unwrap();
    let [some, both, every] =
        ["some", "both", "every"].map(|name| format!("{name}_{}", database.name));
    let before = format!(
        "CREATE ROLE {some} NOLOGIN; CREATE ROLE {both} NOLOGIN; CREATE ROLE {every} NOLOGIN;
         GRANT SELECT (id, run_id, input) ON agent_steps TO {some}, {every};
         GRANT SELECT (id, run_id, input, output) ON agent_steps TO {both};
         ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {every}, PUBLIC"
    );
    execute(&mut owner, &before).await;
    MIGRATIONS.run(&mut owner).await.unwrap();
    let rights = "SELECT array(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS p
                               WHERE has_table_privilege($1, 'agent_contents', p))";
    for (role, has) in [(&some, &[][..]), (&every, &[]), (&both, &["SELECT"])] {
        let given = sqlx::query_scalar(rights).bind(role);
        let given: Vec<String> = given.fetch_one(&mut owner).await.unwrap();
        assert_eq!(given, has, "{role}");
    }
    fill(&mut owner).await;
    let policy = format!("CREATE POLICY some_steps ON agent_steps TO {some} USING (true)");
    execute(&mut owner, &format!("{policy}; SET ROLE {some}")).await;
    let shown = sqlx::query_scalar("SELECT content_value(run_id, input) FROM agent_steps LIMIT 1");
    let shown: Value = shown.fetch_one(&mut owner).await.unwrap();
    assert_eq!(shown, reference(3));
    execute(&mut owner, "RESET ROLE").await;
    MIGRATIONS.undo(&mut owner, 42).await.unwrap();
    execute(&mut owner, "GRANT SELECT ON agent_steps TO PUBLIC").await;
    MIGRATIONS.run(&mut owner).await.unwrap();
    for role in [&some, &every, &both] {
        let given = sqlx::query_scalar(rights).bind(role);
        let given: Vec<String> = given.fetch_one(&mut owner).await.unwrap();
        assert_eq!(given, ["SELECT"], "{role}");
    }
}

/// What a product had done to the steps of its users: it shows no thoughts, restricts all roles but
/// the daemon's, has taken the policy of readers away, and hides inputs from `authenticated`.
const TIGHTENED: &str = r#"
ALTER POLICY "Users see steps of own runs" ON agent_steps USING (owns_run(run_id) AND step_type <> 'thinking');
DROP POLICY "Readers see runs of their customer" ON agent_steps;
CREATE POLICY "not for all" ON agent_steps AS RESTRICTIVE FOR ALL
  USING (step_type <> 'thinking' OR current_user LIKE 'writer%') WITH CHECK (true);
CREATE ROLE authenticated NOLOGIN;
REVOKE SELECT ON agent_steps FROM authenticated;
GRANT SELECT (id, run_id, name, step_type) ON agent_steps TO authenticated"#;

/// Scenario: before the migration, a product has changed and dropped policies of steps, restricts
/// everybody, and hides columns; then it is migrated, and a daemon of before goes on.
/// Guarantees: nobody sees contents whose steps are hidden from them, and the daemon writes and reads
/// what it needs.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_product_has_tightened_stays_tight() {
    // Other tests must not see the role `authenticated`.
    let cluster = pg::own_plain_cluster().await;
    let mut owner = PgConnection::connect(cluster.url()).await.unwrap();
    MIGRATIONS.undo(&mut owner, 42).await.unwrap();
    let (writer, role) = ("writer", "product");
    execute(
        &mut owner,
        &format!(
            "{TIGHTENED}; CREATE ROLE {writer} NOLOGIN; CREATE ROLE {role} NOLOGIN;
             GRANT SELECT, INSERT, UPDATE ON agent_steps TO {writer};
             CREATE POLICY \"runtraced writes as {writer}\" ON agent_steps FOR ALL TO {writer}
               USING (true) WITH CHECK (true)"
        ),
    )
    .await;
    MIGRATIONS.run(&mut owner).await.unwrap();
    execute(
        &mut owner,
        &format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"),
    )
    .await;
    fill(&mut owner).await;
    for claims in [ANN, BEN, READER_A, READER_B, STRANGER, ""] {
        let [_, contents, _, unseen] = seen(&mut owner, role, claims).await;
        assert_eq!(
            [contents, unseen],
            [BTreeSet::new(), BTreeSet::new()],
            "{claims}"
        );
    }
    let reads: bool = sqlx::query_scalar(
        "SELECT has_table_privilege('authenticated', 'agent_contents', 'SELECT')",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert!(!reads);
    execute(&mut owner, &format!("SET ROLE {writer}")).await;
    let added = sqlx::query(
        "INSERT INTO agent_contents (run_id, hash, kind, body)
         VALUES ('00000000-0000-0000-0000-000000000001', gen_random_uuid(), 0, '1') RETURNING hash",
    );
    added.fetch_one(&mut owner).await.unwrap();
    let all: i64 = sqlx::query_scalar("SELECT count(*) FROM agent_contents")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(all, 13);
}

/// Scenario: runs 1 and 2 of one session share contents, which is more than the daemon would let customers share; a step of run 2
/// has a value of its own. Everybody has all rights on all tables.
/// Guarantees: whoever sees a step reads its value, and nobody else does, not by asking for the hash either; nobody reads shared
/// contents, or sees scopes of runs that are not theirs.
#[tokio::test]
async fn shared_contents_are_read_with_their_steps() {
    let database = pg::database().await;
    let mut owner = database.connect().await;
    execute(&mut owner, PEOPLE).await;
    let runs = [1, 2].map(Uuid::from_u128);
    let scope = insert_shared(&mut owner, &runs, CONTENTS).await;
    for run in runs {
        insert_step(&mut owner, run, &reference(3), &reference(99)).await;
    }
    let other = insert_shared(&mut owner, &[Uuid::from_u128(3)], CONTENTS).await;
    insert_step(&mut owner, Uuid::from_u128(3), &reference(3), &json!(1)).await;
    let role = product(&mut owner, &database).await;
    for (claims, want) in [
        (ANN, &[1, 2][..]),
        (BEN, &[3]),
        (ADMIN, &[1, 2, 3]),
        (READER_A, &[1]),
        (READER_B, &[2, 3]),
        (STRANGER, &[]),
        ("{}", &[]),
    ] {
        let want: BTreeSet<Uuid> = want.iter().map(|run| Uuid::from_u128(*run)).collect();
        let seen = seen(&mut owner, &role, claims).await;
        assert_eq!(seen[2], want, "{claims}");
        assert_eq!(seen[3], want, "{claims}");
        let mut tx = owner.begin().await.unwrap();
        take_role(&mut tx, &role, claims).await;
        for query in [
            "SELECT count(*) FROM agent_shared_contents",
            "SELECT count(*) FROM agent_content_scopes",
            "SELECT count(*) FROM agent_stale_scopes",
        ] {
            let count: i64 = sqlx::query_scalar(query).fetch_one(&mut *tx).await.unwrap();
            assert_eq!(count, 0, "{claims}: {query}");
        }
        let links: Vec<(Uuid, Uuid)> =
            sqlx::query_as("SELECT run_id, scope_id FROM agent_run_scopes")
                .fetch_all(&mut *tx)
                .await
                .unwrap();
        let of_run = |run: &Uuid| if runs.contains(run) { scope } else { other };
        let links: BTreeSet<(Uuid, Uuid)> = links.into_iter().collect();
        assert_eq!(
            links,
            want.iter().map(|run| (*run, of_run(run))).collect(),
            "{claims}"
        );
        tx.rollback().await.unwrap();
    }
}

/// Scenario: before the migration to shared contents there are a daemon's role, one that also deletes, a tool that reads contents,
/// one that does not, and default privileges for a product's role.
/// Guarantees: daemons may write scopes and see all of them; whoever reads contents sees scopes; nobody else gets any right.
#[tokio::test]
async fn the_migration_gives_shared_contents_to_daemons_alone() {
    let cluster = pg::own_plain_cluster().await;
    let mut owner = PgConnection::connect(cluster.url()).await.unwrap();
    MIGRATIONS.undo(&mut owner, 43).await.unwrap();
    let roles = "
        CREATE ROLE tool NOLOGIN; CREATE ROLE narrow NOLOGIN; CREATE ROLE product NOLOGIN;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO product;
        CREATE ROLE writer NOLOGIN; CREATE ROLE reaper NOLOGIN;
        GRANT SELECT, INSERT, UPDATE ON agent_contents TO writer;
        GRANT SELECT, INSERT, UPDATE, DELETE ON agent_contents TO reaper;
        CREATE POLICY \"runtraced writes as writer\" ON agent_contents FOR ALL TO writer USING (true) WITH CHECK (true);
        CREATE POLICY \"runtraced writes as reaper\" ON agent_contents FOR ALL TO reaper USING (true) WITH CHECK (true);
        GRANT SELECT ON agent_contents TO tool";
    execute(&mut owner, roles).await;
    MIGRATIONS.run(&mut owner).await.unwrap();
    for (role, scopes, links, contents) in [
        ("writer", "rwa", "rwa", "rwa"),
        ("reaper", "rwad", "rwad", "rwad"),
        ("tool", "", "r", ""),
        ("narrow", "", "", ""),
        ("product", "", "", ""),
    ] {
        for (table, want) in [
            ("agent_content_scopes", scopes),
            ("agent_run_scopes", links),
            ("agent_shared_contents", contents),
            ("agent_stale_scopes", contents),
        ] {
            let sql = format!(
                "SELECT string_agg(CASE WHEN has_table_privilege('{role}', '{table}', p.name) THEN p.letter ELSE '' END, '' ORDER BY p.n)
                 FROM (VALUES (1, 'r', 'SELECT'), (2, 'w', 'UPDATE'), (3, 'a', 'INSERT'), (4, 'd', 'DELETE')) AS p (n, letter, name)"
            );
            let given: String = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_one(&mut owner)
                .await
                .unwrap();
            assert_eq!(given, want, "{role}: {table}");
            let policy = format!(
                "SELECT count(*) FROM pg_policies WHERE tablename = '{table}' AND policyname = 'runtraced writes as {role}'"
            );
            let policies: i64 = sqlx::query_scalar(AssertSqlSafe(policy))
                .fetch_one(&mut owner)
                .await
                .unwrap();
            assert_eq!(policies, i64::from(want.contains('w')), "{role}: {table}");
        }
    }
}

/// Scenario: before the migration to shared contents, a product has a policy of its own that hides contents from a role, and a tool
/// that sees nothing but steps and contents.
/// Guarantees: the role gets references, as before; the tool reads values, as before.
#[tokio::test]
async fn policies_of_contents_hold_for_shared_ones() {
    let cluster = pg::own_plain_cluster().await;
    let mut owner = PgConnection::connect(cluster.url()).await.unwrap();
    MIGRATIONS.undo(&mut owner, 43).await.unwrap();
    let roles = "
        CREATE ROLE support NOLOGIN; CREATE ROLE tool NOLOGIN; CREATE ROLE odd NOLOGIN;
        GRANT ALL ON ALL TABLES IN SCHEMA public TO support, odd;
        GRANT USAGE ON SCHEMA public TO support, tool, odd;
        GRANT SELECT ON agent_steps, agent_contents TO tool;
        CREATE POLICY \"all see\" ON agent_steps FOR SELECT TO support, tool, odd USING (true);
        CREATE POLICY \"all see\" ON agent_contents FOR SELECT TO support, tool, odd USING (true);
        CREATE POLICY \"not support\" ON agent_contents AS RESTRICTIVE FOR SELECT TO support USING (false);
        CREATE POLICY \"small ones\" ON agent_contents AS RESTRICTIVE FOR SELECT TO odd USING (kind < 9)";
    execute(&mut owner, roles).await;
    MIGRATIONS.run(&mut owner).await.unwrap();
    execute(&mut owner, PEOPLE).await;
    let (own, sharing) = (Uuid::from_u128(3), Uuid::from_u128(1));
    insert_contents(&mut owner, own, CONTENTS).await;
    insert_shared(&mut owner, &[sharing], CONTENTS).await;
    for run in [own, sharing] {
        insert_step(&mut owner, run, &reference(3), &json!(1)).await;
    }
    // A policy about columns that scopes do not have cannot be kept: nothing shared is shown.
    for (role, of_own, of_shared) in [
        ("support", reference(3), reference(3)),
        ("tool", sent(), sent()),
        ("odd", sent(), reference(3)),
    ] {
        let mut tx = owner.begin().await.unwrap();
        take_role(&mut tx, role, "{}").await;
        for (run, want) in [(own, of_own), (sharing, of_shared)] {
            let sql = "SELECT content_value(run_id, input) FROM agent_steps WHERE run_id = $1";
            let shown: Value = sqlx::query_scalar(sql)
                .bind(run)
                .fetch_one(&mut *tx)
                .await
                .unwrap();
            assert_eq!(shown, want, "{role}: {run}");
        }
        tx.rollback().await.unwrap();
    }
}

/// Scenario: two runs share contents; each says something of its own. Somebody searches one of them for what the other says, also
/// with a pattern that is a mistake wherever it matches so far.
/// Guarantees: the search finds what the run says, and neither its answer nor an error tells of the other.
#[tokio::test]
async fn a_search_tells_nothing_of_runs_that_share() {
    let database = pg::database().await;
    let mut owner = database.connect().await;
    execute(&mut owner, PEOPLE).await;
    let runs = [1, 2].map(Uuid::from_u128);
    let lines = "1 0 0 0 - \"mine\"\n2 1 0 1 -\n3 1 2 0 - [\"more\"]\n4 0 0 0 - \"a secret\"";
    insert_shared(&mut owner, &runs, lines).await;
    for (run, hash) in runs.into_iter().zip([3, 4]) {
        insert_step(&mut owner, run, &reference(hash), &json!(1)).await;
    }
    for (pattern, of_first, of_second) in [
        ("%mine%", true, false),
        ("%more%", true, false),
        ("%secret%", false, true),
        ("%a secret\\", false, true),
    ] {
        for (run, want) in runs.into_iter().zip([of_first, of_second]) {
            let sql = "SELECT run_shares_text($1, $2)";
            let query = sqlx::query_scalar(sql).bind(run).bind(pattern);
            let found: Result<bool, _> = query.fetch_one(&mut owner).await;
            match (pattern.ends_with('\\'), want) {
                // The pattern is a mistake, which shows where the run says as much.
                (true, true) => assert!(found.is_err(), "{pattern}"),
                _ => assert_eq!(found.unwrap(), want, "{pattern}"),
            }
        }
        let mut all: Vec<Uuid> = Vec::new();
        if !pattern.ends_with('\\') {
            let query = sqlx::query_scalar("SELECT runs_sharing_text($1)").bind(pattern);
            all = query.fetch_all(&mut owner).await.unwrap();
        }
        let want = runs.into_iter().zip([of_first, of_second]);
        let want = want.filter(|(_, said)| *said && !pattern.ends_with('\\'));
        assert_eq!(
            all,
            want.map(|(run, _)| run).collect::<Vec<_>>(),
            "{pattern}"
        );
    }
}
