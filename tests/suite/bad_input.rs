//! One bad event harms only itself (promise 4): it is refused or repaired as
//! told, and its neighbours in the same batch are committed.

mod conflicts;
mod dead_letters;
mod kept;
mod product;
mod refusals;
mod repairs;
mod scores;
mod sizes;

use runtraced::proto::event::Event as Body;
use runtraced::proto::{Event, Outcome, RefusalCode};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{new_id, step};
use crate::support::tables::count;

/// What no reason and no log line may repeat.
const SECRET: &str = "S3CRET";

/// Good steps of one run, to stand beside bad events.
struct Neighbours {
    run: Uuid,
    steps: Vec<Uuid>,
}

impl Neighbours {
    fn new(count: usize) -> Self {
        Self {
            run: new_id(),
            steps: (0..count).map(|_| new_id()).collect(),
        }
    }

    fn event(&self, number: usize) -> Event {
        let start = i64::try_from(number).unwrap();
        step(start, start + 7, self.run, self.steps[number])
    }

    /// A batch in which each bad event has a good one before it and one after
    /// the last; the bad ones are at the odd positions.
    fn around(bad: impl IntoIterator<Item = Event>) -> (Self, Vec<Event>) {
        let bad: Vec<Event> = bad.into_iter().collect();
        let neighbours = Self::new(bad.len() + 1);
        let mut events = vec![neighbours.event(0)];
        for (number, bad) in (1..).zip(bad) {
            events.push(bad);
            events.push(neighbours.event(number));
        }
        (neighbours, events)
    }

    /// All are there, with the right content.
    async fn check(&self, conn: &mut PgConnection) {
        let rows: Vec<(Uuid, serde_json::Value)> = sqlx::query_as(
            "SELECT id, jsonb_build_array(name, step_type, status, input, output, duration_ms, created_at = started_at)
             FROM agent_steps WHERE run_id = $1 ORDER BY started_at",
        )
        .bind(self.run)
        .fetch_all(conn)
        .await
        .unwrap();
        let good = json!(["tool", "tool_call", "completed", {"q": 1}, "out", 7, true]);
        let want: Vec<_> = self.steps.iter().map(|id| (*id, good.clone())).collect();
        assert!(rows == want, "{rows:?}");
    }
}

/// Code, position and reason of what was refused.
fn refused(outcome: &Outcome) -> Vec<(RefusalCode, u32, &str)> {
    outcome
        .refused
        .iter()
        .map(|r| (r.code(), r.index, r.reason.as_str()))
        .collect()
}

fn body(event: &mut Event) -> &mut Body {
    event.event.as_mut().unwrap()
}

/// Ends the daemon; nothing of the content of events may be in its logs.
async fn finish(daemon: Daemon) {
    assert!(!daemon.logs().contains(SECRET), "{}", daemon.logs());
    daemon.finish().await;
}
