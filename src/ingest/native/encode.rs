//! Encodes events in their wire form, for the spool and dead letters.

use bytes::Bytes;
use uuid::Uuid;

use crate::event::{
    AliasedRoot, ApprovalStatus, EndStatus, Event, EventBody, FiniteNumber, Json, MessageRole,
    RunEndedBy, StepDetails, StepType, Timestamp,
};
use crate::proto;

/// Encodes an event. `decode_event` returns the same event.
#[must_use]
pub fn encode_event(event: &Event) -> proto::Event {
    proto::Event {
        time: Some(timestamp(event.time)),
        event: Some(body(&event.body)),
    }
}

fn body(body: &EventBody) -> proto::event::Event {
    use proto::event::Event as Wire;
    match body.clone() {
        EventBody::SessionUpsert(e) => Wire::SessionUpsert(proto::SessionUpsert {
            session_id: id(e.session_id),
            customer_id: opt_id(e.customer_id),
            user_id: opt_id(e.user_id),
            title: e.title,
            external_id: e.external_id,
            metadata_json: json(e.metadata.as_ref()),
        }),
        EventBody::RunStarted(e) => Wire::RunStarted(proto::RunStarted {
            run_id: id(e.run_id),
            session_id: opt_id(e.session_id),
            parent_run_id: opt_id(e.parent_run_id),
            customer_id: opt_id(e.customer_id),
            agent_id: e.agent_id,
            agent_type: e.agent_type,
            name: e.name,
            input: e.input,
            metadata_json: json(e.metadata.as_ref()),
            timeout: e.timeout_ms.map(|ms| prost_types::Duration {
                seconds: ms / 1_000,
                nanos: i32::try_from(ms % 1_000 * 1_000_000).unwrap_or(0),
            }),
        }),
        EventBody::RunEnded(e) => Wire::RunEnded(proto::RunEnded {
            run_id: id(e.run_id),
            status: end_status(e.status).into(),
            output: e.output,
            error: e.error,
            reported_tokens_input: e.reported_tokens_input.map(i64::from),
            reported_tokens_output: e.reported_tokens_output.map(i64::from),
            metadata_json: json(e.metadata.as_ref()),
            from_root_span: e.by == RunEndedBy::RootSpan,
            started_at: e.started_at.map(timestamp),
        }),
        EventBody::RunObserved(e) => Wire::RunObserved(proto::RunObserved {
            run_id: id(e.run_id),
            rank: e.rank,
            session_id: opt_id(e.session_id),
            agent_id: e.agent_id,
            agent_type: e.agent_type,
            name: e.name,
            input: e.input,
            output: e.output,
            metadata_json: json(e.metadata.as_ref()),
            outcome: e.outcome.map_or(0, |outcome| end_status(outcome).into()),
            error: e.error,
            customer: e.customer,
            user: e.user,
            tags_json: json(e.tags.as_ref()),
        }),
        EventBody::Heartbeat(e) => Wire::Heartbeat(proto::Heartbeat {
            run_id: id(e.run_id),
        }),
        EventBody::StepStarted(e) => Wire::StepStarted(proto::StepStarted {
            step_id: id(e.step_id),
            run_id: id(e.run_id),
            details: Some(details(e.details)),
        }),
        EventBody::StepEnded(e) => Wire::StepEnded(proto::StepEnded {
            step_id: id(e.step_id),
            run_id: id(e.run_id),
            details: e.details.map(details),
            status: end_status(e.status).into(),
            output_json: json(e.output.as_ref()),
            error: e.error,
            started_at: e.started_at.map(timestamp),
            duration_ms: e.duration_ms.map(i64::from),
            announced: e.announced,
            view: e.view.into(),
        }),
        EventBody::StepAliased(e) => Wire::StepAliased(proto::StepAliased {
            alias_id: id(e.alias_id),
            run_id: id(e.run_id),
            step_id: opt_id(e.step_id),
            parent_step_id: opt_id(e.parent_step_id),
            root: e.root.map(root),
        }),
        EventBody::Message(e) => Wire::MessageAppended(proto::MessageAppended {
            message_id: id(e.message_id),
            run_id: opt_id(e.run_id),
            session_id: opt_id(e.session_id),
            step_id: opt_id(e.step_id),
            role: message_role(e.role).into(),
            content: e.content,
            thinking: e.thinking,
            tool_calls_json: json(e.tool_calls.as_ref()),
            metadata_json: json(e.metadata.as_ref()),
            seq: e.seq,
            sighting: e.sighting,
            believed_new: e.believed_new,
        }),
        EventBody::TokenCount(e) => Wire::TokenCount(proto::TokenCount {
            token_count_id: id(e.token_count_id),
            run_id: id(e.run_id),
            step_id: opt_id(e.step_id),
            model: e.model,
            input: e.input.map(i64::from),
            output: e.output.map(i64::from),
            cache_read: e.cache_read.map(i64::from),
            cache_write: e.cache_write.map(i64::from),
            reasoning: e.reasoning.map(i64::from),
            rollup: e.rollup,
        }),
        EventBody::Score(e) => Wire::ScoreAdded(proto::ScoreAdded {
            score_id: id(e.score_id),
            run_id: id(e.run_id),
            step_id: opt_id(e.step_id),
            name: e.name,
            value: e.value.map(FiniteNumber::get),
            label: e.label,
            comment: e.comment,
            source: e.source,
            metadata_json: json(e.metadata.as_ref()),
        }),
        EventBody::ApprovalRequested(e) => Wire::ApprovalRequested(proto::ApprovalRequested {
            approval_id: id(e.approval_id),
            run_id: opt_id(e.run_id),
            session_id: opt_id(e.session_id),
            step_id: opt_id(e.step_id),
            action_type: e.action_type,
            action_description: e.action_description,
            action_data_json: json(e.action_data.as_ref()),
            expires_at: e.expires_at.map(timestamp),
        }),
        EventBody::ApprovalDecided(e) => Wire::ApprovalDecided(proto::ApprovalDecided {
            approval_id: id(e.approval_id),
            run_id: opt_id(e.run_id),
            session_id: opt_id(e.session_id),
            status: approval_status(e.status).into(),
            decided_by: opt_id(e.decided_by),
            notes: e.notes,
        }),
    }
}

