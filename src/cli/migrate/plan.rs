//! `runtraced migrate --plan`: what the pending migrations would do.

use std::fmt::Write as _;

use crate::store::{
    CustomerTables, MigrationEffects, PREBUILT_INDEXES, PendingMigrations, migration_effects,
    migration_name,
};

/// What each pending migration does to tables that are there, for people; then what happens to
/// the customer tables, if anything.
///
/// # Errors
/// If the effects cannot be read, which a test excludes.
pub(super) fn plan(
    found: &PendingMigrations,
    customers: Option<&CustomerTables>,
) -> anyhow::Result<String> {
    Ok(of_migrations(found)? + &customers.map_or_else(String::new, of_customers))
}

fn of_customers(wanted: &CustomerTables) -> String {
    let (what, others) = match wanted {
        CustomerTables::In(schema) => (format!("move to the schema {schema}"), ""),
        CustomerTables::LeftOut => (
            "are left out, if they have no rows and nothing of your own depends on them".to_owned(),
            ", agent_sessions, agent_runs, ingest_keys",
        ),
    };
    format!(
        "then the customer tables {what}\n  \
         locks     the customer tables and their views{others} (nobody reads or writes meanwhile)\n"
    )
}

fn of_migrations(found: &PendingMigrations) -> anyhow::Result<String> {
    if found.pending.is_empty() {
        return Ok("nothing to do: the schema is up to date\n".to_owned());
    }
    let effects = migration_effects()?;
    let mut text = String::new();
    let mut stops = false;
    for migration in &found.pending {
        let effects = effects.iter().find(|one| one.version == migration.version);
        let effects = effects.cloned().unwrap_or_default();
        stops |= effects.epoch.is_some();
        writeln!(text, "{}", migration_name(migration))?;
        for (what, of) in lines(migration.version, &effects) {
            writeln!(text, "  {what:<9} {of}")?;
        }
    }
    let count = found.pending.len();
    writeln!(
        text,
        "{count} migrations are pending; each is one transaction, and waits at most 5 s for a lock"
    )?;
    text += match stops {
        true => {
            "stop all daemons first: the write epoch changes, and daemons of two epochs do not write at once\n"
        }
        false => "daemons of the version before may go on: the write epoch stays\n",
    };
    Ok(text)
}

fn lines(version: i64, effects: &MigrationEffects) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let locked = |holds_up: fn(&str) -> bool| {
        let locks = effects.locks.iter().filter(|(_, mode)| holds_up(mode));
        let names: Vec<&str> = locks.map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    };
    let of_all = locked(|mode| mode == "AccessExclusiveLock");
    let of_writers = locked(|mode| mode != "AccessExclusiveLock");
    let ahead = PREBUILT_INDEXES
        .iter()
        .filter(|index| index.version == version);
    let ahead: Vec<&str> = ahead.map(|index| index.name).collect();
    let rest = effects
        .indexes
        .iter()
        .filter(|name| !ahead.contains(&name.as_str()));
    let rest: Vec<&str> = rest.map(String::as_str).collect();
    for (what, of, how) in [
        ("locks", of_all, "nobody reads or writes meanwhile"),
        ("locks", of_writers, "nobody writes meanwhile"),
        (
            "rewrites",
            effects.rewrites.join(", "),
            "as long as copying the table takes",
        ),
        ("reads", effects.reads.join(", "), "every row"),
        ("builds", rest.join(", "), "while writers wait"),
        (
            "builds",
            ahead.join(", "),
            "before the migration, CONCURRENTLY: nobody waits",
        ),
    ] {
        if !of.is_empty() {
            lines.push((what, format!("{of} ({how})")));
        }
    }
    if let Some(epoch) = effects.epoch {
        lines.push((
            "restart",
            format!("all daemons: the write epoch becomes {epoch}"),
        ));
    }
    if lines.is_empty() {
        lines.push(("adds", "only, or changes nothing that is in use".to_owned()));
    }
    lines
}
