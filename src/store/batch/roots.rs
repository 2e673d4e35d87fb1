//! Trace roots that are not steps: they end the runs of their traces. Also applies the
//! aliases that concurrent writers did not see.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::aliases;
use super::runs::{patch_runs, settle_runs};
use super::views;
use crate::event::{AliasedRoot, RunEnded, RunEndedBy, RunObserved};
use crate::store::plan::{PlannedEvent, RunPatch, RunPatches};

/// The rank of the name that a root gives to its runs, fixed by the protocol (see
/// `StepAliased.root` in event.proto). Ranks of the OTLP mapping are below 10 and the least
/// rank wins, so a name from any span of the run wins over the root's name.
const ROOT_RANK: i32 = 1_000;

/// A timeout for `patch_runs` without effect: these patches end their runs, and a run
/// that has ended cannot be abandoned.
const NO_TIMEOUT_MS: i64 = 0;

/// Applies all aliases of runs, including those that their writers did not see. The runs
/// must be locked.
///
/// # Errors
/// If the database fails.
pub async fn settle_bridged_runs(
    conn: &mut PgConnection,
    runs: &[Uuid],
) -> Result<(), sqlx::Error> {
    if runs.is_empty() {
        return Ok(());
    }
    let mut changed = views::forget(conn, runs, &[], &[]).await?;
    aliases::move_late_steps(conn, runs).await?;
    changed.extend(end_by_aliases(conn, runs).await?);
    changed.extend(views::show(conn, runs).await?);
    if !changed.is_empty() {
        let changed: Vec<Uuid> = changed.into_iter().collect();
        settle_runs(conn, &changed).await?;
    }
    Ok(())
}

/// Ends runs by all roots that aliases brought. The runs must exist and be locked. Returns the
/// runs that changed.
pub async fn end_by_aliases(
    conn: &mut PgConnection,
    runs: &[Uuid],
) -> Result<Vec<Uuid>, sqlx::Error> {
    let found = aliases::find(conn, &[], runs, None, &HashMap::new()).await?;
    end_runs(conn, &found.roots).await
}

/// Ends the runs of these roots. The runs must exist and be locked. Returns the runs that
/// changed.
pub async fn end_runs(
    conn: &mut PgConnection,
    roots: &[(Uuid, AliasedRoot)],
) -> Result<Vec<Uuid>, sqlx::Error> {
    if roots.is_empty() {
        return Ok(Vec::new());
    }
    let events: Vec<_> = roots.iter().map(|(run, root)| events(*run, root)).collect();
    let mut patches = RunPatches::default();
    for ((_, root), (ended, observed)) in roots.iter().zip(&events) {
        patches.end(PlannedEvent {
            index: 0,
            time: root.ended_at,
            event: ended,
        });
        patches.observation(0, root.started_at, observed);
    }
    let patches = patches.finish(&mut Vec::new());
    let patches: Vec<&RunPatch<'_>> = patches.iter().collect();
    let patched = patch_runs(conn, &patches, NO_TIMEOUT_MS, &HashMap::new()).await?;
    let changed = patched.into_iter().filter(|(_, run)| !run.skipped);
    Ok(changed.map(|(id, _)| id).collect())
}

/// Expresses a root as the events that have the same effect.
fn events(run_id: Uuid, root: &AliasedRoot) -> (RunEnded, RunObserved) {
    let ended = RunEnded {
        run_id,
        by: RunEndedBy::RootSpan,
        status: root.status,
        output: None,
        error: root.error.clone(),
        reported_tokens_input: None,
        reported_tokens_output: None,
        metadata: None,
        started_at: Some(root.started_at),
    };
    let observed = RunObserved {
        run_id,
        rank: ROOT_RANK,
        session_id: None,
        agent_id: None,
        agent_type: None,
        name: Some(root.name.clone()),
        input: None,
        output: None,
        metadata: None,
        outcome: None,
        error: None,
        customer: None,
        user: None,
        tags: None,
    };
    (ended, observed)
}
