//! run_waterfall, against pictures that were looked at.

use super::runs::{self, lines, run};

#[tokio::test]
async fn pictures_of_finished_runs() {
    let (_database, mut connection) = runs::database().await;
    for sql in [runs::TOOLS, runs::FAILING, runs::HANDOFF] {
        run(&mut connection, sql).await;
    }
    let mut pictures = String::new();
    for id in 1..=4 {
        let drawn = lines(
            &mut connection,
            format!("SELECT run_waterfall(id({id}), 40)"),
        );
        pictures += &drawn.await.join("\n");
        pictures += "\n\n";
    }
    insta::assert_snapshot!(pictures);
}

#[tokio::test]
async fn a_live_run_is_drawn_to_now() {
    let (_database, mut connection) = runs::database().await;
    // Each beginning is in the middle of a cell, for time goes on.
    run(
        &mut connection,
        "INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at) VALUES (id(1), 'live', 'worker', 'running', now() - INTERVAL '1 hour');
         INSERT INTO agent_steps (run_id, step_type, name, status, started_at, created_at)
           VALUES (id(1), 'llm_call', 'think', 'running', now() - INTERVAL '28 minutes 30 seconds', now() - INTERVAL '28 minutes 30 seconds');
         INSERT INTO approvals (run_id, action_type, status, created_at)
           VALUES (id(1), 'delete', 'pending', now() - INTERVAL '13 minutes 30 seconds')",
    )
    .await;
    let drawn = lines(&mut connection, "SELECT run_waterfall(id(1), 20)").await;
    assert!(
        drawn[0]
            .starts_with("… live (worker) · running for 1h 00m · 1 step, 1 open · waited 13m 30s"),
        "{drawn:#?}"
    );
    assert!(
        drawn[3]
            .starts_with("… think (llm)                         │          █████████▸│  28m 30s"),
        "{drawn:#?}"
    );
    assert!(
        drawn[4].contains("│               ░░░░▸│  13m 30s              pending"),
        "{drawn:#?}"
    );
}

#[tokio::test]
async fn nothing_breaks_the_picture() {
    let (_database, mut connection) = runs::database().await;
    run(
        &mut connection,
        r"INSERT INTO agent_runs (id, agent_id, agent_type, status, started_at, ended_at, error) VALUES
           (id(1), '', '', NULL, NULL, NULL, ''), (id(2), 'a', 'b', 'completed', at(0), at(0), NULL),
           (id(3), 'a', 'b', 'completed', at(10), at(20), repeat(E'long\terror ', 1000));
         INSERT INTO agent_steps (run_id, name, status, started_at, ended_at, created_at) VALUES
           (id(2), 'instant', 'completed', at(0), at(0), at(0)),
           (id(3), repeat('長い', 500), 'completed', at(12), at(13), at(12)),
           (id(3), E'\u0001 \u200b\nctl\u202e👩🏽‍🚀', 'completed', at(0), at(900000), at(0)),
           (id(3), '', 'failed', at(-9000000), at(-8000000), at(-9000000)),
           (id(3), NULL, NULL, at(9000000), NULL, at(9000000))",
    )
    .await;
    for (id, rows) in [(1, 3), (2, 4), (3, 8)] {
        for width in ["-5", "0", "8", "60", "5000", "NULL"] {
            let sql = format!("SELECT run_waterfall(id({id}), {width})");
            let drawn = lines(&mut connection, sql).await;
            assert_eq!(drawn.len(), rows, "{drawn:#?}");
            let bars: Vec<_> = drawn.iter().filter(|line| line.contains('│')).collect();
            for line in bars {
                let cells = line.split('│').nth(1).unwrap().chars().count();
                let expected = match width {
                    "-5" | "0" | "8" => 8,
                    "5000" => 400,
                    _ => 60,
                };
                assert_eq!(cells, expected, "{line}");
                assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }
    let unknown = lines(&mut connection, "SELECT run_waterfall(id(404))").await;
    let expected = ["no run 00000000-0000-0000-0000-000000000404"];
    assert_eq!(unknown, expected);
}