fn details(e: StepDetails) -> proto::StepDetails {
    proto::StepDetails {
        step_type: step_type(e.step_type).into(),
        kind: e.kind,
        name: e.name,
        parent_step_id: opt_id(e.parent_step_id),
        model: e.model,
        input_json: json(e.input.as_ref()),
        metadata_json: json(e.metadata.as_ref()),
        parent_may_be_alias: e.parent_may_be_alias,
    }
}

fn root(e: AliasedRoot) -> proto::AliasedRoot {
    proto::AliasedRoot {
        started_at: Some(timestamp(e.started_at)),
        ended_at: Some(timestamp(e.ended_at)),
        status: end_status(e.status).into(),
        error: e.error,
        name: e.name,
    }
}

fn id(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

fn opt_id(id: Option<Uuid>) -> Bytes {
    id.map_or_else(Bytes::new, self::id)
}

fn json(json: Option<&Json>) -> Option<String> {
    json.map(|json| json.as_str().to_owned())
}

fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = time.to_unix();
    prost_types::Timestamp { seconds, nanos }
}

fn end_status(status: EndStatus) -> proto::EndStatus {
    match status {
        EndStatus::Completed => proto::EndStatus::Completed,
        EndStatus::Failed => proto::EndStatus::Failed,
    }
}

fn step_type(step_type: StepType) -> proto::StepType {
    match step_type {
        StepType::Thinking => proto::StepType::Thinking,
        StepType::ToolCall => proto::StepType::ToolCall,
        StepType::ToolResult => proto::StepType::ToolResult,
        StepType::LlmCall => proto::StepType::LlmCall,
        StepType::Handoff => proto::StepType::Handoff,
        StepType::Other => proto::StepType::Other,
    }
}

fn message_role(role: MessageRole) -> proto::MessageRole {
    match role {
        MessageRole::User => proto::MessageRole::User,
        MessageRole::Assistant => proto::MessageRole::Assistant,
        MessageRole::System => proto::MessageRole::System,
        MessageRole::Tool => proto::MessageRole::Tool,
    }
}

fn approval_status(status: ApprovalStatus) -> proto::ApprovalStatus {
    match status {
        ApprovalStatus::Approved => proto::ApprovalStatus::Approved,
        ApprovalStatus::Rejected => proto::ApprovalStatus::Rejected,
        ApprovalStatus::Expired => proto::ApprovalStatus::Expired,
    }
}
