//! Approvals: the queue of what waits for a person, and single ones.

use uuid::Uuid;

use super::merged_rows::RowsByTime;
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
         a.metadata ->> 'decided_by_key' AS decided_by_name, a.metadata ->> 'decided_by_key_id' AS decided_by_key_id, a.notes,\n  \
         r.agent_id, r.name AS run_name, r.customer_id,\n  \
         coalesce(a.status = 'pending' AND a.expires_at <= now(), false) AS overdue\n\
         FROM approvals AS a\nLEFT JOIN agent_runs AS r ON r.id = a.run_id\nWHERE "
    ))
}

/// The order of the approvals of a status: the newest first; pending ones, the oldest first.
#[must_use]
pub fn approvals_order(status: &[String]) -> RowsByTime {
    match status.iter().all(|status| status == "pending") && !status.is_empty() {
        true => RowsByTime::OldestApprovals,
        false => RowsByTime::NewestApprovals,
    }
}

/// Approvals of a status in their order.
#[must_use]
pub fn approvals_statement(
    status: &[String],
    after: Option<&ApprovalPlace>,
    limit: usize,
) -> SqlText {
    let (order, beyond) = match approvals_order(status) {
        RowsByTime::OldestApprovals => ("", ">"),
        _ => (" DESC", "<"),
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

/// Approvals that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApprovalsOf {
    /// One approval.
    One(Uuid),
    /// All approvals of a run.
    Run(Uuid),
}

/// Whether an approval waits no longer.
const DECIDED: &str = "(a.status <> 'pending' OR a.expires_at <= now())";

/// Whether the claim `runtraced_customer` may read an approval, as the policy of the table says it.
const OF_CUSTOMER: &str = "\n  AND CASE WHEN a.run_id IS NOT NULL THEN public.reads_run(a.run_id) \
     ELSE public.reads_session(a.session_id) END";

/// How many approvals are decided of each of these that has some.
#[must_use]
pub fn decision_counts_statement(of: &[ApprovalsOf]) -> SqlText {
    let list = |ids: Vec<String>| format!("{{{}}}", ids.join(","));
    let one = |of: &ApprovalsOf| match of {
        ApprovalsOf::One(id) => Some(id.to_string()),
        ApprovalsOf::Run(_) => None,
    };
    let run = |of: &ApprovalsOf| match of {
        ApprovalsOf::One(_) => None,
        ApprovalsOf::Run(id) => Some(id.to_string()),
    };
    let mut sql = SqlText::new(&format!(
        "SELECT false AS is_run, a.id AS id, count(*) AS decided\nFROM approvals AS a\n\
         WHERE {DECIDED} AND a.id = ANY ("
    ));
    sql.bind(&list(of.iter().filter_map(one).collect()), "uuid[]")
        .push(&format!(
            ")\nGROUP BY a.id\nUNION ALL\n\
             SELECT true, a.run_id, count(*)\nFROM approvals AS a\n\
             WHERE {DECIDED} AND a.run_id = ANY ("
        ))
        .bind(&list(of.iter().filter_map(run).collect()), "uuid[]")
        .push(")\nGROUP BY a.run_id");
    sql
}

/// The decisions about approvals, the oldest first: `id`, `status`, `decided_us` (microseconds since
/// 1970) and `notes`. `of_customer`: only those that the claim `runtraced_customer` may read, as the
/// policy of the table says it. A daemon that writes for customers need not have the role of readers.
#[must_use]
pub fn decided_statement(of: ApprovalsOf, of_customer: bool) -> SqlText {
    let mut sql = SqlText::new(&format!(
        "SELECT a.id, CASE WHEN a.status = 'pending' THEN 'expired' ELSE a.status END AS status, a.notes,\n  \
         CASE WHEN isfinite(at.decided) THEN (extract(epoch FROM at.decided) * 1000000)::bigint END AS decided_us\n\
         FROM approvals AS a\n\
         CROSS JOIN LATERAL (SELECT coalesce(a.decided_at, a.expires_at) AS decided) AS at\n\
         WHERE {DECIDED} AND "
    ));
    match of {
        ApprovalsOf::One(id) => sql.push("a.id = ").bind(&id.to_string(), "uuid"),
        ApprovalsOf::Run(id) => sql.push("a.run_id = ").bind(&id.to_string(), "uuid"),
    };
    if of_customer {
        sql.push(OF_CUSTOMER);
    }
    sql.push("\nORDER BY at.decided NULLS FIRST, a.id");
    sql
}

/// What an agent may know about the approval that it asked for. `of_customer` is as in
/// [`decided_statement`].
#[must_use]
pub fn asked_statement(approval: Uuid, of_customer: bool) -> SqlText {
    let mut sql = SqlText::new(
        "SELECT a.id, CASE WHEN over.due THEN 'expired' ELSE a.status END AS status, a.notes,\n  \
         a.decided_at, a.expires_at, over.due AS overdue\n\
         FROM approvals AS a\n\
         CROSS JOIN LATERAL (SELECT coalesce(a.status = 'pending' AND a.expires_at <= now(), false) AS due) AS over\n\
         WHERE a.id = ",
    );
    sql.bind(&approval.to_string(), "uuid");
    if of_customer {
        sql.push(OF_CUSTOMER);
    }
    sql
}

/// How many approvals wait.
#[must_use]
pub fn pending_statement() -> SqlText {
    SqlText::new("SELECT count(*) AS pending FROM approvals AS a WHERE a.status = 'pending'")
}
