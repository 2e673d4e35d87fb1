//! Inputs made after public bug reports of other tools, and what must come of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, ValueRef as _};

use super::{TruthResults, TruthVerdict, corpus};
use crate::otlp::{deliver::Endpoints, rows::clear};

/// The name that stands for an SDK in the list of gaps.
pub const REPORTS: &str = "reports";

#[derive(Deserialize)]
struct ReportCase {
    case: String,
    facts: Vec<SqlFact>,
    /// OTLP in JSON, which may hold lone surrogates.
    requests: Vec<String>,
    /// The same, one span per request.
    singly: Vec<String>,
}

/// A fact that SQL finds, as psql prints it without alignment.
#[derive(Deserialize)]
struct SqlFact {
    fact: String,
    sql: String,
    is: String,
}

/// Sends each case in each order and adds the verdicts.
pub async fn judge_reports(
    endpoints: &Endpoints,
    conn: &mut PgConnection,
    chosen: impl Fn(&str) -> bool,
    results: &mut TruthResults,
    reasons: &mut BTreeMap<(String, String), String>,
) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/otlp-reports.jsonl.zst");
    for line in corpus::lines(&file) {
        let case: ReportCase = serde_json::from_str(&line).unwrap();
        let name = format!("{REPORTS}/{}", case.case);
        if !chosen(&name) {
            continue;
        }
        let mut verdicts = BTreeMap::new();
        for (order, bodies) in case.orders() {
            clear(conn).await;
            for body in bodies {
                endpoints.post_json("/v1/traces", body).await;
            }
            for fact in &case.facts {
                let seen = printed(conn, &fact.sql).await;
                let holds = seen == fact.is;
                let verdict = verdicts
                    .entry(fact.fact.clone())
                    .or_insert(TruthVerdict::Held);
                if !holds {
                    *verdict = TruthVerdict::Lost;
                    let why = format!("{name}, {order}: {} is {seen}, not {}", fact.fact, fact.is);
                    let key = (name.clone(), fact.fact.clone());
                    reasons.entry(key).or_insert(why);
                }
            }
        }
        results.insert((REPORTS.to_owned(), case.case), verdicts);
    }
}

impl ReportCase {
    fn orders(&self) -> [(&'static str, Vec<&str>); 4] {
        let file = || self.requests.iter().map(String::as_str);
        [
            ("in file order", file().collect()),
            ("in reverse", file().rev().collect()),
            ("twice", file().chain(file().rev()).collect()),
            (
                "span by span",
                self.singly.iter().rev().map(String::as_str).collect(),
            ),
        ]
    }
}

/// The result of a query as `psql -AtX` prints it.
async fn printed(conn: &mut PgConnection, sql: &str) -> String {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    let rows = match rows.fetch_all(conn).await {
        Ok(rows) => rows,
        Err(error) => return format!("ERROR {error}"),
    };
    // The simple protocol has values as text.
    let cells = rows.iter().map(|row| {
        let cells = (0..row.len()).map(|column| {
            let value = row.try_get_raw(column).unwrap();
            if value.is_null() {
                String::new()
            } else {
                value.as_str().unwrap().to_owned()
            }
        });
        cells.collect::<Vec<_>>().join("|")
    });
    cells.collect::<Vec<_>>().join("\n").trim().to_owned()
}
