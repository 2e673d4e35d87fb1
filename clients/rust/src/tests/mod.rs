//! The client against a fake daemon that breaks, delays, refuses.

pub(super) mod fake;
mod stream;
mod submit;

use std::time::Duration;

use fake::{CutProxy, FakeDaemon, StreamPlan};

use super::{Client, RetryPolicy};
use crate::proto::Event;

pub(super) const QUICK: RetryPolicy = RetryPolicy {
    first_delay: Duration::from_millis(5),
    max_delay: Duration::from_millis(50),
    give_up_after: Duration::from_secs(20),
};

pub(super) const HASTY: RetryPolicy = RetryPolicy {
    give_up_after: Duration::from_millis(300),
    ..QUICK
};

pub(super) async fn connect(address: &str, retry: RetryPolicy) -> Client {
    Client::connect(address, retry).await.unwrap()
}

fn events(count: usize) -> Vec<Event> {
    vec![Event::default(); count]
}
