//! Customer tables in a schema of their own, or left out: the schema that comes of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use runtraced::store::{CustomerTables, place_customer_tables};
use sqlx::PgConnection;

use super::catalog::{MIGRATIONS, bin, dump, lines, run};
use super::exported::{export_with, psql};
use crate::support::pg::{self, TestDatabase};
use crate::support::process::runtraced;

/// A name that must be quoted.
pub const SCHEMA: &str = "customer data";
const MOVED: &[&str] = &["--schema", SCHEMA];
const LEFT_OUT: &[&str] = &["--without-customers"];

/// The schema of the first version.
const OLDEST: i64 = 12;

const RELATIONS: [&str; 12] = [
    "customers",
    "stakeholders",
    "contracts",
    "entitlements",
    "health_scores",
    "usage_metrics",
    "risk_signals",
    "renewal_pipeline",
    "qbrs",
    "customer_health",
    "customers_at_risk",
    "upcoming_renewals",
];

/// What tables, views and functions are, a line for each part.
const DEFINITIONS: &str = "
    SELECT c.relname || ': ' || part FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname IN ('public', 'customer data')
    CROSS JOIN LATERAL coalesce(c.relacl, acldefault('r', c.relowner)) AS rights
    CROSS JOIN LATERAL (
        SELECT concat_ws(' ', 'table', c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.reloptions, rights,
            obj_description(c.oid, 'pg_class'), CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END)
        UNION ALL
        SELECT concat_ws(' ', 'column', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated,
            pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
        FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT concat_ws(' ', 'constraint', conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE conrelid = c.oid
        UNION ALL
        SELECT 'index ' || pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = c.oid
        UNION ALL
        SELECT concat_ws(' ', 'policy', polname, polcmd, polpermissive, polroles::text, pg_get_expr(polqual, polrelid),
            pg_get_expr(polwithcheck, polrelid))
        FROM pg_policy WHERE polrelid = c.oid
        UNION ALL
        SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal
    ) AS one (part)
    WHERE c.relkind IN ('r', 'v')
    UNION ALL
    SELECT concat_ws(' ', p.proname || '()', pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc'))
    FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
    ORDER BY 1";

async fn definitions(database: &TestDatabase) -> Vec<String> {
    let mut conn = database.connect().await;
    // So every name is told with its schema.
    run(&mut conn, "SET search_path = ''").await;
    lines(&mut conn, DEFINITIONS).await
}

/// The same without views and triggers, which a restored database tells in other words.
async fn structure(database: &TestDatabase) -> Vec<String> {
    let is_kept = |line: &String| !line.contains(": trigger ") && !line.contains(": table v ");
    let all = definitions(database).await;
    all.into_iter().filter(is_kept).collect()
}

/// The lines of `these` that are not in `those`, up to their first blanks.
fn only_in(these: &[String], those: &[String]) -> Vec<String> {
    let rest = these.iter().filter(|line| !those.contains(line));
    let words = rest.map(|line| {
        line.split_whitespace()
            .take(3)
            .collect::<Vec<_>>()
            .join(" ")
    });
    words.collect()
}

/// Migrates with more flags, and returns what it said.
async fn migrate(database: &TestDatabase, flags: &[&str]) -> String {
    let (code, said) = runtraced(&[&["migrate"], flags].concat(), database.url()).await;
    assert_eq!(code, 0, "{said}");
    said
}

fn placed(flags: &[&str]) -> CustomerTables {
    match flags {
        [_, schema] => CustomerTables::In((*schema).to_owned()),
        _ => CustomerTables::LeftOut,
    }
}

/// A database that came there in another way.
async fn arrived(how: &str, flags: &[&str]) -> TestDatabase {
    let database = match how {
        "existing" => pg::database().await,
        _ => pg::empty_database().await,
    };
    let mut conn = database.connect().await;
    match how {
        "old" => MIGRATIONS.run_to(OLDEST, &mut conn).await.unwrap(),
        "before later migrations" => {
            let places = MIGRATIONS
                .iter()
                .find(|one| one.description == "customers schema");
            let version = places.unwrap().version;
            MIGRATIONS.run_to(version, &mut conn).await.unwrap();
            let place = placed(flags);
            place_customer_tables(&mut conn, &place).await.unwrap();
            MIGRATIONS.run(&mut conn).await.unwrap();
        }
        "files" => {
            let (_folder, files) = export_with("plain", flags).await;
            for file in files {
                let output = psql(database.url(), &file);
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{}: {said}", file.display());
            }
        }
        _ => {}
    }
    migrate(&database, flags).await;
    database
}

/// Scenario: the customer tables are moved or left out in an empty database, in one of this version, in
/// one of the first version, before later migrations, and by exported files; again; and without a flag.
/// Guarantees: the schema is the same each time, and repeating changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_leads_to_the_same_schema() {
    for flags in [MOVED, LEFT_OUT] {
        let first = arrived("fresh", flags).await;
        let expected = dump(first.url()).await;
        for how in ["existing", "old", "before later migrations", "files"] {
            let database = arrived(how, flags).await;
            let same = dump(database.url()).await == expected;
            assert!(same, "{how} {flags:?}");
        }
        let says = match flags {
            MOVED => "the customer tables are in the schema customer data\n",
            _ => "the customer tables are left out\n",
        };
        let done = "nothing to do: the schema is up to date\n";
        assert_eq!(migrate(&first, flags).await, format!("{done}{says}"));
        assert_eq!(migrate(&first, &[]).await, done);
        let plan = [flags, &["--plan"]].concat();
        assert_eq!(migrate(&first, &plan).await, done);
        assert_eq!(dump(first.url()).await, expected, "{flags:?}");
    }
}

/// Scenario: what the tables, views and functions are in each form, compared with the default.
/// Guarantees: moved, all is the same but for the schema's name; left out, the remaining tables lose
/// three foreign keys and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn what_remains_is_as_in_the_default() {
    let default = definitions(&pg::database().await).await;
    let moved = definitions(&arrived("existing", MOVED).await).await;
    for table in RELATIONS {
        let named = moved
            .iter()
            .filter(|line| line.contains(&format!("public.{table} ")));
        assert_eq!(named.count(), 0, "{table} is still named in public");
    }
    let back = |line: &String| line.replace("\"customer data\".", "public.");
    let moved: Vec<String> = moved.iter().map(back).collect();
    let place = "customers_schema() CREATE OR";
    assert_eq!(only_in(&moved, &default), [place]);
    assert_eq!(only_in(&default, &moved), [place]);

    let left = definitions(&arrived("existing", LEFT_OUT).await).await;
    let remains = |line: &&String| {
        let name = line.split(':').next().unwrap();
        !RELATIONS.contains(&name)
    };
    let remaining: Vec<String> = default.iter().filter(remains).cloned().collect();
    let functions = ["customer_names()", "customers_schema()", "known_customer()"];
    let replaced = [&functions[..], &["owns_customer()", "sees_customer()"]].concat();
    let replaced: Vec<String> = replaced
        .iter()
        .map(|name| format!("{name} CREATE OR"))
        .collect();
    assert_eq!(only_in(&left, &remaining), replaced);
    let gone = [
        "agent_runs: constraint agent_runs_customer_id_fkey",
        "agent_sessions: constraint agent_sessions_customer_id_fkey",
        "ingest_keys: constraint ingest_keys_customer_id_fkey",
        "owns_contract() CREATE OR",
    ];
    let mut expected = [gone.map(str::to_owned).to_vec(), replaced].concat();
    expected.sort();
    let mut found = only_in(&remaining, &left);
    found.sort();
    assert_eq!(found, expected);
}

/// Scenario: customer tables with rows, which traces and keys name, move to a schema, to another
/// one, and back to `public`.
/// Guarantees: the rows and references are there; in the end the schema is as it was, and the
/// schemas that were made for it are gone.
#[tokio::test(flavor = "multi_thread")]
async fn tables_move_with_their_rows_and_back() {
    let database = pg::database().await;
    let before = dump(database.url()).await;
    let mut conn = database.connect().await;
    let id = "c0000000-0000-0000-0000-000000000001";
    run(
        &mut conn,
        format!(
            "INSERT INTO customers (id, name, arr) VALUES ('{id}', 'Acme', 1);
             INSERT INTO contracts (customer_id) VALUES ('{id}');
             INSERT INTO agent_runs (agent_id, agent_type, customer_id) VALUES ('a', 'b', '{id}')"
        ),
    )
    .await;
    for schema in [SCHEMA, "other", "public"] {
        let said = migrate(&database, &["--plan", "--schema", schema]).await;
        assert!(
            said.contains(&format!("move to the schema {schema}\n")),
            "{said}"
        );
        migrate(&database, &["--schema", schema]).await;
        let place = format!("SET search_path = '{schema}'; DELETE FROM contracts WHERE false");
        run(&mut conn, place).await;
        let refused = sqlx::raw_sql("DELETE FROM customers")
            .execute(&mut conn)
            .await;
        let refused = refused.unwrap_err().into_database_error().unwrap();
        assert_eq!(refused.code().as_deref(), Some("23503"), "{schema}");
    }
    assert_eq!(dump(database.url()).await, before);
}

/// Scenario: tables with rows are to be left out; a table of the product is to move; what was left out
/// is to come back; a view of the product is in the way; names that are none.
/// Guarantees: each is refused in one line that says why, by the plan too, and nothing changes.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused() {
    let refused = async |database: &TestDatabase, flags: &[&str], why: &str| {
        let before = dump(database.url()).await;
        let (code, said) = runtraced(&[&["migrate"], flags].concat(), database.url()).await;
        let last = said.lines().last().unwrap();
        assert!(code != 0 && last.contains(why), "{code} {said}");
        // Who else depends on them is not known before.
        if !why.starts_with("other objects") {
            let plan = [&["migrate", "--plan"], flags].concat();
            let (code, said) = runtraced(&plan, database.url()).await;
            let last = said.lines().last().unwrap();
            assert!(code != 0 && last.contains(why), "{code} {said}");
            assert!(!said.contains("then the customer tables"), "{said}");
        }
        assert!(dump(database.url()).await == before, "{why}");
    };
    let filled = pg::database().await;
    let insert = "INSERT INTO customers (name, arr) VALUES ('Acme', 1)";
    run(&mut filled.connect().await, insert).await;
    refused(&filled, LEFT_OUT, "the table public.customers has rows").await;

    let product = pg::database().await;
    let own = "COMMENT ON TABLE qbrs IS 'the product''s own'";
    run(&mut product.connect().await, own).await;
    for flags in [MOVED, LEFT_OUT] {
        let why = "the table public.qbrs is not one that runtraced created";
        refused(&product, flags, why).await;
    }
    let viewed = pg::database().await;
    let view = "CREATE VIEW of_the_product AS SELECT id FROM customers";
    run(&mut viewed.connect().await, view).await;
    refused(&viewed, LEFT_OUT, "other objects depend on it").await;

    let left = arrived("existing", LEFT_OUT).await;
    for schema in [SCHEMA, "public"] {
        let why = "the customer tables are left out of this database";
        refused(&left, &["--schema", schema], why).await;
    }
    for name in ["", "pg_customers", "information_schema", &"x".repeat(64)] {
        refused(&viewed, &["--schema", name], "--schema").await;
    }
    let both = [MOVED, LEFT_OUT].concat();
    let (code, said) = runtraced(&[&["migrate"], &both[..]].concat(), viewed.url()).await;
    assert!(code != 0 && said.contains("cannot be used with"), "{said}");
}

