//! Live lists and runs. All clients that look at the same thing as the same reader share one
//! topic, whose task asks the database and tells what has changed.
//!
//! A topic keeps its latest changes for clients that come again, and no more. A client that
//! does not keep up loses its place and starts anew. All clients share the bytes of what they
//! are sent, and a budget bounds what all topics hold. So memory does not grow with slow
//! clients.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use axum::body::Bytes;
use rand::random;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::error::WebError;
use super::follower::Follower;
use super::live_bytes::{LiveBytes, LiveShare};
use super::live_source::{Change, LiveSource};
use crate::query::{ReadAs, ReadPools, RunSearch};

/// Changes that a topic keeps, and that a client may lag behind.
const KEPT_CHANGES: usize = 16;
/// Bytes of all changes that a topic keeps, at most, beside the latest one.
const KEPT_BYTES: usize = 8 << 20;
/// Topics that look at the same time. The others wait for their turn.
const LOOKS: usize = 2;
/// Topics at the same time.
const MAX_TOPICS: usize = 200;
/// Those of them of one reader, if it is not the only one.
const MAX_OWN_TOPICS: usize = 100;
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
    /// The event as it is sent.
    pub(super) frame: Bytes,
}

/// All topics.
#[derive(Debug)]
pub(super) struct LiveHub {
    pools: ReadPools,
    topics: Mutex<HashMap<(LiveOf, ReadAs), Weak<Topic>>>,
    places: Arc<Semaphore>,
    looks: Arc<Semaphore>,
    bytes: LiveBytes,
    stop: CancellationToken,
}

/// One thing that is looked at.
#[derive(Debug)]
pub(super) struct Topic {
    /// Tells versions of this topic from those of another one with the same name.
    pub(super) number: u64,
    bytes: LiveBytes,
    state: Mutex<TopicState>,
    /// All there is, as the latest client got it. Others wait for it rather than make it again.
    snapshot: Mutex<Option<LiveEvent>>,
}

#[derive(Debug)]
struct TopicState {
    source: Arc<LiveSource>,
    _share: Option<LiveShare>,
    version: u64,
    kept: VecDeque<LiveEvent>,
    /// `None`: nothing is told any more, and clients that did not hear the end come again.
    to: Option<broadcast::Sender<LiveEvent>>,
    ended: bool,
}

impl TopicState {
    /// Ends the topic without a last event, so that its clients come again.
    fn close(&mut self) {
        self.to = None;
        self.ended = true;
    }
}

