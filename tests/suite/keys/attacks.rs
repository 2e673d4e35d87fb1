//! Random attacks: whatever one customer has sent, another sends with pieces of
//! its own in it.

use bytes::Bytes;
use rand::RngExt as _;
use runtraced::proto::Event;
use runtraced::proto::event::Event as Body;
use uuid::Uuid;

use super::{client, create_for, customer, submit, until_judged};
use crate::support::daemon::Daemon;
use crate::support::events::{id, new_id, run_started, session_titled};
use crate::support::pg;
use crate::support::random::{Random, World};
use crate::support::tables::content;

const SEEDS: u64 = 30;

/// The fields in which an event names a run, and a session.
fn places(event: &mut Event) -> (Vec<&mut Bytes>, Option<&mut Bytes>) {
    match event.event.as_mut().unwrap() {
        Body::SessionUpsert(e) => (vec![], Some(&mut e.session_id)),
        Body::RunStarted(e) => (
            vec![&mut e.run_id, &mut e.parent_run_id],
            Some(&mut e.session_id),
        ),
        Body::RunEnded(e) => (vec![&mut e.run_id], None),
        Body::Heartbeat(e) => (vec![&mut e.run_id], None),
        Body::StepStarted(e) => (vec![&mut e.run_id], None),
        Body::StepEnded(e) => (vec![&mut e.run_id], None),
        Body::MessageAppended(e) => (vec![&mut e.run_id], Some(&mut e.session_id)),
        Body::TokenCount(e) => (vec![&mut e.run_id], None),
        Body::ScoreAdded(e) => (vec![&mut e.run_id], None),
        Body::ApprovalRequested(e) => (vec![&mut e.run_id], Some(&mut e.session_id)),
        Body::ApprovalDecided(e) => (vec![&mut e.run_id], Some(&mut e.session_id)),
        Body::RunObserved(e) => (vec![&mut e.run_id], Some(&mut e.session_id)),
        Body::StepAliased(e) => (vec![&mut e.run_id], None),
    }
}

/// Scenario: a customer sends events of every kind that contradict each other; another sends the same ones
/// with its own runs and sessions, new ones, and none in the place of some; at other times, which win;
/// beside each other, over two daemons, and afterwards.
/// Guarantees: afterwards not a byte of what belongs to the first changes; and whatever came beside what, no row
/// of one is ever below a row of the other.
#[tokio::test(flavor = "multi_thread")]
async fn no_mixture_of_anothers_events_and_own_ones_changes_anothers_rows() {
    let database = pg::database().await;
    let daemons = [
        Daemon::start(database.url()).await,
        Daemon::start(database.url()).await,
    ];
    let mut conn = database.connect().await;
    let (victim, attacker) = (customer(&mut conn).await, customer(&mut conn).await);
    let (theirs, own) = (
        create_for(database.url(), victim).await,
        create_for(database.url(), attacker).await,
    );
    for daemon in &daemons {
        for key in [&theirs, &own] {
            until_judged(daemon, key, true).await;
        }
    }
    let world = World {
        customers: vec![victim, attacker],
        users: vec![new_id()],
    };
    let first = rand::random::<u32>().into();
    let mut denied = 0;
    for seed in first..first + SEEDS {
        let mut random = Random::new(seed, &world);
        let scenario = random.scenario();
        let honest = client(&daemons[0], &theirs).await;
        // Something that is there of every run and session, for nothing is to be claimed.
        let made = scenario.runs.iter().map(|run| run_started(0, *run));
        let titled = scenario
            .sessions
            .iter()
            .map(|one| session_titled(0, *one, "t"));
        let outcome = submit(&honest, made.chain(titled).collect()).await;
        assert!(outcome.refused.is_empty(), "{outcome:?}");
        let batches = random.delivery(&scenario.events);
        let hostile = client(&daemons[1], &own).await;
        let attack = |random: &mut Random| {
            let mut events = scenario.events.clone();
            let (run, session) = (new_id(), new_id());
            for event in &mut events {
                let rng = &mut random.rng;
                if rng.random_bool(0.3)
                    && let Some(time) = &mut event.time
                {
                    time.seconds += rng.random_range(-1_000_000..1_000_000);
                }
                let (runs, sessions) = places(event);
                for (fields, own) in [
                    (runs, run),
                    (sessions.into_iter().collect::<Vec<_>>(), session),
                ] {
                    for field in fields {
                        match rng.random_range(0..4_u8) {
                            0 => *field = id(own),
                            1 if rng.random_bool(0.3) => *field = id(new_id()),
                            2 if rng.random_bool(0.3) => field.clear(),
                            _ => {}
                        }
                    }
                }
            }
            events
        };
        // Beside each other.
        let beside = attack(&mut random);
        let (hostile_too, honest_too) = (hostile.clone(), honest.clone());
        let attacking = tokio::spawn(async move {
            let mut refused = 0;
            for part in beside.chunks(5) {
                refused += submit(&hostile_too, part.to_vec()).await.refused.len();
            }
            refused
        });
        for batch in batches {
            let outcome = submit(&honest_too, batch).await;
            let stolen: Vec<_> = outcome.refused.iter().collect();
            // An id that the attacker was the first to use is the attacker's: it is
            // told, and nothing of the attacker's is changed either.
            assert!(
                stolen
                    .iter()
                    .all(|r| r.code() == runtraced::proto::RefusalCode::PermissionDenied)
            );
        }
        denied += attacking.await.unwrap();
        let before = content(&mut conn, &scenario.runs, &scenario.sessions).await;
        let whose: Vec<Uuid> = scenario.runs.clone();
        for _ in 0..3 {
            let events = attack(&mut random);
            denied += submit(&hostile, events).await.refused.len();
        }
        let after = content(&mut conn, &whose, &scenario.sessions).await;
        for (after, before) in after.iter().zip(&before) {
            assert_eq!(after, before, "RUNTRACED_TEST_SEED={seed}");
        }
        assert_eq!(after.len(), before.len(), "RUNTRACED_TEST_SEED={seed}");
        let strays: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM agent_runs r JOIN agent_sessions s ON s.id = r.session_id
                     WHERE r.tenant_id <> s.tenant_id)
                  + (SELECT count(*) FROM agent_messages m JOIN agent_runs r ON r.id = m.run_id
                     JOIN agent_sessions s ON s.id = m.session_id WHERE r.tenant_id <> s.tenant_id)
                  + (SELECT count(*) FROM approvals a JOIN agent_runs r ON r.id = a.run_id
                     JOIN agent_sessions s ON s.id = a.session_id WHERE r.tenant_id <> s.tenant_id)
                  + (SELECT count(*) FROM agent_step_aliases a JOIN agent_runs r ON r.id = a.run_id
                     WHERE a.tenant_id <> r.tenant_id)
                  + (SELECT count(*) FROM agent_runs c JOIN agent_runs p ON p.id = c.parent_run_id
                     WHERE c.tenant_id <> p.tenant_id)",
        )
        .fetch_one(&mut conn)
        .await
        .unwrap();
        assert_eq!(strays, 0, "RUNTRACED_TEST_SEED={seed}");
    }
    assert!(denied > 500, "{denied}");
    for daemon in daemons {
        daemon.finish().await;
    }
}
