//! The migrations as plain SQL files, for those who migrate with other tools.
//!
//! Each file is one transaction, with the way back as a comment. It also notes in sqlx's table
//! that the migration is applied, so `migrate` and daemons take the schema as their own.

use std::fmt::Write as _;

use jiff::ToSpan as _;
use jiff::civil::{DateTime, date};
use sqlx::migrate::{Migration, MigrationType};

use super::customer_tables::{CustomerTables, place_statement};
use crate::store::schema::MIGRATIONS;

/// How files are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// `001_description.sql`.
    Plain,
    /// `TIMESTAMP_description.sql`, as `supabase db push` wants them.
    Supabase,
}

/// A file of SQL.
#[derive(Clone, Debug)]
pub struct ExportedFile {
    /// Its name, which sorts in the order of the migrations.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// The timestamp of the number 0. A migration has the same timestamp in every version.
const EPOCH: DateTime = date(2025, 1, 1).at(0, 0, 0, 0);

/// sqlx's table of migrations, as sqlx makes it.
const MIGRATIONS_TABLE: &str = "\
CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
    success BOOLEAN NOT NULL,
    checksum BYTEA NOT NULL,
    execution_time BIGINT NOT NULL
);
";

/// The migration from which on the customer tables can be placed.
const PLACES_CUSTOMERS: &str = "customers schema";

/// All migrations, oldest first. `customers`: where the customer tables are to be; `None`: where
/// the migrations make them.
#[must_use]
pub fn export_migrations(
    format: ExportFormat,
    customers: Option<&CustomerTables>,
) -> Vec<ExportedFile> {
    let of_type = |up: bool| {
        MIGRATIONS.iter().filter(move |one| match up {
            true => one.migration_type.is_up_migration(),
            false => matches!(one.migration_type, MigrationType::ReversibleDown),
        })
    };
    let mut first = true;
    of_type(true)
        .map(|up| {
            let down = of_type(false).find(|down| down.version == up.version);
            let then = customers.filter(|_| up.description == PLACES_CUSTOMERS);
            let then = then.map(place_statement);
            let text = text(up, down, then, std::mem::take(&mut first));
            ExportedFile {
                name: format!("{}_{}.sql", prefix(format, up.version), name(up)),
                text,
            }
        })
        .collect()
}

fn prefix(format: ExportFormat, version: i64) -> String {
    match format {
        ExportFormat::Plain => format!("{version:03}"),
        ExportFormat::Supabase => {
            let time = EPOCH.saturating_add(version.minutes());
            time.strftime("%Y%m%d%H%M%S").to_string()
        }
    }
}

fn name(migration: &Migration) -> String {
    migration.description.replace(' ', "_")
}

fn text(up: &Migration, down: Option<&Migration>, then: Option<String>, first: bool) -> String {
    let mut text = format!(
        "-- Migration {} of runtraced: {}\n--\n-- Rollback:\n",
        up.version,
        name(up)
    );
    let back = down.map_or("", |down| down.sql.as_str());
    let forget = format!(
        "DELETE FROM _sqlx_migrations WHERE version = {};",
        up.version
    );
    for line in back.lines().chain([forget.as_str()]) {
        // The comments of the file that goes back would only be in the way.
        if !line.is_empty() && !line.starts_with("--") {
            let _ = writeln!(text, "--   {line}");
        }
    }
    text += "\nBEGIN;\nSET LOCAL lock_timeout = '5s';\n\n";
    if first {
        text += MIGRATIONS_TABLE;
        text += include_str!("../sql/protect_migrations.sql");
        text += "\n";
    }
    for line in up.sql.as_str().lines() {
        // That file is not among the exported ones.
        if !line.starts_with("-- Rollback: ") {
            text += line;
            text += "\n";
        }
    }
    if let Some(then) = then {
        let _ = write!(text, "\n{then}");
    }
    let checksum: String = up
        .checksum
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let _ = write!(
        text,
        "\nINSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)\n\
         VALUES ({}, '{}', true, '\\x{checksum}', 0);\n\nCOMMIT;\n",
        up.version,
        up.description.replace('\'', "''"),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_in_the_order_of_the_migrations() {
        for format in [ExportFormat::Plain, ExportFormat::Supabase] {
            let files = export_migrations(format, None);
            let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
            assert!(names.is_sorted(), "{names:?}");
            assert!(files.iter().all(|file| !file.name.contains(".down")));
        }
        let files = export_migrations(ExportFormat::Supabase, None);
        assert_eq!(files[0].name, "20250101000100_auth_shim.sql");
        assert_eq!(
            export_migrations(ExportFormat::Plain, None)[1].name,
            "002_customers.sql"
        );
    }

    #[test]
    fn numbers_have_no_hole() {
        let versions = MIGRATIONS
            .iter()
            .filter(|one| one.migration_type.is_up_migration())
            .map(|one| one.version);
        let versions: Vec<i64> = versions.collect();
        let newest = versions.iter().max().copied().unwrap();
        assert_eq!(versions, (1..=newest).collect::<Vec<_>>());
    }

    #[test]
    fn the_way_back_is_a_comment() {
        for file in export_migrations(ExportFormat::Plain, None) {
            let (head, rest) = file.text.split_once("\nBEGIN;\n").unwrap();
            assert!(
                head.lines().all(|line| line.starts_with("--")),
                "{}",
                file.name
            );
            assert!(
                head.contains("DELETE FROM _sqlx_migrations"),
                "{}",
                file.name
            );
            assert!(rest.ends_with("COMMIT;\n"), "{}", file.name);
        }
    }

    #[test]
    fn one_file_places_the_customer_tables() {
        let files = |customers: &CustomerTables| {
            let files = export_migrations(ExportFormat::Plain, Some(customers));
            let of = |file: &ExportedFile| file.text.contains("runtraced.customers_schema =");
            files.into_iter().filter(of).collect::<Vec<_>>()
        };
        let [file] = &files(&CustomerTables::In("it's".to_owned()))[..] else {
            panic!("not one file");
        };
        assert!(
            file.name.ends_with("_customers_schema.sql"),
            "{}",
            file.name
        );
        let set = "SET LOCAL runtraced.customers_schema = 'it''s';";
        assert!(file.text.contains(set), "{}", file.text);
        assert_eq!(files(&CustomerTables::LeftOut).len(), 1);
    }
}
