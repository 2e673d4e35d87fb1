//! docs/SCHEMA.md and docs/PROTOCOL.md list all columns, flags and refusal codes, and no others.

use std::collections::BTreeSet;

use prost_reflect::DescriptorPool;
use sqlx::AssertSqlSafe;

use super::markdown;
use crate::support::pg;

/// The columns of a relation, in order.
const COLUMNS: &str = "SELECT attname::text FROM pg_attribute \
     WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum";

#[tokio::test]
async fn the_views_have_the_columns_that_are_told() {
    let database = pg::database().await;
    let mut connection = database.connect().await;
    let page = markdown::page("docs/SCHEMA.md");
    for view in ["run_summary", "run_timeline"] {
        let there: Vec<String> = sqlx::query_scalar(COLUMNS)
            .bind(view)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let section = page.section(&format!("### `{view}`"));
        assert_eq!(markdown::first_cells(section), there, "{view}");
    }
}

#[tokio::test]
async fn the_views_have_the_flags_that_are_told() {
    let database = pg::database().await;
    let mut connection = database.connect().await;
    let page = markdown::page("docs/SCHEMA.md");
    for view in ["run_summary", "run_timeline"] {
        // The flags are the literals of the view's text that stand alone behind THEN, or of
        // the tree's function; the column's comment lists them all.
        let query = format!(
            "SELECT col_description(attrelid, attnum) FROM pg_attribute \
             WHERE attrelid = '{view}'::regclass AND attname = 'flags'"
        );
        let comment: String = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let section = page.section(&format!("### `{view}`"));
        let (_, flags) = section.split_once("| flag | meaning |").unwrap();
        for flag in markdown::first_cells(flags) {
            assert!(comment.contains(&flag), "{view}: {flag} in {comment}");
        }
        let named = comment
            .split(|c: char| !(c.is_ascii_lowercase() || c == '_'))
            .filter(|word| word.contains('_'));
        for flag in named {
            assert!(flags.contains(flag), "{view}: {flag} is not told");
        }
    }
}

#[tokio::test]
async fn all_merge_state_is_told() {
    let database = pg::database().await;
    let mut connection = database.connect().await;
    let there: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
         WHERE a.attnum > 0 AND col_description(c.oid, a.attnum) ~* 'merge state'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let page = markdown::page("docs/SCHEMA.md");
    let told = markdown::first_cells(page.section("## Merge state"));
    let set = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(set(told), set(there));
}

#[test]
fn every_refusal_is_told() {
    let pool = DescriptorPool::decode(runtraced::proto::DESCRIPTORS).unwrap();
    let codes = pool.get_enum_by_name("runtraced.v1.RefusalCode").unwrap();
    let there: Vec<String> = codes
        .values()
        .filter(|code| code.number() != 0)
        .map(|code| code.name().replacen("REFUSAL_CODE_", "", 1))
        .collect();
    let page = markdown::page("docs/PROTOCOL.md");
    let (_, table) = page.text.split_once("| code | why |").unwrap();
    assert_eq!(markdown::first_cells(table), there);
}