/// Scenario: a database of each form with rows is dumped and restored; the down file of the migration
/// is run.
/// Guarantees: the copy is of the same form, and `migrate` finds nothing to do; the way down is refused
/// as long as the tables are elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_brings_the_form_along() {
    for flags in [MOVED, LEFT_OUT] {
        let database = arrived("existing", flags).await;
        let mut conn = database.connect().await;
        run(
            &mut conn,
            "INSERT INTO agent_runs (agent_id, agent_type) VALUES ('a', 'b')",
        )
        .await;
        let copy = pg::empty_database().await;
        let text = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(bin(&mut conn, "pg_dump").await);
        let output = command
            .args(["--dbname", database.url()])
            .arg("--file")
            .arg(text.path())
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        leave_out_unknown_settings(&mut conn, text.path()).await;
        let output = psql(copy.url(), text.path());
        assert!(output.status.success(), "{output:?}");
        assert_eq!(structure(&copy).await, structure(&database).await);
        assert_eq!(
            migrate(&copy, &[]).await,
            "nothing to do: the schema is up to date\n"
        );
        refuses_down(&mut copy.connect().await).await;
    }
}

/// `pg_dump` may be newer than the server, and then sets what only later servers have.
async fn leave_out_unknown_settings(conn: &mut PgConnection, dump: &Path) {
    const SETTING: &str = "SET transaction_timeout = 0;\n";
    let known: Option<String> =
        sqlx::query_scalar("SELECT current_setting('transaction_timeout', true)")
            .fetch_one(conn)
            .await
            .unwrap();
    if known.is_none() {
        let text = fs::read_to_string(dump).unwrap();
        fs::write(dump, text.replacen(SETTING, "", 1)).unwrap();
    }
}

async fn refuses_down(conn: &mut PgConnection) {
    let is_it = |one: &&sqlx::migrate::Migration| {
        one.description == "customers schema" && one.migration_type.is_down_migration()
    };
    let down = MIGRATIONS.iter().find(is_it).unwrap();
    let refused = sqlx::raw_sql(down.sql.clone())
        .execute(conn)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("the customer tables are"),
        "{refused}"
    );
}
