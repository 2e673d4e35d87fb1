//! Builds the story of a run: events with their times, and a line for people about each.

use bytes::Bytes;
use prost_types::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::proto::{
    ApprovalDecided, ApprovalRequested, ApprovalStatus, EndStatus, Event, MessageAppended,
    MessageRole, RunEnded, RunStarted, SessionUpsert, StepDetails, StepEnded, StepStarted,
    StepType, TokenCount, event::Event as Kind,
};

/// How long an approval may stay open: longer than any demo.
const APPROVAL_LIFETIME_MS: u64 = 3_600_000;

/// What happens at one moment of the demo.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Milliseconds since the beginning of the story.
    pub at_ms: u64,
    /// The agent, and thereby the stream.
    pub agent: &'static str,
    /// A line for people.
    pub line: String,
    /// The events for the daemon.
    pub events: Vec<Event>,
}

/// Tokens of one model call.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallTokens {
    pub(super) model: &'static str,
    pub(super) input: i64,
    pub(super) cached: i64,
    pub(super) output: i64,
    pub(super) reasoning: i64,
}

/// A step that has begun.
pub(super) struct OpenStep {
    id: Uuid,
    label: String,
    since_ms: u64,
}

/// When the story begins, and the source of its ids.
pub(super) struct Stage<'a> {
    /// Microseconds since 1970.
    pub(super) begin_us: i64,
    pub(super) new_id: &'a mut dyn FnMut() -> Uuid,
}

/// One run, and the scenes of it so far.
pub(super) struct RunScript<'a, 'b> {
    stage: &'a mut Stage<'b>,
    agent: &'static str,
    pub(super) run: Uuid,
    session: Uuid,
    messages: i64,
    scenes: Vec<Scene>,
}

impl<'a, 'b> RunScript<'a, 'b> {
    /// A run of `agent` in `session`.
    pub(super) fn new(stage: &'a mut Stage<'b>, agent: &'static str, session: Uuid) -> Self {
        let run = (stage.new_id)();
        Self {
            stage,
            agent,
            run,
            session,
            messages: 0,
            scenes: Vec::new(),
        }
    }

