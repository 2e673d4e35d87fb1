//! Live lists and runs. All clients that look at the same thing as the same reader share one
//! topic, whose task asks the database and tells what has changed.
//!
//! A topic keeps its latest changes for clients that come again, and no more. A client that
//! does not keep up loses its place and starts anew. So memory does not grow with slow
//! clients.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rand::random;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::error::WebError;
use super::live_source::{Change, LiveSource};
use crate::query::{ReadAs, ReadPool, RunSearch};

/// Changes that a topic keeps, and that a client may lag behind.
const KEPT_CHANGES: usize = 16;
/// Bytes of all changes that a topic keeps, at most, beside the latest one.
const KEPT_BYTES: usize = 8 << 20;
/// The least time between two looks at the database.
const MIN_INTERVAL: Duration = Duration::from_millis(500);
/// A topic takes one part of this many of one connection's time.
const SHARE: u32 = 10;
/// The time until the next look after an error.
const RETRY: Duration = Duration::from_secs(2);
/// Topics that look at the same time. The others wait for their turn.
const LOOKS: usize = 2;
/// Topics at the same time.
const MAX_TOPICS: usize = 200;
/// Clients at the same time.
const MAX_CLIENTS: usize = 1_000;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum LiveOf {
    /// The first page of a list.
    List(Box<RunSearch>),
    /// One run.
    Run(Uuid),
}

/// What a client of a topic gets.
#[derive(Clone, Debug)]
pub(super) struct LiveEvent {
    pub(super) version: u64,
    pub(super) kind: &'static str,
    pub(super) data: Arc<str>,
}

/// All topics.
#[derive(Debug)]
pub(super) struct LiveHub {
    pool: ReadPool,
    topics: Mutex<HashMap<(LiveOf, ReadAs), Weak<Topic>>>,
    places: Arc<Semaphore>,
    looks: Arc<Semaphore>,
    stop: CancellationToken,
}

/// One thing that is looked at.
#[derive(Debug)]
pub(super) struct Topic {
    /// Tells versions of this topic from those of another one with the same name.
    pub(super) number: u64,
    state: Mutex<TopicState>,
}

#[derive(Debug)]
struct TopicState {
    source: LiveSource,
    version: u64,
    kept: VecDeque<LiveEvent>,
    to: broadcast::Sender<LiveEvent>,
    ended: bool,
}

impl LiveHub {
    pub(super) fn new(pool: ReadPool, stop: CancellationToken) -> Self {
        Self {
            pool,
            topics: Mutex::default(),
            places: Arc::new(Semaphore::new(MAX_CLIENTS)),
            looks: Arc::new(Semaphore::new(LOOKS)),
            stop,
        }
    }

    /// The place of a client; `None`: there are too many.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// The topic of what a reader looks at.
    ///
    /// # Errors
    /// If there is no such run, the reader may not see it, or there are too many topics.
    pub(super) async fn topic(&self, of: LiveOf, reader: &ReadAs) -> Result<Arc<Topic>, WebError> {
        let name = (of, reader.clone());
        if let Some(topic) = self.found(&name)? {
            return Ok(topic);
        }
        let source = LiveSource::read(&self.pool, &name.0, reader).await?;
        let (to, _) = broadcast::channel(KEPT_CHANGES);
        let topic = Arc::new(Topic {
            number: random(),
            state: Mutex::new(TopicState {
                ended: source.is_final(),
                source,
                version: 0,
                kept: VecDeque::new(),
                to,
            }),
        });
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        // Another client may have been quicker; two topics of one name do no harm.
        topics.insert(name.clone(), Arc::downgrade(&topic));
        drop(topics);
        let follower = Follower {
            topic: Arc::downgrade(&topic),
            pool: self.pool.clone(),
            looks: self.looks.clone(),
            name,
        };
        let stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = follower.follow() => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(topic)
    }

    /// The topic of this name that is there already.
    fn found(&self, name: &(LiveOf, ReadAs)) -> Result<Option<Arc<Topic>>, WebError> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(name).and_then(Weak::upgrade)
            && !topic.state().ended
        {
            return Ok(Some(topic));
        }
        topics.retain(|_, topic| topic.strong_count() > 0);
        match topics.len() < MAX_TOPICS {
            true => Ok(None),
            false => Err(WebError::Busy),
        }
    }
}

/// Where a client stands.
pub(super) struct Subscription {
    /// What it gets first.
    pub(super) first: Vec<LiveEvent>,
    pub(super) from: broadcast::Receiver<LiveEvent>,
    /// Nothing follows.
    pub(super) ended: bool,
}

