//! What a collector has: a daemon that stores every span as a step.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::pg::{self, TestDatabase};

/// The order of spans that begin and end at the same time: children of one span follow each
/// other like this.
const ORDER: [&str; 14] = [
    "receive",
    "decode",
    "admit",
    "settle",
    "queue",
    "transaction",
    "plan",
    "lock",
    "copy",
    "merge",
    "commit",
    "handlers",
    "writers",
    "drain",
];

/// A span without a parent may be no step but its run. Its children name it as their parent.
const SPANS: &str = "
    WITH roots AS (
        SELECT r.id, r.status, r.end_metadata AS metadata, r.started_at, r.ended_at,
               coalesce(min(s.parent_step_id::text)::uuid, r.id) AS named
        FROM agent_runs r
        LEFT JOIN agent_steps s ON s.run_id = r.id AND s.parent_step_id IS NOT NULL
            AND NOT EXISTS (SELECT FROM agent_steps p WHERE p.id = s.parent_step_id)
        WHERE r.end_metadata IS NOT NULL
        GROUP BY r.id),
    spans AS (
        SELECT run_id, id, parent_step_id, status, metadata, started_at, ended_at FROM agent_steps
        UNION ALL
        SELECT id, named, NULL, status, metadata, started_at, ended_at FROM roots)
    SELECT run_id, id, parent_step_id, status, metadata,
           (extract(epoch FROM started_at) * 1000000)::bigint AS begin_micros,
           (extract(epoch FROM ended_at) * 1000000)::bigint AS end_micros
    FROM spans";

/// A collector.
pub struct Collector {
    pub daemon: Daemon,
    database: TestDatabase,
}

/// A span that it has.
#[derive(Clone, Debug)]
pub struct ToldSpan {
    pub trace: Uuid,
    pub name: String,
    pub failed: bool,
    pub metadata: Value,
    /// As its children name it.
    pub id: String,
    pub parent: Option<String>,
    /// As others link to it, and to which it links.
    pub link_id: String,
    pub links: Vec<String>,
    /// Begin and end.
    pub times: (i64, i64),
}

impl Collector {
    pub async fn start() -> Self {
        let database = pg::database().await;
        let daemon = Daemon::with_args(database.url(), &["--keep-foreign-spans"]).await;
        Self { daemon, database }
    }

    /// Flags of a daemon that sends here.
    pub fn flags<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["--otel-endpoint", self.daemon.grpc_url()], more].concat()
    }

    /// Every span, in the order of their times.
    pub async fn spans(&self) -> Vec<ToldSpan> {
        let mut connection = self.database.connect().await;
        let spans = sqlx::query(SPANS).map(|row: PgRow| ToldSpan::read(&row));
        in_order(spans.fetch_all(&mut connection).await.unwrap())
    }
}

/// Spans in the order of their times.
pub fn in_order(mut spans: Vec<ToldSpan>) -> Vec<ToldSpan> {
    let rank = |span: &ToldSpan| ORDER.iter().position(|name| *name == span.name);
    spans.sort_by_key(|span| (span.times, rank(span)));
    spans
}

impl ToldSpan {
    fn read(row: &PgRow) -> Self {
        let metadata: Value = row.get("metadata");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let otel = &metadata["otel"];
        let links = otel["links"].as_array().into_iter().flatten();
        Self {
            trace: row.get("run_id"),
            name: text(&otel["name"]),
            failed: row.get::<&str, _>("status") == "failed",
            id: row.get::<Uuid, _>("id").to_string(),
            parent: row
                .get::<Option<Uuid>, _>("parent_step_id")
                .map(|id| id.to_string()),
            link_id: text(&otel["span_id"]),
            links: links.map(|link| text(&link["span_id"])).collect(),
            metadata,
            times: (row.get("begin_micros"), row.get("end_micros")),
        }
    }
}

/// The trees of some spans as text, one below the other; behind a name the names of what it is
/// linked to.
pub fn trees(spans: &[ToldSpan]) -> String {
    let name_of: BTreeMap<&str, &str> = spans
        .iter()
        .map(|span| (span.link_id.as_str(), span.name.as_str()))
        .collect();
    let is_parent = |one: &ToldSpan, of: &ToldSpan| of.parent.as_ref() == Some(&one.id);
    let is_root = |span: &&ToldSpan| !spans.iter().any(|other| is_parent(other, span));
    let mut text = String::new();
    for root in spans.iter().filter(is_root) {
        write(spans, &name_of, root, 0, &mut text);
    }
    text
}

fn write(
    spans: &[ToldSpan],
    name_of: &BTreeMap<&str, &str>,
    span: &ToldSpan,
    depth: usize,
    text: &mut String,
) {
    let links = span.links.iter().map(|id| {
        let name = name_of.get(id.as_str()).unwrap_or(&"?");
        format!(" -> {name}")
    });
    let (indent, links) = ("  ".repeat(depth), links.collect::<String>());
    text.push_str(&format!("{indent}{}{links}\n", span.name));
    let is_child = |other: &&ToldSpan| other.parent.as_ref() == Some(&span.id);
    for child in spans.iter().filter(is_child) {
        write(spans, name_of, child, depth + 1, text);
    }
}
