//! Two customers with what is theirs, and every kind of event.

use runtraced::proto::Event;
use runtraced::proto::event::Event as Body;
use runtraced_client::Client;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Key, client, create_for, customer, refusals, until_judged};
use crate::support::daemon::Daemon;
use crate::support::events::{id, new_id};
use crate::support::pg::{self, TestDatabase};
use crate::support::tables::content;
use crate::support::valid;

/// Rows of one owner.
#[derive(Clone, Debug)]
pub struct Owned {
    pub run: Uuid,
    pub session: Uuid,
}

/// Two customers and what there is.
pub struct World {
    /// Where it is; kept for as long as this, if nobody else keeps it.
    pub url: String,
    database: Option<TestDatabase>,
    pub acme: Uuid,
    pub other: Uuid,
    pub key: Key,
    pub other_key: Key,
    pub own: Owned,
    /// Of another customer, made with its key.
    pub others: Owned,
    /// Of another customer, made without a key that is bound.
    pub others_untenanted: Owned,
    /// Of nobody.
    pub nobodys: Owned,
    /// Of the customer itself, made without a key that is bound; the run is its own
    /// by its session alone.
    pub own_untenanted: Owned,
}

/// Sends what is to be in Postgres, and not in a spool, before the test begins.
async fn make(client: &Client, events: Vec<Event>) {
    let made = client.submit_committed(events).await.unwrap();
    assert_eq!(refusals(&made.outcome.unwrap()), []);
}

impl World {
    pub async fn new(url: &str, daemon: &Daemon, conn: &mut PgConnection) -> Self {
        let (acme, other) = (customer(conn).await, customer(conn).await);
        let (key, other_key) = (create_for(url, acme).await, create_for(url, other).await);
        for key in [&key, &other_key] {
            until_judged(daemon, key, true).await;
        }
        let owned = || Owned {
            run: new_id(),
            session: new_id(),
        };
        let world = Self {
            url: url.to_owned(),
            database: None,
            acme,
            other,
            key,
            other_key,
            own: owned(),
            others: owned(),
            others_untenanted: owned(),
            nobodys: owned(),
            own_untenanted: owned(),
        };
        let theirs = client(daemon, &world.other_key).await;
        make(&theirs, rows(&world.others)).await;
        let free = daemon.client().await;
        for of in [
            &world.others_untenanted,
            &world.nobodys,
            &world.own_untenanted,
        ] {
            let mut events = rows(of);
            // Those that name a customer.
            events.retain(|event| {
                !matches!(
                    event.event,
                    Some(Body::SessionUpsert(_) | Body::RunStarted(_))
                )
            });
            make(&free, events).await;
        }
        for (of, whose) in [
            (&world.others_untenanted, other),
            (&world.own_untenanted, acme),
        ] {
            let upsert = valid::session_upsert(|e| {
                (e.session_id, e.customer_id) = (id(of.session), id(whose));
            });
            make(&free, vec![upsert]).await;
        }
        world
    }

    /// Clients with the customer's key, with the other's, and without one.
    pub async fn clients(&self, daemon: &Daemon) -> [Client; 3] {
        [
            client(daemon, &self.key).await,
            client(daemon, &self.other_key).await,
            daemon.client().await,
        ]
    }

    /// Everything that is not the customer's.
    pub async fn foreign(&self, conn: &mut PgConnection) -> Vec<String> {
        let all = [&self.others, &self.others_untenanted, &self.nobodys];
        let (runs, sessions): (Vec<_>, Vec<_>) =
            all.map(|o| (o.run, o.session)).into_iter().unzip();
        let mut rows = content(conn, &runs, &sessions).await;
        // What nobody can see by run or session, too.
        let letters: i64 = sqlx::query_scalar("SELECT count(*) FROM ingest_dead_letters")
            .fetch_one(conn)
            .await
            .unwrap();
        rows.push(format!("dead letters {letters}"));
        rows
    }
}

/// That world, in a database that is kept for as long as it, with a daemon of these flags.
pub async fn world(flags: &[&str]) -> (World, Daemon, PgConnection) {
    let database = pg::database().await;
    let daemon = Daemon::with_args(database.url(), flags).await;
    let mut conn = database.connect().await;
    let mut world = World::new(database.url(), &daemon, &mut conn).await;
    world.database = Some(database);
    (world, daemon, conn)
}

/// One of each kind.
pub fn rows(of: &Owned) -> Vec<Event> {
    kinds()
        .into_iter()
        .map(|(_, make)| make(Some(of.run), Some(of.session)))
        .collect()
}

/// An event of a kind for a run, in a session where its kind names one.
type Make = fn(Option<Uuid>, Option<Uuid>) -> Event;

fn or_none(one: Option<Uuid>) -> bytes::Bytes {
    one.map(id).unwrap_or_default()
}

/// Every kind, with all its fields set. New kinds must come here: the test below counts.
pub fn kinds() -> Vec<(&'static str, Make)> {
    vec![
        ("session_upsert", |_, session| {
            valid::session_upsert(|e| e.session_id = or_none(session))
        }),
        ("run_started", |run, session| {
            valid::run_started(|e| {
                (e.run_id, e.session_id) = (or_none(run), or_none(session));
            })
        }),
        ("run_ended", |run, _| {
            valid::run_ended(|e| e.run_id = or_none(run))
        }),
        ("heartbeat", |run, _| {
            valid::heartbeat(|e| e.run_id = or_none(run))
        }),
        ("step_started", |run, _| {
            valid::step_started(|e| e.run_id = or_none(run))
        }),
        ("step_ended", |run, _| {
            valid::step_ended(|e| e.run_id = or_none(run))
        }),
        ("bridged_step", |run, _| {
            let mut event = valid::bridged_step();
            if let Some(Body::StepEnded(e)) = &mut event.event {
                e.run_id = or_none(run);
            }
            event
        }),
        ("message", |run, session| {
            valid::message(|e| (e.run_id, e.session_id) = (or_none(run), or_none(session)))
        }),
        ("message_of_session", |_, session| {
            valid::message(|e| {
                (e.run_id, e.session_id) = (bytes::Bytes::new(), or_none(session));
            })
        }),
        ("sighting", |run, session| {
            valid::message(|e| {
                (e.run_id, e.session_id) = (or_none(run), or_none(session));
                e.sighting = true;
            })
        }),
        ("token_count", |run, _| {
            valid::token_count(|e| e.run_id = or_none(run))
        }),
        ("score_added", |run, _| {
            valid::score_added(|e| e.run_id = or_none(run))
        }),
        ("approval_requested", |run, session| {
            valid::approval_requested(|e| {
                (e.run_id, e.session_id) = (or_none(run), or_none(session));
            })
        }),
        ("approval_decided", |run, session| {
            valid::approval_decided(|e| {
                (e.run_id, e.session_id) = (or_none(run), or_none(session));
            })
        }),
        ("run_observed", |run, session| {
            valid::run_observed(|e| {
                (e.run_id, e.session_id) = (or_none(run), or_none(session));
            })
        }),
        ("step_aliased", |run, _| {
            valid::step_aliased(|e| e.run_id = or_none(run))
        }),
    ]
}
