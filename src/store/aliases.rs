//! Aliases of steps: what an id that a step names as its parent stands for, and
//! the statements that keep and find them.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::pg_time::PgTime;
use super::plan::At;
use crate::event::{AliasedRoot, EndStatus, StepAliased, StepDetails, Timestamp};

/// How many aliases are followed from one to the next.
const MAX_DEPTH: i32 = 64;

/// A step, or an id that may be an alias, and its run.
pub type OfRun = (Uuid, Uuid);

/// What an alias stands for.
#[derive(Clone, Copy, Debug)]
struct Alias {
    step_id: Option<Uuid>,
    parent_step_id: Option<Uuid>,
}

/// Those aliases that a batch needs.
#[derive(Debug, Default)]
pub struct Aliases(HashMap<OfRun, Alias>);

impl Aliases {
    /// The parent that a step is stored with, and the one that it named, where
    /// that may be an alias.
    #[must_use]
    pub fn parents(&self, step: OfRun, details: &StepDetails) -> (Option<Uuid>, Option<Uuid>) {
        match details.parent_step_id {
            Some(named) if details.parent_may_be_alias => (self.resolve(step, named), Some(named)),
            parent => (parent, None),
        }
    }

    /// What a step is below that names such a parent. It depends on nothing but
    /// the aliases, so that it is the same whatever came first. `None`: it is at
    /// the top, also where aliases lead to the step itself, or round in a circle.
    #[must_use]
    pub fn resolve(&self, (run, step): OfRun, named: Uuid) -> Option<Uuid> {
        let mut parent = named;
        for _ in 0..MAX_DEPTH {
            let Some(alias) = self.0.get(&(run, parent)) else {
                return (parent != step || parent == named).then_some(parent);
            };
            parent = match alias.step_id {
                // An alias of the very step: it is another view of it.
                Some(own) if own == step => alias.parent_step_id?,
                Some(own) if own == parent => return Some(own),
                Some(own) => own,
                None => alias.parent_step_id?,
            };
        }
        None
    }
}

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
    let rows = sqlx::query(include_str!("sql/write_aliases.sql"))
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
    sqlx::query(include_str!("sql/reserve_runs.sql"))
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
    let rows = sqlx::query(include_str!("sql/find_aliases.sql"))
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
        let alias = Alias {
            step_id: row.try_get("step_id")?,
            parent_step_id: row.try_get("parent_step_id")?,
        };
        aliases.0.insert((run, row.try_get("id")?), alias);
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
    let rows = sqlx::query(include_str!("sql/find_children.sql"))
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
    sqlx::query(include_str!("sql/move_steps.sql"))
        .bind(runs)
        .bind(steps)
        .bind(parents)
        .execute(conn)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Uuid = Uuid::from_u128(99);

    fn id(id: u128) -> Uuid {
        Uuid::from_u128(id)
    }

    /// Aliases as (id, step, parent); 0 is none.
    fn aliases(all: &[(u128, u128, u128)]) -> Aliases {
        let some = |n: u128| (n != 0).then(|| id(n));
        let alias = |&(alias, step, parent): &(u128, u128, u128)| {
            let alias_of = Alias {
                step_id: some(step),
                parent_step_id: some(parent),
            };
            ((RUN, id(alias)), alias_of)
        };
        Aliases(all.iter().map(alias).collect())
    }

    fn resolved(aliases: &Aliases, step: u128, named: u128) -> Option<u128> {
        aliases
            .resolve((RUN, id(step)), id(named))
            .map(|id| id.as_u128())
    }

    #[test]
    fn an_alias_stands_for_its_step_or_for_what_it_is_below() {
        let aliases = aliases(&[(10, 1, 2), (11, 0, 10), (12, 0, 0), (13, 0, 7)]);
        assert_eq!(resolved(&aliases, 5, 10), Some(1));
        assert_eq!(resolved(&aliases, 5, 11), Some(1));
        assert_eq!(resolved(&aliases, 5, 12), None);
        assert_eq!(resolved(&aliases, 5, 13), Some(7));
        assert_eq!(resolved(&aliases, 5, 6), Some(6));
    }

    #[test]
    fn a_step_is_never_put_below_itself() {
        let aliases = aliases(&[(10, 1, 2), (11, 0, 10), (12, 1, 0), (13, 0, 1), (1, 1, 3)]);
        assert_eq!(resolved(&aliases, 1, 10), Some(2));
        assert_eq!(resolved(&aliases, 1, 11), Some(2));
        assert_eq!(resolved(&aliases, 1, 12), None);
        assert_eq!(resolved(&aliases, 1, 13), Some(3));
        assert_eq!(resolved(&aliases, 8, 13), Some(1));
    }

    #[test]
    fn circles_and_what_is_too_deep_end_at_the_top() {
        let circle = aliases(&[(10, 0, 11), (11, 0, 10)]);
        assert_eq!(resolved(&circle, 5, 10), None);
        let chain: Vec<_> = (100..100 + 63).map(|n| (n, 0, n + 1)).collect();
        assert_eq!(resolved(&aliases(&chain), 5, 100), Some(163));
        let chain: Vec<_> = (100..100 + 64).map(|n| (n, 0, n + 1)).collect();
        assert_eq!(resolved(&aliases(&chain), 5, 100), None);
    }
}
