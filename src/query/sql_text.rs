//! A statement with parameters that can also be shown as text for psql.

use std::fmt::Write as _;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres};

/// A statement. Every value is a parameter, bound as text and cast by the server.
#[derive(Clone, Debug, Default)]
pub struct SqlText {
    sql: String,
    values: Vec<String>,
}

impl SqlText {
    /// A statement without parameters so far.
    #[must_use]
    pub fn new(sql: &str) -> Self {
        Self {
            sql: sql.to_owned(),
            values: Vec::new(),
        }
    }

    /// A statement with its parameters: `$1`, `$2` …
    #[must_use]
    pub fn with_values(sql: &str, values: Vec<String>) -> Self {
        Self {
            sql: sql.to_owned(),
            values,
        }
    }

    /// Appends SQL.
    pub fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Appends a parameter of the type `kind`.
    pub fn bind(&mut self, value: &str, kind: &str) -> &mut Self {
        // Postgres stores no NUL, so a text with one equals nothing.
        self.values.push(value.replace('\0', "\u{fffd}"));
        // Writing to a string cannot fail.
        let _ = write!(self.sql, "${}::{kind}", self.values.len());
        self
    }

    /// Appends a list of parameters in parentheses.
    pub fn bind_all(&mut self, values: &[String], kind: &str) -> &mut Self {
        self.push("(");
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.bind(value, kind);
        }
        self.push(")")
    }

    /// Appends another statement with its parameters.
    pub fn append(&mut self, other: &Self) -> &mut Self {
        let offset = self.values.len();
        other.pieces(|piece| match piece {
            SqlPiece::Sql(sql) => self.sql.push_str(sql),
            SqlPiece::Value(index) => {
                let _ = write!(self.sql, "${}", index + 1 + offset);
            }
        });
        self.values.extend(other.values.iter().cloned());
        self
    }

    /// The statement with its values in it, ready for psql.
    #[must_use]
    pub fn for_psql(&self) -> String {
        let mut text = String::with_capacity(self.sql.len() + 64);
        self.pieces(|piece| match piece {
            SqlPiece::Sql(sql) => text.push_str(sql),
            SqlPiece::Value(index) => text.push_str(&literal(&self.values[index])),
        });
        text
    }

    /// Statements for psql, one after the other.
    #[must_use]
    pub fn all_for_psql(statements: &[&Self]) -> String {
        let texts: Vec<String> = statements.iter().map(|one| one.for_psql()).collect();
        texts.join(";\n\n")
    }

    /// The rows of the statement, each as a JSON object.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn json_rows(&self, conn: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
        let sql = format!("SELECT row_to_json(q)::text FROM (\n{}\n) AS q", self.sql);
        let mut query = sqlx::query_scalar(AssertSqlSafe(sql));
        for value in &self.values {
            query = query.bind(value);
        }
        query.persistent(false).fetch_all(conn).await
    }

    /// The first row of the statement as a JSON object.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn json_row(&self, conn: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
        Ok(self.json_rows(conn).await?.into_iter().next())
    }

    /// The rows of the statement.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn rows(&self, conn: &mut PgConnection) -> Result<Vec<PgRow>, sqlx::Error> {
        self.query().fetch_all(conn).await
    }

    /// The same of a statement that comes again and again: the connection keeps its plan, which takes longer to
    /// make than a page takes to read.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn rows_by_plan(&self, conn: &mut PgConnection) -> Result<Vec<PgRow>, sqlx::Error> {
        self.query().persistent(true).fetch_all(conn).await
    }

    /// The statement, to be run.
    pub fn query(&self) -> Query<'_, Postgres, PgArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.sql.clone()));
        for value in &self.values {
            query = query.bind(value);
        }
        query.persistent(false)
    }

    /// Calls `each` with every piece in order. SQL of this program holds `$` only in
    /// front of the number of a parameter.
    fn pieces<'a>(&'a self, mut each: impl FnMut(SqlPiece<'a>)) {
        let mut rest = self.sql.as_str();
        while let Some(at) = rest.find('$') {
            let digits = &rest[at + 1..];
            let end = digits
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            let Ok(number) = digits[..end].parse::<usize>() else {
                break;
            };
            each(SqlPiece::Sql(&rest[..at]));
            each(SqlPiece::Value(number - 1));
            rest = &digits[end..];
        }
        each(SqlPiece::Sql(rest));
    }
}

enum SqlPiece<'a> {
    Sql(&'a str),
    Value(usize),
}

/// A string constant. Doubled quotes suffice unless there is a backslash, whose meaning
/// depends on a setting; `E''` does not.
fn literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    match quoted.contains('\\') {
        true => format!("E'{}'", quoted.replace('\\', "\\\\")),
        false => format!("'{quoted}'"),
    }
}

/// A pattern of `ILIKE` for texts that contain `part`.
#[must_use]
pub fn contains_pattern(part: &str) -> String {
    let mut pattern = String::with_capacity(part.len() + 2);
    pattern.push('%');
    for character in part.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_psql_whatever_is_in_them() {
        let mut sql = SqlText::new("SELECT ");
        sql.bind("it's $1 \\ '; DROP TABLE x; --", "text");
        sql.push(", ").bind("7", "bigint");
        assert_eq!(
            sql.for_psql(),
            "SELECT E'it''s $1 \\\\ ''; DROP TABLE x; --'::text, '7'::bigint"
        );
    }

    #[test]
    fn an_appended_statement_keeps_its_values() {
        let mut inner = SqlText::new("a = ");
        inner.bind("x", "text");
        let mut outer = SqlText::new("SELECT WHERE b = ");
        outer.bind("y", "text").push(" AND ").append(&inner);
        assert_eq!(
            outer.for_psql(),
            "SELECT WHERE b = 'y'::text AND a = 'x'::text"
        );
    }

    #[test]
    fn wildcards_in_a_searched_text_stand_for_themselves() {
        assert_eq!(contains_pattern("50%_\\"), "%50\\%\\_\\\\%");
    }
}