    /// For the run of another agent.
    pub(super) fn stage(&mut self) -> &mut Stage<'b> {
        self.stage
    }

    /// All scenes.
    pub(super) fn scenes(self) -> Vec<Scene> {
        self.scenes
    }

    fn tell(&mut self, at_ms: u64, line: String, kinds: impl IntoIterator<Item = Kind>) {
        let time = time(self.stage.begin_us, at_ms);
        let event = |kind| Event {
            time: Some(time),
            event: Some(kind),
        };
        self.scenes.push(Scene {
            at_ms,
            agent: self.agent,
            line,
            events: kinds.into_iter().map(event).collect(),
        });
    }

    /// Adds the session that the run belongs to.
    pub(super) fn session(&mut self, at_ms: u64, title: &str) {
        let session = SessionUpsert {
            session_id: bytes(self.session),
            title: Some(title.to_owned()),
            ..SessionUpsert::default()
        };
        let line = format!("● session  {title}");
        self.tell(at_ms, line, [Kind::SessionUpsert(session)]);
    }

    /// Starts the run.
    pub(super) fn start(&mut self, at_ms: u64, agent_type: &str, name: &str, parent: Option<Uuid>) {
        let run = RunStarted {
            run_id: bytes(self.run),
            session_id: bytes(self.session),
            parent_run_id: parent.map(bytes).unwrap_or_default(),
            agent_id: self.agent.to_owned(),
            agent_type: agent_type.to_owned(),
            name: Some(name.to_owned()),
            ..RunStarted::default()
        };
        let line = format!("● run started  {name}");
        self.tell(at_ms, line, [Kind::RunStarted(run)]);
    }

    /// Completes the run.
    pub(super) fn complete(&mut self, at_ms: u64, output: &str) {
        let end = RunEnded {
            run_id: bytes(self.run),
            status: EndStatus::Completed.into(),
            output: Some(output.to_owned()),
            ..RunEnded::default()
        };
        let line = "✓ run completed".to_owned();
        self.tell(at_ms, line, [Kind::RunEnded(end)]);
    }

    /// Fails the run.
    pub(super) fn fail(&mut self, at_ms: u64, error: &str) {
        let end = RunEnded {
            run_id: bytes(self.run),
            status: EndStatus::Failed.into(),
            error: Some(error.to_owned()),
            ..RunEnded::default()
        };
        let line = format!("✗ run failed  {error}");
        self.tell(at_ms, line, [Kind::RunEnded(end)]);
    }

    /// Adds a message.
    pub(super) fn message(&mut self, at_ms: u64, role: MessageRole, content: &str) {
        self.messages += 1;
        let message = MessageAppended {
            message_id: bytes((self.stage.new_id)()),
            run_id: bytes(self.run),
            session_id: bytes(self.session),
            role: role.into(),
            content: Some(content.to_owned()),
            seq: Some(self.messages),
            ..MessageAppended::default()
        };
        let speaker = match role {
            MessageRole::User => "user",
            MessageRole::Assistant => "assistant",
            MessageRole::System => "system",
            MessageRole::Tool => "tool",
            MessageRole::Unspecified => "?",
        };
        let line = format!("◆ {speaker}  {content}");
        self.tell(at_ms, line, [Kind::MessageAppended(message)]);
    }

    /// Starts a step.
    pub(super) fn begin(
        &mut self,
        at_ms: u64,
        step_type: StepType,
        name: &str,
        input: &Value,
        parent: Option<&OpenStep>,
    ) -> OpenStep {
        let step = OpenStep {
            id: (self.stage.new_id)(),
            label: format!("{}  {name}", type_name(step_type)),
            since_ms: at_ms,
        };
        let started = StepStarted {
            step_id: bytes(step.id),
            run_id: bytes(self.run),
            details: Some(StepDetails {
                step_type: step_type.into(),
                name: Some(name.to_owned()),
                parent_step_id: parent.map(|step| bytes(step.id)).unwrap_or_default(),
                input_json: (!input.is_null()).then(|| input.to_string()),
                ..StepDetails::default()
            }),
        };
        let line = format!("▸ {}", step.label);
        self.tell(at_ms, line, [Kind::StepStarted(started)]);
        step
    }

    /// Completes a step.
    pub(super) fn end(&mut self, at_ms: u64, step: &OpenStep, output: &Value) {
        let end = StepEnded {
            status: EndStatus::Completed.into(),
            output_json: Some(output.to_string()),
            ..self.ended(step)
        };
        let line = format!("✓ {}  {} ms", step.label, at_ms - step.since_ms);
        self.tell(at_ms, line, [Kind::StepEnded(end)]);
    }

    /// Fails a step.
    pub(super) fn end_failed(&mut self, at_ms: u64, step: &OpenStep, error: &str) {
        let end = StepEnded {
            status: EndStatus::Failed.into(),
            error: Some(error.to_owned()),
            ..self.ended(step)
        };
        let took = at_ms - step.since_ms;
        let line = format!("✗ {}  {took} ms  {error}", step.label);
        self.tell(at_ms, line, [Kind::StepEnded(end)]);
    }

    fn ended(&self, step: &OpenStep) -> StepEnded {
        StepEnded {
            step_id: bytes(step.id),
            run_id: bytes(self.run),
            announced: true,
            ..StepEnded::default()
        }
    }

    /// Completes a model call and counts its tokens.
    pub(super) fn end_call(
        &mut self,
        at_ms: u64,
        step: &OpenStep,
        output: &Value,
        used: CallTokens,
    ) {
        let end = StepEnded {
            status: EndStatus::Completed.into(),
            output_json: Some(output.to_string()),
            ..self.ended(step)
        };
        let tokens = TokenCount {
            token_count_id: bytes((self.stage.new_id)()),
            run_id: bytes(self.run),
            step_id: bytes(step.id),
            model: Some(used.model.to_owned()),
            input: Some(used.input),
            cache_read: Some(used.cached),
            output: Some(used.output),
            reasoning: Some(used.reasoning),
            ..TokenCount::default()
        };
        let line = format!(
            "✓ {}  {} ms  {} tokens in ({} cached), {} out",
            step.label,
            at_ms - step.since_ms,
            used.input,
            used.cached,
            used.output
        );
        let kinds = [Kind::StepEnded(end), Kind::TokenCount(tokens)];
        self.tell(at_ms, line, kinds);
    }

    /// Asks a person for an approval.
    pub(super) fn ask(
        &mut self,
        at_ms: u64,
        action: &str,
        description: &str,
        data: &Value,
    ) -> Uuid {
        let id = (self.stage.new_id)();
        let request = ApprovalRequested {
            approval_id: bytes(id),
            run_id: bytes(self.run),
            session_id: bytes(self.session),
            action_type: action.to_owned(),
            action_description: Some(description.to_owned()),
            action_data_json: Some(data.to_string()),
            expires_at: Some(time(self.stage.begin_us, at_ms + APPROVAL_LIFETIME_MS)),
            ..ApprovalRequested::default()
        };
        let line = format!("? approval wanted  {description}");
        self.tell(at_ms, line, [Kind::ApprovalRequested(request)]);
        id
    }

    /// Approves.
    pub(super) fn approve(&mut self, at_ms: u64, approval: Uuid, notes: &str) {
        let decision = ApprovalDecided {
            approval_id: bytes(approval),
            run_id: bytes(self.run),
            session_id: bytes(self.session),
            status: ApprovalStatus::Approved.into(),
            notes: Some(notes.to_owned()),
            ..ApprovalDecided::default()
        };
        let line = format!("✓ approved  {notes}");
        self.tell(at_ms, line, [Kind::ApprovalDecided(decision)]);
    }
}

fn type_name(step_type: StepType) -> &'static str {
    match step_type {
        StepType::Thinking => "thinking",
        StepType::ToolCall => "tool",
        StepType::ToolResult => "result",
        StepType::LlmCall => "llm",
        StepType::Handoff => "handoff",
        StepType::Other | StepType::Unspecified => "step",
    }
}

fn bytes(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

fn time(begin_us: i64, after_ms: u64) -> Timestamp {
    let after_us = i64::try_from(after_ms)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000);
    let us = begin_us.saturating_add(after_us);
    Timestamp {
        seconds: us.div_euclid(1_000_000),
        // Below a million, so the conversion cannot fail.
        nanos: i32::try_from(us.rem_euclid(1_000_000)).unwrap_or(0) * 1_000,
    }
}
