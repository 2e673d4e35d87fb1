//! Reduces the upserts of each session, field by field.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::order::{Contest, JsonKey, Nullable, nullable};
use super::types::{PlannedEvent, SessionField, SessionPatch};
use crate::event::{SessionUpsert, Timestamp};

/// A value of a field: its time, then the value as an id, a text or JSON.
type FieldKey<'a> = (Timestamp, Nullable<Uuid>, Nullable<&'a str>, JsonKey<'a>);

/// The value of one field.
fn key<'a>(field: SessionField, upsert: &PlannedEvent<'a, SessionUpsert>) -> FieldKey<'a> {
    const RESERVED: &[&str] = &["unresolved_customer_id", "unresolved_user_id"];
    let e = upsert.event;
    let (mut id, mut text, mut json) = (None, None, &None);
    match field {
        SessionField::Customer => id = e.customer_id,
        SessionField::User => id = e.user_id,
        SessionField::Title => text = e.title.as_deref(),
        SessionField::ExternalId => text = e.external_id.as_deref(),
        SessionField::Metadata => json = &e.metadata,
    }
    let json = JsonKey::without(json, RESERVED);
    (upsert.time, nullable(id), nullable(text), json)
}

fn sets(field: SessionField, e: &SessionUpsert) -> bool {
    match field {
        SessionField::Customer => e.customer_id.is_some(),
        SessionField::User => e.user_id.is_some(),
        SessionField::Title => e.title.is_some(),
        SessionField::ExternalId => e.external_id.is_some(),
        SessionField::Metadata => e.metadata.is_some(),
    }
}

/// One patch per session.
#[derive(Debug, Default)]
pub(super) struct SessionPatches<'a> {
    patches: Vec<SessionPatch<'a>>,
    slots: HashMap<Uuid, usize>,
    /// Upserts of sessions that have several.
    repeated: Vec<(usize, usize)>,
    contests: [Contest<FieldKey<'a>>; SessionField::ALL.len()],
}

impl<'a> SessionPatches<'a> {
    pub fn upsert(&mut self, new: PlannedEvent<'a, SessionUpsert>) {
        let id = new.event.session_id;
        let Some(&slot) = self.slots.get(&id) else {
            self.slots.insert(id, self.patches.len());
            self.patches.push(SessionPatch {
                id,
                latest: new,
                fields: SessionField::ALL.map(|field| sets(field, new.event).then_some(new)),
            });
            return;
        };
        let patch = &mut self.patches[slot];
        self.repeated.push((new.index, slot));
        if new.time > patch.latest.time {
            self.repeated.push((patch.latest.index, slot));
            patch.latest = new;
        }
        let fields = SessionField::ALL.into_iter().zip(&mut patch.fields);
        for ((field, winner), contest) in fields.zip(&mut self.contests) {
            match winner {
                _ if !sets(field, new.event) => {}
                Some(winner) => contest.enter(slot, winner, new, |upsert| key(field, upsert)),
                none => *none = Some(new),
            }
        }
    }

    /// Returns the patches, and adds the upserts that do not show in them to `superseded`.
    pub fn finish(mut self, superseded: &mut Vec<(usize, usize)>) -> Vec<SessionPatch<'a>> {
        for contest in self.contests {
            self.repeated.extend(contest.into_losers());
        }
        self.repeated.sort_unstable();
        self.repeated.dedup();
        let slots: HashSet<usize> = self.repeated.iter().map(|(_, slot)| *slot).collect();
        let shown: HashSet<usize> = slots
            .into_iter()
            .flat_map(|slot| self.patches[slot].contributors())
            .collect();
        for (index, slot) in self.repeated {
            if !shown.contains(&index) {
                superseded.push((index, self.patches[slot].latest.index));
            }
        }
        self.patches
    }
}
