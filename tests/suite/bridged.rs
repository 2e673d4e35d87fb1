//! Events that only bridges send, in every order: aliases of steps, roots that are
//! not steps, views of one step, sightings of one message, observations of a run.

mod aliases;
mod calls;
mod observed;
mod roots;
mod sightings;
mod views;

use std::ops::Range;

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus, Event};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::events::{event, id, step};
use crate::support::pg;

/// All permutations of a range.
fn orders(range: Range<usize>) -> Vec<Vec<usize>> {
    let all: Vec<usize> = range.collect();
    if all.is_empty() {
        return vec![Vec::new()];
    }
    let mut orders = Vec::new();
    for last in &all {
        for mut order in orders_of(all.iter().copied().filter(|n| n != last).collect()) {
            order.push(*last);
            orders.push(order);
        }
    }
    orders
}

fn orders_of(all: Vec<usize>) -> Vec<Vec<usize>> {
    let orders = orders(0..all.len());
    let named = |order: Vec<usize>| order.into_iter().map(|n| all[n]).collect();
    orders.into_iter().map(named).collect()
}

/// Sends the events of `make` in every order, each in a batch of its own and all in
/// one batch. Checks that `read` returns `want` each time, and that sending the
/// events again commits nothing. Every try uses new ids.
async fn in_every_order<const N: usize, const E: usize>(
    daemon: &Daemon,
    conn: &mut PgConnection,
    make: impl Fn(&[Uuid; N]) -> [Event; E],
    read: impl AsyncFn(&mut PgConnection, &[Uuid; N]) -> Value,
    want: impl Fn(&[Uuid; N]) -> Value,
) {
    for order in orders(0..E) {
        for at_once in [false, true] {
            // Random ids, because their order must not matter either.
            let first = Uuid::from_u128(rand::random());
            let ids = [(); N].map(|()| pg::beside_at_random(first));
            let events = make(&ids);
            let events: Vec<Event> = order.iter().map(|&n| events[n].clone()).collect();
            let size = if at_once { E } else { 1 };
            for batch in events.chunks(size) {
                let outcome = daemon.submit(batch.to_vec()).await;
                assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
            }
            let got = read(conn, &ids).await;
            assert_eq!(got, want(&ids), "{order:?}, at once: {at_once}");
            let again = daemon.submit(events).await;
            assert_eq!(again.committed, 0, "{order:?}, at once: {at_once}");
        }
    }
}

/// A step whose parent may be an alias.
fn step_below(run: Uuid, own: Uuid, parent: Option<Uuid>) -> Event {
    ending(step(10, 20, run, own), |end| {
        let details = end.details.as_mut().unwrap();
        details.parent_step_id = parent.map(id).unwrap_or_default();
        details.parent_may_be_alias = true;
    })
}

fn ending(mut event: Event, change: impl FnOnce(&mut proto::StepEnded)) -> Event {
    match &mut event.event {
        Some(Body::StepEnded(end)) => change(end),
        other => panic!("{other:?}"),
    }
    event
}

fn alias(run: Uuid, alias: Uuid, own: Option<Uuid>, parent: Option<Uuid>) -> Event {
    let aliased = proto::StepAliased {
        alias_id: id(alias),
        run_id: id(run),
        step_id: own.map(id).unwrap_or_default(),
        parent_step_id: parent.map(id).unwrap_or_default(),
        root: None,
    };
    event(15, Body::StepAliased(aliased))
}

fn observed(
    millis: i64,
    run: Uuid,
    rank: i32,
    change: impl FnOnce(&mut proto::RunObserved),
) -> Event {
    let mut observed = proto::RunObserved {
        run_id: id(run),
        rank,
        ..Default::default()
    };
    change(&mut observed);
    event(millis, Body::RunObserved(observed))
}

fn root_ended(millis: i64, run: Uuid, change: impl FnOnce(&mut proto::RunEnded)) -> Event {
    let mut ended = proto::RunEnded {
        run_id: id(run),
        status: EndStatus::Completed.into(),
        from_root_span: true,
        ..Default::default()
    };
    change(&mut ended);
    event(millis, Body::RunEnded(ended))
}
