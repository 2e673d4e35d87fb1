//! Decodes and validates single events. All rules about single events are here.

use bytes::Bytes;
use uuid::Uuid;

use crate::event::{
    AliasedRoot, ApprovalDecided, ApprovalRequested, ApprovalStatus, EndStatus, Event, EventBody,
    FieldLimits, FiniteNumber, Heartbeat, Json, JsonError, Message, MessageRole, Refusal,
    RefusalCode, Repairs, RunEnded, RunEndedBy, RunObserved, RunStarted, Score, SessionUpsert,
    StepAliased, StepDetails, StepEnded, StepStarted, StepType, Timestamp, TokenCount, clean_text,
};
use crate::proto;

/// Decodes and validates one event. Repairs text that Postgres cannot store, and counts
/// it in `repairs`.
///
/// # Errors
/// The refusal for the client.
pub fn decode_event(event: proto::Event, repairs: &mut Repairs) -> Result<Event, Refusal> {
    decode_event_within(FieldLimits::MAX, event, repairs)
}

/// Like [`decode_event`], but with the limits of an endpoint.
///
/// # Errors
/// The refusal for the client.
pub fn decode_event_within(
    limits: FieldLimits,
    event: proto::Event,
    repairs: &mut Repairs,
) -> Result<Event, Refusal> {
    use proto::event::Event as Wire;
    let body = event.event.ok_or_else(|| missing("event"))?;
    let time = timestamp("time", event.time)?.ok_or_else(|| missing("time"))?;
    let mut decoder = Decoder { limits, repairs };
    let body = match body {
        Wire::SessionUpsert(e) => EventBody::SessionUpsert(decoder.session_upsert(e)?),
        Wire::RunStarted(e) => EventBody::RunStarted(decoder.run_started(e)?),
        Wire::RunEnded(e) => EventBody::RunEnded(decoder.run_ended(e)?),
        Wire::Heartbeat(e) => EventBody::Heartbeat(Heartbeat {
            run_id: required_id("run_id", &e.run_id)?,
        }),
        Wire::StepStarted(e) => EventBody::StepStarted(decoder.step_started(e)?),
        Wire::StepEnded(e) => EventBody::StepEnded(decoder.step_ended(e)?),
        Wire::MessageAppended(e) => EventBody::Message(decoder.message(e)?),
        Wire::TokenCount(e) => EventBody::TokenCount(decoder.token_count(e)?),
        Wire::ApprovalRequested(e) => EventBody::ApprovalRequested(decoder.requested(e)?),
        Wire::ApprovalDecided(e) => EventBody::ApprovalDecided(decoder.decided(e)?),
        Wire::RunObserved(e) => EventBody::RunObserved(decoder.run_observed(e)?),
        Wire::StepAliased(e) => EventBody::StepAliased(decoder.step_aliased(e)?),
        Wire::ScoreAdded(e) => EventBody::Score(decoder.score(e)?),
    };
    Ok(Event::new(time, body))
}

struct Decoder<'a> {
    limits: FieldLimits,
    repairs: &'a mut Repairs,
}

