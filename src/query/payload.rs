//! Payloads of a run: inputs, outputs, messages, a piece at a time.

use sqlx::PgConnection;
use uuid::Uuid;

use super::sql_text::{SqlText, contains_pattern};

/// Characters of a payload in one answer.
pub const PAYLOAD_CHARS: i64 = 256 << 10;
/// Places that a search in a run finds.
pub const MAX_HITS: usize = 500;

/// Input and output of a step as they were sent.
const SENT_INPUT: &str = "public.content_value(x.run_id, x.input)";
const SENT_OUTPUT: &str = "public.content_value(x.run_id, x.output)";

/// A kind of thing that has payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum PayloadItem {
    Run,
    Step,
    Message,
    Approval,
    Score,
}

impl PayloadItem {
    /// The item of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "run" => Some(Self::Run),
            "step" => Some(Self::Step),
            "message" => Some(Self::Message),
            "approval" => Some(Self::Approval),
            "score" => Some(Self::Score),
            _ => None,
        }
    }

    /// Table `AS x`, and names in answers with what they show; true: JSON.
    fn columns(self) -> (&'static str, &'static [(&'static str, &'static str, bool)]) {
        match self {
            Self::Run => (
                "agent_runs",
                &[
                    ("input", "x.input", false),
                    ("output", "x.output", false),
                    ("error", "x.error", false),
                    ("metadata", "x.metadata", true),
                    ("end_metadata", "x.end_metadata", true),
                ],
            ),
            Self::Step => (
                "agent_steps",
                &[
                    ("input", SENT_INPUT, true),
                    ("output", SENT_OUTPUT, true),
                    ("error", "x.error", false),
                    ("metadata", "x.metadata", true),
                ],
            ),
            Self::Message => (
                "agent_messages",
                &[
                    ("content", "x.content", false),
                    ("thinking", "x.thinking", false),
                    ("tool_calls", "x.tool_calls", true),
                    ("metadata", "x.metadata", true),
                ],
            ),
            Self::Approval => (
                "approvals",
                &[
                    ("input", "x.action_data", true),
                    ("content", "x.notes", false),
                    ("metadata", "x.metadata", true),
                ],
            ),
            Self::Score => (
                "agent_scores",
                &[
                    ("content", "x.comment", false),
                    ("metadata", "x.metadata", true),
                ],
            ),
        }
    }

    /// The small columns.
    fn info(self) -> &'static str {
        match self {
            Self::Run => "x.started_at AS at, x.ended_at, x.status, x.agent_id, x.name",
            Self::Step => {
                "coalesce(x.started_at, x.created_at) AS at, x.ended_at, x.status, x.step_type, x.kind, x.name, x.model, x.duration_ms"
            }
            Self::Message => "x.created_at AS at, x.role, x.seq, x.step_id",
            Self::Score => "x.created_at AS at, x.name, x.value, x.label, x.source, x.step_id",
            Self::Approval => {
                "x.created_at AS at, x.decided_at AS ended_at, x.status, x.action_type, x.action_description AS name, x.expires_at, x.decided_by, x.step_id"
            }
        }
    }
}

/// Which payload to read.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct PayloadRequest {
    pub run: Uuid,
    pub item: PayloadItem,
    pub id: Uuid,
    /// Only this field.
    pub field: Option<String>,
    /// Characters to skip.
    pub offset: i64,
    /// JSON is indented.
    pub pretty: bool,
}

impl PayloadRequest {
    /// The statement; `None`: the item has no such field. Its row has `info` and `fields`.
    #[must_use]
    pub fn statement(&self) -> Option<SqlText> {
        let (table, columns) = self.item.columns();
        let mut fields = String::new();
        for (name, column, is_json) in columns {
            if self.field.as_deref().is_some_and(|field| field != *name) {
                continue;
            }
            let text = match (is_json, self.pretty) {
                (true, true) => format!("jsonb_pretty({column})"),
                _ => format!("{column}::text"),
            };
            if !fields.is_empty() {
                fields.push_str(",\n    ");
            }
            // OFFSET 0 keeps the planner from evaluating the text and its length several times.
            fields.push_str(&format!(
                "'{name}', (SELECT CASE WHEN v.t IS NOT NULL THEN json_build_object(\
                 'text', substr(v.t, {from}, {PAYLOAD_CHARS}), 'chars', v.chars, 'cut', v.chars > {next}, \
                 'next', CASE WHEN v.chars > {next} THEN {next} END, 'json', {is_json}) END \
                 FROM (SELECT u.t, length(u.t) AS chars FROM (SELECT {text} AS t OFFSET 0) AS u OFFSET 0) AS v)",
                from = self.offset + 1,
                next = self.offset + PAYLOAD_CHARS,
            ));
        }
        if fields.is_empty() {
            return None;
        }
        let info = self.item.info();
        let mut sql = SqlText::new(&format!(
            "SELECT (SELECT row_to_json(i) FROM (SELECT {info}) AS i) AS info,\n  \
             json_build_object({fields}) AS fields\nFROM {table} AS x\nWHERE x.id = "
        ));
        sql.bind(&self.id.to_string(), "uuid");
        if self.item != PayloadItem::Run {
            sql.push(" AND x.run_id = ")
                .bind(&self.run.to_string(), "uuid");
        }
        Some(sql)
    }

    /// The payload as JSON; `None`: there is none, or the reader may not see it.
    ///
    /// # Errors
    /// If the statement fails.
    pub async fn read(&self, conn: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
        match self.statement() {
            Some(statement) => statement.json_row(conn).await,
            None => Ok(None),
        }
    }
}

/// The statement that finds a text in the payloads of a run, in order.
#[must_use]
pub fn find_statement(run: Uuid, text: &str) -> SqlText {
    let pattern = contains_pattern(text);
    let mut sql = SqlText::new(
        "SELECT t.item, t.id\nFROM run_timeline AS t\nWHERE t.item <> 'tokens' AND t.run_id = ",
    );
    sql.bind(&run.to_string(), "uuid").push(" AND (");
    for (index, column) in [
        "t.name",
        "t.error",
        "t.content",
        "t.thinking",
        "t.input::text",
        "t.output::text",
        "t.tool_calls::text",
    ]
    .into_iter()
    .enumerate()
    {
        sql.push(if index > 0 { " OR " } else { "" })
            .push(column)
            .push(" ILIKE ")
            .bind(&pattern, "text");
    }
    sql.push(&format!(")\nORDER BY t.position\nLIMIT {}", MAX_HITS + 1));
    sql
}
