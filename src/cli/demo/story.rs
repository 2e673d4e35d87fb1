//! The story of the demo: three agents of a customer-success team.

use serde_json::{Value, json};
use uuid::Uuid;

use super::script::{CallTokens, RunScript, Scene, Stage};
use crate::proto::{MessageRole, StepType};

/// When the demo draws a running run: in the middle of two open tool calls.
pub const GLANCE_AT_MS: u64 = 2_300;

const MODEL: &str = "claude-sonnet-4-5";
const SMALL_MODEL: &str = "claude-haiku-4-5";

/// The whole story, in order of time.
#[derive(Debug, Clone)]
pub struct Story {
    /// Its scenes.
    pub scenes: Vec<Scene>,
    /// The run with tools that completes.
    pub renewal: Uuid,
    /// The run that fails in a tool.
    pub contract: Uuid,
    /// The run that hands off, waits for a person, and completes.
    pub outreach: Uuid,
}

/// Builds the story. It begins at `begin_us` (microseconds since 1970). Ids come from
/// `new_id`, so that a test can build the same story twice.
pub fn story(begin_us: i64, new_id: &mut dyn FnMut() -> Uuid) -> Story {
    let mut stage = Stage { begin_us, new_id };
    let (renewal, mut scenes) = renewal(&mut stage);
    let (contract, more) = contract(&mut stage);
    scenes.extend(more);
    let (outreach, more) = outreach(&mut stage);
    scenes.extend(more);
    // A stable sort keeps the order of scenes with the same time.
    scenes.sort_by_key(|scene| scene.at_ms);
    Story {
        scenes,
        renewal,
        contract,
        outreach,
    }
}

fn used(model: &'static str, [input, cached, output, reasoning]: [i64; 4]) -> CallTokens {
    CallTokens {
        model,
        input,
        cached,
        output,
        reasoning,
    }
}

/// A brief for a renewal: plan, parallel look-ups, write, file.
fn renewal(stage: &mut Stage<'_>) -> (Uuid, Vec<Scene>) {
    use StepType::{LlmCall, Other, Thinking, ToolCall};
    let session = (stage.new_id)();
    let mut run = RunScript::new(stage, "renewal-assistant", session);
    run.session(0, "Acme Corp: renewal in 21 days");
    run.start(10, "assistant", "Renewal brief for Acme Corp", None);
    run.message(
        20,
        MessageRole::User,
        "Prepare a renewal brief for Acme Corp.",
    );

    let think = run.begin(
        120,
        Thinking,
        "what does the brief need?",
        &Value::Null,
        None,
    );
    run.end(
        480,
        &think,
        &json!({"plan": ["health", "usage", "open tickets", "write"]}),
    );
    let call = run.begin(
        500,
        LlmCall,
        "choose tools",
        &json!({"model": MODEL, "tools": 4}),
        None,
    );
    let answer = json!({"tool_calls": ["health_score", "usage_report", "open_tickets"]});
    run.end_call(1_240, &call, &answer, used(MODEL, [3_120, 2_048, 214, 96]));

    let health = run.begin(
        1_280,
        ToolCall,
        "health_score",
        &json!({"customer": "acme"}),
        None,
    );
    let usage = run.begin(
        1_300,
        ToolCall,
        "usage_report",
        &json!({"customer": "acme", "days": 90}),
        None,
    );
    run.end(
        1_560,
        &health,
        &json!({"overall": 58, "product": 71, "engagement": 44}),
    );
    let query = run.begin(
        1_620,
        Other,
        "warehouse query",
        &json!({"rows": "daily actives"}),
        Some(&usage),
    );
    let tickets = run.begin(
        1_700,
        ToolCall,
        "open_tickets",
        &json!({"customer": "acme"}),
        None,
    );
    run.end(2_620, &query, &json!({"rows": 90}));
    run.end(
        2_700,
        &usage,
        &json!({"dau_trend": -0.18, "seats_used": 412, "seats": 600}),
    );
    run.end(
        2_860,
        &tickets,
        &json!([{"id": 8841, "severity": "high", "title": "SSO outage"}]),
    );

    let write = run.begin(
        2_920,
        LlmCall,
        "write the brief",
        &json!({"model": MODEL}),
        None,
    );
    let brief = json!({"headline": "Usage down 18 %, one open SSO escalation", "words": 412});
    run.end_call(4_360, &write, &brief, used(MODEL, [5_870, 3_072, 846, 210]));
    let file = run.begin(
        4_400,
        ToolCall,
        "save_document",
        &json!({"folder": "Acme/renewal"}),
        None,
    );
    run.end(4_590, &file, &json!({"document": "brief-acme.md"}));
    let answer = "The brief is filed. Main risk: usage fell 18 % since the SSO outage.";
    run.message(4_620, MessageRole::Assistant, answer);
    run.complete(4_650, answer);
    (run.run, run.scenes())
}

