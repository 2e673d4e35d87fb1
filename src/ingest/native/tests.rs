//! Every event survives encoding and decoding unchanged.

use proptest::option::of;
use proptest::prelude::*;
use uuid::Uuid;

use super::{decode_event, encode_event};
use crate::event::*;

fn id() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn text() -> impl Strategy<Value = String> {
    // Decoding replaces NUL, so it would not come back.
    any::<String>().prop_map(|text| text.replace('\0', ""))
}

fn name() -> impl Strategy<Value = String> {
    text().prop_map(|text| {
        if text.is_empty() {
            "unknown".into()
        } else {
            text
        }
    })
}

fn object() -> impl Strategy<Value = Json> {
    (text(), any::<i64>()).prop_map(|(key, number)| {
        let text = serde_json::json!({ key: [number, null, {}] }).to_string();
        Json::object(text, &mut Repairs::default()).expect("an object")
    })
}

fn json() -> impl Strategy<Value = Json> {
    let value = text().prop_map(|text| {
        let text = serde_json::json!(text).to_string();
        Json::new(text, &mut Repairs::default()).expect("a string")
    });
    prop_oneof![value, object()]
}

fn time() -> impl Strategy<Value = Timestamp> {
    // The range of Postgres, with its ends more often than by chance.
    let (first, last) = (-211_813_488_000_000_000, 9_223_371_331_199_999_999);
    prop_oneof![Just(first), Just(last), first..=last, -10..10_i64]
        .prop_map(|micros| Timestamp::from_postgres_micros(micros).expect("in range"))
}

fn count() -> impl Strategy<Value = i32> {
    prop_oneof![Just(0), Just(i32::MAX), 0..=i32::MAX]
}

fn status() -> impl Strategy<Value = EndStatus> {
    prop_oneof![Just(EndStatus::Completed), Just(EndStatus::Failed)]
}

fn owner() -> impl Strategy<Value = (Option<Uuid>, Option<Uuid>)> {
    (of(id()), of(id())).prop_filter("an owner", |owner| *owner != (None, None))
}

fn details() -> BoxedStrategy<StepDetails> {
    let step_type = prop_oneof![
        Just(StepType::Thinking),
        Just(StepType::ToolCall),
        Just(StepType::ToolResult),
        Just(StepType::LlmCall),
        Just(StepType::Handoff),
        Just(StepType::Other),
    ];
    let texts = (of(text()), of(text()), of(text()));
    let parent = (of(id()), any::<bool>());
    (step_type, texts, parent, of(json()), of(object()))
        .prop_map(
            |(step_type, (kind, name, model), parent, input, metadata)| StepDetails {
                step_type,
                kind,
                name,
                parent_step_id: parent.0,
                model,
                input,
                metadata,
                parent_may_be_alias: parent.1,
            },
        )
        .boxed()
}

fn session_upsert() -> impl Strategy<Value = EventBody> {
    let ids = (id(), of(id()), of(id()));
    (ids, of(text()), of(text()), of(object())).prop_map(
        |((session_id, customer_id, user_id), title, external_id, metadata)| {
            EventBody::SessionUpsert(SessionUpsert {
                session_id,
                customer_id,
                user_id,
                title,
                external_id,
                metadata,
            })
        },
    )
}

fn run_started() -> impl Strategy<Value = EventBody> {
    let ids = (id(), of(id()), of(id()), of(id()));
    let texts = (name(), name(), of(text()), of(text()));
    (ids, texts, of(object()), of(1..=3_162_240_000_000_i64)).prop_map(
        |(ids, texts, metadata, timeout_ms)| {
            let (run_id, session_id, parent_run_id, customer_id) = ids;
            let (agent_id, agent_type, name, input) = texts;
            EventBody::RunStarted(RunStarted {
                run_id,
                session_id,
                parent_run_id,
                customer_id,
                agent_id,
                agent_type,
                name,
                input,
                metadata,
                timeout_ms,
            })
        },
    )
}

