//! One valid event of each kind with every field set, to be spoilt or emptied.
//! Ids are new ones each time.

use bytes::Bytes;
use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, ApprovalStatus, EndStatus, Event, MessageRole, StepType};

use super::events::{at, event, id, new_id};

fn new() -> Bytes {
    id(new_id())
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

macro_rules! kind {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $value:expr) => {
        $(#[$doc])*
        pub fn $name(edit: impl FnOnce(&mut proto::$kind)) -> Event {
            let mut value = $value;
            edit(&mut value);
            event(5_000, Body::$kind(value))
        }
    };
}

kind!(
    session_upsert,
    SessionUpsert,
    proto::SessionUpsert {
        session_id: new(),
        customer_id: new(),
        user_id: new(),
        title: text("title"),
        external_id: text("external"),
        metadata_json: text("{\"of\":\"session\"}"),
    }
);

kind!(
    run_started,
    RunStarted,
    proto::RunStarted {
        run_id: new(),
        session_id: new(),
        parent_run_id: new(),
        customer_id: new(),
        agent_id: "agent".into(),
        agent_type: "type".into(),
        name: text("name"),
        input: text("input"),
        metadata_json: text("{\"of\":\"run\"}"),
        timeout: Some(prost_types::Duration {
            seconds: 3_600,
            nanos: 5_000_000,
        }),
    }
);

kind!(
    run_ended,
    RunEnded,
    proto::RunEnded {
        run_id: new(),
        status: EndStatus::Failed.into(),
        output: text("output"),
        error: text("error"),
        reported_tokens_input: Some(11),
        reported_tokens_output: Some(22),
        metadata_json: text("{\"of\":\"end\"}"),
        from_root_span: true,
        started_at: Some(at(3_000)),
    }
);

kind!(heartbeat, Heartbeat, proto::Heartbeat { run_id: new() });

/// What a step is, with every field set.
pub fn details() -> proto::StepDetails {
    proto::StepDetails {
        step_type: StepType::LlmCall.into(),
        kind: text("kind"),
        name: text("name"),
        parent_step_id: new(),
        model: text("model"),
        input_json: text("[1, \"in\"]"),
        metadata_json: text("{\"of\":\"step\"}"),
        parent_may_be_alias: false,
    }
}

kind!(
    step_started,
    StepStarted,
    proto::StepStarted {
        step_id: new(),
        run_id: new(),
        details: Some(details()),
    }
);

kind!(
    step_ended,
    StepEnded,
    proto::StepEnded {
        step_id: new(),
        run_id: new(),
        details: Some(details()),
        status: EndStatus::Failed.into(),
        output_json: text("{\"out\": [true, null]}"),
        error: text("error"),
        started_at: Some(at(4_000)),
        duration_ms: Some(998),
        announced: false,
        view: 0,
    }
);

kind!(
    message,
    MessageAppended,
    proto::MessageAppended {
        message_id: new(),
        run_id: new(),
        session_id: new(),
        step_id: new(),
        role: MessageRole::Assistant.into(),
        content: text("content"),
        thinking: text("thinking"),
        tool_calls_json: text("[{\"tool\": \"t\"}]"),
        metadata_json: text("{\"of\":\"message\"}"),
        seq: Some(7),
        sighting: false,
        believed_new: false,
    }
);

kind!(
    token_count,
    TokenCount,
    proto::TokenCount {
        token_count_id: new(),
        run_id: new(),
        step_id: new(),
        model: text("model"),
        input: Some(100),
        output: Some(50),
        cache_read: Some(40),
        cache_write: Some(30),
        reasoning: Some(20),
        rollup: true,
    }
);

kind!(
    score_added,
    ScoreAdded,
    proto::ScoreAdded {
        score_id: new(),
        run_id: new(),
        step_id: new(),
        name: "correctness".into(),
        value: Some(-0.25),
        label: text("wrong"),
        comment: text("comment"),
        source: text("judge"),
        metadata_json: text("{\"of\":\"score\"}"),
    }
);

kind!(
    approval_requested,
    ApprovalRequested,
    proto::ApprovalRequested {
        approval_id: new(),
        run_id: new(),
        session_id: new(),
        step_id: new(),
        action_type: "send_email".into(),
        action_description: text("description"),
        action_data_json: text("{\"to\": \"x\"}"),
        // In a century: the sweeper leaves it alone.
        expires_at: Some(at(3_155_760_000_000)),
    }
);

kind!(
    approval_decided,
    ApprovalDecided,
    proto::ApprovalDecided {
        approval_id: new(),
        run_id: new(),
        session_id: new(),
        status: ApprovalStatus::Approved.into(),
        decided_by: new(),
        notes: text("notes"),
    }
);

kind!(
    run_observed,
    RunObserved,
    proto::RunObserved {
        run_id: new(),
        rank: -1,
        session_id: new(),
        agent_id: text("agent"),
        agent_type: text("type"),
        name: text("name"),
        input: text("input"),
        output: text("output"),
        metadata_json: text("{\"of\": \"a part\"}"),
        outcome: proto::EndStatus::Failed.into(),
        error: text("error"),
        customer: text("customer"),
        user: text("user"),
        tags_json: text("[\"a\", \"b\"]"),
    }
);

kind!(
    step_aliased,
    StepAliased,
    proto::StepAliased {
        alias_id: new(),
        run_id: new(),
        step_id: new(),
        parent_step_id: new(),
        root: Some(proto::AliasedRoot {
            started_at: Some(at(1_000)),
            ended_at: Some(at(2_000)),
            status: EndStatus::Failed.into(),
            error: text("error"),
            name: "name".into(),
        }),
    }
);

/// An end of a step with all that only bridges say of it.
pub fn bridged_step() -> Event {
    step_ended(|e| {
        e.view = -3;
        e.details.as_mut().unwrap().parent_may_be_alias = true;
    })
}
