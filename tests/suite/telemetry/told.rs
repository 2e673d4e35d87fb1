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
    id: Uuid,
    parent: Option<Uuid>,
    /// Begin and end, in microseconds.
    times: (i64, i64),
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
        let mut spans = spans.fetch_all(&mut connection).await.unwrap();
        let rank = |span: &ToldSpan| ORDER.iter().position(|name| *name == span.name);
        spans.sort_by_key(|span| (span.times, rank(span)));
        spans
    }
}

impl ToldSpan {
    fn read(row: &PgRow) -> Self {
        let metadata: Value = row.get("metadata");
        Self {
            trace: row.get("run_id"),
            name: metadata["otel"]["name"].as_str().unwrap().to_owned(),
            failed: row.get::<&str, _>("status") == "failed",
            metadata,
            id: row.get("id"),
            parent: row.get("parent_step_id"),
            times: (row.get("begin_micros"), row.get("end_micros")),
        }
    }
}

/// The trees of some spans as text, one below the other; behind a name the names of what it is
/// linked to.
pub fn trees(spans: &[ToldSpan]) -> String {
    let name_of: BTreeMap<&str, &str> = spans
        .iter()
        .map(|span| (own_id(span), span.name.as_str()))
        .collect();
    let is_root = |span: &&ToldSpan| !spans.iter().any(|other| Some(other.id) == span.parent);
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
    let links = span.metadata["otel"]["links"].as_array();
    let links = links.into_iter().flatten().map(|link| {
        let id = link["span_id"].as_str().unwrap();
        format!(" -> {}", name_of.get(id).unwrap_or(&"?"))
    });
    let (indent, links) = ("  ".repeat(depth), links.collect::<String>());
    text.push_str(&format!("{indent}{}{links}\n", span.name));
    for child in spans.iter().filter(|other| other.parent == Some(span.id)) {
        write(spans, name_of, child, depth + 1, text);
    }
}

fn own_id(span: &ToldSpan) -> &str {
    span.metadata["otel"]["span_id"].as_str().unwrap()
}