fn run_ended() -> impl Strategy<Value = EventBody> {
    let by = prop_oneof![Just(RunEndedBy::Client), Just(RunEndedBy::RootSpan)];
    let texts = (of(text()), of(text()));
    let tokens = (of(count()), of(count()));
    let rest = (of(object()), of(time()));
    (id(), by, status(), texts, tokens, rest).prop_map(
        |(run_id, by, status, (output, error), (input, out), (metadata, started_at))| {
            EventBody::RunEnded(RunEnded {
                run_id,
                by,
                status,
                output,
                error,
                reported_tokens_input: input,
                reported_tokens_output: out,
                metadata,
                started_at,
            })
        },
    )
}

fn tags() -> impl Strategy<Value = Json> {
    proptest::collection::vec(text(), 0..3).prop_map(|tags| {
        let text = serde_json::json!(tags).to_string();
        Json::new(text, &mut Repairs::default()).expect("an array")
    })
}

fn run_observed() -> impl Strategy<Value = EventBody> {
    let agent = (of(name()), of(name()), of(text()));
    let texts = (of(text()), of(text()));
    let ended = (of(status()), of(text()));
    let labels = (of(name()), of(text()), of(tags()));
    (
        id(),
        any::<i32>(),
        of(id()),
        agent,
        texts,
        of(object()),
        ended,
        labels,
    )
        .prop_map(
            |(run_id, rank, session_id, agent, texts, metadata, ended, labels)| {
                let (agent_id, agent_type, name) = agent;
                EventBody::RunObserved(RunObserved {
                    run_id,
                    rank,
                    session_id,
                    agent_id,
                    agent_type,
                    name,
                    input: texts.0,
                    output: texts.1,
                    metadata,
                    outcome: ended.0,
                    error: ended.1,
                    customer: labels.0,
                    user: labels.1,
                    tags: labels.2,
                })
            },
        )
}

fn step_aliased() -> impl Strategy<Value = EventBody> {
    let root = (time(), time(), status(), of(text()), name()).prop_map(
        |(started_at, ended_at, status, error, name)| AliasedRoot {
            started_at,
            ended_at,
            status,
            error,
            name,
        },
    );
    (id(), id(), of(id()), of(id()), of(root)).prop_map(
        |(alias_id, run_id, step_id, parent_step_id, root)| {
            EventBody::StepAliased(StepAliased {
                alias_id,
                run_id,
                step_id,
                parent_step_id,
                root,
            })
        },
    )
}

fn step() -> impl Strategy<Value = EventBody> {
    let started = (id(), id(), details()).prop_map(|(step_id, run_id, details)| {
        EventBody::StepStarted(StepStarted {
            step_id,
            run_id,
            details,
        })
    });
    let end = (
        status(),
        of(json()),
        of(text()),
        of(time()),
        of(count()),
        any::<bool>(),
        any::<i16>(),
    );
    let ended = (id(), id(), of(details()), end).prop_map(|(step_id, run_id, details, end)| {
        let (status, output, error, started_at, duration_ms, announced, view) = end;
        EventBody::StepEnded(StepEnded {
            step_id,
            run_id,
            details,
            status,
            output,
            error,
            started_at,
            duration_ms,
            announced,
            view,
        })
    });
    prop_oneof![started, ended]
}

fn message() -> impl Strategy<Value = EventBody> {
    let role = prop_oneof![
        Just(MessageRole::User),
        Just(MessageRole::Assistant),
        Just(MessageRole::System),
        Just(MessageRole::Tool),
    ];
    let texts = (of(text()), of(text()));
    let rest = (
        of(json()),
        of(object()),
        of(any::<i64>()),
        any::<[bool; 2]>(),
    );
    (id(), owner(), of(id()), role, texts, rest).prop_map(
        |(message_id, (run_id, session_id), step_id, role, (content, thinking), rest)| {
            EventBody::Message(Message {
                message_id,
                run_id,
                session_id,
                step_id,
                role,
                content,
                thinking,
                tool_calls: rest.0,
                metadata: rest.1,
                seq: rest.2,
                sighting: rest.3[0],
                believed_new: rest.3[1],
            })
        },
    )
}

