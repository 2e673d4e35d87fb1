//! The schema and the rules by which daemons write it.

use sqlx::PgConnection;

use super::finding::{Finding, failure, fine, warning};
use super::slots;
use crate::store::{
    CustomerTables, MIGRATIONS, TraceLayout, Unfit, WRITE_EPOCH, check_schema, customer_tables,
    reason, unfit,
};

pub(super) async fn examine(
    conn: &mut PgConnection,
    migrates: bool,
) -> Result<Vec<Finding>, sqlx::Error> {
    let applied = applied(conn).await?;
    let known = MIGRATIONS
        .iter()
        .filter(|migration| migration.migration_type.is_up_migration())
        .map(|migration| migration.version);
    let version = version(&known.collect::<Vec<_>>(), &applied, migrates);
    let checked = check_schema(conn).await;
    let customers = customers(conn).await?;
    let mut findings = vec![version, epoch(checked), customers];
    match TraceLayout::find(conn).await {
        Ok(layout) => {
            findings.extend(months(conn, layout).await?);
            findings.extend(slots::examine(conn, layout).await?);
        }
        Err(sqlx::Error::Protocol(error)) => findings.push(slots::incomplete(&error)),
        Err(error) => return Err(error),
    }
    Ok(findings)
}

/// Whether the months to come have their partitions. `None`: there are no partitions.
async fn months(
    conn: &mut PgConnection,
    layout: TraceLayout,
) -> Result<Option<Finding>, sqlx::Error> {
    const CHECK: &str = "partitions";
    if layout != TraceLayout::ByMonth {
        return Ok(None);
    }
    let (ahead, last): (bool, String) = sqlx::query_as(
        "SELECT max(starts_at) > now(), to_char(max(starts_at) AT TIME ZONE 'UTC', 'YYYY-MM')
         FROM public.agent_months",
    )
    .fetch_one(conn)
    .await?;
    let found = format!("by month; the last month that has some is {last}");
    Ok(Some(match ahead {
        true => fine(CHECK, found),
        false => warning(
            CHECK,
            found,
            "run `SELECT prepare_months()` as the owner, and `runtraced grant --role ROLE` if the daemon's role may not call it; \
             until then, new runs belong to the last month",
        ),
    }))
}

/// Whether the customer tables are where the database says.
async fn customers(conn: &mut PgConnection) -> Result<Finding, sqlx::Error> {
    const CHECK: &str = "customer tables";
    let schema = match customer_tables(conn).await? {
        CustomerTables::LeftOut => {
            let found = "left out: the database is only for traces";
            return Ok(fine(CHECK, found));
        }
        CustomerTables::In(schema) => schema,
    };
    let (migrated, there): (bool, bool) = sqlx::query_as(
        "SELECT to_regprocedure('public.customers_schema()') IS NOT NULL, EXISTS (
             SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relname = 'customers')",
    )
    .bind(&schema)
    .fetch_one(conn)
    .await?;
    if migrated && !there {
        return Ok(failure(
            CHECK,
            format!("there is no table customers in the schema {schema}"),
            "move the tables back there; `runtraced migrate --schema` moves them with all that names them",
        ));
    }
    Ok(fine(CHECK, format!("in the schema {schema}")))
}

