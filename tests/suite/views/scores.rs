//! Scores in the views, the drawing and the command line.

use std::process::Command;

use serde_json::json;

use super::runs::{self, lines, run};
use crate::support::tables::row;

/// Scores of the run of [`runs::TOOLS`]: two of one name on the run, one on a step, and one of each other kind.
const SCORES: &str = "
INSERT INTO agent_scores (id, run_id, step_id, name, value, label, comment, source, created_at) VALUES
  (id(71), id(1), id(16), 'correct', 1, NULL, NULL, NULL, at(20)),
  (id(72), id(1), NULL, 'correct', 0.25, NULL, 'One date is wrong.', 'judge', at(13)),
  (id(73), id(1), NULL, 'correct', 0.75, 'mostly', NULL, NULL, at(12)),
  (id(74), id(1), id(13), 'tone', NULL, 'kind', NULL, 'user', at(4)),
  (id(75), id(1), NULL, 'seen', NULL, NULL, 'read', NULL, at(5));
";

#[tokio::test]
async fn scores_are_rows_of_the_timeline_and_values_of_the_summary() {
    let (_database, mut connection) = runs::database().await;
    run(&mut connection, runs::TOOLS).await;
    let before = "SELECT to_jsonb(s) - '{scores,score_values}'::text[] AS s FROM run_summary s WHERE run_id = id(1)";
    let summary = row(&mut connection, before).await;
    run(&mut connection, SCORES).await;
    assert_eq!(row(&mut connection, before).await, summary);
    let query = "SELECT scores, score_values FROM run_summary WHERE run_id = id(1)";
    let want = json!({
        "scores": 5,
        // Of the run rather than of its step, and then the latest.
        "score_values": {"correct": 0.25, "tone": "kind", "seen": null},
    });
    assert_eq!(row(&mut connection, query).await, want);
    let found = lines(
        &mut connection,
        "SELECT concat_ws(' ', right(id::text, 2), right(step_id::text, 2), depth, offset_ms, name, coalesce(kind, '-'),
                          score_value, score_label, score_source, content, flags)
         FROM run_timeline WHERE run_id = id(1) AND item = 'score' ORDER BY position",
    )
    .await;
    let expected = [
        "74 13 2 4000 tone kind kind user {}",
        "75 0 5000 seen - read {}",
        "73 0 12000 correct mostly 0.75 mostly {}",
        "72 0 13000 correct 0.25 0.25 judge One date is wrong. {after_run}",
        "71 16 1 20000 correct 1 1 {after_run}",
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn people_read_scores_in_the_drawing_and_in_full() {
    let (database, mut connection) = runs::database().await;
    run(&mut connection, runs::TOOLS).await;
    run(&mut connection, SCORES).await;
    let drawn = lines(&mut connection, "SELECT run_waterfall(id(1), 20)").await;
    for label in ["tone (kind)", "correct (mostly)", "correct (0.25)", "seen"] {
        assert!(
            drawn.iter().any(|line| line.contains(label)),
            "{label}\n{drawn:#?}"
        );
    }
    let id = "00000000-0000-0000-0000-000000000001";
    let output = Command::new(env!("CARGO_BIN_EXE_runtraced"))
        .args(["timeline", id, "--full", "--database-url", database.url()])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "◆ score  tone · kind · by user · at 4.0 s",
        "◆ score  correct · 0.25 · by judge · at 13.0 s · after run",
        "    comment: One date is wrong.",
    ] {
        assert!(
            text.lines().any(|shown| shown.trim_end().ends_with(line)),
            "{line}\n{text}"
        );
    }
}
