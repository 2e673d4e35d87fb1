//! From what a span says to the events that it makes.

use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::class::{Class, Work, classify};
use super::conversation::Conversation;
use super::dialects::{Dialect, lang_graph, openinference};
use super::facts::Facts;
use super::ids::{self, Named};
use super::origin::Origin;
use super::run::{Observations, Said, rank};
use super::slots::Slot;
use super::text::Fit;
use super::usage::Usage;
use super::{session, span_events, tool, value};
use crate::event::{
    AliasedRoot, EndStatus, Event, EventBody, Message, RunEnded, RunEndedBy, StepAliased,
    StepDetails, StepEnded, StepType, Timestamp, TokenCount,
};

/// OTLP's span flags: the parent is known to be, and is, in another process.
const REMOTE_PARENT: u32 = 0x300;
/// Ids of responses shorter than this may be counted anew by a local server.
const DISTINCTIVE_ID_BYTES: usize = 24;

/// The view of a tool's call that the node around it has.
const NODE_VIEW: i16 = -1;

/// Gathers what the spans of a request make.
pub struct Emitter<'m> {
    /// The events, each with the position of its span.
    pub events: &'m mut Vec<(u32, Event)>,
    /// Makes fields fit for the database.
    pub fit: &'m mut Fit,
    /// What is said of runs and sessions.
    pub observed: &'m mut Observations,
}

/// A span whose ids and times are valid.
pub struct Placed<'a> {
    /// What it says.
    pub facts: Facts<'a>,
    /// Where it comes from.
    pub origin: &'a Origin<'a>,
    /// Its place in the request.
    pub position: u32,
    /// Its run.
    pub run: Uuid,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
}

/// What became of the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// A step, a run or both.
    Mapped,
    /// A mere link between others.
    Link,
}

impl Placed<'_> {
    fn span_step(&self, span_id: &[u8]) -> Uuid {
        ids::within(self.run, Named::Span(span_id))
    }

    fn parent(&self) -> Option<Uuid> {
        let id = &self.facts.span.parent_span_id;
        self.facts.has_parent().then(|| self.span_step(id))
    }

    /// Whether it ends its run: it has no parent, or none in this process.
    fn is_root(&self) -> bool {
        !self.facts.has_parent() || self.facts.span.flags & REMOTE_PARENT == REMOTE_PARENT
    }

    /// The step's id: shared by all views of one call where something is
    /// shared, else the span's own.
    fn step(&self, class: Class) -> Uuid {
        let named = match class {
            Class::Llm | Class::Embedding => {
                response_id(&self.facts).map(|id| ids::within(self.run, Named::Response(&id)))
            }
            Class::Tool => {
                let id = self.facts.text(Slot::ToolCallId).map(String::from);
                let id = id.or_else(|| lang_graph::call_node(&self.facts).map(hex));
                id.map(|id| ids::within(self.run, Named::ToolCall(&id)))
            }
            _ => None,
        };
        named.unwrap_or_else(|| self.span_step(&self.facts.span.span_id))
    }

    fn outcome(&self) -> (EndStatus, Option<String>) {
        let facts = &self.facts;
        let said = facts.span.status.as_ref();
        let level = facts
            .str(Slot::Level)
            .is_some_and(|level| level.eq_ignore_ascii_case("error"));
        let tool = matches!(facts.str(Slot::ToolStatus), Some("error" | "failed"));
        let failed = said.is_some_and(|status| status.code() == StatusCode::Error) || level || tool;
        if !failed {
            return (EndStatus::Completed, None);
        }
        let exception = span_events::exception(facts.span);
        let error = exception
            .and_then(|exception| exception.message.or(exception.kind))
            .or_else(|| {
                said.map(|status| status.message.clone())
                    .filter(|text| !text.is_empty())
            })
            .or_else(|| facts.text(Slot::ErrorMessage).map(Into::into))
            .or_else(|| facts.text(Slot::ErrorType).map(Into::into));
        (EndStatus::Failed, error)
    }
}

