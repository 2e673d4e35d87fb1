//! A Supabase project: its public key is known to everybody, its users send what they like, and default
//! privileges give both every right on new tables. Nobody gains a row, or a right, by that.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::support::supabase::{ANON, Supabase, is_refusal};
use runtraced::store::MIGRATIONS;

const MALLORY: &str = r#"{"sub":"00000000-0000-0000-0000-0000000000aa","role":"authenticated"}"#;
const VERA: &str = r#"{"sub":"00000000-0000-0000-0000-0000000000bb","role":"authenticated"}"#;

/// The product's own users, who may edit their own profiles.
const PROFILES: &str = r#"
    CREATE TABLE users (id uuid PRIMARY KEY, email text);
    ALTER TABLE users ENABLE ROW LEVEL SECURITY;
    CREATE POLICY "own profile" ON users FOR ALL TO authenticated
      USING (id = auth.uid()) WITH CHECK (id = auth.uid());
"#;

/// A user, and a customer's manager with a customer and a session; as the owner.
const PEOPLE: &str = "
    INSERT INTO users (id) VALUES
      ('00000000-0000-0000-0000-0000000000aa'), ('00000000-0000-0000-0000-0000000000bb');
    INSERT INTO customers (id, name, arr, csm_id)
      VALUES ('c0000000-0000-0000-0000-0000000000bb', 'Acme', 1, '00000000-0000-0000-0000-0000000000bb');
    INSERT INTO agent_sessions (id, user_id, customer_id) VALUES
      ('50000000-0000-0000-0000-0000000000aa', '00000000-0000-0000-0000-0000000000aa', NULL),
      ('50000000-0000-0000-0000-0000000000bb', '00000000-0000-0000-0000-0000000000bb',
       'c0000000-0000-0000-0000-0000000000bb');
    INSERT INTO agent_runs (id, session_id, agent_id, agent_type, status) VALUES
      ('10000000-0000-0000-0000-0000000000aa', '50000000-0000-0000-0000-0000000000aa', 'a', 'b', 'running'),
      ('10000000-0000-0000-0000-0000000000bb', '50000000-0000-0000-0000-0000000000bb', 'a', 'b', 'running');
    INSERT INTO agent_token_counts (run_id, input) SELECT id, 1 FROM agent_runs;
    INSERT INTO agent_step_aliases (id, run_id) SELECT id, id FROM agent_runs;
    INSERT INTO agent_contents (run_id, hash, kind, body) SELECT id, id, 0, '1' FROM agent_runs;
    INSERT INTO agent_scores (run_id, name) SELECT id, 'n' FROM agent_runs;
    INSERT INTO approvals (id, session_id, run_id, action_type, action_data, status)
      VALUES ('a0000000-0000-0000-0000-0000000000aa', '50000000-0000-0000-0000-0000000000aa',
              '10000000-0000-0000-0000-0000000000aa', 'pay', '{\"amount\":1}', 'pending');
    INSERT INTO ingest_keys (name, key_sha256) VALUES ('k', sha256('k'));
    INSERT INTO ingest_ledger (instance, shard) VALUES (gen_random_uuid(), 0);
    INSERT INTO ingest_dead_letters (source, code, reason, payload) VALUES ('grpc', 'x', 'y', '{}');
";

async fn project(product: &str) -> Supabase {
    let mut project = Supabase::migrated(product).await;
    project.run(PEOPLE).await;
    project
}

/// What somebody might do to the table of migrations.
const ON_MIGRATIONS: &[&str] = &[
    "SELECT FROM _sqlx_migrations",
    "DELETE FROM _sqlx_migrations",
    "UPDATE _sqlx_migrations SET success = false",
    "INSERT INTO _sqlx_migrations VALUES (9999, '', now(), true, '', 0)",
    "TRUNCATE _sqlx_migrations",
];

