//! The statements that write and find step aliases, and that move steps to the parents
//! that aliases resolve to. `encode/aliases.rs` resolves aliases.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::gone::GoneIds;
use super::merge::Column;
use crate::event::{AliasedRoot, EndStatus, StepAliased, Timestamp};
use crate::store::encode::{AliasTarget, Aliases, MAX_DEPTH, NamedParent, PgTime, RunScopedId};
use crate::store::plan::{AliasPatch, PlannedEvent};

/// The aliases that a write changed.
#[derive(Debug, Default)]
pub struct AliasChanges {
    /// New aliases.
    pub inserted: Vec<RunScopedId>,
    /// Existing aliases that now stand for something else.
    pub updated: Vec<RunScopedId>,
}

/// Merges aliases, each at most once.
///
/// `pending` tells whether an alias's run does not exist yet. `tenants` has, per run,
/// the customer whose key sent the alias.
pub async fn write(
    conn: &mut PgConnection,
    patches: &[AliasPatch<'_>],
    pending: impl Fn(Uuid) -> bool,
    tenants: &HashMap<Uuid, Uuid>,
) -> Result<AliasChanges, sqlx::Error> {
    let column = Column(patches);
    fn end<'a>(patch: &AliasPatch<'a>) -> Option<&'a AliasedRoot> {
        root(patch.root_end)
    }
    fn start<'a>(patch: &AliasPatch<'a>) -> Option<&'a AliasedRoot> {
        root(patch.root_start)
    }
    let rows = sqlx::query(include_str!("../sql/write_aliases.sql"))
        .bind(column.of(|p| p.target.event.run_id))
        .bind(column.of(|p| p.target.event.alias_id))
        .bind(column.of(|p| p.target.event.step_id))
        .bind(column.of(|p| p.target.event.parent_step_id))
        .bind(column.of(|p| start(p).map(|r| PgTime(r.started_at))))
        .bind(column.of(|p| end(p).map(|r| PgTime(r.ended_at))))
        .bind(column.of(|p| end(p).map(|r| r.status.as_str())))
        .bind(column.of(|p| end(p).and_then(|r| r.error.as_deref())))
        .bind(column.of(|p| start(p).map(|r| r.name.as_str())))
        .bind(column.of(|p| pending(p.target.event.run_id)))
        .bind(column.of(|p| tenants.get(&p.target.event.run_id).copied()))
        .fetch_all(conn)
        .await?;
    let mut changes = AliasChanges::default();
    for row in &rows {
        let id = (row.try_get("run_id")?, row.try_get("id")?);
        if row.try_get("was_there")? {
            changes.updated.push(id);
        } else {
            changes.inserted.push(id);
        }
    }
    Ok(changes)
}

fn root<'a>(alias: Option<PlannedEvent<'a, StepAliased>>) -> Option<&'a AliasedRoot> {
    alias.and_then(|alias| alias.event.root.as_ref())
}

/// The class of the advisory locks of runs that do not exist yet. They share it with no
/// other lock of the database.
const ABSENT_RUN_LOCK_CLASS: i32 = 0x7274_0002;

/// Waits for other transactions that create one of these runs or its first alias.
///
/// It takes one advisory lock per run, whose key is folded from the run's id. Two runs may
/// have one key; then one waits for the other in vain. Returns which of the runs were deleted.
pub async fn reserve_runs(conn: &mut PgConnection, runs: &[Uuid]) -> Result<GoneIds, sqlx::Error> {
    let mut keys: Vec<i32> = runs.iter().copied().map(lock_key).collect();
    keys.sort_unstable();
    keys.dedup();
    let rows = sqlx::query(include_str!("../sql/reserve_runs.sql"))
        .bind(ABSENT_RUN_LOCK_CLASS)
        .bind(keys)
        .bind(runs)
        .fetch_all(conn)
        .await?;
    let gone: Vec<Option<Uuid>> = rows
        .iter()
        .map(|row| row.try_get("gone"))
        .collect::<Result<_, _>>()?;
    Ok(GoneIds::of_runs(gone.into_iter().flatten()))
}

fn lock_key(run: Uuid) -> i32 {
    let (a, b, c, d) = {
        let number = run.as_u128();
        (number >> 96, number >> 64, number >> 32, number)
    };
    ((a ^ b ^ c ^ d) as u32).cast_signed()
}

/// How deep one statement follows chains of aliases. Longer chains are rare.
const DEPTH_OF_STATEMENT: i32 = 4;

