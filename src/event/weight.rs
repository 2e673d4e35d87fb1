//! How much memory an event takes.

use super::json::Json;
use super::types::{Event, EventBody, StepDetails};

/// The approximate memory of an event besides its texts: the struct with its position in a
/// batch, and the allocator's overhead of 16 bytes for each of six texts.
const EVENT_OVERHEAD_BYTES: usize = size_of::<(u32, Event)>() + 6 * 16;

impl Event {
    /// The approximate memory of the event in bytes.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let text = |field: &Option<String>| field.as_ref().map_or(0, String::len);
        let json = |field: &Option<Json>| field.as_ref().map_or(0, Json::weight_bytes);
        let details = |d: &StepDetails| {
            text(&d.kind) + text(&d.name) + text(&d.model) + json(&d.input) + json(&d.metadata)
        };
        EVENT_OVERHEAD_BYTES
            + match &self.body {
                EventBody::SessionUpsert(e) => {
                    text(&e.title) + text(&e.external_id) + json(&e.metadata)
                }
                EventBody::RunStarted(e) => {
                    let ids = e.agent_id.len() + e.agent_type.len();
                    ids + text(&e.name) + text(&e.input) + json(&e.metadata)
                }
                EventBody::RunEnded(e) => text(&e.output) + text(&e.error) + json(&e.metadata),
                EventBody::Heartbeat(_) => 0,
                EventBody::StepStarted(e) => details(&e.details),
                EventBody::StepEnded(e) => {
                    e.details.as_ref().map_or(0, details) + json(&e.output) + text(&e.error)
                }
                EventBody::Message(e) => {
                    let texts = text(&e.content) + text(&e.thinking);
                    texts + json(&e.tool_calls) + json(&e.metadata)
                }
                EventBody::TokenCount(e) => text(&e.model),
                EventBody::ApprovalRequested(e) => {
                    let texts = e.action_type.len() + text(&e.action_description);
                    texts + json(&e.action_data)
                }
                EventBody::ApprovalDecided(e) => text(&e.notes),
                EventBody::Score(e) => {
                    let texts = text(&e.label) + text(&e.comment) + text(&e.source);
                    e.name.len() + texts + json(&e.metadata)
                }
                EventBody::RunObserved(e) => {
                    let agent = text(&e.agent_id) + text(&e.agent_type) + text(&e.name);
                    let texts = text(&e.input) + text(&e.output) + text(&e.error);
                    agent
                        + texts
                        + text(&e.customer)
                        + text(&e.user)
                        + json(&e.tags)
                        + json(&e.metadata)
                }
                EventBody::StepAliased(e) => e
                    .root
                    .as_ref()
                    .map_or(0, |root| root.name.len() + text(&root.error)),
            }
    }
}
