//! The statements that write aliases of steps, find them, and move steps below what
//! they stand for. How an alias is resolved is in `encode/aliases.rs`.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use crate::event::{AliasedRoot, EndStatus, StepAliased, Timestamp};
use crate::store::encode::{AliasTarget, Aliases, MAX_DEPTH, OfRun, PgTime};
use crate::store::plan::At;

/// What became of aliases that were written.
#[derive(Debug, Default)]
pub struct Written {
    /// New ones.
    pub inserted: Vec<OfRun>,
    /// Those that were there, and stand for something else now.
    pub updated: Vec<OfRun>,
}

/// Merges aliases, each at most once; `pending` says whether its run is not
/// there yet, `tenants` whose key brought it.
pub async fn write(
    conn: &mut PgConnection,
    pass: &[At<'_, StepAliased>],
    pending: impl Fn(Uuid) -> bool,
    tenants: &HashMap<Uuid, Uuid>,
) -> Result<Written, sqlx::Error> {
    fn column<'a, T>(pass: &[At<'a, StepAliased>], value: impl Fn(&'a StepAliased) -> T) -> Vec<T> {
        pass.iter().map(|at| value(at.event)).collect()
    }
    let rows = sqlx::query(include_str!("../sql/write_aliases.sql"))
        .bind(column(pass, |e| e.run_id))
        .bind(column(pass, |e| e.alias_id))
        .bind(column(pass, |e| e.step_id))
        .bind(column(pass, |e| e.parent_step_id))
        .bind(column(pass, |e| root(e).map(|r| PgTime(r.started_at))))
        .bind(column(pass, |e| root(e).map(|r| PgTime(r.ended_at))))
        .bind(column(pass, |e| root(e).map(|r| r.status.as_str())))
        .bind(column(pass, |e| root(e).and_then(|r| r.error.as_deref())))
        .bind(column(pass, |e| root(e).map(|r| r.name.as_str())))
        .bind(column(pass, |e| pending(e.run_id)))
        .bind(column(pass, |e| tenants.get(&e.run_id).copied()))
        .fetch_all(conn)
        .await?;
    let mut written = Written::default();
    for row in &rows {
        let id = (row.try_get("run_id")?, row.try_get("id")?);
        if row.try_get("was_there")? {
            written.updated.push(id);
        } else {
            written.inserted.push(id);
        }
    }
    Ok(written)
}

fn root(event: &StepAliased) -> Option<&AliasedRoot> {
    event.root.as_ref()
}

/// Waits for whoever brings the first alias of one of these runs, or the run.
pub async fn reserve_runs(conn: &mut PgConnection, runs: &[Uuid]) -> Result<(), sqlx::Error> {
    let mut keys: Vec<i64> = runs
        .iter()
        .map(|run| {
            let (high, low) = run.as_u64_pair();
            (high ^ low).cast_signed()
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    sqlx::query(include_str!("../sql/reserve_runs.sql"))
        .bind(keys)
        .execute(conn)
        .await?;
    Ok(())
}

/// Finds the aliases that stand behind `named`, and the roots of `runs`. One that
/// came with a customer's key concerns that customer's runs alone, to which those
/// belong that this very batch makes for `tenants`.
pub async fn find(
    conn: &mut PgConnection,
    named: &[OfRun],
    runs: &[Uuid],
    tenants: &HashMap<Uuid, Uuid>,
) -> Result<(Aliases, Vec<(Uuid, AliasedRoot)>), sqlx::Error> {
    let (mut aliases, mut roots) = (Aliases::default(), Vec::new());
    if named.is_empty() && runs.is_empty() {
        return Ok((aliases, roots));
    }
    let (in_runs, ids): (Vec<Uuid>, Vec<Uuid>) = named.iter().copied().unzip();
    let rows = sqlx::query(include_str!("../sql/find_aliases.sql"))
        .bind(in_runs)
        .bind(ids)
        .bind(MAX_DEPTH)
        .bind(runs)
        .fetch_all(conn)
        .await?;
    for row in &rows {
        let run = row.try_get("run_id")?;
        let tenant: Option<Uuid> = row.try_get("tenant_id")?;
        let owner: Option<Uuid> = row.try_get("owner")?;
        if tenant.is_some() && tenant != owner.or_else(|| tenants.get(&run).copied()) {
            continue;
        }
        let alias = AliasTarget {
            step_id: row.try_get("step_id")?,
            parent_step_id: row.try_get("parent_step_id")?,
        };
        aliases.insert((run, row.try_get("id")?), alias);
        let time =
            |micros: Option<i64>| micros.and_then(|m| Timestamp::from_postgres_micros(m).ok());
        let started_at = time(row.try_get("started_at")?);
        let ended_at = time(row.try_get("ended_at")?);
        if let (Some(started_at), Some(ended_at)) = (started_at, ended_at) {
            let root = AliasedRoot {
                started_at,
                ended_at,
                status: match row.try_get("status")? {
                    "failed" => EndStatus::Failed,
                    _ => EndStatus::Completed,
                },
                error: row.try_get("error")?,
                name: row.try_get("name")?,
            };
            roots.push((run, root));
        }
    }
    Ok((aliases, roots))
}

/// Puts steps that are there already below what new and changed aliases stand
/// for. Their runs are locked.
pub async fn move_steps(conn: &mut PgConnection, written: &Written) -> Result<(), sqlx::Error> {
    if written.inserted.is_empty() && written.updated.is_empty() {
        return Ok(());
    }
    move_children(conn, written, &[]).await
}

/// Moves the steps of runs that are below an alias which was not seen when they
/// came: two daemons may have missed each other. The runs are locked.
pub async fn move_late_steps(conn: &mut PgConnection, runs: &[Uuid]) -> Result<(), sqlx::Error> {
    move_children(conn, &Written::default(), runs).await
}

async fn move_children(
    conn: &mut PgConnection,
    written: &Written,
    late: &[Uuid],
) -> Result<(), sqlx::Error> {
    let (runs, ids): (Vec<Uuid>, Vec<Uuid>) = written.inserted.iter().copied().unzip();
    let mut changed: Vec<Uuid> = written.updated.iter().map(|of_run| of_run.0).collect();
    changed.sort_unstable();
    changed.dedup();
    let rows = sqlx::query(include_str!("../sql/find_children.sql"))
        .bind(runs)
        .bind(ids)
        .bind(changed)
        .bind(late)
        .fetch_all(&mut *conn)
        .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let children: Vec<(Uuid, Uuid, Uuid)> = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
        .collect::<Result<_, sqlx::Error>>()?;
    let named: Vec<OfRun> = children
        .iter()
        .map(|&(run, _, named)| (run, named))
        .collect();
    let (aliases, _) = find(conn, &named, &[], &HashMap::new()).await?;
    let column = |value: fn(&(Uuid, Uuid, Uuid)) -> Uuid| children.iter().map(value).collect();
    let (runs, steps): (Vec<Uuid>, Vec<Uuid>) = (column(|c| c.0), column(|c| c.1));
    let parents: Vec<Option<Uuid>> = children
        .iter()
        .map(|&(run, step, named)| aliases.resolve((run, step), named))
        .collect();
    sqlx::query(include_str!("../sql/move_steps.sql"))
        .bind(runs)
        .bind(steps)
        .bind(parents)
        .execute(conn)
        .await?;
    Ok(())
}
