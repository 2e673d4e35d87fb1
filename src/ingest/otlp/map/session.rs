//! The session of a span: a conversation, a thread, a user's visit.

use serde_json::json;
use uuid::Uuid;

use super::facts::Facts;
use super::ids;
use super::slots::Slot;
use super::text::Fit;
use crate::event::SessionUpsert;

/// A session, as a span names it.
pub struct Session {
    /// The session's id here.
    pub id: Uuid,
    /// The source's own id, where it is no UUID.
    external: Option<String>,
}

/// The session that a span belongs to.
pub fn of(facts: &Facts<'_>) -> Option<Session> {
    let named = facts.text(Slot::Session).map(String::from).or_else(|| {
        let keys = ["session_id", "thread_id", "conversation_id"];
        keys.iter().find_map(|key| facts.meta_text(key))
    })?;
    let (id, own) = ids::session(&named, facts.tenant);
    let external = (!own).then_some(named);
    Some(Session { id, external })
}

impl Session {
    /// What a span tells of it, as a user's.
    pub fn upsert(&self, user: Option<&str>, fit: &mut Fit) -> SessionUpsert {
        let user_id = user.and_then(|user| Uuid::try_parse(user).ok());
        let metadata = user.filter(|_| user_id.is_none());
        let metadata = metadata.and_then(|user| fit.object(&json!({"user": user})));
        SessionUpsert {
            session_id: self.id,
            customer_id: None,
            user_id,
            title: None,
            external_id: self.external.as_deref().map(|text| fit.text(text)),
            metadata,
        }
    }
}