/// Scenario: a new database is migrated; and one that an older version migrated, where anybody may delete the
/// rows of migrations.
/// Guarantees: after `runtraced migrate` nobody but the owner reads or writes them; it may run again.
#[tokio::test]
async fn nobody_reaches_the_table_of_migrations() {
    let mut project = Supabase::new("").await;
    for round in 0..2 {
        if round == 0 {
            MIGRATIONS.run_to(21, &mut project.owner).await.unwrap();
            assert!(project.request(ANON, ON_MIGRATIONS[0]).await.unwrap() > 10);
            assert!(project.request(ANON, ON_MIGRATIONS[2]).await.unwrap() > 10);
            project
                .run("UPDATE _sqlx_migrations SET success = true")
                .await;
        } else {
            project
                .run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
                .await;
            project
                .run("GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role")
                .await;
            let defaults = "ALTER DEFAULT PRIVILEGES IN SCHEMA public \
                            GRANT ALL ON TABLES TO anon, authenticated, service_role";
            project.run(defaults).await;
        }
        for _ in 0..2 {
            project.migrate();
            for claims in [ANON, MALLORY] {
                for sql in ON_MIGRATIONS {
                    let error = project.request(claims, sql).await.unwrap_err();
                    let code = error.as_database_error().and_then(|error| error.code());
                    assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error}");
                }
            }
        }
        // Whatever is granted later, policies hold.
        project.run("GRANT ALL ON _sqlx_migrations TO anon").await;
        for sql in &ON_MIGRATIONS[..4] {
            project.assert_in_vain(ANON, sql).await;
        }
    }
}

/// Scenario: everything that the migrations made, with the rights that default privileges gave.
/// Guarantees: the public key shows no row of anything; no table can be emptied; only the daemon's and the
/// operator's tables are the owner's alone to write; functions that only daemons need are theirs; functions with the owner's rights have a search_path of
/// their own; views have the reader's rights; there is no sequence.
#[tokio::test]
async fn default_privileges_give_nobody_a_row() {
    let mut project = project("").await;
    let relations: Vec<(String, bool)> = sqlx::query_as(
        "SELECT relname::text, relkind = 'r' FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')",
    )
    .fetch_all(&mut project.owner)
    .await
    .unwrap();
    assert!(relations.len() > 25, "{relations:?}");
    for (relation, is_table) in &relations {
        for sql in ["SELECT FROM", "DELETE FROM"] {
            project
                .assert_in_vain(ANON, &format!("{sql} {relation}"))
                .await;
        }
        let truncate = format!("TRUNCATE {relation} CASCADE");
        for claims in [ANON, MALLORY] {
            if *is_table {
                assert!(
                    project.request(claims, &truncate).await.is_err(),
                    "{truncate}"
                );
            }
        }
    }
    for (who, right, want) in [
        ("anon", "SELECT, INSERT, UPDATE, DELETE", ""),
        ("authenticated", "INSERT, UPDATE, DELETE", ""),
        (
            "authenticated",
            "SELECT",
            "agent_contents agent_run_scopes agent_scores agent_step_aliases agent_token_counts ingest_dead_letters ingest_ledger ingest_reconciliation",
        ),
    ] {
        let given: String = project
            .value(&format!(
                "SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM unnest(ARRAY[
                   '_sqlx_migrations', 'agent_content_scopes', 'agent_contents', 'agent_run_scopes', 'agent_scores', 'agent_shared_contents', 'agent_stale_scopes', 'agent_step_aliases', 'agent_token_counts', 'ingest_dead_letters',
                   'ingest_keys', 'ingest_ledger', 'ingest_reconciliation', 'runtraced_admins']) AS name
                 WHERE has_table_privilege('{who}', name, '{right}')"
            ))
            .await;
        assert_eq!(given, want, "{who}: {right}");
    }
    // PostgREST offers every function that one may execute.
    let helpers = "'merge_observed', 'merge_services', 'observed_customer_id', 'observed_metadata', \
                   'ingest_migrations', 'ingest_write_epoch', 'note_run_sums', 'fill_run_sums', \
                   'fill_run_sums_days'";
    for (who, want) in [("'anon'", 0), ("'authenticated'", 0), ("current_user", 9)] {
        let sql = format!(
            "SELECT count(*) FROM pg_proc
             WHERE pronamespace = 'public'::regnamespace AND proname IN ({helpers})
               AND has_function_privilege({who}, oid, 'EXECUTE')"
        );
        assert_eq!(project.value::<i64>(&sql).await, want, "{who}");
    }
    for (what, sql) in [
        (
            "functions with the owner's rights and the caller's search_path",
            "SELECT count(*) FROM pg_proc
             WHERE pronamespace = 'public'::regnamespace AND prosecdef
               AND NOT coalesce('search_path=\"\"' = ANY (proconfig), false)",
        ),
        (
            "views with the owner's rights",
            "SELECT count(*) FROM pg_class
             WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
               AND NOT coalesce('security_invoker=true' = ANY (reloptions), false)",
        ),
        (
            "sequences",
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'",
        ),
        (
            "tables without row level security",
            "SELECT count(*) FROM pg_class
             WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relrowsecurity",
        ),
    ] {
        assert_eq!(project.value::<i64>(sql).await, 0, "{what}");
    }
    // What a user needs is there.
    for relation in [
        "agent_runs",
        "run_summary",
        "(SELECT FROM run_timeline LIMIT 1) AS t",
        "agent_token_counts",
        "(SELECT FROM run_waterfall('10000000-0000-0000-0000-0000000000aa') LIMIT 1) AS w",
    ] {
        project
            .assert_done(MALLORY, &format!("SELECT FROM {relation}"))
            .await;
    }
}