impl Decoder<'_> {
    fn session_upsert(&mut self, e: proto::SessionUpsert) -> Result<SessionUpsert, Refusal> {
        Ok(SessionUpsert {
            session_id: required_id("session_id", &e.session_id)?,
            customer_id: id("customer_id", &e.customer_id)?,
            user_id: id("user_id", &e.user_id)?,
            title: self.text("title", e.title)?,
            external_id: self.text("external_id", e.external_id)?,
            metadata: self.object("metadata_json", e.metadata_json)?,
        })
    }

    fn run_started(&mut self, e: proto::RunStarted) -> Result<RunStarted, Refusal> {
        Ok(RunStarted {
            run_id: required_id("run_id", &e.run_id)?,
            session_id: id("session_id", &e.session_id)?,
            parent_run_id: id("parent_run_id", &e.parent_run_id)?,
            customer_id: id("customer_id", &e.customer_id)?,
            agent_id: self.text_or_unknown("agent_id", e.agent_id)?,
            agent_type: self.text_or_unknown("agent_type", e.agent_type)?,
            name: self.text("name", e.name)?,
            input: self.text("input", e.input)?,
            metadata: self.object("metadata_json", e.metadata_json)?,
            timeout_ms: e.timeout.map(timeout_ms).transpose()?,
        })
    }

    fn run_ended(&mut self, e: proto::RunEnded) -> Result<RunEnded, Refusal> {
        Ok(RunEnded {
            run_id: required_id("run_id", &e.run_id)?,
            by: if e.from_root_span {
                RunEndedBy::RootSpan
            } else {
                RunEndedBy::Client
            },
            status: end_status(e.status)?,
            output: self.text("output", e.output)?,
            error: self.text("error", e.error)?,
            reported_tokens_input: count("reported_tokens_input", e.reported_tokens_input)?,
            reported_tokens_output: count("reported_tokens_output", e.reported_tokens_output)?,
            metadata: self.object("metadata_json", e.metadata_json)?,
            started_at: timestamp("started_at", e.started_at)?,
        })
    }

    fn run_observed(&mut self, e: proto::RunObserved) -> Result<RunObserved, Refusal> {
        Ok(RunObserved {
            run_id: required_id("run_id", &e.run_id)?,
            rank: e.rank,
            session_id: id("session_id", &e.session_id)?,
            // Empty is absent, as in RunStarted.
            agent_id: self.text("agent_id", e.agent_id.filter(|id| !id.is_empty()))?,
            agent_type: self.text("agent_type", e.agent_type.filter(|kind| !kind.is_empty()))?,
            name: self.text("name", e.name)?,
            input: self.text("input", e.input)?,
            output: self.text("output", e.output)?,
            metadata: self.object("metadata_json", e.metadata_json)?,
            outcome: match e.outcome {
                0 => None,
                outcome => Some(end_status(outcome)?),
            },
            error: self.text("error", e.error)?,
            customer: self.text("customer", e.customer.filter(|name| !name.is_empty()))?,
            user: self.text("user", e.user)?,
            tags: self.texts("tags_json", e.tags_json)?,
        })
    }

    fn step_started(&mut self, e: proto::StepStarted) -> Result<StepStarted, Refusal> {
        Ok(StepStarted {
            step_id: required_id("step_id", &e.step_id)?,
            run_id: required_id("run_id", &e.run_id)?,
            details: self.details(e.details.ok_or_else(|| missing("details"))?)?,
        })
    }

    fn step_ended(&mut self, e: proto::StepEnded) -> Result<StepEnded, Refusal> {
        Ok(StepEnded {
            step_id: required_id("step_id", &e.step_id)?,
            run_id: required_id("run_id", &e.run_id)?,
            details: e.details.map(|details| self.details(details)).transpose()?,
            status: end_status(e.status)?,
            output: self.json("output_json", e.output_json)?,
            error: self.text("error", e.error)?,
            started_at: timestamp("started_at", e.started_at)?,
            duration_ms: count("duration_ms", e.duration_ms)?,
            announced: e.announced,
            view: i16::try_from(e.view)
                .map_err(|_| out_of_range("view", "is not between -32768 and 32767"))?,
        })
    }

    fn step_aliased(&mut self, e: proto::StepAliased) -> Result<StepAliased, Refusal> {
        Ok(StepAliased {
            alias_id: required_id("alias_id", &e.alias_id)?,
            run_id: required_id("run_id", &e.run_id)?,
            step_id: id("step_id", &e.step_id)?,
            parent_step_id: id("parent_step_id", &e.parent_step_id)?,
            root: e.root.map(|root| self.root(root)).transpose()?,
        })
    }

    fn root(&mut self, e: proto::AliasedRoot) -> Result<AliasedRoot, Refusal> {
        let time = |field: &str, time| timestamp(field, time)?.ok_or_else(|| missing(field));
        Ok(AliasedRoot {
            started_at: time("started_at", e.started_at)?,
            ended_at: time("ended_at", e.ended_at)?,
            status: end_status(e.status)?,
            error: self.text("error", e.error)?,
            name: self.text_or_unknown("name", e.name)?,
        })
    }

    fn details(&mut self, e: proto::StepDetails) -> Result<StepDetails, Refusal> {
        Ok(StepDetails {
            step_type: step_type(e.step_type)?,
            kind: self.text("kind", e.kind)?,
            name: self.text("name", e.name)?,
            parent_step_id: id("parent_step_id", &e.parent_step_id)?,
            model: self.text("model", e.model)?,
            input: self.json("input_json", e.input_json)?,
            metadata: self.object("metadata_json", e.metadata_json)?,
            parent_may_be_alias: e.parent_may_be_alias,
        })
    }

    fn message(&mut self, e: proto::MessageAppended) -> Result<Message, Refusal> {
        let (run_id, session_id) = owner(&e.run_id, &e.session_id)?;
        Ok(Message {
            message_id: required_id("message_id", &e.message_id)?,
            run_id,
            session_id,
            step_id: id("step_id", &e.step_id)?,
            role: message_role(e.role)?,
            content: self.text("content", e.content)?,
            thinking: self.text("thinking", e.thinking)?,
            tool_calls: self.json("tool_calls_json", e.tool_calls_json)?,
            metadata: self.object("metadata_json", e.metadata_json)?,
            seq: e.seq,
            sighting: e.sighting,
            believed_new: e.believed_new,
        })
    }

    fn token_count(&mut self, e: proto::TokenCount) -> Result<TokenCount, Refusal> {
        Ok(TokenCount {
            token_count_id: required_id("token_count_id", &e.token_count_id)?,
            run_id: required_id("run_id", &e.run_id)?,
            step_id: id("step_id", &e.step_id)?,
            model: self.text("model", e.model)?,
            input: count("input", e.input)?,
            output: count("output", e.output)?,
            cache_read: count("cache_read", e.cache_read)?,
            cache_write: count("cache_write", e.cache_write)?,
            reasoning: count("reasoning", e.reasoning)?,
            rollup: e.rollup,
        })
    }

    fn score(&mut self, e: proto::ScoreAdded) -> Result<Score, Refusal> {
        if e.name.is_empty() {
            return Err(missing("name"));
        }
        Ok(Score {
            score_id: required_id("score_id", &e.score_id)?,
            run_id: required_id("run_id", &e.run_id)?,
            step_id: id("step_id", &e.step_id)?,
            name: self.text_or_unknown("name", e.name)?,
            value: e.value.map(finite).transpose()?,
            label: self.text("label", e.label)?,
            comment: self.text("comment", e.comment)?,
            source: self.text("source", e.source)?,
            metadata: self.object("metadata_json", e.metadata_json)?,
        })
    }

    fn requested(&mut self, e: proto::ApprovalRequested) -> Result<ApprovalRequested, Refusal> {
        let (run_id, session_id) = owner(&e.run_id, &e.session_id)?;
        Ok(ApprovalRequested {
            approval_id: required_id("approval_id", &e.approval_id)?,
            run_id,
            session_id,
            step_id: id("step_id", &e.step_id)?,
            action_type: self.text_or_unknown("action_type", e.action_type)?,
            action_description: self.text("action_description", e.action_description)?,
            action_data: self.json("action_data_json", e.action_data_json)?,
            expires_at: timestamp("expires_at", e.expires_at)?,
        })
    }

    fn decided(&mut self, e: proto::ApprovalDecided) -> Result<ApprovalDecided, Refusal> {
        let (run_id, session_id) = owner(&e.run_id, &e.session_id)?;
        Ok(ApprovalDecided {
            approval_id: required_id("approval_id", &e.approval_id)?,
            run_id,
            session_id,
            status: approval_status(e.status)?,
            decided_by: id("decided_by", &e.decided_by)?,
            notes: self.text("notes", e.notes)?,
        })
    }

    fn text(&mut self, field: &str, text: Option<String>) -> Result<Option<String>, Refusal> {
        let Some(text) = text else { return Ok(None) };
        self.check_len(field, &text)?;
        Ok(Some(clean_text(text, self.repairs)))
    }

    /// A required text. An empty one becomes `unknown`.
    fn text_or_unknown(&mut self, field: &str, text: String) -> Result<String, Refusal> {
        if text.is_empty() {
            return Ok("unknown".into());
        }
        self.check_len(field, &text)?;
        Ok(clean_text(text, self.repairs))
    }

    fn json(&mut self, field: &str, text: Option<String>) -> Result<Option<Json>, Refusal> {
        let Some(text) = text else { return Ok(None) };
        self.check_len(field, &text)?;
        let (depth, limit_size) = (self.limits.json_depth, self.limits.limit_json_size);
        Json::with_limits(depth, limit_size, text, self.repairs)
            .map(Some)
            .map_err(|e| bad_json(field, e))
    }

    fn object(&mut self, field: &str, text: Option<String>) -> Result<Option<Json>, Refusal> {
        let json = self.json(field, text)?;
        json.map(Json::into_object)
            .transpose()
            .map_err(|e| bad_json(field, e))
    }

    fn texts(&mut self, field: &str, text: Option<String>) -> Result<Option<Json>, Refusal> {
        let json = self.json(field, text)?;
        let is_list = |json: &Json| serde_json::from_str::<Vec<String>>(json.as_str()).is_ok();
        match json {
            Some(json) if !is_list(&json) => {
                let reason = format!("{field} is not an array of texts");
                Err(Refusal::new(RefusalCode::InvalidJson, reason))
            }
            json => Ok(json),
        }
    }

    fn check_len(&self, field: &str, text: &str) -> Result<(), Refusal> {
        let limit = self.limits.bytes;
        if text.len() <= limit {
            return Ok(());
        }
        let reason = format!("{field} is longer than {limit} bytes");
        Err(Refusal::new(RefusalCode::FieldTooLong, reason))
    }
}