fn score() -> impl Strategy<Value = EventBody> {
    let texts = (of(text()), of(text()), of(text()));
    let value = of(any::<f64>().prop_filter_map("a finite number", FiniteNumber::new));
    (id(), id(), of(id()), name(), value, texts, of(object())).prop_map(
        |(score_id, run_id, step_id, name, value, (label, comment, source), metadata)| {
            EventBody::Score(Score {
                score_id,
                run_id,
                step_id,
                name,
                value,
                label,
                comment,
                source,
                metadata,
            })
        },
    )
}

fn token_count() -> impl Strategy<Value = EventBody> {
    let counts = (
        of(count()),
        of(count()),
        of(count()),
        of(count()),
        of(count()),
    );
    (id(), id(), of(id()), of(text()), counts, any::<bool>()).prop_map(
        |(token_count_id, run_id, step_id, model, counts, rollup)| {
            let (input, output, cache_read, cache_write, reasoning) = counts;
            EventBody::TokenCount(TokenCount {
                token_count_id,
                run_id,
                step_id,
                model,
                input,
                output,
                cache_read,
                cache_write,
                reasoning,
                rollup,
            })
        },
    )
}

fn approval() -> impl Strategy<Value = EventBody> {
    let asked = (name(), of(text()), of(json()), of(time()));
    let requested = (id(), owner(), of(id()), asked).prop_map(
        |(approval_id, (run_id, session_id), step_id, asked)| {
            EventBody::ApprovalRequested(ApprovalRequested {
                approval_id,
                run_id,
                session_id,
                step_id,
                action_type: asked.0,
                action_description: asked.1,
                action_data: asked.2,
                expires_at: asked.3,
            })
        },
    );
    let status = prop_oneof![
        Just(ApprovalStatus::Approved),
        Just(ApprovalStatus::Rejected),
        Just(ApprovalStatus::Expired),
    ];
    let decided = (id(), owner(), status, of(id()), of(text())).prop_map(
        |(approval_id, (run_id, session_id), status, decided_by, notes)| {
            EventBody::ApprovalDecided(ApprovalDecided {
                approval_id,
                run_id,
                session_id,
                status,
                decided_by,
                notes,
            })
        },
    );
    prop_oneof![requested, decided]
}

/// Boxed, because the types would be too large for the stack of a test.
fn event() -> impl Strategy<Value = Event> {
    let body = prop_oneof![
        session_upsert().boxed(),
        run_started().boxed(),
        run_ended().boxed(),
        id().prop_map(|run_id| EventBody::Heartbeat(Heartbeat { run_id }))
            .boxed(),
        step().boxed(),
        message().boxed(),
        token_count().boxed(),
        score().boxed(),
        approval().boxed(),
        run_observed().boxed(),
        step_aliased().boxed(),
    ];
    (time(), body).prop_map(|(time, body)| Event::new(time, body))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn decoding_what_was_encoded_gives_the_same_event(event in event()) {
        let mut repairs = Repairs::default();
        let wire = encode_event(&event);
        prop_assert_eq!(decode_event(wire.clone(), &mut repairs), Ok(event));
        prop_assert_eq!(repairs, Repairs::default());

        // The wire form also survives as bytes, and as the JSON of dead letters.
        let bytes = prost::Message::encode_to_vec(&wire);
        prop_assert_eq!(&<crate::proto::Event as prost::Message>::decode(&*bytes).expect("a message"), &wire);
        let json = crate::json_mapping::event_to_json(&wire).expect("a JSON form");
        prop_assert_eq!(&crate::json_mapping::event_from_json(&json).expect("an event"), &wire);
    }
}