/// Scenario: users, of the product or made by the migrations, may edit their own profiles. One tries to become an
/// admin by each column and table that has to do with it.
/// Guarantees: nothing makes a user an admin but a row that the operator writes.
#[tokio::test]
async fn no_user_becomes_an_admin_by_editing_a_profile() {
    // Of the migrations' own table the product made the same policy.
    let policy = PROFILES.split_once("ALTER TABLE").unwrap().1;
    let later = format!("ALTER TABLE{policy}");
    for (product, later) in [(PROFILES, ""), ("", later.as_str())] {
        let mut project = project(product).await;
        project.run(later).await;
        let is_admin = "SELECT WHERE is_admin(auth.uid())";
        let everything =
            "SELECT FROM agent_runs WHERE session_id = '50000000-0000-0000-0000-0000000000bb'";
        for sql in [
            "UPDATE users SET is_admin = true",
            "INSERT INTO users (id, is_admin) VALUES (auth.uid(), true)
               ON CONFLICT (id) DO UPDATE SET is_admin = true",
            "INSERT INTO runtraced_admins (user_id) VALUES (auth.uid())",
            "INSERT INTO runtraced_admins (user_id) VALUES (auth.uid()) ON CONFLICT DO NOTHING",
            "UPDATE runtraced_admins SET user_id = auth.uid()",
            "MERGE INTO runtraced_admins USING (SELECT auth.uid() AS id) AS me ON user_id = me.id
               WHEN NOT MATCHED THEN INSERT (user_id) VALUES (me.id)",
            "COPY runtraced_admins FROM PROGRAM 'true'",
            "SELECT FROM runtraced_admins",
        ] {
            let done = project.request(MALLORY, sql).await;
            if sql.contains("runtraced_admins") {
                assert!(done.is_err(), "{sql}: {done:?}");
            }
            project.assert_in_vain(MALLORY, is_admin).await;
            project.assert_in_vain(MALLORY, everything).await;
        }
        // A new user, with a row of its own making.
        let newcomer = MALLORY.replace("00aa", "00cc");
        let own = "INSERT INTO users (id, is_admin) VALUES (auth.uid(), true)";
        project.assert_done(&newcomer, own).await;
        project.assert_in_vain(&newcomer, is_admin).await;

        project
            .run("INSERT INTO runtraced_admins (user_id, note) VALUES ('00000000-0000-0000-0000-0000000000aa', 'on call')")
            .await;
        project.assert_done(MALLORY, is_admin).await;
        project.assert_done(MALLORY, everything).await;
        project.assert_in_vain(VERA, is_admin).await;
        project
            .assert_in_vain(MALLORY, "SELECT FROM ingest_keys")
            .await;
        // Whoever is deleted is no admin under the same id later.
        project
            .run(
                "DELETE FROM agent_token_counts; DELETE FROM agent_scores; DELETE FROM agent_contents; DELETE FROM agent_messages; DELETE FROM approvals",
            )
            .await;
        project
            .run("DELETE FROM agent_runs; DELETE FROM agent_sessions")
            .await;
        project
            .run("DELETE FROM users WHERE id = '00000000-0000-0000-0000-0000000000aa'")
            .await;
        project
            .assert_done(MALLORY, "INSERT INTO users (id) VALUES (auth.uid())")
            .await;
        project.assert_in_vain(MALLORY, is_admin).await;
    }
}