fn missing(field: &str) -> Refusal {
    Refusal::new(RefusalCode::MissingField, format!("{field} is missing"))
}

fn bad_json(field: &str, error: JsonError) -> Refusal {
    let code = match error {
        JsonError::TooDeep { .. } => RefusalCode::JsonTooDeep,
        JsonError::NumberOutOfRange | JsonError::LongNumbers => RefusalCode::NumberOutOfRange,
        JsonError::TooManyValues => RefusalCode::FieldTooLong,
        JsonError::Invalid { .. } | JsonError::NotAnObject => RefusalCode::InvalidJson,
    };
    Refusal::new(code, format!("{field} {error}"))
}

/// Reads an id: 16 bytes, or the text of a UUID. Empty means absent.
pub(super) fn id(field: &str, bytes: &Bytes) -> Result<Option<Uuid>, Refusal> {
    match bytes.len() {
        0 => Ok(None),
        16 => Ok(Uuid::from_slice(bytes).ok()),
        _ => Uuid::try_parse_ascii(bytes).map(Some).map_err(|_| {
            let reason = format!("{field} is neither 16 bytes nor the text of a UUID");
            Refusal::new(RefusalCode::InvalidId, reason)
        }),
    }
}

fn required_id(field: &str, bytes: &Bytes) -> Result<Uuid, Refusal> {
    id(field, bytes)?.ok_or_else(|| missing(field))
}

