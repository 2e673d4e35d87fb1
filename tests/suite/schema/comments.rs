//! Every object of the schema has a comment, and a product keeps its own.

use super::catalog::{MIGRATIONS, lines, run};
use crate::support::pg;

/// Tables, views, columns and functions of schema public without a comment. `_sqlx_migrations`
/// is sqlx's own; what an extension owns is the extension's.
const SILENT: &str = "
    WITH object AS (
      SELECT 'pg_class'::regclass AS catalog, oid, 0 AS part, relname || ' (table or view)' AS name
      FROM pg_class
      WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
        AND relname <> '_sqlx_migrations'
      UNION ALL
      SELECT 'pg_class'::regclass, c.oid, a.attnum, c.relname || '.' || a.attname
      FROM pg_class AS c
      JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND c.relname <> '_sqlx_migrations'
      UNION ALL
      SELECT 'pg_proc'::regclass, oid, 0, oid::regprocedure::text
      FROM pg_proc
      WHERE pronamespace = 'public'::regnamespace
    )
    SELECT o.name
    FROM object AS o
    LEFT JOIN pg_description AS d
      ON d.classoid = o.catalog AND d.objoid = o.oid AND d.objsubid = o.part
    WHERE coalesce(d.description, '') !~ '\\S'
      AND NOT EXISTS (
        SELECT FROM pg_depend AS e
        WHERE e.classid = o.catalog AND e.objid = o.oid AND e.deptype = 'e')
    ORDER BY o.name";

#[tokio::test]
async fn every_table_view_column_and_function_has_a_comment() {
    let database = pg::database().await;
    let mut connection = database.connect().await;
    let silent = lines(&mut connection, SILENT).await;
    assert_eq!(silent, Vec::<String>::new(), "these have no comment");
    run(
        &mut connection,
        "COMMENT ON TABLE agent_runs IS NULL;
         COMMENT ON COLUMN run_summary.flags IS ' ';
         COMMENT ON FUNCTION owns_run(uuid) IS NULL",
    )
    .await;
    assert_eq!(
        lines(&mut connection, SILENT).await,
        [
            "agent_runs (table or view)",
            "owns_run(uuid)",
            "run_summary.flags"
        ],
        "the query finds what has no comment"
    );
}

/// Scenario: a product has a table of the schema, with comments of its own; the migrations run,
/// and the last one is undone.
/// Guarantees: the product's comments stay; columns without a comment have one until then.
#[tokio::test]
async fn a_product_keeps_its_own_comments() {
    const COMMENTS: &str = "
        SELECT concat_ws(': ', a.attname, d.description)
        FROM pg_description AS d
        LEFT JOIN pg_attribute AS a ON a.attrelid = d.objoid AND a.attnum = d.objsubid AND a.attnum > 0
        WHERE d.classoid = 'pg_class'::regclass AND d.objoid = 'users'::regclass AND a.attname IS DISTINCT FROM 'is_admin'
        ORDER BY d.objsubid";
    let database = pg::empty_database().await;
    let mut connection = database.connect().await;
    run(
        &mut connection,
        "CREATE TABLE users (id UUID PRIMARY KEY, email TEXT);
         COMMENT ON TABLE users IS 'people of the product';
         COMMENT ON COLUMN users.email IS 'where the invoice goes'",
    )
    .await;
    let own = ["people of the product", "email: where the invoice goes"];
    assert_eq!(lines(&mut connection, COMMENTS).await, own);
    MIGRATIONS.run(&mut connection).await.unwrap();
    let with_ours = lines(&mut connection, COMMENTS).await;
    assert_eq!(with_ours.len(), 3, "{with_ours:?}");
    assert!(with_ours[1].starts_with("id: "), "{with_ours:?}");
    assert_eq!([&with_ours[0], &with_ours[2]], own);
    MIGRATIONS.undo(&mut connection, 20).await.unwrap();
    assert_eq!(lines(&mut connection, COMMENTS).await, own);
}