/// Scenario: an older version's admins, by users.is_admin; a product's column of that name in a database that is
/// migrated for the first time; a product's own function is_admin.
/// Guarantees: the first stay admins, the second become none, the third function stays and decides.
#[tokio::test]
async fn admins_of_an_older_version_stay_admins() {
    let admins = "SELECT coalesce(string_agg(right(user_id::text, 2) || ' ' || note, ','), '') FROM runtraced_admins";
    let of =
        "INSERT INTO users (id, is_admin) VALUES ('00000000-0000-0000-0000-0000000000aa', true),
              ('00000000-0000-0000-0000-0000000000bb', false)";
    let is_admin = "SELECT WHERE is_admin(auth.uid())";

    let mut older = Supabase::new("").await;
    MIGRATIONS.run_to(21, &mut older.owner).await.unwrap();
    older.run(of).await;
    older.migrate();
    let found: String = older.value(admins).await;
    assert_eq!(found, "aa taken over from users.is_admin");
    older.assert_done(MALLORY, is_admin).await;
    older.assert_in_vain(VERA, is_admin).await;
    // And back.
    older
        .run("INSERT INTO runtraced_admins (user_id) VALUES ('00000000-0000-0000-0000-0000000000bb')")
        .await;
    MIGRATIONS.undo(&mut older.owner, 21).await.unwrap();
    older.assert_done(VERA, is_admin).await;

    let own = "CREATE TABLE users (id uuid PRIMARY KEY, is_admin boolean);";
    let mut product = Supabase::migrated(&format!("{own} {of}")).await;
    assert_eq!(product.value::<String>(admins).await, "");
    product.assert_in_vain(MALLORY, is_admin).await;

    let function = "CREATE FUNCTION is_admin(uuid) RETURNS boolean LANGUAGE sql STABLE AS
                    $$ SELECT $1 = '00000000-0000-0000-0000-0000000000bb' $$;";
    let mut product = Supabase::new(function).await;
    MIGRATIONS.run_to(21, &mut product.owner).await.unwrap();
    product.run(of).await;
    product.migrate();
    assert_eq!(product.value::<String>(admins).await, "");
    product.assert_done(VERA, is_admin).await;
    product.assert_in_vain(MALLORY, is_admin).await;
}

/// Sets what a session of one's own has.
const SESSION: &str = "INSERT INTO agent_sessions (user_id, title";

