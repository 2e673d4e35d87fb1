//! Several views of one step.

use runtraced::proto::{EndStatus, Event};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ending, in_every_order};
use crate::support::daemon::Daemon;
use crate::support::events::{details, step, step_started};
use crate::support::pg;
use crate::support::tables::row;

/// A view with only a name and metadata.
fn view(view: i32, ended: i64, run: Uuid, own: Uuid, name: &str) -> Event {
    ending(step(10, ended, run, own), |end| {
        end.view = view;
        end.output_json = None;
        let mut known = details(name);
        known.input_json = None;
        known.metadata_json = Some(format!("{{\"of\":\"{name}\"}}"));
        end.details = Some(known);
    })
}

async fn read(conn: &mut PgConnection, step: Uuid) -> Value {
    let query = format!(
        "SELECT name, model, input, output, metadata, status, duration_ms AS ms FROM agent_steps WHERE id = '{step}'"
    );
    row(conn, &query).await
}

/// Scenario: a start, a full view, an earlier full view, and two lower views that
/// end later, one of them failed; in every order.
/// Guarantees: the later full view wins as a whole. Fields that it lacks are filled
/// from the better of the lower views, whose metadata is kept.
#[tokio::test(flavor = "multi_thread")]
async fn the_full_view_wins_and_is_filled_from_the_others() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    in_every_order(
        &daemon,
        &mut database.connect().await,
        |&[run, own]| {
            let poorer = ending(view(-1, 50, run, own, "poorer"), |end| {
                end.status = EndStatus::Failed.into();
                end.output_json = Some("[1, 1.0]".into());
                let details = end.details.as_mut().unwrap();
                details.input_json = Some("\"asked\"".into());
                details.model = Some("m-1".into());
            });
            let poorest = ending(view(-2, 60, run, own, "poorest"), |end| {
                end.output_json = Some("\"nothing\"".into());
                end.details.as_mut().unwrap().model = Some("m-2".into());
            });
            [
                step_started(9, run, own),
                view(0, 20, run, own, "earlier"),
                view(0, 30, run, own, "full"),
                poorer,
                poorest,
            ]
        },
        async |conn, ids| read(conn, ids[1]).await,
        |_| {
            json!({
                "name": "full", "model": "m-1", "input": "asked", "output": [1, 1.0], "status": "completed", "ms": 21,
                "metadata": {"of": "full", "other_view": {"of": "poorer"}},
            })
        },
    )
    .await;
    daemon.finish().await;
}

/// Scenario: lower views with metadata meet a full view that has a key of the same
/// name, and a full view without metadata; in both orders.
/// Guarantees: the full view keeps its own key. It needs no metadata of its own to
/// keep that of the lower view.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_a_lower_view_never_hides_the_full_views() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    for (own, want) in [
        (Some("{\"other_view\":7}"), json!({"other_view": 7})),
        (Some("{}"), json!({"other_view": {"of": "poorer"}})),
        (None, json!({"other_view": {"of": "poorer"}})),
    ] {
        in_every_order(
            &daemon,
            &mut conn,
            |&[run, step]| {
                let full = ending(view(0, 20, run, step, "full"), |end| {
                    end.details.as_mut().unwrap().metadata_json = own.map(str::to_owned);
                });
                [
                    full,
                    view(-1, 30, run, step, "poorer"),
                    view(-1, 20, run, step, "older"),
                ]
            },
            async |conn, ids| read(conn, ids[1]).await["metadata"].clone(),
            |_| want.clone(),
        )
        .await;
    }
    daemon.finish().await;
}
