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
use uuid::{NonNilUuid, Uuid};

use super::approvals::NO_APPROVAL;
use super::error::{WebError, json_answer};
use super::params::{Params, age, id};
use super::{Shared, WebState};
use crate::auth::{Identity, KeyAccess};
use crate::query::{ApprovalsOf, ReadAs, approval_statement};

/// The longest wait for a decision.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How often an approval that is not there yet is looked for: one that is decided already when
/// it appears is no news to whoever counts decisions.
const APPEARS: Duration = Duration::from_secs(1);

/// Who looks at an approval.
#[derive(Clone, Debug)]
enum Looker {
    Reader(ReadAs),
    /// Whoever may send events, for one customer or for any.
    Agent(Option<NonNilUuid>),
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
    let seen = tokio::select! {
        seen = wait_for_decision(&state, &looker, approval, Instant::now() + wait) => seen?,
        () = state.stop.cancelled() => return Err(WebError::Busy),
    };
    Ok(json_answer(StatusCode::OK, seen.body))
}

async fn looker(state: &WebState, head: &Parts) -> Result<Looker, WebError> {
    let identity = head.extensions.get::<Identity>();
    let writes = |identity: &&Identity| identity.access() == Some(KeyAccess::Write);
    if let Some(agent) = identity.filter(writes) {
        return Ok(Looker::Agent(agent.tenant()));
    }
    match state.reader(head) {
        Ok(reader) => Ok(Looker::Reader(reader.read_as)),
        // Where events need no key, neither does the decision that they ask for.
        Err(WebError::LoginNeeded) => {
            let identified = state
                .authenticator
                .identify(&head.headers, &head.extensions)
                .await;
            let identity = identified.map_err(|_| WebError::LoginNeeded)?;
            Ok(Looker::Agent(identity.tenant()))
        }
        Err(error) => Err(error),
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
            Some(_) => deadline,
            None => deadline.min(Instant::now() + APPEARS),
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

impl Looker {
    /// The approval. `None`: it is not there, or the looker may not see it.
    async fn look(
        &self,
        state: &WebState,
        approval: Uuid,
    ) -> Result<Option<SeenApproval>, WebError> {
        let (row, sql) = match self {
            Self::Agent(tenant) => (state.approvals.asked(approval, *tenant).await?, None),
            Self::Reader(read_as) => {
                let statement = approval_statement(approval);
                let mut tx = state.pool.begin(read_as).await?;
                (
                    statement.json_row(&mut tx).await?,
                    Some(statement.for_psql()),
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