/// Scenario: a user writes sessions, messages and approvals, with every right on their tables; the tables are the
/// migrations' own, or the product's as the seed has them.
/// Guarantees: what a product needs is done; nothing that the daemon decides by is the user's to set.
#[tokio::test]
async fn users_set_only_what_is_theirs_to_set() {
    let seed = "
        CREATE TABLE users (id uuid PRIMARY KEY);
        CREATE TABLE customers (id uuid PRIMARY KEY, name text NOT NULL, arr numeric NOT NULL, health_score integer,
          renewal_date date, csm_id uuid REFERENCES users(id), tier text, status text, created_at timestamptz,
          updated_at timestamptz);
        CREATE TABLE agent_sessions (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
          customer_id uuid REFERENCES customers(id), user_id uuid REFERENCES users(id), title text,
          created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
        CREATE TABLE approvals (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
          session_id uuid REFERENCES agent_sessions(id), action_type text NOT NULL, action_description text,
          action_data jsonb, status text, decided_by uuid REFERENCES users(id), decided_at timestamptz, notes text,
          created_at timestamptz DEFAULT now(), expires_at timestamptz);";
    for product in ["", seed] {
        let mut project = project(product).await;
        let before: i64 = project.value("SELECT count(*) FROM agent_sessions").await;
        for values in [
            // Ids that are not random: the daemon derives such from names.
            "id) VALUES (auth.uid(), 't', '50000000-0000-8000-8000-000000000001')",
            "id) VALUES (auth.uid(), 't', '01940000-0000-7000-8000-000000000001')",
            // Whose the session is for tenant keys.
            "tenant_id) VALUES (auth.uid(), 't', 'c0000000-0000-0000-0000-0000000000bb')",
            "customer_id) VALUES (auth.uid(), 't', 'c0000000-0000-0000-0000-0000000000bb')",
            "merge_times) VALUES (auth.uid(), 't', ARRAY['infinity'::timestamptz])",
            "external_id) VALUES (auth.uid(), 't', 'chat-1')",
        ] {
            let sql = format!("{SESSION}, {values}");
            let error = project.request(MALLORY, &sql).await.expect_err(&sql);
            assert!(is_refusal(&error), "{sql}: {error}");
        }
        let mine = "INSERT INTO agent_sessions (user_id, title, metadata) VALUES (auth.uid(), 'mine', '{}')";
        project.assert_done(MALLORY, mine).await;
        for sql in [
            "UPDATE agent_sessions SET id = gen_random_uuid() WHERE title = 'mine'",
            "UPDATE agent_sessions SET id = '50000000-0000-8000-8000-000000000001' WHERE title = 'mine'",
            "UPDATE agent_sessions SET tenant_id = 'c0000000-0000-0000-0000-0000000000bb'",
            "UPDATE agent_sessions SET customer_id = 'c0000000-0000-0000-0000-0000000000bb'",
            "UPDATE agent_sessions SET merge_times = ARRAY[now()]",
            "UPDATE agent_sessions SET external_id = 'chat-1'",
            "UPDATE agent_sessions SET user_id = '00000000-0000-0000-0000-0000000000bb'",
            "INSERT INTO agent_messages (id, session_id)
               VALUES ('b0000000-0000-8000-8000-000000000001', '50000000-0000-0000-0000-0000000000aa')",
            "INSERT INTO agent_messages (session_id, sighting) VALUES ('50000000-0000-0000-0000-0000000000aa', true)",
            "INSERT INTO approvals (id, session_id, action_type)
               VALUES ('a0000000-0000-8000-8000-000000000001', '50000000-0000-0000-0000-0000000000aa', 'pay')",
            "INSERT INTO approvals (session_id, action_type, status)
               VALUES ('50000000-0000-0000-0000-0000000000aa', 'pay', 'approved')",
            "INSERT INTO approvals (session_id, action_type, decided_by)
               VALUES ('50000000-0000-0000-0000-0000000000aa', 'pay', auth.uid())",
        ] {
            let error = project.request(MALLORY, sql).await.expect_err(sql);
            assert!(is_refusal(&error), "{sql}: {error}");
        }
        let after: i64 = project.value("SELECT count(*) FROM agent_sessions").await;
        assert_eq!(after, before + 1);

        for sql in [
            "INSERT INTO agent_sessions (id, user_id) VALUES ('c2a3e6e7-5a0f-4c8a-9c53-0f4d2a9b7a11', auth.uid())",
            "UPDATE agent_sessions SET title = 'renamed', updated_at = now() WHERE title = 'mine'",
            // The daemon's own session.
            "UPDATE agent_sessions SET title = 'renamed' WHERE id = '50000000-0000-0000-0000-0000000000aa'",
            "INSERT INTO agent_messages (session_id, role, content)
               VALUES ('50000000-0000-0000-0000-0000000000aa', 'user', 'hello')",
            "UPDATE agent_messages SET content = 'hello!'",
            "INSERT INTO approvals (session_id, action_type, status)
               VALUES ('50000000-0000-0000-0000-0000000000aa', 'call', 'pending')",
            "DELETE FROM approvals WHERE action_type = 'call'",
            "DELETE FROM agent_sessions WHERE title = 'renamed' AND id <> '50000000-0000-0000-0000-0000000000aa'",
        ] {
            project.assert_done(MALLORY, sql).await;
        }
        // A product may let guests in, who have no user.
        project
            .run("CREATE POLICY guests ON agent_sessions FOR INSERT TO anon WITH CHECK (user_id IS NULL)")
            .await;
        project
            .assert_done(
                ANON,
                "INSERT INTO agent_sessions (title) VALUES ('a guest''s')",
            )
            .await;
        for sql in [
            "INSERT INTO agent_sessions (id) VALUES ('50000000-0000-8000-8000-000000000001')",
            "INSERT INTO agent_sessions (tenant_id) VALUES ('c0000000-0000-0000-0000-0000000000bb')",
        ] {
            let error = project.request(ANON, sql).await.expect_err(sql);
            assert!(is_refusal(&error), "{sql}: {error}");
        }
        // A manager may say which customer a session is about, as long as no event has.
        for sql in [
            "INSERT INTO agent_sessions (user_id, customer_id)
               VALUES (auth.uid(), 'c0000000-0000-0000-0000-0000000000bb')",
            "UPDATE agent_sessions SET customer_id = NULL WHERE id = '50000000-0000-0000-0000-0000000000bb'",
            "UPDATE agent_sessions SET customer_id = 'c0000000-0000-0000-0000-0000000000bb'
               WHERE id = '50000000-0000-0000-0000-0000000000bb'",
        ] {
            project.assert_done(VERA, sql).await;
        }
        let described =
            "UPDATE agent_sessions SET merge_times = ARRAY[now()] WHERE customer_id IS NOT NULL";
        project.run(described).await;
        let away = "UPDATE agent_sessions SET customer_id = NULL";
        project.assert_in_vain(VERA, away).await;
        project
            .assert_done(
                VERA,
                "UPDATE agent_sessions SET title = 'renamed' WHERE id = '50000000-0000-0000-0000-0000000000bb'",
            )
            .await;
        // The operator, and a request of the service's own key, set what they like.
        let operator = "UPDATE agent_sessions SET tenant_id = customer_id, external_id = 'chat-1'";
        project.run(operator).await;
        project
            .run(&format!("SET ROLE service_role; {operator}; RESET ROLE"))
            .await;
    }
}

/// Scenario: a user answers an approval of its own session: in somebody else's name, at another time, for another
/// run or action, and twice, also at once over two connections.
/// Guarantees: it is answered once, in the user's own name, by the database's clock, as it was asked.
#[tokio::test]
async fn an_approval_is_decided_once_in_ones_own_name() {
    let mut project = project("").await;
    let row = "SELECT concat_ws(' ', status, right(decided_by::text, 2), decided_at BETWEEN now() - INTERVAL '1 min' AND now(),
                 action_data, right(run_id::text, 2), notes) FROM approvals";
    let pending = project.value::<String>(row).await;
    assert_eq!(pending, r#"pending {"amount": 1} aa"#);
    for set in [
        "status = 'approved', decided_by = '00000000-0000-0000-0000-0000000000bb'",
        "decided_by = auth.uid()",
        "decided_at = now()",
        "status = 'expired'",
        "status = NULL",
        "action_data = '{\"amount\":1000000}'",
        "status = 'approved', action_data = '{\"amount\":1000000}'",
        "action_type = 'x'",
        "action_description = 'harmless'",
        "run_id = NULL",
        "run_id = '10000000-0000-0000-0000-0000000000bb'",
        "session_id = '50000000-0000-0000-0000-0000000000bb'",
        "step_id = gen_random_uuid()",
        "id = gen_random_uuid()",
        "metadata = '{}'",
        "created_at = now()",
        "expires_at = 'infinity'",
        "requested_event_at = 'infinity'",
        "decided_event_at = now()",
        "status = 'approved', decided_event_at = now()",
    ] {
        let sql = format!("UPDATE approvals SET {set}");
        let error = project.request(MALLORY, &sql).await.expect_err(&sql);
        assert!(is_refusal(&error), "{sql}: {error}");
        assert_eq!(project.value::<String>(row).await, pending, "{sql}");
    }
    project
        .assert_in_vain(VERA, "UPDATE approvals SET status = 'approved'")
        .await;
    let notes = "UPDATE approvals SET notes = 'let me see'";
    project.assert_done(MALLORY, notes).await;

    // Twice at once: the second waits for the first.
    let mut other = PgConnection::connect(project.url()).await.unwrap();
    let mut first = PgConnection::connect(project.url()).await.unwrap();
    let decide = |status: &str| {
        AssertSqlSafe(format!(
            "BEGIN; SET LOCAL ROLE authenticated; SELECT set_config('request.jwt.claims', '{MALLORY}', true);
             UPDATE approvals SET status = '{status}', decided_at = '2999-01-01', notes = '{status}'"
        ))
    };
    first
        .execute(sqlx::raw_sql(decide("rejected")))
        .await
        .unwrap();
    let second = tokio::spawn(async move {
        other
            .execute(sqlx::raw_sql(decide("approved")))
            .await
            .map(drop)
    });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!second.is_finished());
    first.execute("COMMIT").await.unwrap();
    let error = second.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("decided already"), "{error}");

    let decided = r#"rejected aa t {"amount": 1} aa rejected"#;
    assert_eq!(project.value::<String>(row).await, decided);
    for set in [
        "status = 'approved'",
        "status = 'pending', decided_by = NULL, decided_at = NULL",
        "notes = 'I did not say that'",
        "decided_at = now() - INTERVAL '1 day'",
    ] {
        let sql = format!("UPDATE approvals SET {set}");
        assert!(project.request(MALLORY, &sql).await.is_err(), "{sql}");
        assert_eq!(project.value::<String>(row).await, decided, "{sql}");
    }
    // The daemon, and the operator, may.
    project
        .run("UPDATE approvals SET status = 'approved', decided_by = NULL")
        .await;
}