/// Reads the ids of run and session. At least one of them is required.
fn owner(run_id: &Bytes, session_id: &Bytes) -> Result<(Option<Uuid>, Option<Uuid>), Refusal> {
    match (id("run_id", run_id)?, id("session_id", session_id)?) {
        (None, None) => Err(missing("run_id or session_id")),
        owner => Ok(owner),
    }
}

fn timestamp(
    field: &str,
    time: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Refusal> {
    time.map(|time| Timestamp::from_unix(time.seconds, time.nanos))
        .transpose()
        .map_err(|error| Refusal::new(RefusalCode::TimeOutOfRange, format!("{field} {error}")))
}

/// Reads a count that fits INTEGER in Postgres.
fn count(field: &str, value: Option<i64>) -> Result<Option<i32>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    match i32::try_from(value) {
        Ok(count) if count >= 0 => Ok(Some(count)),
        _ => Err(out_of_range(field, "is negative or above 2147483647")),
    }
}

fn finite(value: f64) -> Result<FiniteNumber, Refusal> {
    FiniteNumber::new(value).ok_or_else(|| out_of_range("value", "is not a finite number"))
}

fn timeout_ms(timeout: prost_types::Duration) -> Result<i64, Refusal> {
    /// 100 years, which added to any clock stays in the range of Postgres.
    const MAX_TIMEOUT_MS: i64 = 100 * 366 * 86_400 * 1_000;
    // Durations with positive seconds must have nanoseconds between 0 and 999,999,999.
    let nanos = u32::try_from(timeout.nanos).ok();
    let millis = nanos
        .filter(|nanos| *nanos < 1_000_000_000)
        .and_then(|nanos| Some((timeout.seconds.checked_mul(1_000)?, nanos / 1_000_000)))
        .and_then(|(ms, rest)| ms.checked_add(i64::from(rest)));
    match millis {
        Some(ms) if (1..=MAX_TIMEOUT_MS).contains(&ms) => Ok(ms),
        _ => Err(out_of_range("timeout", "is not between 1 ms and 100 years")),
    }
}

