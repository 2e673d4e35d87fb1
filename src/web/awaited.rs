//! `GET /api/approvals/ID`: one approval, as a reader or the agent that asked sees it, and
//! waiting for its decision.
//!
//! An agent waits with the key that sends its events. It learns only the decision, and sees no
//! more than `WatchApprovals` tells it.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::access::{ReaderKind, WebReader};
use super::approvals::NO_APPROVAL;
use super::error::{WebError, json_answer};
use super::guard::ByPublicName;
use super::jwt::time_left;
use super::params::{Params, age, id};
use super::{Shared, WebState};
use crate::auth::{Denied, Identity, KeyAccess};
use crate::query::{ApprovalsOf, ReadAs, approval_statement};

/// The longest wait for a decision.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How often an approval that is not there yet is looked for: one that is decided already when
/// it appears is no news to whoever counts decisions.
const APPEARS: Duration = Duration::from_secs(1);

/// Who looks at an approval.
#[derive(Clone, Debug)]
enum Looker {
    Reader(WebReader),
    /// Whoever may send events, for one customer or for any.
    Agent(Identity),
}

/// An approval as somebody sees it.
struct SeenApproval {
    is_decided: bool,
    body: String,
}

/// With `wait` it answers when the approval is decided. Until then it waits also for an
/// approval that is not there yet.
pub(super) async fn one(
    State(state): Shared,
    Path(approval): Path<String>,
    request: Request,
) -> Result<Response, WebError> {
    let (head, _) = request.into_parts();
    let approval = id(&approval)?;
    let params = Params::of(head.uri.query())?;
    let wait = match params.get("wait") {
        Some(text) => age(text)
            .ok_or_else(|| WebError::BadRequest("wait is not a time like 30s".to_owned()))?
            .min(MAX_WAIT),
        None => Duration::ZERO,
    };
    let looker = looker(&state, &head).await?;
    let _place = match &looker {
        Looker::Agent(agent) => {
            let place = state.waits.place(agent.key_id());
            Some(place.ok_or(WebError::Busy)?)
        }
        Looker::Reader(_) => None,
    };
    let deadline = Instant::now() + looker.lasts(wait);
    let seen = tokio::select! {
        biased;
        () = looker.revoked(&head) => return Err(WebError::LoginNeeded),
        () = state.stop.cancelled() => return Err(WebError::Busy),
        seen = wait_for_decision(&state, &looker, approval, deadline) => seen?,
    };
    Ok(json_answer(StatusCode::OK, seen.body))
}

async fn looker(state: &WebState, head: &Parts) -> Result<Looker, WebError> {
    let identity = head.extensions.get::<Identity>();
    let writes = |identity: &&Identity| identity.access() == Some(KeyAccess::Write);
    if let Some(agent) = identity.filter(writes) {
        return Ok(Looker::Agent(agent.clone()));
    }
    match state.reader(head) {
        Ok(reader) => Ok(Looker::Reader(reader)),
        Err(WebError::LoginNeeded) => unknown_agent(state, head).await,
        Err(error) => Err(error),
    }
}

/// Where events need no key, neither does the decision that they ask for. A key may also be so
/// new that the daemon has not read it yet.
async fn unknown_agent(state: &WebState, head: &Parts) -> Result<Looker, WebError> {
    let identified = state
        .authenticator
        .identify(&head.headers, &head.extensions)
        .await;
    let identity = match identified {
        Ok(identity) => identity,
        // The key may be good.
        Err(Denied::NotLoaded) => return Err(Denied::NotLoaded.into()),
        Err(_) => return Err(WebError::LoginNeeded),
    };
    let by_site = head.extensions.get::<ByPublicName>().is_some();
    match identity.access() {
        // A site whose name points to this machine reads nothing, as everywhere.
        None if by_site => Err(WebError::LoginNeeded),
        _ => Ok(Looker::Agent(identity)),
    }
}

async fn wait_for_decision(
    state: &WebState,
    looker: &Looker,
    approval: Uuid,
    deadline: Instant,
) -> Result<SeenApproval, WebError> {
    let mut was_decided = false;
    loop {
        let seen = looker.look(state, approval).await?;
        let waits = seen.as_ref().is_none_or(|seen| !seen.is_decided);
        if !waits || Instant::now() >= deadline {
            return seen.ok_or(NO_APPROVAL);
        }
        let look_again = match seen {
            Some(_) if !was_decided => deadline,
            _ => deadline.min(Instant::now() + APPEARS),
        };
        // Whoever may not see a decision must not notice that there is one.
        let decided = async {
            match was_decided {
                true => std::future::pending().await,
                false => state.approvals.changed(ApprovalsOf::One(approval), 0).await,
            }
        };
        tokio::select! {
            decided = decided => {
                decided.map_err(|_| WebError::Busy)?;
                was_decided = true;
            }
            () = sleep_until(look_again) => {}
        }
    }
}

/// Of what several servers have under one id, what nobody has decided, if there is any: a decision about one does not hold for
/// the others.
fn undecided_first(rows: impl Iterator<Item = String>) -> Option<String> {
    rows.min_by_key(|row| {
        let row: Value = serde_json::from_str(row).unwrap_or_default();
        row["status"] != "pending"
    })
}

impl Looker {
    /// How much of a wait the right to look lasts.
    fn lasts(&self, wait: Duration) -> Duration {
        match self {
            Self::Reader(reader) => match (reader.kind, &reader.read_as) {
                (ReaderKind::User, ReadAs::Claims { claims, .. }) => time_left(claims, wait),
                _ => wait,
            },
            Self::Agent(_) => wait,
        }
    }

    /// Returns when the key stops being valid.
    async fn revoked(&self, head: &Parts) {
        match (self, head.extensions.get::<Identity>()) {
            (Self::Agent(agent), _) => agent.revoked().await,
            (Self::Reader(_), Some(reader)) => reader.revoked().await,
            (Self::Reader(_), None) => std::future::pending().await,
        }
    }

    /// The approval. `None`: it is not there, or the looker may not see it.
    async fn look(
        &self,
        state: &WebState,
        approval: Uuid,
    ) -> Result<Option<SeenApproval>, WebError> {
        let (row, sql) = match self {
            Self::Agent(agent) => {
                let tenant = agent.tenant();
                (state.approvals.asked(approval, tenant).await?, None)
            }
            Self::Reader(reader) => {
                let (found, failed) = state.approvals_of(&reader.read_as, approval).await;
                if let Some(error) = failed {
                    return Err(error.into());
                }
                (
                    undecided_first(found.into_iter().map(|(_, row)| row)),
                    Some(approval_statement(approval).for_psql()),
                )
            }
        };
        Ok(row.map(|row| {
            let found: Value = serde_json::from_str(&row).unwrap_or_default();
            let sql = sql.map(|sql| format!(",\"sql\":{}", Value::from(sql)));
            SeenApproval {
                is_decided: found["status"] != "pending" || found["overdue"] == true,
                body: format!("{{\"approval\":{row}{}}}", sql.unwrap_or_default()),
            }
        }))
    }
}
