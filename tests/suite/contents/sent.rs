//! Steps with large values, and what the database makes of them.

use std::collections::BTreeMap;

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus, Event};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::support::events::{details, event, id};

/// The flag.
pub const ONCE: &[&str] = &["--content-once"];

/// What each step of a run reads as: input and output.
pub type Shown = BTreeMap<Uuid, (Value, Value)>;

/// A message of a conversation: some are short, some long.
pub fn said(turn: usize) -> String {
    let text = format!("turn {turn} says \\\"this\\\" ").repeat(1 + turn * 7 % 60);
    format!("{{\"role\": \"user\", \"content\": \"{text}\"}}")
}

/// The messages from one turn to another.
pub fn history(turns: std::ops::Range<usize>) -> String {
    let messages: Vec<String> = turns.map(said).collect();
    format!("[{}]", messages.join(", "))
}

/// A model call with this input and output.
pub fn call(millis: i64, run: Uuid, step: Uuid, input: &str, output: &str) -> Event {
    let ended = proto::StepEnded {
        step_id: id(step),
        run_id: id(run),
        details: Some(proto::StepDetails {
            input_json: Some(input.to_owned()),
            ..details("call")
        }),
        output_json: Some(output.to_owned()),
        status: EndStatus::Completed.into(),
        ..Default::default()
    };
    event(millis, Body::StepEnded(ended))
}

/// The calls of a conversation: each sends all that was said before, and gets one message.
pub fn conversation(run: Uuid, calls: usize) -> Vec<(Uuid, Event)> {
    let call = |n: usize| {
        let step = Uuid::from_u128(run.as_u128() + 1 + n as u128);
        let input = format!(
            "{{\"model\": \"m\", \"at\": {n}, \"messages\": {}}}",
            history(0..2 * n)
        );
        (step, call(n as i64, run, step, &input, &said(2 * n)))
    };
    (1..=calls).map(call).collect()
}

/// What was sent in these events, by step.
pub fn sent(events: &[Event]) -> Shown {
    let json = |text: &Option<String>| {
        let text = text.as_deref().unwrap_or("null");
        serde_json::from_str(text).unwrap()
    };
    let of_event = |event: &Event| match event.event.as_ref() {
        Some(Body::StepEnded(e)) => {
            let step = Uuid::from_slice(&e.step_id).unwrap();
            let input = &e.details.as_ref().unwrap().input_json;
            Some((step, (json(input), json(&e.output_json))))
        }
        _ => None,
    };
    events.iter().filter_map(of_event).collect()
}

/// What the steps of these runs read as. Nothing that they name may be missing.
pub async fn shown(conn: &mut PgConnection, runs: &[Uuid]) -> Shown {
    let sql = "SELECT id, coalesce(content_value(run_id, input), 'null'), coalesce(content_value(run_id, output), 'null')
               FROM agent_steps WHERE run_id = ANY ($1)";
    let rows: Vec<(Uuid, Value, Value)> = sqlx::query_as(sql)
        .bind(runs)
        .fetch_all(&mut *conn)
        .await
        .unwrap();
    assert_eq!(dangling(conn).await, 0, "something names what is not there");
    rows.into_iter()
        .map(|(id, input, output)| (id, (input, output)))
        .collect()
}

/// The number of contents and steps that name a content that is not there.
async fn dangling(conn: &mut PgConnection) -> i64 {
    let sql = "WITH stored AS (
          SELECT run_id AS holder, hash, prev, part FROM agent_contents
          UNION ALL
          SELECT scope_id, hash, prev, part FROM agent_shared_contents
        ), named AS (
          SELECT holder, unnest(ARRAY[prev, part]) AS hash FROM stored
        ), referred AS (
          SELECT s.run_id, l.scope_id, (v ->> '$content')::uuid AS hash
          FROM agent_steps AS s
          LEFT JOIN agent_run_scopes AS l USING (run_id)
          CROSS JOIN LATERAL unnest(ARRAY[s.input, s.output]) AS v
          WHERE v - '$content' = '{}' AND v ? '$content'
        )
        SELECT (SELECT count(*) FROM named AS n
                WHERE n.hash IS NOT NULL
                  AND NOT EXISTS (SELECT FROM stored AS c WHERE c.holder = n.holder AND c.hash = n.hash))
             + (SELECT count(*) FROM referred AS r
                WHERE NOT EXISTS (
                  SELECT FROM stored AS c WHERE c.holder IN (r.run_id, r.scope_id) AND c.hash = r.hash))";
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

/// A number from the database.
pub async fn number(conn: &mut PgConnection, sql: &str) -> i64 {
    let query = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()));
    query.fetch_one(conn).await.unwrap()
}