impl LiveHub {
    pub(super) fn new(pools: ReadPools, stop: CancellationToken) -> Self {
        Self {
            pools,
            topics: Mutex::default(),
            places: Arc::new(Semaphore::new(MAX_CLIENTS)),
            looks: Arc::new(Semaphore::new(LOOKS)),
            bytes: LiveBytes::default(),
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
        let source = LiveSource::read(&self.pools, &name.0, reader).await?;
        let topic = Topic::new(source, self.bytes.clone()).ok_or(WebError::Busy)?;
        let topic = Arc::new(topic);
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        // Another client may have been quicker; two topics of one name do no harm. But while
        // the database was read, others may have taken the last places.
        if !has_room(&topics, reader) {
            return Err(WebError::Busy);
        }
        topics.insert(name.clone(), Arc::downgrade(&topic));
        drop(topics);
        let follower = Follower {
            topic: Arc::downgrade(&topic),
            pools: self.pools.clone(),
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
        match has_room(&topics, &name.1) {
            true => Ok(None),
            false => Err(WebError::Busy),
        }
    }
}

/// Whether one more topic of a reader has a place.
fn has_room(topics: &HashMap<(LiveOf, ReadAs), Weak<Topic>>, reader: &ReadAs) -> bool {
    let own = topics.keys().filter(|(_, other)| other == reader).count();
    topics.len() < MAX_TOPICS && own < MAX_OWN_TOPICS
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
    /// `None`: there is no memory for it.
    fn new(source: LiveSource, bytes: LiveBytes) -> Option<Self> {
        let (to, _) = broadcast::channel(KEPT_CHANGES);
        let share = bytes.take(source.bytes())?;
        Some(Self {
            number: random(),
            bytes,
            state: Mutex::new(TopicState {
                ended: source.is_final(),
                source: Arc::new(source),
                _share: Some(share),
                version: 0,
                kept: VecDeque::new(),
                to: Some(to),
            }),
            snapshot: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, TopicState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes. A client that has seen a version gets what came after it, if the topic
    /// still has that; every other one gets all there is.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub(super) fn subscribe(&self, seen: Option<u64>) -> Result<Subscription, WebError> {
        let state = self.state();
        let to = state.to.as_ref().ok_or(WebError::Busy)?;
        let (from, ended) = (to.subscribe(), state.ended);
        let first_kept = state
            .kept
            .front()
            .map_or(state.version + 1, |event| event.version);
        let first = match seen {
            Some(seen) if seen <= state.version && seen + 1 >= first_kept => {
                let later = state.kept.iter().filter(|event| event.version > seen);
                later.cloned().collect()
            }
            _ => {
                let (version, source) = (state.version, state.source.clone());
                drop(state);
                vec![self.snapshot(version, &source).ok_or(WebError::Busy)?]
            }
        };
        Ok(Subscription { first, from, ended })
    }

    /// All there is, of a version.
    fn snapshot(&self, version: u64, source: &LiveSource) -> Option<LiveEvent> {
        let mut made = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(event) = made.as_ref().filter(|event| event.version == version) {
            return Some(event.clone());
        }
        let event = self.event("snapshot", version, &source.snapshot())?;
        *made = Some(event.clone());
        Some(event)
    }

    /// An event as it is sent. JSON has no line breaks of its own unless it came with some.
    fn event(&self, kind: &'static str, version: u64, data: &str) -> Option<LiveEvent> {
        let mut text = format!("event: {kind}\nid: {:x}-{version}\ndata: ", self.number);
        text.reserve(data.len() + 2);
        text.extend(
            data.chars()
                .map(|c| if matches!(c, '\r' | '\n') { ' ' } else { c }),
        );
        text.push_str("\n\n");
        Some(LiveEvent {
            version,
            kind,
            frame: self.bytes.share(text)?,
        })
    }

    /// Takes a new look. Returns whether the topic has ended.
    pub(super) fn update(&self, source: LiveSource) -> bool {
        let mut state = self.state();
        let change = source.change_since(&state.source);
        let ends = change == Change::None && source.is_final();
        if let Change::Some(data) = change {
            // It takes the place of the one before, so that this one is there already.
            state._share = None;
            state._share = self.bytes.take(source.bytes());
            if let Ok(mut made) = self.snapshot.try_lock() {
                *made = None;
            }
            if state._share.is_none() || !self.tell(&mut state, "change", &data) {
                // Without memory nobody hears more: each comes again, and finds room or not.
                state.close();
                return true;
            }
        }
        state.source = Arc::new(source);
        if ends {
            state.ended = true;
            self.tell(&mut state, "end", "{}");
        }
        ends
    }

    /// Tells the end: there is no such run any more, or the reader may not see it.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        self.tell(&mut state, "end", "{}");
    }

    /// Nobody hears more: each client comes again, and hears whether the database answers.
    pub(super) fn leave(&self) {
        self.state().close();
    }

    /// Tells an event to all clients. Returns whether there was memory for it.
    fn tell(&self, state: &mut TopicState, kind: &'static str, data: &str) -> bool {
        state.version += 1;
        let Some(event) = self.event(kind, state.version, data) else {
            return false;
        };
        state.kept.push_back(event.clone());
        let bytes =
            |kept: &VecDeque<LiveEvent>| kept.iter().map(|one| one.frame.len()).sum::<usize>();
        while state.kept.len() > 1
            && (state.kept.len() > KEPT_CHANGES || bytes(&state.kept) > KEPT_BYTES)
        {
            state.kept.pop_front();
        }
        if let Some(to) = &state.to {
            // Nobody may be there to hear it.
            let _ = to.send(event);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::RunPage;

    fn topic() -> Topic {
        Topic::new(LiveSource::empty(), LiveBytes::of(64 << 20)).unwrap()
    }

    fn tell(topic: &Topic, data: &str) -> bool {
        topic.tell(&mut topic.state(), "change", data)
    }

    #[test]
    fn a_client_that_comes_again_gets_what_it_missed_or_everything() {
        let topic = topic();
        for _ in 0..20 {
            assert!(tell(&topic, "{}"));
        }
        let kinds = |seen| {
            let first = topic.subscribe(seen).unwrap().first;
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
        let mut slow = topic.subscribe(None).unwrap().from;
        for _ in 0..40 {
            assert!(tell(&topic, &"x".repeat(1 << 20)));
        }
        let kept: usize = topic.state().kept.iter().map(|one| one.frame.len()).sum();
        assert!(kept <= KEPT_BYTES, "{kept}");
        let lagged = slow.try_recv();
        assert!(matches!(
            lagged,
            Err(broadcast::error::TryRecvError::Lagged(_))
        ));
    }

    #[test]
    fn all_clients_share_the_bytes_of_a_snapshot() {
        let topic = topic();
        let frames: Vec<Bytes> = (0..2)
            .map(|_| topic.subscribe(None).unwrap().first.remove(0).frame)
            .collect();
        assert_eq!(frames[0].as_ptr(), frames[1].as_ptr());
        let text = std::str::from_utf8(&frames[0]).unwrap();
        assert!(text.starts_with("event: snapshot\nid: "), "{text}");
        assert!(text.ends_with("\ndata: {\"rows\":[]}\n\n"), "{text}");
    }

    #[test]
    fn a_topic_without_memory_sends_its_clients_away() {
        let topic = Topic::new(LiveSource::empty(), LiveBytes::of(8 << 10)).unwrap();
        let Subscription { mut from, .. } = topic.subscribe(None).unwrap();
        assert!(!tell(&topic, &"x".repeat(1 << 20)));
        let large = RunPage {
            rows: vec![(Uuid::from_u128(1), format!("\"{}\"", "x".repeat(1 << 20)))],
            ..RunPage::default()
        };
        assert!(topic.update(LiveSource::List(large)));
        assert!(matches!(
            from.try_recv(),
            Err(broadcast::error::TryRecvError::Closed)
        ));
        assert!(matches!(topic.subscribe(None), Err(WebError::Busy)));
        assert!(Topic::new(LiveSource::empty(), LiveBytes::of(0)).is_none());
    }
}