fn out_of_range(field: &str, what: &str) -> Refusal {
    Refusal::new(RefusalCode::NumberOutOfRange, format!("{field} {what}"))
}

fn unknown_enum(field: &str, value: i32) -> Refusal {
    if value == 0 {
        return missing(field);
    }
    let reason = format!("{field} {value} is unknown to this version");
    Refusal::new(RefusalCode::UnknownEnumValue, reason)
}

fn end_status(value: i32) -> Result<EndStatus, Refusal> {
    match proto::EndStatus::try_from(value) {
        Ok(proto::EndStatus::Completed) => Ok(EndStatus::Completed),
        Ok(proto::EndStatus::Failed) => Ok(EndStatus::Failed),
        Ok(proto::EndStatus::Unspecified) | Err(_) => Err(unknown_enum("status", value)),
    }
}

fn step_type(value: i32) -> Result<StepType, Refusal> {
    match proto::StepType::try_from(value) {
        Ok(proto::StepType::Thinking) => Ok(StepType::Thinking),
        Ok(proto::StepType::ToolCall) => Ok(StepType::ToolCall),
        Ok(proto::StepType::ToolResult) => Ok(StepType::ToolResult),
        Ok(proto::StepType::LlmCall) => Ok(StepType::LlmCall),
        Ok(proto::StepType::Handoff) => Ok(StepType::Handoff),
        Ok(proto::StepType::Other) => Ok(StepType::Other),
        Ok(proto::StepType::Unspecified) | Err(_) => Err(unknown_enum("step_type", value)),
    }
}

fn message_role(value: i32) -> Result<MessageRole, Refusal> {
    match proto::MessageRole::try_from(value) {
        Ok(proto::MessageRole::User) => Ok(MessageRole::User),
        Ok(proto::MessageRole::Assistant) => Ok(MessageRole::Assistant),
        Ok(proto::MessageRole::System) => Ok(MessageRole::System),
        Ok(proto::MessageRole::Tool) => Ok(MessageRole::Tool),
        Ok(proto::MessageRole::Unspecified) | Err(_) => Err(unknown_enum("role", value)),
    }
}

fn approval_status(value: i32) -> Result<ApprovalStatus, Refusal> {
    match proto::ApprovalStatus::try_from(value) {
        Ok(proto::ApprovalStatus::Approved) => Ok(ApprovalStatus::Approved),
        Ok(proto::ApprovalStatus::Rejected) => Ok(ApprovalStatus::Rejected),
        Ok(proto::ApprovalStatus::Expired) => Ok(ApprovalStatus::Expired),
        Ok(proto::ApprovalStatus::Unspecified) | Err(_) => Err(unknown_enum("status", value)),
    }
}
