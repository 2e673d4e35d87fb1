//! Builds indexes without holding up writers.

use sqlx::{AssertSqlSafe, PgConnection};

use crate::store::layout::{SLOT_TABLES, TraceLayout};

/// An index of a table of the schema `public`, or of the tables of the slots that have its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct WantedIndex<'a> {
    pub name: &'a str,
    pub table: &'a str,
    /// No two rows may be equal.
    pub unique: bool,
    /// What follows the table in its definition.
    pub definition: &'a str,
}

impl WantedIndex<'_> {
    /// Builds it if it is missing, and returns whether it did. If the table has partitions, it
    /// builds one of each partition, because Postgres can do only that without a lock.
    ///
    /// # Errors
    /// If a statement fails.
    pub async fn build(self, conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let layout = TraceLayout::find(conn).await?;
        if matches!(layout, TraceLayout::InSlots(_)) && SLOT_TABLES.contains(&self.table) {
            let mut built = false;
            for schema in layout.schemas() {
                built |= self.build_in(conn, &schema).await?;
            }
            return Ok(built);
        }
        let partitions: Vec<String> = sqlx::query_scalar(
            "SELECT quote_ident(n.nspname) FROM pg_inherits i
             JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE i.inhparent = to_regclass('public.' || $1) ORDER BY 1",
        )
        .bind(self.table)
        .fetch_all(&mut *conn)
        .await?;
        if partitions.is_empty() {
            return self.build_in(conn, "public").await;
        }
        if is_valid(conn, "public", self.name).await? == Some(true) {
            return Ok(false);
        }
        for schema in &partitions {
            self.build_in(conn, schema).await?;
        }
        let Self {
            name,
            table,
            definition,
            ..
        } = self;
        // Valid as soon as each partition has its own; a new partition gets one from it.
        let mut statements = vec![format!(
            "CREATE INDEX IF NOT EXISTS {name} ON ONLY public.{table} {definition}"
        )];
        statements.extend(
            partitions.iter().map(|schema| {
                format!("ALTER INDEX public.{name} ATTACH PARTITION {schema}.{name}")
            }),
        );
        run_each(conn, statements).await?;
        Ok(true)
    }

    /// Builds it on the table of this name in a schema.
    async fn build_in(self, conn: &mut PgConnection, schema: &str) -> Result<bool, sqlx::Error> {
        let Self {
            name,
            table,
            definition,
            unique,
        } = self;
        if is_valid(conn, schema, name).await? == Some(true) {
            return Ok(false);
        }
        let kind = if unique { "UNIQUE " } else { "" };
        // What an interrupted attempt left is of no use.
        let statements = vec![
            format!("DROP INDEX CONCURRENTLY IF EXISTS {schema}.{name}"),
            format!("CREATE {kind}INDEX CONCURRENTLY {name} ON {schema}.{table} {definition}"),
        ];
        run_each(conn, statements).await?;
        Ok(true)
    }
}

/// Whether an index is complete; `None`: there is none.
async fn is_valid(
    conn: &mut PgConnection,
    schema: &str,
    name: &str,
) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)")
        .bind(format!("{schema}.{name}"))
        .fetch_optional(conn)
        .await
}

async fn run_each(conn: &mut PgConnection, statements: Vec<String>) -> Result<(), sqlx::Error> {
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}