impl Emitter<'_> {
    /// One span.
    pub fn span(&mut self, placed: &Placed<'_>, keep_foreign: bool) -> Became {
        let mut work = classify(&placed.facts);
        if work.class == Class::Foreign {
            if !keep_foreign {
                self.link(placed);
                return Became::Link;
            }
            work = Work::kind(Class::Other, "span");
        }
        let root = placed.is_root();
        let conversation = match work.class {
            Class::Llm | Class::Agent => Conversation::read(&placed.facts),
            Class::Workflow if root => Conversation::read(&placed.facts),
            _ => Conversation::default(),
        };
        let own_step =
            placed.facts.has_parent() || !matches!(work.class, Class::Agent | Class::Workflow);
        let usage = Usage::read(&placed.facts);
        if own_step {
            let step_id = self.step(placed, &work, &conversation);
            self.tokens(placed, &work, step_id, usage);
            if work.class == Class::Llm {
                self.messages(placed, step_id, &conversation);
            }
        }
        if root {
            self.run_ended(placed, usage.filter(|_| !own_step), own_step);
        }
        self.observe(placed, &work, &conversation, root);
        Became::Mapped
    }

    fn push(&mut self, placed: &Placed<'_>, time: Timestamp, body: EventBody) {
        self.events.push((placed.position, Event { time, body }));
    }

    /// A span that is no step: what is below it belongs below its parent, and
    /// where it is the root it ends the run, if there is one.
    fn link(&mut self, placed: &Placed<'_>) {
        let (status, error) = placed.outcome();
        let root = placed.is_root().then(|| AliasedRoot {
            started_at: placed.start,
            ended_at: placed.end,
            status,
            error: error.map(|error| self.fit.text(error)),
            name: self.fit.text(placed.facts.span.name.as_str()),
        });
        let alias = StepAliased {
            alias_id: placed.span_step(&placed.facts.span.span_id),
            run_id: placed.run,
            step_id: None,
            parent_step_id: placed.parent(),
            root,
        };
        self.push(placed, placed.end, EventBody::StepAliased(alias));
    }

    fn step(&mut self, placed: &Placed<'_>, work: &Work, conversation: &Conversation) -> Uuid {
        let facts = &placed.facts;
        let step_id = placed.step(work.class);
        let span_step = placed.span_step(&facts.span.span_id);
        if step_id != span_step {
            let alias = StepAliased {
                alias_id: span_step,
                run_id: placed.run,
                step_id: Some(step_id),
                parent_step_id: placed.parent(),
                root: None,
            };
            self.push(placed, placed.end, EventBody::StepAliased(alias));
        }
        let (status, error) = placed.outcome();
        let (input, output) = self.input_and_output(facts, work.class, conversation);
        let metadata = metadata(placed);
        let model = model(facts);
        let kind = match work.class {
            Class::Agent => Some("agent".into()),
            _ => work.kind.clone(),
        };
        let details = StepDetails {
            step_type: step_type(work.class),
            kind: kind.map(|kind| self.fit.text(kind)),
            name: self.fit.some(name(facts, work.class)),
            parent_step_id: placed.parent(),
            parent_may_be_alias: placed.facts.has_parent(),
            model: model.and_then(|model| self.fit.some(model)),
            input,
            metadata: self.fit.object(&metadata),
        };
        let ended = StepEnded {
            step_id,
            run_id: placed.run,
            details: Some(details),
            status,
            output,
            error: error.map(|error| self.fit.text(error)),
            started_at: Some(placed.start),
            duration_ms: None,
            announced: false,
            view: if lang_graph::is_call_node(facts) {
                NODE_VIEW
            } else {
                facts.dialect.view()
            },
        };
        self.push(placed, placed.end, EventBody::StepEnded(ended));
        step_id
    }

    fn input_and_output(
        &mut self,
        facts: &Facts<'_>,
        class: Class,
        conversation: &Conversation,
    ) -> (Option<crate::event::Json>, Option<crate::event::Json>) {
        if matches!(class, Class::Tool | Class::Transfer) {
            let (arguments, result) = tool::call(facts);
            return (
                arguments.and_then(|value| self.fit.json(&value)),
                result.and_then(|value| self.fit.json(&value)),
            );
        }
        let mut raw = |slots: &[Slot], said: &[super::messages::Message]| {
            let attribute = slots.iter().find_map(|slot| facts.value(*slot));
            match attribute.map(value::text) {
                Some(text) if value::looks_like_json(&text) => {
                    self.fit.json_text(text.into_owned())
                }
                Some(text) => self.fit.json(&Value::String(text.into_owned())),
                None if said.is_empty() => None,
                None => {
                    let said: Vec<_> = said.iter().map(super::messages::Message::to_json).collect();
                    self.fit.json(&said.into())
                }
            }
        };
        (
            raw(
                &[Slot::Input, Slot::InputMessages, Slot::Prompt],
                &conversation.input,
            ),
            raw(&[Slot::Output, Slot::OutputMessages], &conversation.output),
        )
    }

    /// What a call used counts; what holds calls only repeats them.
    fn tokens(&mut self, placed: &Placed<'_>, work: &Work, step_id: Uuid, usage: Option<Usage>) {
        let Some(usage) = usage else { return };
        let facts = &placed.facts;
        let model = model(facts);
        let counted = |count: Option<i64>| count.and_then(|count| i32::try_from(count.max(0)).ok());
        let count = TokenCount {
            token_count_id: ids::within(placed.run, Named::Tokens(step_id)),
            run_id: placed.run,
            step_id: Some(step_id),
            model: model.and_then(|model| self.fit.some(model)),
            input: counted(usage.input),
            output: counted(usage.output),
            cache_read: counted(usage.cache_read),
            cache_write: counted(usage.cache_write),
            reasoning: counted(usage.reasoning),
            rollup: !matches!(work.class, Class::Llm | Class::Embedding),
        };
        self.push(placed, placed.end, EventBody::TokenCount(count));
    }

    /// The call's conversation; every later call repeats it, and says so.
    fn messages(&mut self, placed: &Placed<'_>, step_id: Uuid, conversation: &Conversation) {
        let session = session::of(&placed.facts).map(|session| session.id);
        for (message_id, place, said, answer) in
            conversation.identified(session.unwrap_or(placed.run))
        {
            let calls: Vec<_> = said
                .calls
                .iter()
                .map(super::messages::ToolCall::to_json)
                .collect();
            let mut extra = Map::new();
            for (key, text) in [
                ("name", &said.name),
                ("tool_call_id", &said.call_id),
                ("finish_reason", &said.finish_reason),
            ] {
                if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
                    extra.insert(key.into(), text.as_str().into());
                }
            }
            if !said.media.is_empty() {
                extra.insert("media".into(), said.media.clone().into());
            }
            let message = Message {
                message_id,
                run_id: Some(placed.run),
                session_id: session,
                step_id: Some(step_id),
                role: said.role,
                content: self.fit.some(said.text.as_str()),
                thinking: self.fit.some(said.thinking.as_str()),
                tool_calls: (!calls.is_empty())
                    .then(|| self.fit.json(&calls.into()))
                    .flatten(),
                metadata: (!extra.is_empty())
                    .then(|| self.fit.object(&extra.into()))
                    .flatten(),
                seq: Some(place),
                sighting: true,
            };
            let time = if answer { placed.end } else { placed.start };
            self.push(placed, time, EventBody::Message(message));
        }
    }

    fn run_ended(&mut self, placed: &Placed<'_>, usage: Option<Usage>, has_step: bool) {
        let (status, error) = placed.outcome();
        let reported =
            |count: Option<i64>| count.and_then(|count| i32::try_from(count.max(0)).ok());
        let usage = usage.unwrap_or_default();
        // A root that is a step as well keeps what it says there.
        let metadata = (!has_step).then(|| metadata(placed));
        let ended = RunEnded {
            run_id: placed.run,
            by: RunEndedBy::RootSpan,
            status,
            output: None,
            error: error.map(|error| self.fit.text(error)),
            reported_tokens_input: reported(usage.input),
            reported_tokens_output: reported(usage.output),
            metadata: metadata.and_then(|metadata| self.fit.object(&metadata)),
            started_at: Some(placed.start),
        };
        self.push(placed, placed.end, EventBody::RunEnded(ended));
    }

    /// What the span tells of its run.
    fn observe(
        &mut self,
        placed: &Placed<'_>,
        work: &Work,
        conversation: &Conversation,
        root: bool,
    ) {
        let facts = &placed.facts;
        let (run, position) = (placed.run, placed.position);
        let mut say = |rank: i32, time: Timestamp, said: Said| {
            self.observed.add(run, position, rank, time, said)
        };
        if let Some(session) = session::of(facts) {
            say(rank::OUTRIGHT, placed.start, Said::Session(session.id));
        }
        let is_agent = matches!(work.class, Class::Agent);
        let by = match work.class {
            _ if root => rank::OUTRIGHT,
            Class::Agent => rank::AGENT,
            Class::Llm => rank::CALL,
            _ => rank::STEP,
        };
        if let Some((agent_rank, agent)) = agent(facts, work.class, root) {
            say(agent_rank, placed.start, Said::Agent(self.fit.text(agent)));
        }
        if let Some(service) = placed.origin.service {
            say(
                rank::SERVICE,
                placed.start,
                Said::Agent(self.fit.text(service)),
            );
        }
        let framework = placed.origin.framework(facts.dialect);
        if let Some(framework) = framework {
            let type_rank = if is_agent {
                rank::OUTRIGHT
            } else {
                by.max(rank::CALL)
            };
            say(
                type_rank,
                placed.start,
                Said::AgentType(self.fit.text(framework)),
            );
        }
        if root {
            let told = facts
                .text(Slot::RunName)
                .unwrap_or_else(|| name(facts, work.class).into());
            say(
                rank::OUTRIGHT,
                placed.start,
                Said::Name(self.fit.text(told)),
            );
        } else if let Some(told) = facts.text(Slot::RunName) {
            say(
                rank::OUTRIGHT,
                placed.start,
                Said::Name(self.fit.text(told)),
            );
        }
        if let Some(metadata) = &placed.origin.metadata {
            say(
                rank::OUTRIGHT,
                placed.start,
                Said::Metadata(metadata.clone()),
            );
        }
        if root || matches!(work.class, Class::Agent | Class::Llm) {
            self.question_and_answer(placed, conversation, by, root);
        }
        if let Some(session) = session::of(facts) {
            let (user, upsert) = session.upsert(facts, self.fit);
            self.observed.session(position, placed.start, user, upsert);
        }
    }

    fn question_and_answer(
        &mut self,
        placed: &Placed<'_>,
        conversation: &Conversation,
        by: i32,
        root: bool,
    ) {
        let (run, position, facts) = (placed.run, placed.position, &placed.facts);
        let readable = |text: &&str| !looks_like_a_dump(text);
        let raw = |slot| root.then(|| facts.text(slot)).flatten();
        if let Some(text) = conversation.question().filter(readable) {
            if self
                .observed
                .wants(run, &Said::Input(String::new()), by, placed.start)
            {
                let said = Said::Input(self.fit.text(text));
                self.observed.add(run, position, by, placed.start, said);
            }
        } else if let Some(text) = raw(Slot::Input) {
            let said = Said::Input(self.fit.text(text));
            self.observed
                .add(run, position, rank::RAW, placed.start, said);
        }
        if let Some(text) = conversation.answer().filter(readable) {
            if self
                .observed
                .wants(run, &Said::Output(String::new()), by, placed.end)
            {
                let said = Said::Output(self.fit.text(text));
                self.observed.add(run, position, by, placed.end, said);
            }
        } else if let Some(text) = raw(Slot::Output) {
            let said = Said::Output(self.fit.text(text));
            self.observed
                .add(run, position, rank::RAW, placed.end, said);
        }
    }
}

