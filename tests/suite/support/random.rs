//! Random sets of events that contradict and repeat each other as badly as the
//! protocol allows, from a seed.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, Event};
use uuid::Uuid;

use super::events::{at, event, id};

mod crowd;
mod scores;

/// A number from the environment.
pub fn from_env(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A set of events and what they are about.
#[derive(Debug)]
pub struct Scenario {
    pub runs: Vec<Uuid>,
    pub sessions: Vec<Uuid>,
    pub events: Vec<Event>,
}

/// People and customers, some of which exist.
#[derive(Clone, Debug)]
pub struct World {
    pub customers: Vec<Uuid>,
    pub users: Vec<Uuid>,
}

/// A generator with its seed.
pub struct Random {
    pub rng: StdRng,
    world: World,
    events: Vec<Event>,
    /// How many times there are, apart from clocks that are wrong.
    instants: u8,
}

impl Random {
    pub fn new(seed: u64, world: &World) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            world: world.clone(),
            events: Vec::new(),
            instants: 8,
        }
    }

    /// Several runs that share sessions, with every kind of event.
    pub fn scenario(&mut self) -> Scenario {
        let sessions: Vec<Uuid> = (0..self.upto(1, 3)).map(|_| self.uuid()).collect();
        let runs: Vec<Uuid> = (0..self.upto(1, 4)).map(|_| self.uuid()).collect();
        for &session in &sessions {
            self.session(session);
            for _ in 0..self.upto(0, 2) {
                self.sighted(session, &runs);
            }
        }
        for &run in &runs {
            let session = self.maybe(0.8, |r| *sessions.choose(&mut r.rng).unwrap());
            self.run(run, session, &runs);
            self.observations(run, &sessions);
        }
        Scenario {
            events: self.take_events(),
            runs,
            sessions,
        }
    }

    /// The same event twice is one event.
    fn take_events(&mut self) -> Vec<Event> {
        let mut events = std::mem::take(&mut self.events);
        let mut seen = std::collections::HashSet::new();
        events.retain(|event| seen.insert(prost::Message::encode_to_vec(event)));
        events
    }

    /// The same events in another order.
    pub fn shuffled(&mut self, events: &[Event]) -> Vec<Event> {
        let mut all = events.to_vec();
        rand::seq::SliceRandom::shuffle(all.as_mut_slice(), &mut self.rng);
        all
    }

    /// Copies, shuffles and splits events into batches.
    pub fn delivery(&mut self, events: &[Event]) -> Vec<Vec<Event>> {
        let mut all = Vec::new();
        for event in events {
            for _ in 0..self.upto(1, 3) {
                all.push(event.clone());
            }
        }
        rand::seq::SliceRandom::shuffle(all.as_mut_slice(), &mut self.rng);
        let mut batches = Vec::new();
        while !all.is_empty() {
            let len = self.upto(1, 12).min(all.len());
            batches.push(all.drain(..len).collect());
        }
        batches
    }

    pub fn upto(&mut self, least: usize, most: usize) -> usize {
        self.rng.random_range(least..=most)
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    fn maybe<T>(&mut self, probability: f64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(probability).then(|| value(self))
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u128(self.rng.random())
    }

    /// Few times, so that they tie; some clocks are wrong by years.
    fn millis(&mut self) -> i64 {
        let near = i64::from(self.rng.random_range(0..self.instants)) * 1_000;
        match self.rng.random_range(0..12_u8) {
            0 => near - 86_400_000 * 365 * 30,
            1 => near + 86_400_000 * 365 * 5,
            2 => near + 1,
            _ => near,
        }
    }

    fn word(&mut self) -> String {
        (*["", "a", "b", "B", "é", "a\0c", "zz"]
            .choose(&mut self.rng)
            .unwrap())
        .to_owned()
    }

    fn text(&mut self) -> Option<String> {
        self.maybe(0.6, Self::word)
    }

    fn json(&mut self) -> Option<String> {
        let values = [
            "1",
            "1.0",
            "1e0",
            "1e2",
            "[1E-2]",
            "[]",
            "{\"a\":1}",
            "{\"b\":1,\"a\":[-0.0,1e1], \"a\":\"\\u00e9\"}",
            "{\"a\": 2, \"b\":null}",
            "\"\\u0000\"",
            "null",
        ];
        self.maybe(0.6, |r| (*values.choose(&mut r.rng).unwrap()).to_owned())
    }

    fn object(&mut self) -> Option<String> {
        let values = [
            "{}",
            "{\"a\":1}",
            "{\"a\":1,\"b\":[]}",
            "{\"b\":[ ],\"a\":1}",
            "{\"a\":1.0}",
            "{\"aa\":1}",
            "{\"unresolved_customer_id\":\"x\"}",
        ];
        self.maybe(0.5, |r| (*values.choose(&mut r.rng).unwrap()).to_owned())
    }

    /// Metadata that names a service, or nearly does.
    fn resource(&mut self) -> Option<String> {
        let services = [
            "\"a\"",
            "\"b\"",
            "\"c\"",
            "5",
            "true",
            "null",
            "[\"a\"]",
            "{\"a\":\"a\"}",
            "\"a\",\"n\":1e400",
        ];
        self.maybe(0.6, |r| {
            let service = services.choose(&mut r.rng).unwrap();
            format!("{{\"resource\":{{\"service.name\":{service}}}}}")
        })
    }

    fn push(&mut self, body: Body) {
        let millis = self.millis();
        self.events.push(event(millis, body));
    }

    fn customer(&mut self) -> bytes::Bytes {
        let customers = self.world.customers.clone();
        self.maybe(0.5, |r| id(*customers.choose(&mut r.rng).unwrap()))
            .unwrap_or_default()
    }

    fn user(&mut self) -> bytes::Bytes {
        let users = self.world.users.clone();
        self.maybe(0.5, |r| id(*users.choose(&mut r.rng).unwrap()))
            .unwrap_or_default()
    }

    fn session(&mut self, session: Uuid) {
        self.upserts(session);
        for _ in 0..self.upto(0, 2) {
            let message = self.uuid();
            self.message(None, Some(session), message);
        }
        if self.chance(0.3) {
            let approval = self.uuid();
            self.approval(None, Some(session), approval);
        }
    }

    fn upserts(&mut self, session: Uuid) {
        for _ in 0..self.upto(0, 3) {
            let upsert = proto::SessionUpsert {
                session_id: id(session),
                customer_id: self.customer(),
                user_id: self.user(),
                title: self.text(),
                external_id: self.text(),
                metadata_json: self.object(),
            };
            self.push(Body::SessionUpsert(upsert));
        }
    }

    /// What is said of the run itself.
    fn lives(&mut self, run: Uuid, session: Option<Uuid>, runs: &[Uuid]) {
        for _ in 0..self.upto(0, 2) {
            let parent = self.maybe(0.3, |r| id(*runs.choose(&mut r.rng).unwrap()));
            let started = proto::RunStarted {
                run_id: id(run),
                session_id: session.map(id).unwrap_or_default(),
                parent_run_id: parent.unwrap_or_default(),
                customer_id: self.customer(),
                agent_id: self.word(),
                agent_type: self.word(),
                name: self.text(),
                input: self.text(),
                metadata_json: self.object(),
                timeout: self.maybe(0.2, |_| prost_types::Duration {
                    seconds: 7_200,
                    nanos: 0,
                }),
            };
            self.push(Body::RunStarted(started));
        }
        for _ in 0..self.upto(0, 2) {
            let ended = proto::RunEnded {
                run_id: id(run),
                status: self.end_status(),
                output: self.text(),
                error: self.text(),
                reported_tokens_input: self.maybe(0.5, |r| r.rng.random_range(0..100)),
                reported_tokens_output: self.maybe(0.5, |r| r.rng.random_range(0..100)),
                metadata_json: self.object(),
                from_root_span: self.chance(0.4),
                started_at: self.maybe(0.3, |r| at(r.millis())),
            };
            self.push(Body::RunEnded(ended));
        }
        for _ in 0..self.upto(0, 1) {
            self.push(Body::Heartbeat(proto::Heartbeat { run_id: id(run) }));
        }
    }

    fn run(&mut self, run: Uuid, session: Option<Uuid>, runs: &[Uuid]) {
        self.lives(run, session, runs);
        let steps: Vec<Uuid> = (0..self.upto(0, 4)).map(|_| self.uuid()).collect();
        let parents = self.aliases(run, &steps);
        for &step in &steps {
            self.step(run, step, &parents);
        }
        for _ in 0..self.upto(0, 3) {
            let (message, session) = (self.uuid(), self.maybe(0.5, |_| session).flatten());
            self.message(Some(run), session, message);
        }
        if self.chance(0.2) {
            // Seen again within the run alone.
            let message = self.uuid();
            for _ in 0..self.upto(1, 3) {
                self.sighting(message, Some(run), None, true);
            }
        }
        for _ in 0..self.upto(0, 3) {
            let count = self.uuid();
            self.token_count(run, count, &steps);
        }
        for _ in 0..self.upto(0, 2) {
            let score = self.uuid();
            self.score(run, score, &steps);
        }
        if self.chance(0.4) {
            let approval = self.uuid();
            self.approval(Some(run), session, approval);
        }
    }

    fn end_status(&mut self) -> i32 {
        self.rng.random_range(1..=2)
    }

    fn details(&mut self, parents: &[Uuid]) -> proto::StepDetails {
        let parent = self.maybe(0.6, |r| id(*parents.choose(&mut r.rng).unwrap()));
        proto::StepDetails {
            step_type: self.rng.random_range(1..=6),
            kind: self.text(),
            name: self.text(),
            parent_step_id: parent.unwrap_or_default(),
            model: self.text(),
            input_json: self.json(),
            metadata_json: self.object(),
            parent_may_be_alias: self.chance(0.7),
        }
    }

    /// Aliases of a run's steps, chains and circles of them too; returns what a
    /// step may name as its parent.
    fn aliases(&mut self, run: Uuid, steps: &[Uuid]) -> Vec<Uuid> {
        let mut ids: Vec<Uuid> = (0..self.upto(0, 4)).map(|_| self.uuid()).collect();
        if self.chance(0.2) {
            ids.extend(steps.first());
        }
        let mut all = steps.to_vec();
        all.extend(&ids);
        for &alias in &ids {
            self.alias(run, alias, &all);
        }
        all
    }

    fn alias(&mut self, run: Uuid, alias: Uuid, all: &[Uuid]) {
        for _ in 0..self.upto(0, 2) {
            let any = |r: &mut Self| r.maybe(0.6, |r| id(*all.choose(&mut r.rng).unwrap()));
            let aliased = proto::StepAliased {
                alias_id: id(alias),
                run_id: id(run),
                step_id: any(self).unwrap_or_default(),
                parent_step_id: any(self).unwrap_or_default(),
                root: self.maybe(0.2, Self::root),
            };
            self.push(Body::StepAliased(aliased));
        }
    }

    fn root(&mut self) -> proto::AliasedRoot {
        proto::AliasedRoot {
            started_at: Some(at(self.millis())),
            ended_at: Some(at(self.millis())),
            status: self.end_status(),
            error: self.text(),
            name: self.word(),
        }
    }

    /// At least one: of a run that no bridge tells of, aliases are not looked for.
    fn observations(&mut self, run: Uuid, sessions: &[Uuid]) {
        for _ in 0..self.upto(1, 4) {
            let session = self.maybe(0.5, |r| id(*sessions.choose(&mut r.rng).unwrap()));
            let observed = proto::RunObserved {
                run_id: id(run),
                rank: self.rng.random_range(-1..2),
                session_id: session.unwrap_or_default(),
                agent_id: self.text(),
                agent_type: self.text(),
                name: self.text(),
                input: self.text(),
                output: self.text(),
                metadata_json: self.resource().or_else(|| self.object()),
                outcome: self.maybe(0.5, Self::end_status).unwrap_or_default(),
                error: self.text(),
                customer: self.customer_name(),
                user: self.text(),
                tags_json: self.tags(),
            };
            self.push(Body::RunObserved(observed));
        }
    }

    fn step(&mut self, run: Uuid, step: Uuid, parents: &[Uuid]) {
        for _ in 0..self.upto(0, 2) {
            let started = proto::StepStarted {
                step_id: id(step),
                run_id: id(run),
                details: Some(self.details(parents)),
            };
            self.push(Body::StepStarted(started));
        }
        for _ in 0..self.upto(0, 3) {
            let ended = proto::StepEnded {
                step_id: id(step),
                run_id: id(run),
                details: self.maybe(0.6, |r| r.details(parents)),
                status: self.end_status(),
                output_json: self.json(),
                error: self.text(),
                started_at: self.maybe(0.6, |r| at(r.millis())),
                duration_ms: self.maybe(0.4, |r| r.rng.random_range(0..5) * 1_000),
                announced: self.chance(0.5),
                view: *[0, 0, 0, -1, -2].choose(&mut self.rng).unwrap(),
            };
            self.push(Body::StepEnded(ended));
        }
    }

    fn message(&mut self, run: Option<Uuid>, session: Option<Uuid>, message: Uuid) {
        for _ in 0..self.upto(1, 2) {
            let appended = proto::MessageAppended {
                message_id: id(message),
                run_id: run.map(id).unwrap_or_default(),
                session_id: session.map(id).unwrap_or_default(),
                step_id: bytes::Bytes::new(),
                role: self.rng.random_range(1..=4),
                content: self.text(),
                thinking: self.text(),
                tool_calls_json: self.json(),
                metadata_json: self.object(),
                seq: self.maybe(0.5, |r| r.rng.random_range(-1..3)),
                sighting: false,
                believed_new: self.chance(0.1),
            };
            self.push(Body::MessageAppended(appended));
        }
    }

    /// One message in the histories of several runs of a session, and maybe told
    /// by one of them.
    fn sighted(&mut self, session: Uuid, runs: &[Uuid]) {
        let message = self.uuid();
        for _ in 0..self.upto(1, 5) {
            let run = self.maybe(0.9, |r| *runs.choose(&mut r.rng).unwrap());
            self.sighting(message, run, Some(session), true);
        }
        if self.chance(0.3) {
            let run = self.maybe(0.8, |r| *runs.choose(&mut r.rng).unwrap());
            for _ in 0..self.upto(1, 2) {
                self.sighting(message, run, Some(session), false);
            }
        }
    }

    fn sighting(&mut self, message: Uuid, run: Option<Uuid>, session: Option<Uuid>, is: bool) {
        let appended = proto::MessageAppended {
            message_id: id(message),
            run_id: run.map(id).unwrap_or_default(),
            session_id: session.map(id).unwrap_or_default(),
            step_id: self
                .maybe(0.5, |r| id(Uuid::from_u128(r.rng.random_range(1..4))))
                .unwrap_or_default(),
            role: self.rng.random_range(1..=4),
            content: self.text(),
            sighting: is,
            believed_new: is && self.chance(0.3),
            ..Default::default()
        };
        self.push(Body::MessageAppended(appended));
    }

    fn token_count(&mut self, run: Uuid, count: Uuid, steps: &[Uuid]) {
        for _ in 0..self.upto(1, 2) {
            let step = steps.choose(&mut self.rng).copied();
            let mut tokens = || {
                self.rng
                    .random_bool(0.7)
                    .then(|| self.rng.random_range(0..1_000))
            };
            let [input, output, cache_read, cache_write, reasoning] =
                std::array::from_fn(|_| tokens());
            let counted = proto::TokenCount {
                token_count_id: id(count),
                run_id: id(run),
                step_id: step.map(id).unwrap_or_default(),
                model: self.text(),
                input,
                output,
                cache_read,
                cache_write,
                reasoning,
                rollup: self.chance(0.3),
            };
            self.push(Body::TokenCount(counted));
        }
    }

    fn approval(&mut self, run: Option<Uuid>, session: Option<Uuid>, approval: Uuid) {
        let run_id = run.map(id).unwrap_or_default();
        let session_id = session.map(id).unwrap_or_default();
        for _ in 0..self.upto(0, 2) {
            let requested = proto::ApprovalRequested {
                approval_id: id(approval),
                run_id: run_id.clone(),
                session_id: session_id.clone(),
                step_id: bytes::Bytes::new(),
                action_type: self.word(),
                action_description: self.text(),
                action_data_json: self.json(),
                expires_at: None,
            };
            self.push(Body::ApprovalRequested(requested));
        }
        for _ in 0..self.upto(0, 2) {
            let decided = proto::ApprovalDecided {
                approval_id: id(approval),
                run_id: run_id.clone(),
                session_id: if run.is_some() && self.chance(0.5) {
                    bytes::Bytes::new()
                } else {
                    session_id.clone()
                },
                status: self.rng.random_range(1..=3),
                decided_by: self.user(),
                notes: self.text(),
            };
            self.push(Body::ApprovalDecided(decided));
        }
    }
}