impl Topic {
    fn state(&self) -> MutexGuard<'_, TopicState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes. A client that has seen a version gets what came after it, if the topic
    /// still has that; every other one gets all there is.
    pub(super) fn subscribe(&self, seen: Option<u64>) -> Subscription {
        let state = self.state();
        let first_kept = state
            .kept
            .front()
            .map_or(state.version + 1, |event| event.version);
        let first = match seen {
            Some(seen) if seen <= state.version && seen + 1 >= first_kept => {
                let later = state.kept.iter().filter(|event| event.version > seen);
                later.cloned().collect()
            }
            _ => vec![LiveEvent {
                version: state.version,
                kind: "snapshot",
                data: state.source.snapshot().into(),
            }],
        };
        Subscription {
            first,
            from: state.to.subscribe(),
            ended: state.ended,
        }
    }

    /// Takes a new look. Returns whether the topic has ended.
    fn update(&self, source: LiveSource) -> bool {
        let mut state = self.state();
        let change = source.change_since(&state.source);
        let quiet = matches!(change, Change::None);
        let ends = quiet && source.is_final();
        state.source = source;
        if let Change::Some(data) = change {
            state.tell("change", data.into());
        }
        if ends {
            state.ended = true;
            state.tell("end", "{}".into());
        }
        ends
    }
}

impl TopicState {
    fn tell(&mut self, kind: &'static str, data: Arc<str>) {
        self.version += 1;
        let event = LiveEvent {
            version: self.version,
            kind,
            data,
        };
        self.kept.push_back(event.clone());
        let bytes =
            |kept: &VecDeque<LiveEvent>| kept.iter().map(|one| one.data.len()).sum::<usize>();
        while self.kept.len() > 1
            && (self.kept.len() > KEPT_CHANGES || bytes(&self.kept) > KEPT_BYTES)
        {
            self.kept.pop_front();
        }
        // Nobody may be there to hear it.
        let _ = self.to.send(event);
    }
}

/// What the task of a topic needs.
struct Follower {
    topic: Weak<Topic>,
    pool: ReadPool,
    looks: Arc<Semaphore>,
    name: (LiveOf, ReadAs),
}

impl Follower {
    /// Looks at the database until nobody listens.
    async fn follow(self) {
        let mut wait = MIN_INTERVAL;
        loop {
            sleep(wait).await;
            if self.topic.strong_count() == 0 {
                return;
            }
            let Ok(_turn) = self.looks.acquire().await else {
                return;
            };
            let Some(topic) = self.topic.upgrade() else {
                return;
            };
            let begun = Instant::now();
            let found = LiveSource::read(&self.pool, &self.name.0, &self.name.1).await;
            wait = pause(begun.elapsed(), found.is_err());
            match found {
                Ok(source) => {
                    if topic.update(source) {
                        return;
                    }
                }
                // It is gone, or the reader may not see it any more.
                Err(WebError::NotFound(_)) => {
                    let mut state = topic.state();
                    state.ended = true;
                    state.tell("end", "{}".into());
                    return;
                }
                Err(_) => {}
            }
        }
    }
}

/// The time until the next look: a topic that is slow, or fails slowly, looks less often.
fn pause(took: Duration, failed: bool) -> Duration {
    let least = if failed { RETRY } else { MIN_INTERVAL };
    least.max(took * SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> Topic {
        let (to, _) = broadcast::channel(KEPT_CHANGES);
        Topic {
            number: 1,
            state: Mutex::new(TopicState {
                source: LiveSource::empty(),
                version: 0,
                kept: VecDeque::new(),
                to,
                ended: false,
            }),
        }
    }

    #[test]
    fn a_topic_takes_at_most_its_share_also_when_it_fails() {
        for failed in [false, true] {
            let pause = pause(Duration::from_secs(15), failed);
            assert_eq!(pause, Duration::from_secs(150), "{failed}");
        }
        assert_eq!(pause(Duration::ZERO, true), RETRY);
        assert_eq!(pause(Duration::ZERO, false), MIN_INTERVAL);
    }

    #[test]
    fn a_client_that_comes_again_gets_what_it_missed_or_everything() {
        let topic = topic();
        for _ in 0..20 {
            topic.state().tell("change", "{}".into());
        }
        let kinds = |seen| {
            let first = topic.subscribe(seen).first;
            first
                .iter()
                .map(|event| (event.version, event.kind))
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds(None), [(20, "snapshot")]);
        assert_eq!(kinds(Some(18)), [(19, "change"), (20, "change")]);
        assert_eq!(kinds(Some(20)), []);
        assert_eq!(kinds(Some(3)), [(20, "snapshot")], "too long ago");
        assert_eq!(kinds(Some(21)), [(20, "snapshot")], "of another topic");
    }

    #[test]
    fn what_a_topic_keeps_is_bounded_and_a_slow_client_loses_its_place() {
        let topic = topic();
        let mut slow = topic.subscribe(None).from;
        for _ in 0..40 {
            topic.state().tell("change", "x".repeat(1 << 20).into());
        }
        let kept: usize = topic.state().kept.iter().map(|one| one.data.len()).sum();
        assert!(kept <= KEPT_BYTES, "{kept}");
        let lagged = slow.try_recv();
        assert!(matches!(
            lagged,
            Err(broadcast::error::TryRecvError::Lagged(_))
        ));
    }
}