/// `StopEvent(result=…)`: an object as its language prints it.
fn looks_like_a_dump(text: &str) -> bool {
    let word = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && word.is_some_and(|at| at > 0 && text[at..].starts_with('('))
        && text.contains('=')
}

fn step_type(class: Class) -> StepType {
    match class {
        Class::Llm | Class::Embedding => StepType::LlmCall,
        Class::Tool => StepType::ToolCall,
        Class::Agent | Class::Transfer => StepType::Handoff,
        Class::Workflow | Class::Other | Class::Foreign => StepType::Other,
    }
}

/// The agent of the run, as far as this span knows it.
fn agent(facts: &Facts<'_>, class: Class, root: bool) -> Option<(i32, String)> {
    let named = facts.text(Slot::AgentName).map(String::from);
    match class {
        Class::Agent => Some(match named.or_else(|| facts.meta_text("lc_agent_name")) {
            Some(name) => (rank::OUTRIGHT, name),
            // LlamaIndex's spans are called by the class.
            None if facts.span.name.ends_with(".run") => (rank::WORKFLOW, name(facts, class)),
            None => (rank::AGENT, name(facts, class)),
        }),
        _ => {
            let hinted = named
                .or_else(|| facts.meta_text("lc_agent_name"))
                .or_else(|| openinference::llama_index_agent(facts).map(str::to_owned))
                .map(|name| (rank::CALL, name));
            hinted.or_else(|| {
                let workflow = facts.text(Slot::WorkflowName).map(String::from)?;
                root.then_some((rank::WORKFLOW, workflow))
            })
        }
    }
}

