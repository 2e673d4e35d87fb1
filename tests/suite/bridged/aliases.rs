//! Aliases: ids that stand for another step, or for no step.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{alias, in_every_order, step_below};
use crate::support::daemon::Daemon;
use crate::support::events::{new_id, run_ended, run_started};
use crate::support::pg;
use crate::support::tables::{count, row};

/// The parents of steps.
async fn parents(conn: &mut PgConnection, steps: &[Uuid]) -> Value {
    let mut parents = Vec::new();
    for step in steps {
        let query = format!("SELECT parent_step_id AS p FROM agent_steps WHERE id = '{step}'");
        parents.push(row(conn, &query).await["p"].clone());
    }
    json!(parents)
}

/// Scenario: a step is below an ignored span. That is below another view of a
/// second step, which is below an ignored span at the top. These five events are
/// sent in every order.
/// Guarantees: the step is below the second step, to which its chain of parents
/// leads. The second step is at the top.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_aliases_leads_to_the_nearest_step() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    in_every_order(
        &daemon,
        &mut database.connect().await,
        |&[run, outer, inner, ignored, view, top]| {
            [
                step_below(run, inner, Some(ignored)),
                step_below(run, outer, Some(top)),
                alias(run, ignored, None, Some(view)),
                alias(run, view, Some(outer), Some(top)),
                alias(run, top, None, None),
            ]
        },
        async |conn, ids| parents(conn, &ids[1..3]).await,
        |ids| json!([null, ids[1]]),
    )
    .await;
    daemon.finish().await;
}

/// Scenario: two spans are views of one step, one below the other, with an ignored
/// span between them; in every order.
/// Guarantees: the step is not below itself, but below the parent of the outer span.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_below_the_parent_of_its_outer_view() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    in_every_order(
        &daemon,
        &mut database.connect().await,
        |&[run, parent, own, outer, between]| {
            [
                step_below(run, own, Some(between)),
                step_below(run, parent, None),
                alias(run, between, None, Some(outer)),
                alias(run, outer, Some(own), Some(parent)),
            ]
        },
        async |conn, ids| parents(conn, &ids[1..3]).await,
        |ids| json!([null, ids[1]]),
    )
    .await;
    daemon.finish().await;
}

/// Scenario: an ignored span is below a step that names it as its parent, and the
/// step's own id is also an alias of the step; in every order.
/// Guarantees: the step is below the parent of that alias.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_its_own_alias_is_below_its_parent() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    in_every_order(
        &daemon,
        &mut database.connect().await,
        |&[run, parent, own, between]| {
            [
                step_below(run, own, Some(between)),
                alias(run, between, None, Some(own)),
                alias(run, own, Some(own), Some(parent)),
            ]
        },
        async |conn, ids| parents(conn, &ids[2..3]).await,
        |ids| json!([ids[1]]),
    )
    .await;
    daemon.finish().await;
}

/// Scenario: aliases that stand for each other, and an alias that leads a step to
/// itself; in every order. Then the run ends.
/// Guarantees: the steps are at the top, and the SQL views can be read.
#[tokio::test(flavor = "multi_thread")]
async fn cycles_of_aliases_end_at_the_top() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    in_every_order(
        &daemon,
        &mut conn,
        |&[run, one, two, a, b]| {
            [
                step_below(run, one, Some(a)),
                step_below(run, two, Some(two)),
                alias(run, a, None, Some(b)),
                alias(run, b, None, Some(a)),
                alias(run, two, None, Some(two)),
            ]
        },
        async |conn, ids| parents(conn, &ids[1..3]).await,
        |_| json!([null, null]),
    )
    .await;
    let run: Uuid = sqlx::query_scalar("SELECT id FROM agent_runs LIMIT 1")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    daemon
        .submit(vec![run_ended(
            30,
            run,
            runtraced::proto::EndStatus::Failed,
        )])
        .await;
    let depths = format!("SELECT array_agg(depth) AS d FROM run_timeline WHERE run_id = '{run}'");
    assert_eq!(row(&mut conn, &depths).await, json!({"d": [0, 0]}));
    daemon.finish().await;
}

