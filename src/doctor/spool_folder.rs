//! The spool: its folder, the disk below it, and the database that its events are for.

use super::finding::{Finding, failure, fine, warning};
use crate::config::{Config, SpoolSettings};
use crate::spool::{SpoolError, SpoolFolderState, look_at};
use crate::store::StoreServer;

/// Also returns whether a daemon uses the spool, if that is known. `identities`: what tells the database of each server from every other
/// one, if it was asked. With several servers, each has a spool in a folder of its own.
pub(super) fn examine(
    config: &Config,
    identities: &[Option<String>],
) -> (Vec<Finding>, Option<bool>) {
    let Some(settings) = &config.spool else {
        return (vec![no_spool()], None);
    };
    let (mut findings, mut runs) = (Vec::new(), None);
    for (server, identity) in StoreServer::all(identities.len()).zip(identities) {
        let mut own = settings.clone();
        own.dir = server.spool_folder(&settings.dir);
        own.bytes /= server.of() as u64;
        let state = look_at(&own.dir);
        let in_use = state.as_ref().ok().map(|state| state.in_use);
        runs = runs.max(in_use);
        let mut found = checks(&own, state, identity.as_deref());
        if identities.len() > 1 {
            let name = format!("server {server}: ");
            found
                .iter_mut()
                .for_each(|one| one.found.insert_str(0, &name));
        }
        findings.extend(found);
    }
    (findings, runs)
}

fn no_spool() -> Finding {
    warning(
        "spool",
        "there is none, so clients wait while Postgres is down",
        "set --spool-bytes above 0",
    )
}

fn checks(
    settings: &SpoolSettings,
    state: Result<SpoolFolderState, SpoolError>,
    identity: Option<&str>,
) -> Vec<Finding> {
    let state = match state {
        Ok(state) => state,
        Err(error) => {
            let advice =
                "choose another --spool-dir, or make it a folder that this user can read and write";
            return vec![failure("spool", error.to_string(), advice)];
        }
    };
    vec![
        folder(settings, &state),
        disk(settings, &state),
        owner(&state, identity),
        damage(&state),
    ]
}

fn folder(settings: &SpoolSettings, state: &SpoolFolderState) -> Finding {
    const CHECK: &str = "spool";
    let dir = settings.dir.display();
    if !state.writable {
        return failure(
            CHECK,
            format!("this user cannot write {dir}"),
            "run the command as the daemon's user, choose another --spool-dir, or chown it",
        );
    }
    if state.open_to_others {
        return warning(
            CHECK,
            format!("other users can read {dir}, which holds events and hashes of keys"),
            format!("chmod 700 {dir}"),
        );
    }
    let user = if state.in_use {
        "a daemon uses it"
    } else {
        "no daemon uses it"
    };
    fine(
        CHECK,
        format!("{dir}, with {} events; {user}", state.events),
    )
}

fn disk(settings: &SpoolSettings, state: &SpoolFolderState) -> Finding {
    const CHECK: &str = "disk";
    let left = settings.bytes.saturating_sub(state.bytes);
    let mib = |bytes: u64| bytes >> 20;
    if state.free_bytes < left {
        return warning(
            CHECK,
            format!(
                "{} MiB are free, and the spool may grow by {} MiB",
                mib(state.free_bytes),
                mib(left)
            ),
            "free disk space, or lower --spool-bytes",
        );
    }
    fine(
        CHECK,
        format!(
            "{} MiB are free, and the spool may grow by {} MiB",
            mib(state.free_bytes),
            mib(left)
        ),
    )
}

fn owner(state: &SpoolFolderState, identity: Option<&str>) -> Finding {
    const CHECK: &str = "spool's database";
    let (Some(owner), Some(ours)) = (&state.owner, identity) else {
        return fine(CHECK, "not known yet");
    };
    let theirs = owner.lines().next().unwrap_or_default();
    if state.events == 0 || same_database(theirs, ours) {
        return fine(CHECK, "the one in --database-url");
    }
    let place = owner.lines().nth(1).unwrap_or_default();
    failure(
        CHECK,
        format!(
            "the spool holds {} events of another one ({place})",
            state.events
        ),
        "give this daemon another --spool-dir, or run `runtraced spool rebind` if this database is the old one in a new cluster",
    )
}

/// Whether two texts that tell databases from each other mean one. A cluster that is not known may be any.
#[must_use]
pub fn same_database(one: &str, other: &str) -> bool {
    let (Some((cluster, database)), Some((other_cluster, other_database))) =
        (one.split_once('/'), other.split_once('/'))
    else {
        return false;
    };
    let unknown = cluster == "?" || other_cluster == "?";
    database == other_database && (unknown || cluster == other_cluster)
}

fn damage(state: &SpoolFolderState) -> Finding {
    const CHECK: &str = "spool files";
    if state.damaged > 0 {
        return warning(
            CHECK,
            format!("{} files are damaged or quarantined", state.damaged),
            "examine them with `runtraced spool verify`, then delete them",
        );
    }
    fine(CHECK, "sound")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity::{Failure, Ok as Fine, Warning};

    fn settings() -> SpoolSettings {
        SpoolSettings {
            dir: "/var/lib/runtraced/spool".into(),
            bytes: 1 << 30,
            after: std::time::Duration::from_secs(5),
        }
    }

    fn state() -> SpoolFolderState {
        SpoolFolderState {
            writable: true,
            open_to_others: false,
            in_use: false,
            owner: Some("7/16384\ndb/traces\n".to_owned()),
            events: 3,
            bytes: 1 << 20,
            free_bytes: 1 << 40,
            damaged: 0,
        }
    }

    #[test]
    fn no_spool_at_all() {
        assert_eq!(no_spool().severity, Warning);
    }

    #[test]
    fn folders_that_cannot_be_used() {
        assert_eq!(folder(&settings(), &state()).severity, Fine);
        let mut closed = state();
        closed.writable = false;
        assert_eq!(folder(&settings(), &closed).severity, Failure);
        let mut open = state();
        open.open_to_others = true;
        assert_eq!(folder(&settings(), &open).severity, Warning);
        let error = SpoolError::Full;
        assert_eq!(checks(&settings(), Err(error), None)[0].severity, Failure);
    }

    #[test]
    fn a_disk_without_space() {
        assert_eq!(disk(&settings(), &state()).severity, Fine);
        let mut full = state();
        full.free_bytes = 1 << 20;
        assert_eq!(disk(&settings(), &full).severity, Warning);
    }

    #[test]
    fn a_spool_of_another_database() {
        assert_eq!(owner(&state(), Some("7/16384")).severity, Fine);
        assert_eq!(owner(&state(), Some("?/16384")).severity, Fine);
        assert_eq!(owner(&state(), None).severity, Fine);
        let other = owner(&state(), Some("8/16384"));
        assert_eq!(other.severity, Failure);
        assert!(other.found.contains("db/traces"), "{other:?}");
        let mut empty = state();
        empty.events = 0;
        assert_eq!(owner(&empty, Some("8/16384")).severity, Fine);
    }

    #[test]
    fn damaged_files() {
        let mut damaged = state();
        damaged.damaged = 1;
        assert_eq!(damage(&damaged).severity, Warning);
    }
}
