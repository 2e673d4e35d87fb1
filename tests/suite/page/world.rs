//! Runs for the page to show.

use runtraced::proto::event::Event as Body;
use runtraced::proto::{self, EndStatus, Event, MessageRole, StepType};
use uuid::Uuid;

use crate::support::events::{self, id, new_id};

/// Text that would do harm in a page, reorder what is read, or be invisible.
pub const HOSTILE: &str = "<script>document.title='pwned'</script></script><img src=x onerror=\"document.title='pwned'\">\
    \u{202e}gnp.exe \u{ad}\u{3164}\u{fff9}\u{e0041}\u{1b}[31mred\u{1b}[0m 'quote' & &amp; ${1} {{1}}";

/// A run with a name, an agent and one tool call.
pub struct Told {
    pub run: Uuid,
    pub events: Vec<Event>,
}

/// What a run is about.
#[derive(Default, Clone)]
pub struct About<'a> {
    pub name: &'a str,
    pub agent: &'a str,
    /// The error that it ends with.
    pub error: Option<&'a str>,
    pub session: Option<Uuid>,
    pub customer: Option<Uuid>,
    pub metadata: Option<&'a str>,
    /// Milliseconds after 2026 began, and how long it took.
    pub at: i64,
    pub took: i64,
    pub tool: &'a str,
    pub input_tokens: i64,
}

/// The events of a run that has ended.
pub fn told(about: &About<'_>) -> Told {
    let run = new_id();
    let mut list = vec![started(run, about)];
    let step = new_id();
    list.push(tool(
        run,
        step,
        about,
        about.at + 10,
        about.at + 40,
        about.error,
    ));
    list.push(events::event(
        about.at + 41,
        Body::TokenCount(proto::TokenCount {
            token_count_id: id(new_id()),
            run_id: id(run),
            step_id: id(step),
            model: Some("gpt-4o".into()),
            input: Some(about.input_tokens),
            output: Some(20),
            ..Default::default()
        }),
    ));
    list.push(message(
        run,
        about.at + 5,
        MessageRole::User,
        &format!("please: {}", about.name),
    ));
    list.push(message(
        run,
        about.at + about.took,
        MessageRole::Assistant,
        "It is done.",
    ));
    let mut end = events::run_ended(
        about.at + about.took,
        run,
        if about.error.is_some() {
            EndStatus::Failed
        } else {
            EndStatus::Completed
        },
    );
    if let Some(Body::RunEnded(ended)) = &mut end.event {
        ended.error = about.error.map(Into::into);
        ended.output = Some("It is done.".into());
    }
    list.push(end);
    Told { run, events: list }
}

/// The start of a run.
pub fn started(run: Uuid, about: &About<'_>) -> Event {
    events::started_with(events::run_started(about.at, run), |started| {
        started.agent_id = about.agent.into();
        started.name = Some(about.name.into());
        started.input = Some(format!("please: {}", about.name));
        started.session_id = about.session.map(id).unwrap_or_default();
        started.customer_id = about.customer.map(id).unwrap_or_default();
        started.metadata_json = about.metadata.map(Into::into);
    })
}

/// One tool call.
pub fn tool(
    run: Uuid,
    step: Uuid,
    about: &About<'_>,
    from: i64,
    to: i64,
    error: Option<&str>,
) -> Event {
    let mut event = events::step(from, to, run, step);
    if let Some(Body::StepEnded(ended)) = &mut event.event {
        ended.details = Some(proto::StepDetails {
            step_type: StepType::ToolCall.into(),
            name: Some(about.tool.into()),
            model: Some("gpt-4o".into()),
            input_json: Some(serde_json::json!({"asked": about.name, "n": 1}).to_string()),
            ..Default::default()
        });
        ended.status = if error.is_some() {
            EndStatus::Failed
        } else {
            EndStatus::Completed
        }
        .into();
        ended.error = error.map(Into::into);
    }
    event
}

/// One message of a run.
pub fn message(run: Uuid, at: i64, role: MessageRole, text: &str) -> Event {
    let mut event = events::message(at, Some(run), None, new_id());
    if let Some(Body::MessageAppended(message)) = &mut event.event {
        message.role = role.into();
        message.content = Some(text.into());
    }
    event
}
