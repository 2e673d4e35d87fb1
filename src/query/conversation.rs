//! The conversation of a run or of a session.

use uuid::Uuid;

use super::skeleton::NEAR;
use super::sql_text::SqlText;

/// Characters of each text of a message.
const TEXT_CHARS: usize = 20_000;
/// Runs of a session that are listed.
pub const SESSION_RUNS: usize = 500;

/// Whose messages.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum ConversationOf {
    Run(Uuid),
    Session(Uuid),
}

/// The place of a message in a conversation: time, number and id.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct MessagePlace {
    pub at: String,
    pub seq: i64,
    pub id: Uuid,
}

/// Messages in order, at most `limit`, behind a place.
#[must_use]
pub fn conversation_statement(
    of: ConversationOf,
    after: Option<&MessagePlace>,
    limit: usize,
) -> SqlText {
    let text = |column: &str, name: &str| {
        format!(
            "left({column}, {TEXT_CHARS}) AS {name}, coalesce(length({column}), 0) AS {name}_chars, \
             coalesce(length({column}) > {TEXT_CHARS}, false) AS {name}_cut"
        )
    };
    let mut sql = SqlText::new(&format!(
        "SELECT m.id, m.run_id, m.step_id, m.role, m.created_at AS at, m.seq,\n  {},\n  {},\n  {}\nFROM agent_messages AS m\nWHERE ",
        text("m.content", "content"),
        text("m.thinking", "thinking"),
        text("m.tool_calls::text", "tool_calls"),
    ));
    match of {
        ConversationOf::Run(run) => {
            sql.push("m.run_id = ").bind(&run.to_string(), "uuid");
        }
        ConversationOf::Session(session) => {
            // A message of a run need not name the run's session.
            let id = session.to_string();
            sql.push("(m.session_id = ")
                .bind(&id, "uuid")
                .push(" OR m.run_id IN (SELECT r.id FROM agent_runs AS r WHERE r.session_id = ")
                .bind(&id, "uuid")
                .push("))");
        }
    }
    if let Some(place) = after {
        sql.push(" AND (m.created_at, coalesce(m.seq, -1), m.id) > (")
            .bind(&place.at, "timestamptz")
            .push(", ")
            .bind(&place.seq.to_string(), "bigint")
            .push(", ")
            .bind(&place.id.to_string(), "uuid")
            .push(")");
    }
    sql.push(&format!(
        "\nORDER BY m.created_at, coalesce(m.seq, -1), m.id\nLIMIT {limit}"
    ));
    sql
}

/// A session.
#[must_use]
pub fn session_statement(session: Uuid) -> SqlText {
    let mut sql = SqlText::new(
        "SELECT s.id AS session_id, s.title, s.user_id, s.customer_id, s.external_id, s.created_at \
         FROM agent_sessions AS s WHERE s.id = ",
    );
    sql.bind(&session.to_string(), "uuid");
    sql
}

/// The runs of a session in order.
#[must_use]
pub fn session_runs_statement(session: Uuid) -> SqlText {
    let mut sql = SqlText::new(NEAR);
    sql.push("r.session_id = ")
        .bind(&session.to_string(), "uuid")
        .push(&format!(
            " ORDER BY r.started_at, r.id LIMIT {SESSION_RUNS}"
        ));
    sql
}
