//! The `agent` workload: a realistic mix of events. Many runs are live at once, and their
//! events are interleaved by time.

use bytes::Bytes;

use super::steps::step_type;
use super::{EPOCH_MS, SeededRandom, WorkloadSpec, event, timestamp};
use crate::proto::event::Event as Body;
use crate::proto::{
    ApprovalDecided, ApprovalRequested, ApprovalStatus, EndStatus, Event, MessageAppended,
    MessageRole, RunEnded, RunStarted, SessionUpsert, StepDetails, StepEnded, StepStarted,
    TokenCount,
};

const RUNS_PER_SESSION: usize = 3;
/// Steps, messages and token counts of each run.
const STEPS: usize = 20;
const MESSAGES: usize = 6;
const TOKEN_COUNTS: usize = 7;
/// One step in this many sends a `StepStarted` first.
const ANNOUNCED_ONE_IN: usize = 10;
/// One run in this many requests an approval.
const APPROVAL_ONE_IN: usize = 10;
/// Rows of ten runs: the runs, their steps, messages and token counts, about three sessions and
/// one approval.
const ROWS_PER_TEN_RUNS: usize = 10 * (1 + STEPS + MESSAGES + TOKEN_COUNTS) + 3 + 1;
/// Runs that are live at any time. It sets how many runs the events interleave.
const LIVE_RUNS: u64 = 500;
/// Time between the starts of two steps of a run.
const STEP_MS: u64 = 1_000;
/// Duration of a run: its steps, and one step's time before and after them.
const RUN_MS: u64 = (STEPS as u64 + 2) * STEP_MS;

/// The events of each stream, in the order of their times.
pub(super) fn streams(spec: &WorkloadSpec, random: &mut SeededRandom) -> Vec<Vec<Event>> {
    let runs = (spec.rows * 10).div_ceil(ROWS_PER_TEN_RUNS);
    let mut streams: Vec<Vec<(u64, Event)>> = vec![Vec::new(); spec.streams];
    let mut session = Bytes::new();
    for number in 0..runs {
        let began = EPOCH_MS + number as u64 * RUN_MS / LIVE_RUNS;
        let mut run = RunEvents {
            events: Vec::new(),
            random,
        };
        if number.is_multiple_of(RUNS_PER_SESSION) {
            session = run.add_session(began);
        }
        run.add_run(number, began, &session);
        // One client process serves a session, and a process has one stream.
        streams[number / RUNS_PER_SESSION % spec.streams].extend(run.events);
    }
    streams
        .into_iter()
        .map(|mut events| {
            events.sort_by_key(|(at, _)| *at);
            events.into_iter().map(|(_, event)| event).collect()
        })
        .collect()
}

/// Builds the events of one run, each with its time in Unix milliseconds.
struct RunEvents<'a> {
    events: Vec<(u64, Event)>,
    random: &'a mut SeededRandom,
}

