//! Two customers at once for one new id.

use std::collections::BTreeSet;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use runtraced::proto::{Event, RefusalCode};
use sqlx::PgConnection;
use uuid::Uuid;

use super::world::kinds;
use super::{client, create_for, customer, refusals, submit, until_judged};
use crate::support::daemon::Daemon;
use crate::support::events::new_id;
use crate::support::pg;

const ROUNDS: usize = 40;

/// Every kind of event for one run and session, in some order.
fn events(run: Uuid, session: Uuid, rng: &mut StdRng) -> Vec<Event> {
    let mut events: Vec<_> = kinds()
        .into_iter()
        .map(|(_, make)| make(Some(run), Some(session)))
        .collect();
    events.shuffle(rng);
    events
}

/// The customers of all rows of a run and a session: of the run and the session themselves,
/// and, by the ids that each customer sent, of everything below.
async fn owners(conn: &mut PgConnection, run: Uuid, session: Uuid) -> BTreeSet<Option<Uuid>> {
    let owners: Vec<Option<Uuid>> = sqlx::query_scalar(
        "SELECT tenant_id FROM agent_runs WHERE id = $1
         UNION ALL SELECT customer_id FROM agent_runs WHERE id = $1
         UNION ALL SELECT tenant_id FROM agent_sessions WHERE id = $2
         UNION ALL SELECT customer_id FROM agent_sessions WHERE id = $2
         UNION ALL SELECT tenant_id FROM agent_step_aliases WHERE run_id = $1",
    )
    .bind(run)
    .bind(session)
    .fetch_all(conn)
    .await
    .unwrap();
    owners.into_iter().collect()
}

/// Scenario: two customers send every kind of event for one new run and session at the same time, over two
/// daemons and over one, whole and in pieces, again and again.
/// Guarantees: one of them has the run, and one the session; all rows are theirs, and all else is refused with
/// PERMISSION_DENIED: nobody's event is half written, and no row of one is below a run of the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_run_of_two_customers_is_one_of_theirs() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let database = pg::database().await;
    // One writer each, so that a whole batch is one transaction.
    let daemons = [
        Daemon::with_args(database.url(), &["--writers", "1"]).await,
        Daemon::with_args(database.url(), &["--writers", "1"]).await,
    ];
    let mut conn = database.connect().await;
    let customers = [customer(&mut conn).await, customer(&mut conn).await];
    let keys = [
        create_for(database.url(), customers[0]).await,
        create_for(database.url(), customers[1]).await,
    ];
    for daemon in &daemons {
        for key in &keys {
            until_judged(daemon, key, true).await;
        }
    }
    let mut won = [0; 2];
    for round in 0..ROUNDS {
        let (run, session) = (new_id(), new_id());
        let other = if round % 2 == 0 { 1 } else { 0 };
        let clients = [
            client(&daemons[0], &keys[0]).await,
            client(&daemons[other], &keys[1]).await,
        ];
        let sent = [
            events(run, session, &mut rng),
            events(run, session, &mut rng),
        ];
        let pieces = [kinds().len(), 4, 1][round % 3];
        let sends: Vec<_> = clients
            .into_iter()
            .zip(sent)
            .map(|(client, events)| {
                tokio::spawn(async move {
                    let mut refused = 0;
                    for part in events.chunks(pieces) {
                        let outcome = submit(&client, part.to_vec()).await;
                        for (code, _) in refusals(&outcome) {
                            assert_eq!(code, RefusalCode::PermissionDenied);
                            refused += 1;
                        }
                    }
                    refused
                })
            })
            .collect();
        let mut refused = Vec::new();
        for send in sends {
            refused.push(send.await.unwrap());
        }
        let owners = owners(&mut conn, run, session).await;
        // With pieces the run may be one's and the session the other's.
        assert!(
            !owners.contains(&None),
            "seed {seed}, round {round}: {owners:?}"
        );
        assert!(
            refused.iter().sum::<usize>() > 0,
            "seed {seed}, round {round}"
        );
        if pieces == kinds().len() {
            assert_eq!(owners.len(), 1, "seed {seed}, round {round}");
            let winner = usize::from(owners.contains(&Some(customers[1])));
            won[winner] += 1;
            assert_eq!(refused[winner], 0, "seed {seed}, round {round}");
            assert_eq!(refused[1 - winner], kinds().len());
        }
        let rows: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM agent_steps WHERE run_id = $1)
                  + (SELECT count(*) FROM agent_token_counts WHERE run_id = $1)",
        )
        .bind(run)
        .fetch_one(&mut conn)
        .await
        .unwrap();
        // A start, an end, a poorer end, a count: of one of the two.
        assert_eq!(rows, 4, "seed {seed}, round {round}");
    }
    println!("won: {won:?}");
    for daemon in daemons {
        daemon.finish().await;
    }
}
