//! The session of a span: a conversation, a thread or a user's visit.

use serde_json::json;
use uuid::Uuid;

use super::facts::SpanFacts;
use super::fit::FieldFitter;
use super::ids;
use super::observations::SessionParties;
use super::slots::Slot;
use crate::event::SessionUpsert;

/// The session that a span names.
pub struct SpanSession {
    /// The id of the session.
    pub id: Uuid,
    /// The source's id, if it is not a UUID.
    external: Option<String>,
}

/// Reads the session of a span.
pub fn of(facts: &SpanFacts<'_>) -> Option<SpanSession> {
    let named = facts.text(Slot::Session).map(String::from)?;
    let (id, is_source_id) = ids::session_of_source_id(&named, facts.tenant);
    let external = (!is_source_id).then_some(named);
    Some(SpanSession { id, external })
}

impl SpanSession {
    /// The event for the session, its user and its customer. A user that is not a UUID
    /// goes into the metadata; such a customer is in that of the run.
    pub fn upsert(&self, parties: &SessionParties, fit: &mut FieldFitter) -> SessionUpsert {
        let user = parties.user.as_deref();
        let customer = parties.customer.as_deref();
        let user_id = user.and_then(|user| Uuid::try_parse(user).ok());
        let metadata = user.filter(|_| user_id.is_none());
        let metadata = metadata.and_then(|user| fit.object(&json!({"user": user})));
        SessionUpsert {
            session_id: self.id,
            customer_id: customer.and_then(|customer| Uuid::try_parse(customer).ok()),
            user_id,
            title: None,
            external_id: self.external.as_deref().map(|text| fit.text(text)),
            metadata,
        }
    }
}