/// A contract that cannot be read: a tool fails twice, and the run fails.
fn contract(stage: &mut Stage<'_>) -> (Uuid, Vec<Scene>) {
    use StepType::{LlmCall, ToolCall};
    let session = (stage.new_id)();
    let mut run = RunScript::new(stage, "contract-reader", session);
    run.session(390, "Globex: new contract");
    run.start(400, "extractor", "Read the contract of Globex", None);
    run.message(
        410,
        MessageRole::User,
        "Take the entitlements from globex-2026.pdf.",
    );
    let call = run.begin(
        460,
        LlmCall,
        "choose tools",
        &json!({"model": SMALL_MODEL}),
        None,
    );
    let answer = json!({"tool_calls": ["parse_contract"]});
    run.end_call(860, &call, &answer, used(SMALL_MODEL, [1_240, 0, 58, 0]));
    let file = json!({"file": "globex-2026.pdf"});
    let parse = run.begin(900, ToolCall, "parse_contract", &file, None);
    run.end_failed(1_430, &parse, "timeout after 500 ms reading page 1");
    let again = run.begin(1_640, ToolCall, "parse_contract", &file, None);
    let error = "globex-2026.pdf is encrypted: a password is needed";
    run.end_failed(2_180, &again, error);
    run.fail(2_200, error);
    (run.run, run.scenes())
}

/// An outreach: a second agent writes it, a person approves it, and it is sent.
fn outreach(stage: &mut Stage<'_>) -> (Uuid, Vec<Scene>) {
    use StepType::{Handoff, LlmCall, Thinking, ToolCall};
    let session = (stage.new_id)();
    let mut run = RunScript::new(stage, "risk-responder", session);
    run.session(790, "Initech: champion left");
    run.start(
        800,
        "orchestrator",
        "Respond to a churn risk at Initech",
        None,
    );
    let think = run.begin(
        840,
        Thinking,
        "weigh the signal",
        &json!({"signal": "champion_left"}),
        None,
    );
    run.end(
        1_100,
        &think,
        &json!({"severity": "high", "next": "write to the new sponsor"}),
    );
    let find = run.begin(
        1_140,
        ToolCall,
        "find_stakeholder",
        &json!({"role": "sponsor"}),
        None,
    );
    run.end(
        1_380,
        &find,
        &json!({"name": "Dana Reyes", "sentiment": "neutral"}),
    );
    let handoff = run.begin(
        1_420,
        Handoff,
        "email-writer",
        &json!({"goal": "introduction"}),
        None,
    );
    let parent = run.run;

    let mut writer = RunScript::new(run.stage(), "email-writer", session);
    writer.start(1_460, "writer", "Write to Dana Reyes", Some(parent));
    let draft = writer.begin(1_500, LlmCall, "draft", &json!({"model": MODEL}), None);
    let text = json!({"subject": "Your plans with us at Initech"});
    writer.end_call(2_540, &draft, &text, used(MODEL, [1_910, 1_024, 388, 120]));
    let check = writer.begin(
        2_580,
        ToolCall,
        "check_tone",
        &json!({"style": "warm"}),
        None,
    );
    writer.end(2_790, &check, &json!({"score": 0.93}));
    writer.complete(2_820, "Draft ready: Your plans with us at Initech");
    let written = writer.scenes();

    run.end(
        2_860,
        &handoff,
        &json!({"draft": "Your plans with us at Initech"}),
    );
    let action =
        json!({"to": "dana.reyes@initech.example", "subject": "Your plans with us at Initech"});
    let approval = run.ask(2_900, "send_email", "Send the email to Dana Reyes", &action);
    run.approve(4_900, approval, "Good. Send it today.");
    let send = run.begin(4_940, ToolCall, "send_email", &action, None);
    run.end(
        5_230,
        &send,
        &json!({"message_id": "<20261123.4711@mail.example>"}),
    );
    run.complete(5_260, "Dana Reyes was written to; reply tracked.");
    let mut scenes = run.scenes();
    scenes.extend(written);
    (parent, scenes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_story_is_the_same_for_the_same_ids_and_short() {
        let tell = || {
            let mut number = 0_u128;
            story(1_700_000_000_000_000, &mut || {
                number += 1;
                Uuid::from_u128(number)
            })
        };
        let (one, two) = (tell(), tell());
        assert_eq!(format!("{one:?}"), format!("{two:?}"));
        let times: Vec<u64> = one.scenes.iter().map(|scene| scene.at_ms).collect();
        assert!(times.is_sorted());
        assert!(times.iter().all(|at_ms| *at_ms < 8_000), "a few seconds");
        let agents: BTreeSet<_> = one.scenes.iter().map(|scene| scene.agent).collect();
        assert_eq!(agents.len(), 4);
    }
}