/// The step's name: the tool, the agent, what a person is meant to read.
fn name(facts: &Facts<'_>, class: Class) -> String {
    let span = facts.span.name.as_str();
    let told = match class {
        Class::Tool => {
            let own = facts
                .text(Slot::ToolName)
                .or_else(|| facts.text(Slot::EntityName));
            own.or_else(|| tool::name_in_node(facts).map(Into::into))
        }
        Class::Agent => {
            let own = facts
                .text(Slot::AgentName)
                .or_else(|| facts.text(Slot::EntityName));
            own.or_else(|| facts.meta_text("lc_agent_name").map(Into::into))
        }
        Class::Transfer => transfer_target(facts).map(Into::into),
        Class::Workflow => facts
            .text(Slot::WorkflowName)
            .or_else(|| facts.text(Slot::EntityName)),
        _ => None,
    };
    let told = told.or_else(|| facts.text(Slot::DisplayName));
    let bare = match class {
        Class::Agent => span
            .strip_prefix("invoke_agent ")
            .or_else(|| span.strip_suffix(".agent")),
        Class::Tool => span
            .strip_prefix("execute_tool ")
            .or_else(|| span.strip_suffix(".tool")),
        _ => None,
    };
    told.map_or_else(|| bare.unwrap_or(span).to_owned(), Into::into)
}