/// The versions of the migrations in the database.
async fn applied(conn: &mut PgConnection) -> Result<Vec<i64>, sqlx::Error> {
    let there: bool =
        sqlx::query_scalar("SELECT to_regprocedure('public.ingest_migrations()') IS NOT NULL")
            .fetch_one(&mut *conn)
            .await?;
    if there {
        return sqlx::query_scalar("SELECT public.ingest_migrations()")
            .fetch_one(conn)
            .await;
    }
    let table: bool =
        sqlx::query_scalar("SELECT to_regclass('public._sqlx_migrations') IS NOT NULL")
            .fetch_one(&mut *conn)
            .await?;
    if !table {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("SELECT version FROM public._sqlx_migrations")
        .fetch_all(conn)
        .await
}

fn version(known: &[i64], applied: &[i64], migrates: bool) -> Finding {
    const CHECK: &str = "schema";
    let pending = known
        .iter()
        .filter(|version| !applied.contains(version))
        .count();
    let newest = applied.iter().max().copied().unwrap_or_default();
    if applied.iter().any(|version| !known.contains(version)) {
        return warning(
            CHECK,
            format!("a newer runtraced has migrated the database (migration {newest:04})"),
            "use that version or a later one",
        );
    }
    match (pending, migrates) {
        (0, _) => fine(CHECK, format!("up to date (migration {newest:04})")),
        (_, true) => fine(
            CHECK,
            format!(
                "{}; the daemon applies them when it starts",
                pending_text(pending)
            ),
        ),
        (_, false) => failure(
            CHECK,
            format!("{}, and --no-migrate is set", pending_text(pending)),
            "run `runtraced migrate --plan`, then `runtraced migrate`, as the owner of the database",
        ),
    }
}

fn pending_text(pending: usize) -> String {
    match pending {
        1 => "1 migration is pending".to_owned(),
        _ => format!("{pending} migrations are pending"),
    }
}

fn epoch(checked: Result<(), sqlx::Error>) -> Finding {
    const CHECK: &str = "write epoch";
    let Err(error) = checked else {
        return fine(CHECK, format!("{WRITE_EPOCH}, as this version writes"));
    };
    match unfit(&error) {
        // The check of the schema says so.
        Some(Unfit::Behind) => fine(
            CHECK,
            format!("{WRITE_EPOCH}, once the schema is up to date"),
        ),
        Some(Unfit::Epoch { theirs, .. }) => failure(
            CHECK,
            format!(
                "the database is written by the rules of epoch {theirs}, this version writes by those of {WRITE_EPOCH}"
            ),
            "use the version that the schema belongs to, or migrate if this version is newer",
        ),
        Some(Unfit::Daemon { theirs, .. }) => failure(
            CHECK,
            format!("a daemon of epoch {theirs} is connected"),
            "stop all daemons of the other version",
        ),
        Some(Unfit::Moving) => failure(
            CHECK,
            "the runs move to slots, and nobody writes meanwhile",
            "wait; if nothing moves them, run `runtraced migrate --slots` again",
        ),
        Some(Unfit::Server { there, meant }) => failure(
            CHECK,
            format!("this is server {there} of its store, and was given as server {meant}"),
            "give --database-url once for each server, in the order of `runtraced migrate`",
        ),
        Some(Unfit::OtherStore) => failure(
            CHECK,
            "the database belongs to another store than a server before it",
            "give --database-url the servers of one store",
        ),
        None => failure(
            CHECK,
            reason(&error),
            "look for the error in the server's log",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity::{Failure, Ok as Fine, Warning};

    #[test]
    fn schemas_of_other_versions() {
        let severity = |applied: &[i64], migrates| version(&[1, 2, 3], applied, migrates).severity;
        assert_eq!(severity(&[1, 2, 3], false), Fine);
        assert_eq!(severity(&[1, 2], true), Fine);
        assert_eq!(severity(&[1, 2], false), Failure);
        assert_eq!(severity(&[], false), Failure);
        assert_eq!(severity(&[1, 2, 3, 4], true), Warning);
    }

    #[test]
    fn epochs_of_other_versions() {
        let (ours, theirs) = (WRITE_EPOCH, WRITE_EPOCH + 1);
        let severity = |unfit: Unfit| epoch(Err(unfit.into())).severity;
        assert_eq!(epoch(Ok(())).severity, Fine);
        assert_eq!(severity(Unfit::Epoch { ours, theirs }), Failure);
        assert_eq!(severity(Unfit::Daemon { ours, theirs }), Failure);
        assert_eq!(epoch(Err(sqlx::Error::RowNotFound)).severity, Failure);
    }
}
