//! Calls that several steps describe.

use runtraced::proto::{self, Event, StepType};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{alias, ending, in_every_order, root_ended, step_below};
use crate::support::daemon::Daemon;
use crate::support::events::tokens;
use crate::support::pg;
use crate::support::tables::row;

/// A call below a parent, from 10 to 20.
fn call(run: Uuid, own: Uuid, parent: Option<Uuid>, kind: StepType, name: &str) -> Event {
    changed(step_below(run, own, parent), |details| {
        details.step_type = kind.into();
        details.name = Some(name.into());
        details.input_json = None;
        details.model = None;
    })
}

fn changed(event: Event, change: impl FnOnce(&mut proto::StepDetails)) -> Event {
    ending(event, |end| {
        end.output_json = None;
        change(end.details.as_mut().unwrap());
    })
}

/// The tokens of a step.
fn counted(run: Uuid, step: Uuid, count: Uuid, input: i64, cached: Option<i64>) -> Event {
    let mut event = tokens(20, run, count, input, 5);
    if let Some(proto::event::Event::TokenCount(count)) = &mut event.event {
        count.step_id = crate::support::events::id(step);
        count.cache_read = cached;
    }
    event
}

/// The steps of a run by name, as `type kind`, and its tokens.
async fn shown(conn: &mut PgConnection, run: Uuid) -> Value {
    let query = format!(
        "SELECT (SELECT jsonb_object_agg(name, step_type || ' ' || coalesce(kind, '')) FROM agent_steps WHERE run_id = r.id)
                AS steps, total_tokens_input AS tokens
         FROM agent_runs r WHERE r.id = '{run}'"
    );
    row(conn, &query).await
}

/// Scenario: a call, a call below it that has the model and more numbers, and the token
/// counts of both; in every order.
/// Guarantees: one call shows, filled from the other. Its tokens count once.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_below_a_call_is_a_view_of_it() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    in_every_order(
        &daemon,
        &mut database.connect().await,
        |&[run, outer, inner, first, second]| {
            let framework = call(run, outer, None, StepType::LlmCall, "framework");
            let framework = changed(framework, |details| {
                details.input_json = Some("\"asked\"".into());
            });
            let client = call(run, inner, Some(outer), StepType::LlmCall, "client");
            let client = changed(client, |details| details.model = Some("m".into()));
            [
                framework,
                client,
                counted(run, outer, first, 100, None),
                counted(run, inner, second, 101, Some(90)),
                root_ended(30, run, |_| {}),
            ]
        },
        async |conn, ids| {
            let mut shown = shown(conn, ids[0]).await;
            let query = format!("SELECT model FROM agent_steps WHERE id = '{}'", ids[1]);
            shown["model"] = row(conn, &query).await["model"].clone();
            shown
        },
        |_| {
            json!({
                "steps": {"framework": "llm_call ", "client": "other view"}, "tokens": 101, "model": "m",
            })
        },
    )
    .await;
    daemon.finish().await;
}

/// Scenario: between two calls is an alias, a chain, an agent or a call of another kind;
/// in every order.
/// Guarantees: only an agent and a call of another kind separate them.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_between_two_calls_separates_them() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for (between, separates) in [
        (None, false),
        (Some(StepType::Other), false),
        (Some(StepType::Handoff), true),
        (Some(StepType::LlmCall), true),
    ] {
        in_every_order(
            &daemon,
            &mut conn,
            |&[run, outer, inner, middle]| {
                let middle_step = match between {
                    None => alias(run, middle, None, Some(outer)),
                    Some(kind) => call(run, middle, Some(outer), kind, "middle"),
                };
                [
                    call(run, outer, None, StepType::ToolCall, "f"),
                    middle_step,
                    call(
                        run,
                        inner,
                        Some(middle),
                        StepType::ToolCall,
                        "execute_tool f",
                    ),
                    root_ended(30, run, |_| {}),
                ]
            },
            async |conn, ids| shown(conn, ids[0]).await["steps"]["execute_tool f"].clone(),
            |_| {
                json!(if separates {
                    "tool_call "
                } else {
                    "other view"
                })
            },
        )
        .await;
    }
    daemon.finish().await;
}

/// Scenario: two calls of one id, side by side: one after the other; at once by one
/// instrumentation; at once by two. In every order.
/// Guarantees: only the last two are one call.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_alone_does_not_make_two_calls_one() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for (started, dialect, calls) in [(20, "b", 2), (15, "a", 2), (15, "b", 1)] {
        in_every_order(
            &daemon,
            &mut conn,
            |&[run, one, two]| {
                let of = |own, started_millis, dialect: &str| {
                    let event = call(run, own, None, StepType::ToolCall, "f");
                    let otel = json!({"otel": {"call": "shell:0", "dialect": dialect}});
                    let mut event = changed(event, |details| {
                        details.metadata_json = Some(otel.to_string());
                    });
                    event.time = Some(crate::support::events::at(started_millis + 10));
                    ending(event, |end| {
                        end.started_at = Some(crate::support::events::at(started_millis));
                    })
                };
                [of(one, 10, "a"), of(two, started, dialect), root_ended(40, run, |_| {})]
            },
            async |conn, ids| {
                let query = format!(
                    "SELECT count(*) FROM agent_steps WHERE run_id = '{}' AND step_type = 'tool_call'",
                    ids[0]
                );
                row(conn, &query).await["count"].clone()
            },
            |_| json!(calls),
        )
        .await;
    }
    daemon.finish().await;
}