impl RunEvents<'_> {
    fn add(&mut self, at: u64, body: Body) {
        self.events.push((at, event(at, body)));
    }

    fn add_session(&mut self, at: u64) -> Bytes {
        let session_id = self.random.id(at);
        let upsert = SessionUpsert {
            session_id: session_id.clone(),
            title: Some(self.random.text(40)),
            external_id: Some(format!("chat-{}", self.random.below(1 << 40))),
            ..Default::default()
        };
        self.add(at, Body::SessionUpsert(upsert));
        session_id
    }

    fn add_run(&mut self, number: usize, began: u64, session: &Bytes) {
        let run_id = self.random.id(began);
        let started = RunStarted {
            run_id: run_id.clone(),
            session_id: session.clone(),
            agent_id: "renewal-assistant".into(),
            agent_type: "orchestrator".into(),
            name: Some(self.random.text(30)),
            input: Some(self.random.text(200)),
            metadata_json: Some(self.random.json("team", 80)),
            ..Default::default()
        };
        self.add(began, Body::RunStarted(started));
        let ended = began + RUN_MS;
        for step in 0..STEPS {
            let announced = (number * STEPS + step).is_multiple_of(ANNOUNCED_ONE_IN);
            self.add_step(&run_id, began + (step as u64 + 1) * STEP_MS, announced);
        }
        for seq in 0..MESSAGES {
            let at = began + seq as u64 * (RUN_MS / MESSAGES as u64) + 1;
            self.add_message(&run_id, session, at, seq);
        }
        for count in 0..TOKEN_COUNTS {
            let at = began + (count as u64 + 1) * (RUN_MS / (TOKEN_COUNTS as u64 + 1)) + 2;
            self.add_token_count(&run_id, at);
        }
        if number.is_multiple_of(APPROVAL_ONE_IN) {
            self.add_approval(&run_id, session, began + RUN_MS / 2);
        }
        let end = RunEnded {
            run_id,
            status: EndStatus::Completed.into(),
            output: Some(self.random.text(300)),
            ..Default::default()
        };
        self.add(ended, Body::RunEnded(end));
    }

    fn add_step(&mut self, run_id: &Bytes, began: u64, announced: bool) {
        let took = 50 + self.random.below(STEP_MS - 100);
        let step_id = self.random.id(began);
        let details = StepDetails {
            step_type: step_type(self.random).into(),
            name: Some("search_contracts".into()),
            model: Some("claude-opus".into()),
            input_json: Some(self.random.json("query", 300)),
            ..Default::default()
        };
        let mut end = StepEnded {
            step_id: step_id.clone(),
            run_id: run_id.clone(),
            status: EndStatus::Completed.into(),
            output_json: Some(self.random.json("result", 450)),
            announced,
            ..Default::default()
        };
        if announced {
            let start = StepStarted {
                step_id,
                run_id: run_id.clone(),
                details: Some(details),
            };
            self.add(began, Body::StepStarted(start));
        } else {
            end.details = Some(details);
            end.started_at = Some(timestamp(began));
        }
        self.add(began + took, Body::StepEnded(end));
    }

    fn add_message(&mut self, run_id: &Bytes, session_id: &Bytes, at: u64, seq: usize) {
        let role = match seq % 3 {
            0 => MessageRole::User,
            1 => MessageRole::Assistant,
            _ => MessageRole::Tool,
        };
        let message = MessageAppended {
            message_id: self.random.id(at),
            run_id: run_id.clone(),
            session_id: session_id.clone(),
            role: role.into(),
            content: Some(self.random.text(400)),
            thinking: (role == MessageRole::Assistant).then(|| self.random.text(150)),
            seq: Some(seq as i64),
            ..Default::default()
        };
        self.add(at, Body::MessageAppended(message));
    }

    fn add_token_count(&mut self, run_id: &Bytes, at: u64) {
        let input = self.random.below(8_000) as i64;
        let count = TokenCount {
            token_count_id: self.random.id(at),
            run_id: run_id.clone(),
            model: Some("claude-opus".into()),
            input: Some(input),
            output: Some(self.random.below(1_000) as i64),
            cache_read: Some(input / 2),
            ..Default::default()
        };
        self.add(at, Body::TokenCount(count));
    }

    fn add_approval(&mut self, run_id: &Bytes, session_id: &Bytes, at: u64) {
        let approval_id = self.random.id(at);
        let requested = ApprovalRequested {
            approval_id: approval_id.clone(),
            run_id: run_id.clone(),
            session_id: session_id.clone(),
            action_type: "send_email".into(),
            action_description: Some(self.random.text(80)),
            action_data_json: Some(self.random.json("to", 150)),
            ..Default::default()
        };
        self.add(at, Body::ApprovalRequested(requested));
        let decided = ApprovalDecided {
            approval_id,
            run_id: run_id.clone(),
            session_id: session_id.clone(),
            status: ApprovalStatus::Approved.into(),
            ..Default::default()
        };
        self.add(at + STEP_MS, Body::ApprovalDecided(decided));
    }
}
