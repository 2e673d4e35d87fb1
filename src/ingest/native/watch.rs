//! `TraceIngest.WatchApprovals`: tells an agent what people decided.
//!
//! Where decisions come from is passed in, so that this module needs no SQL.

use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use uuid::{NonNilUuid, Uuid};

use super::decode::id;
use super::handler::NativeIngest;
use super::outcome::undecodable;
use super::receive::Messages;
use crate::auth::{Denied, Identity};
use crate::ingest::settle::{RETRY_DELAY, Unsettled};
use crate::proto::{ApprovalDecision, WatchApprovalsRequest};

/// How long the last message of a stream waits for a client that does not read.
const LAST_TIMEOUT: Duration = Duration::from_secs(5);

/// What a client watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchedApprovals {
    /// One approval.
    One(Uuid),
    /// All approvals of a run.
    Run(Uuid),
}

/// The decisions about what is watched.
#[derive(Debug)]
pub struct MadeDecisions {
    /// How many there are.
    pub count: i64,
    /// Those that the sender may see.
    pub seen: Vec<ApprovalDecision>,
}

/// More approvals are watched than the daemon watches at the same time.
#[derive(Debug)]
pub struct TooManyWatched;

type DecisionAnswer = Pin<Box<dyn Future<Output = Result<MadeDecisions, TooManyWatched>> + Send>>;
type AskDecisions =
    dyn Fn(WatchedApprovals, Option<NonNilUuid>, i64) -> DecisionAnswer + Send + Sync;

/// Waits for decisions. Takes what is watched, the tenant of the sender, and how many decisions
/// the sender knows; answers when there is another number of them.
#[derive(Clone)]
pub struct DecisionSource(pub Arc<AskDecisions>);

impl fmt::Debug for DecisionSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecisionSource")
    }
}

/// The decisions that a client gets.
pub(super) type ToldDecisions = ReceiverStream<Result<ApprovalDecision, Status>>;

impl NativeIngest {
    /// Serves `TraceIngest.WatchApprovals`.
    pub(super) async fn watch_approvals(
        self,
        identity: Identity,
        mut messages: Messages,
    ) -> Result<ToldDecisions, Status> {
        let received = tokio::select! {
            biased;
            () = self.draining.cancelled() => return Err(Unsettled::ShuttingDown.into()),
            received = messages.next() => received?,
        };
        let Some((message, _share)) = received else {
            return Err(Status::internal("the request holds no message"));
        };
        let watched = watched(&WatchApprovalsRequest::decode(message).map_err(undecodable)?)?;
        // One decision at a time: what a client does not read stays in the database.
        let (to, from) = mpsc::channel(1);
        let tasks = self.tasks.clone();
        tasks.spawn(serve(self, identity, watched, to));
        Ok(ReceiverStream::new(from))
    }
}

fn watched(request: &WatchApprovalsRequest) -> Result<WatchedApprovals, Status> {
    let read =
        |field, bytes| id(field, bytes).map_err(|refusal| Status::invalid_argument(refusal.reason));
    match (
        read("approval_id", &request.approval_id)?,
        read("run_id", &request.run_id)?,
    ) {
        (Some(approval), None) => Ok(WatchedApprovals::One(approval)),
        (None, Some(run)) => Ok(WatchedApprovals::Run(run)),
        _ => Err(Status::invalid_argument(
            "name either approval_id or run_id",
        )),
    }
}

/// Tells decisions until the client goes, its key is revoked or the daemon drains.
async fn serve(
    ingest: NativeIngest,
    identity: Identity,
    watched: WatchedApprovals,
    to: mpsc::Sender<Result<ApprovalDecision, Status>>,
) {
    let end = tokio::select! {
        biased;
        () = ingest.draining.cancelled() => Some(Unsettled::ShuttingDown.into()),
        () = identity.revoked() => Some(Denied::Unknown.into()),
        () = to.closed() => None,
        end = tell(&ingest.decisions, identity.tenant(), watched, &to) => end,
    };
    if let Some(status) = end {
        // This fails only if the client is gone or does not read.
        let _ = to.send_timeout(Err(status), LAST_TIMEOUT).await;
    }
}

/// Tells each decision once. Returns the status with which the stream ends; `None`: OK.
async fn tell(
    source: &DecisionSource,
    tenant: Option<NonNilUuid>,
    watched: WatchedApprovals,
    to: &mpsc::Sender<Result<ApprovalDecision, Status>>,
) -> Option<Status> {
    let (mut known, mut told) = (0, HashSet::new());
    loop {
        let Ok(made) = source.0(watched, tenant, known).await else {
            let reason = "too many approvals are watched; watch again later";
            let details = ErrorDetails::with_retry_info(Some(RETRY_DELAY));
            return Some(Status::with_error_details(
                Code::ResourceExhausted,
                reason,
                details,
            ));
        };
        known = made.count;
        for decision in made.seen {
            if told.insert(decision.approval_id.clone()) && to.send(Ok(decision)).await.is_err() {
                return None;
            }
        }
        if matches!(watched, WatchedApprovals::One(_)) && !told.is_empty() {
            return None;
        }
    }
}
