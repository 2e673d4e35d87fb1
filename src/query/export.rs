//! A run as events in JSON, one a line, as `runtraced send` reads them.

use uuid::Uuid;

use super::sql_text::SqlText;

/// The statement whose rows are the events of a run in order, in the column `event`.
#[must_use]
pub fn export_statement(run: Uuid) -> SqlText {
    SqlText::with_values(include_str!("sql/export.sql"), vec![run.to_string()])
}