/// Finds the aliases that resolve `named`, and the roots of `runs`.
///
/// An alias that a customer's key sent applies to that customer's runs only. `tenants`
/// has the owners of the runs that this batch creates. At most `most_roots` aliases are read for
/// the roots.
pub async fn find(
    conn: &mut PgConnection,
    named: &[NamedParent],
    runs: &[Uuid],
    most_roots: Option<i64>,
    tenants: &HashMap<Uuid, Uuid>,
) -> Result<FoundAliases, sqlx::Error> {
    let mut found = FoundAliases::default();
    let mut named = Cow::Borrowed(named);
    let mut runs = runs;
    for _ in 0..=MAX_DEPTH / DEPTH_OF_STATEMENT {
        let mut unknown: Vec<RunScopedId> = named.iter().map(|n| (n.run, n.parent)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() && runs.is_empty() {
            break;
        }
        let (in_runs, ids): (Vec<Uuid>, Vec<Uuid>) = unknown.iter().copied().unzip();
        let rows = sqlx::query(include_str!("../sql/find_aliases.sql"))
            .bind(in_runs)
            .bind(ids)
            .bind(DEPTH_OF_STATEMENT)
            .bind(runs)
            .bind(most_roots)
            .fetch_all(&mut *conn)
            .await?;
        found.known.extend(unknown);
        for row in &rows {
            found.add(row, tenants)?;
        }
        let ahead = named.iter().filter_map(|n| found.aliases.follow(*n));
        let is_unknown = |n: &NamedParent| !found.known.contains(&(n.run, n.parent));
        named = ahead.filter(is_unknown).collect();
        runs = &[];
    }
    Ok(found)
}

/// What [`find`] has found.
#[derive(Default)]
pub struct FoundAliases {
    /// The aliases.
    pub aliases: Aliases,
    /// The roots of runs.
    pub roots: Vec<(Uuid, AliasedRoot)>,
    /// How many roots were read, also of other tenants.
    pub root_rows: i64,
    /// Ids that were looked for, whether or not they are aliases.
    known: HashSet<RunScopedId>,
}

impl FoundAliases {
    fn add(&mut self, row: &PgRow, tenants: &HashMap<Uuid, Uuid>) -> Result<(), sqlx::Error> {
        let run = row.try_get("run_id")?;
        let alias = AliasTarget {
            step_id: row.try_get("step_id")?,
            parent_step_id: row.try_get("parent_step_id")?,
        };
        if !row.try_get("deepest")? {
            let targets = [alias.step_id, alias.parent_step_id].into_iter().flatten();
            self.known.extend(targets.map(|target| (run, target)));
        }
        let started_at: Option<i64> = row.try_get("started_at")?;
        self.root_rows += i64::from(started_at.is_some());
        let tenant: Option<Uuid> = row.try_get("tenant_id")?;
        let owner: Option<Uuid> = row.try_get("owner")?;
        if tenant.is_some() && tenant != owner.or_else(|| tenants.get(&run).copied()) {
            return Ok(());
        }
        self.aliases.insert((run, row.try_get("id")?), alias);
        let time =
            |micros: Option<i64>| micros.and_then(|m| Timestamp::from_postgres_micros(m).ok());
        let started_at = time(started_at);
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
            self.roots.push((run, root));
        }
        Ok(())
    }
}

/// A batch moves so many steps, and twice as many as aliases that it changes.
const MOVES_AT_ONCE: usize = 5_000;

/// Moves stored steps to the parents that new and changed aliases resolve to. The steps'
/// runs must be locked. Returns `false` if there are too many of them: then it moves none.
pub async fn move_steps(
    conn: &mut PgConnection,
    changes: &AliasChanges,
) -> Result<bool, sqlx::Error> {
    let changed = changes.inserted.len() + changes.updated.len();
    if changed == 0 {
        return Ok(true);
    }
    let most = MOVES_AT_ONCE + 2 * changed;
    let children = find_children(conn, changes, &[], Some(most as i64 + 1)).await?;
    if children.len() > most {
        return Ok(false);
    }
    move_to_parents(conn, &children).await?;
    Ok(true)
}

/// Moves steps whose parent is an alias that their writer did not see, because another
/// daemon wrote it at the same time. The runs must be locked.
pub async fn move_late_steps(conn: &mut PgConnection, runs: &[Uuid]) -> Result<(), sqlx::Error> {
    let children = find_children(conn, &AliasChanges::default(), runs, None).await?;
    move_to_parents(conn, &children).await
}

/// Moves all steps of runs whose named parent may be an alias. The runs must be locked.
pub async fn move_all_steps(conn: &mut PgConnection, runs: &[Uuid]) -> Result<(), sqlx::Error> {
    let changes = AliasChanges {
        updated: runs.iter().map(|run| (*run, *run)).collect(),
        ..AliasChanges::default()
    };
    let children = find_children(conn, &changes, &[], None).await?;
    move_to_parents(conn, &children).await
}

async fn find_children(
    conn: &mut PgConnection,
    changes: &AliasChanges,
    late: &[Uuid],
    most: Option<i64>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let (runs, ids): (Vec<Uuid>, Vec<Uuid>) = changes.inserted.iter().copied().unzip();
    let mut changed: Vec<Uuid> = changes.updated.iter().map(|(run, _)| *run).collect();
    changed.sort_unstable();
    changed.dedup();
    sqlx::query(include_str!("../sql/find_children.sql"))
        .bind(runs)
        .bind(ids)
        .bind(changed)
        .bind(late)
        .bind(most)
        .fetch_all(conn)
        .await
}

/// Moves steps to the parents that their named parents resolve to. Each row has the run, the
/// step and the named parent.
pub async fn move_to_parents(conn: &mut PgConnection, rows: &[PgRow]) -> Result<(), sqlx::Error> {
    let mut children: Vec<(Uuid, Uuid, Uuid)> = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
        .collect::<Result<_, sqlx::Error>>()?;
    if children.is_empty() {
        return Ok(());
    }
    children.sort_unstable();
    children.dedup();
    let named: Vec<NamedParent> = children
        .iter()
        .map(|&(run, step, parent)| NamedParent { run, step, parent })
        .collect();
    let found = find(conn, &named, &[], None, &HashMap::new()).await?;
    let column = |value: fn(&(Uuid, Uuid, Uuid)) -> Uuid| children.iter().map(value).collect();
    let (runs, steps): (Vec<Uuid>, Vec<Uuid>) = (column(|c| c.0), column(|c| c.1));
    let parents: Vec<Option<Uuid>> = children
        .iter()
        .map(|&(run, step, named)| found.aliases.resolve((run, step), named))
        .collect();
    sqlx::query(include_str!("../sql/move_steps.sql"))
        .bind(runs)
        .bind(steps)
        .bind(parents)
        .execute(conn)
        .await?;
    Ok(())
}
