//! A page of a conversation.

use axum::http::request::Parts;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::error::WebError;
use super::params::{Params, read_cursor, write_cursor};
use crate::query::{ConversationOf, MessagePlace, SqlText, conversation_statement};

/// Messages of a page, unless the request says otherwise.
const DEFAULT_MESSAGES: usize = 100;

/// Which messages a request asks for.
#[derive(Debug)]
pub(super) struct MessagePage {
    of: ConversationOf,
    after: Option<MessagePlace>,
    pub(super) limit: usize,
}

impl MessagePage {
    pub(super) fn of(head: &Parts, of: ConversationOf) -> Result<Self, WebError> {
        let params = Params::of(head.uri.query())?;
        Ok(Self {
            of,
            limit: params.limit(DEFAULT_MESSAGES)?,
            after: params.get("cursor").map(message_place).transpose()?,
        })
    }

    /// The messages that one server has, and one more if there are more than fit.
    pub(super) async fn read(&self, conn: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
        self.statement(self.limit + 1).json_rows(conn).await
    }

    fn statement(&self, limit: usize) -> SqlText {
        conversation_statement(self.of, self.after.as_ref(), limit)
    }

    /// The page as members of a JSON object. `also`: queries that belong to it.
    pub(super) fn members(&self, mut rows: Vec<String>, also: &[&SqlText]) -> String {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = match (more, rows.last()) {
            (true, Some(last)) => message_cursor(last),
            _ => None,
        };
        let shown = self.statement(self.limit);
        let sql = Value::from(SqlText::all_for_psql(&[&[&shown], also].concat()));
        format!(
            "\"rows\":[{}],\"next\":{},\"sql\":{sql}",
            rows.join(","),
            Value::from(next)
        )
    }
}

/// The cursor behind a message.
fn message_cursor(row: &str) -> Option<String> {
    let row: Value = serde_json::from_str(row).ok()?;
    let id = Uuid::try_parse(row["id"].as_str()?).ok()?;
    let key = format!(
        "{} {}",
        row["seq"].as_i64().unwrap_or(-1),
        row["at"].as_str()?
    );
    Some(write_cursor(Some(&key), id))
}

fn message_place(cursor: &str) -> Result<MessagePlace, WebError> {
    let malformed = || WebError::BadRequest("the cursor is not one of this API".to_owned());
    let (key, id) = read_cursor(cursor)?;
    let key = key.ok_or_else(malformed)?;
    let (seq, at) = key.split_once(' ').ok_or_else(malformed)?;
    let seq = seq.parse().map_err(|_| malformed())?;
    let at = at.to_owned();
    Ok(MessagePlace { at, seq, id })
}