/// Scenario: two steps become each other's ancestors through two views of one. This
/// can happen because aliases are resolved one by one.
/// Guarantees: the timeline and the waterfall show both at the top.
#[tokio::test(flavor = "multi_thread")]
async fn steps_in_a_cycle_are_shown_at_the_top() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let mut conn = database.connect().await;
    let [run, own, between, outer] = [(); 4].map(|()| new_id());
    daemon
        .submit(vec![
            run_started(0, run),
            step_below(run, own, Some(between)),
            step_below(run, between, Some(outer)),
            alias(run, outer, Some(own), None),
        ])
        .await;
    assert_eq!(
        parents(&mut conn, &[own, between]).await,
        json!([between, own])
    );
    let depths = format!("SELECT array_agg(depth) AS d FROM run_timeline WHERE run_id = '{run}'");
    assert_eq!(row(&mut conn, &depths).await, json!({"d": [0, 0]}));
    let lines = format!("run_waterfall('{run}') AS line WHERE line LIKE '%its own ancestor%'");
    assert_eq!(count(&mut conn, &lines).await, 2);
    daemon.finish().await;
}

/// Scenario: an alias is sent twice with different content, and a step below it; in
/// every order.
/// Guarantees: the greater content wins, also for the step.
#[tokio::test(flavor = "multi_thread")]
async fn the_greater_content_of_an_alias_wins() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    let [less, more] = [Uuid::from_u128(1), Uuid::from_u128(2)];
    in_every_order(
        &daemon,
        &mut database.connect().await,
        |&[run, step, of]| {
            [
                step_below(run, step, Some(of)),
                alias(run, of, Some(less), None),
                alias(run, of, Some(more), Some(less)),
            ]
        },
        async |conn, ids| {
            let query = format!(
                "SELECT step_id FROM agent_step_aliases WHERE id = '{}'",
                ids[2]
            );
            json!([parents(conn, &ids[1..2]).await, row(conn, &query).await])
        },
        |_| json!([[more], {"step_id": more}]),
    )
    .await;
    daemon.finish().await;
}

/// Scenario: a step does not say that its parent may be an alias. An alias with
/// that id arrives before or after it.
/// Guarantees: the parent is not resolved.
#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_is_not_an_alias_is_not_resolved() {
    let database = pg::database().await;
    let daemon = Daemon::start(database.url()).await;
    in_every_order(
        &daemon,
        &mut database.connect().await,
        |&[run, step, of]| {
            let plain = super::ending(step_below(run, step, Some(of)), |end| {
                end.details.as_mut().unwrap().parent_may_be_alias = false;
            });
            [plain, alias(run, of, None, None)]
        },
        async |conn, ids| parents(conn, &ids[1..2]).await,
        |ids| json!([ids[2]]),
    )
    .await;
    daemon.finish().await;
}

/// Scenario: aliases without their runs. A day passes for some of them, and the run
/// of one of those arrives.
/// Guarantees: aliases make no run. After a day, the aliases of missing runs are
/// deleted and the others stay.
#[tokio::test(flavor = "multi_thread")]
async fn aliases_without_a_run_make_none_and_expire_after_a_day() {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), &["--sweep-interval", "0.1"]).await;
    let mut conn = database.connect().await;
    let [gone, come, young] = [(); 3].map(|()| new_id());
    for run in [gone, come, young] {
        let outcome = daemon.submit(vec![alias(run, new_id(), None, None)]).await;
        assert_eq!(outcome.committed, 1);
    }
    assert_eq!(count(&mut conn, "agent_runs").await, 0);
    daemon.submit(vec![run_started(0, come)]).await;
    sqlx::query(
        "UPDATE agent_step_aliases SET created_at = created_at - interval '25 hours' WHERE run_id <> $1",
    )
    .bind(young)
    .execute(&mut conn)
    .await
    .unwrap();
    let query = "SELECT jsonb_object_agg(run_id, run_pending) AS left FROM agent_step_aliases";
    let want = json!({"left": {come.to_string(): null, young.to_string(): true}});
    crate::support::tables::eventually(&mut conn, query, want).await;
    daemon.finish().await;
}