/// The agent that work is handed to.
fn transfer_target(facts: &Facts<'_>) -> Option<String> {
    let told = openinference::transfer_target(facts).map(str::to_owned);
    told.or_else(|| {
        let arguments = facts.json(Slot::ToolArguments)?;
        arguments.get("agent_name")?.as_str().map(str::to_owned)
    })
}

/// The model that answered, else the one that was asked.
fn model(facts: &Facts<'_>) -> Option<String> {
    let told = [Slot::ResponseModel, Slot::RequestModel]
        .iter()
        .find_map(|slot| facts.text(*slot));
    told.map(String::from).or_else(|| {
        let parameters = facts.json(Slot::Parameters)?;
        parameters.get("model")?.as_str().map(str::to_owned)
    })
}

/// The id of the response, where it can be no other call's.
fn response_id(facts: &Facts<'_>) -> Option<String> {
    let told = facts.text(Slot::ResponseId).map(String::from);
    let id = told.or_else(|| id_in(facts.str(Slot::Output)?))?;
    let distinctive = id.len() >= DISTINCTIVE_ID_BYTES || id.starts_with("msg_");
    // Log records that belong to the call know the span alone.
    let told_in_logs = facts.key(Slot::GenAiOperation).is_some()
        && facts.scope.starts_with("opentelemetry.instrumentation.")
        && facts
            .span
            .attributes
            .iter()
            .any(|attribute| attribute.key == "gen_ai.system")
        && !facts.has(Slot::InputMessages)
        && facts.dialect == Dialect::GenAi;
    (distinctive && !told_in_logs).then_some(id)
}

/// The `id` of a response that is recorded whole.
fn id_in(output: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        id: Option<std::borrow::Cow<'a, str>>,
    }
    if !output.starts_with('{') || !output.contains("\"id\"") {
        return None;
    }
    let response: Response<'_> = serde_json::from_str(output).ok()?;
    response.id.map(std::borrow::Cow::into_owned)
}

/// Everything that has no column: attributes as they came, events, links, and
/// what tells the span from others.
fn metadata(placed: &Placed<'_>) -> Value {
    let facts = &placed.facts;
    let span = facts.span;
    let mut object = Map::new();
    for attribute in &facts.rest {
        let value = attribute.value.as_ref().and_then(|any| any.value.as_ref());
        object.insert(
            attribute.key.clone(),
            value.map_or(Value::Null, value::json),
        );
    }
    let mut otel = json!({"span_id": hex(&span.span_id), "name": span.name, "dialect": facts.dialect.as_str()});
    if let Some(exception) = span_events::exception(span) {
        otel["exception"] = json!({
            "type": exception.kind, "message": exception.message, "stacktrace": exception.stacktrace,
        });
    }
    if let Some(events) = span_events::kept(span) {
        otel["events"] = events;
    }
    if !span.links.is_empty() {
        let links = span.links.iter().map(|link| {
            json!({
                "trace_id": hex(&link.trace_id), "span_id": hex(&link.span_id),
                "attributes": value::object(&link.attributes, 0),
            })
        });
        otel["links"] = links.collect();
    }
    for (key, count) in [
        ("dropped_attributes", span.dropped_attributes_count),
        ("dropped_events", span.dropped_events_count),
        ("dropped_links", span.dropped_links_count),
    ] {
        if count > 0 {
            otel[key] = count.into();
        }
    }
    if placed.end < placed.start {
        otel["ended_before_start"] = true.into();
    }
    object.insert("otel".into(), otel);
    Value::Object(object)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
