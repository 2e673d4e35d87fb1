//! Approvals: the queue of what waits for a person, and single ones.

use uuid::Uuid;

use super::sql_text::SqlText;

/// Characters of the arguments of an approval.
const DATA_CHARS: usize = 20_000;

/// The place of an approval in the queue: when it was asked for, and its id.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct ApprovalPlace {
    pub at: String,
    pub id: Uuid,
}

fn select() -> SqlText {
    SqlText::new(&format!(
        "SELECT a.id, a.run_id, coalesce(a.session_id, r.session_id) AS session_id, a.step_id,\n  \
         a.action_type, a.action_description, left(a.action_data::text, {DATA_CHARS}) AS action_data,\n  \
         coalesce(length(a.action_data::text), 0) AS action_data_chars,\n  \
         CASE WHEN length(a.action_data::text) > {DATA_CHARS} THEN {DATA_CHARS} END AS action_data_next,\n  \
         encode(sha256(convert_to(ROW(a.run_id, a.session_id, a.action_type, a.action_description, a.action_data)::text, 'UTF8')), 'hex') AS revision,\n  \
         a.status,\n  \
         a.created_at, a.expires_at, a.decided_at, a.decided_by,\n  \
         a.metadata ->> 'decided_by_key' AS decided_by_name, a.notes,\n  \
         r.agent_id, r.name AS run_name, r.customer_id,\n  \
         coalesce(a.status = 'pending' AND a.expires_at <= now(), false) AS overdue\n\
         FROM approvals AS a\nLEFT JOIN agent_runs AS r ON r.id = a.run_id\nWHERE "
    ))
}

/// Approvals of a status, the newest first; pending ones, the oldest first.
#[must_use]
pub fn approvals_statement(
    status: &[String],
    after: Option<&ApprovalPlace>,
    limit: usize,
) -> SqlText {
    let oldest_first = status.iter().all(|status| status == "pending") && !status.is_empty();
    let (order, beyond) = match oldest_first {
        true => ("", ">"),
        false => (" DESC", "<"),
    };
    let mut sql = select();
    match status.is_empty() {
        true => sql.push("true"),
        false => sql.push("a.status IN ").bind_all(status, "text"),
    };
    if let Some(place) = after {
        sql.push(&format!(
            " AND (coalesce(a.created_at, '-infinity'), a.id) {beyond} ("
        ))
        .bind(&place.at, "timestamptz")
        .push(", ")
        .bind(&place.id.to_string(), "uuid")
        .push(")");
    }
    sql.push(&format!(
        "\nORDER BY coalesce(a.created_at, '-infinity'){order}, a.id{order}\nLIMIT {limit}"
    ));
    sql
}

/// One approval.
#[must_use]
pub fn approval_statement(id: Uuid) -> SqlText {
    let mut sql = select();
    sql.push("a.id = ").bind(&id.to_string(), "uuid");
    sql
}

/// How many approvals wait.
#[must_use]
pub fn pending_statement() -> SqlText {
    SqlText::new("SELECT count(*) AS pending FROM approvals AS a WHERE a.status = 'pending'")
}
