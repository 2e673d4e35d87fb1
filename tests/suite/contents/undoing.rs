//! Without the migration, steps hold their values again.

use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{
    execute, insert_contents, insert_run, insert_shared, insert_step, reference, shown,
};
use crate::support::events::new_id;
use crate::support::pg;
use runtraced::store::MIGRATIONS;

/// Scenario: steps with references in input, output and in their lesser views; plain steps; lookalikes.
/// The migration is undone, and made again.
/// Guarantees: every step has what was sent, in the form that merging expects; nothing else changes.
#[tokio::test]
async fn values_come_back_into_the_steps() {
    let database = pg::plain_database().await;
    let mut conn = database.connect().await;
    let (run, plain) = (new_id(), new_id());
    insert_run(&mut conn, run).await;
    insert_run(&mut conn, plain).await;
    let lookalike = json!({"$content": Uuid::from_u128(1)});
    let lines = format!(
        "1 0 0 0 - {{\"b\": 1, \"a\": \"x\"}}\n2 1 0 0 - [0]\n3 1 2 1 -\n4 0 0 0 - {lookalike}"
    );
    insert_contents(&mut conn, run, &lines).await;
    let (leaf, list) = (json!({"b": 1, "a": "x"}), json!([0, {"b": 1, "a": "x"}]));
    let steps = [
        insert_step(&mut conn, run, &reference(3), &reference(1)).await,
        insert_step(&mut conn, run, &reference(4), &json!("plain")).await,
        insert_step(&mut conn, run, &json!("plain"), &reference(3)).await,
        insert_step(&mut conn, run, &json!({"$content": 5}), &Value::Null).await,
        // Nothing says what this would be.
        insert_step(&mut conn, plain, &reference(3), &reference(99)).await,
    ];
    let viewed = json!([
        [
            -1,
            1.5,
            "llm_call",
            null,
            "chat",
            null,
            "m",
            reference(3).to_string(),
            null,
            false
        ],
        [-1, 2.5, "completed", reference(1).to_string(), null, null],
        4
    ]);
    let no_texts = json!([null, [-1, 2.5, "completed", null, null, null], 0]);
    for (step, other_view) in [(steps[2], &viewed), (steps[3], &no_texts)] {
        // As Postgres writes it.
        let set = format!(
            "UPDATE agent_steps SET other_view = replace('{other_view}', ':\\\"', ': \\\"')::jsonb WHERE id = '{step}'"
        );
        execute(&mut conn, &set).await;
    }
    MIGRATIONS.undo(&mut conn, 42).await.unwrap();
    let query = "SELECT input, output, other_view FROM agent_steps WHERE id = $1";
    let mut rows: Vec<(Value, Value, Option<Value>)> = Vec::new();
    for step in steps {
        rows.push(
            sqlx::query_as(query)
                .bind(step)
                .fetch_one(&mut conn)
                .await
                .unwrap(),
        );
    }
    let mut restored = viewed;
    restored[0][7] = json!(r#"[0, {"a": "x", "b": 1}]"#);
    restored[1][3] = json!(r#"{"a": "x", "b": 1}"#);
    assert_eq!(
        rows,
        [
            (list.clone(), leaf, None),
            (lookalike, json!("plain"), None),
            (json!("plain"), list, Some(restored)),
            (json!({"$content": 5}), Value::Null, Some(no_texts)),
            (reference(3), reference(99), None),
        ]
    );
    MIGRATIONS.run(&mut conn).await.unwrap();
    let again = sqlx::query_scalar::<_, Value>("SELECT input FROM run_timeline WHERE id = $1");
    let shown = again.bind(steps[0]).fetch_one(&mut conn).await.unwrap();
    assert_eq!(shown, rows[0].0);
}

/// Scenario: two runs share contents, also through a lesser view of a step; the migration to shared contents is undone, then the
/// one to contents; then both are made again.
/// Guarantees: each run has what its steps need, and nothing else; in the end the steps hold what was sent.
#[tokio::test]
async fn shared_contents_go_back_to_their_runs() {
    let database = pg::plain_database().await;
    let mut conn = database.connect().await;
    let runs = [new_id(), new_id()];
    for run in runs {
        insert_run(&mut conn, run).await;
    }
    let lines = "1 0 0 0 - \"a\"\n2 1 0 0 - [0]\n3 1 2 1 -\n4 0 0 0 - \"b\"\n5 0 0 0 - \"of nobody\"\n6 0 0 0 - \"hidden\"";
    insert_shared(&mut conn, &runs, lines).await;
    let step = insert_step(&mut conn, runs[0], &reference(3), &reference(4)).await;
    insert_step(&mut conn, runs[1], &reference(2), &json!("plain")).await;
    let hidden = reference(6).to_string().replace("\":\"", "\": \"");
    let view = json!([null, [-1, 2.5, "completed", hidden, null, null], 0]);
    let set = "UPDATE agent_steps SET other_view = $1 WHERE id = $2";
    sqlx::query(set)
        .bind(view)
        .bind(step)
        .execute(&mut conn)
        .await
        .unwrap();
    assert_eq!(
        shown(&mut conn, runs[0], &reference(3)).await,
        json!([0, "a"])
    );

    MIGRATIONS.undo(&mut conn, 43).await.unwrap();
    let query = "SELECT string_agg(right(hash::text, 1), '' ORDER BY hash) FROM agent_contents WHERE run_id = $1";
    for (run, want) in runs.into_iter().zip(["12346", "2"]) {
        let hashes: String = sqlx::query_scalar(query)
            .bind(run)
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert_eq!(hashes, want);
    }
    assert_eq!(
        shown(&mut conn, runs[0], &reference(3)).await,
        json!([0, "a"])
    );
    MIGRATIONS.undo(&mut conn, 42).await.unwrap();
    let inputs = "SELECT input FROM agent_steps WHERE run_id = $1";
    for (run, want) in runs.into_iter().zip([json!([0, "a"]), json!([0])]) {
        let input: Value = sqlx::query_scalar(inputs)
            .bind(run)
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert_eq!(input, want);
    }
    MIGRATIONS.run(&mut conn).await.unwrap();
}
