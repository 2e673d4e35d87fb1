//! Checks whether a daemon with a configuration would run well: its settings, the database,
//! the spool, TLS, masking. Each check is a function from what was asked to a [`Finding`].
//!
//! It changes nothing: it reads, asks the database, and listens at the addresses for a moment.

mod clock;
mod database;
mod finding;
mod machine;
mod masking;
mod pooler;
mod rights;
mod schema;
mod server;
mod slots;
mod spool_folder;
mod store;

use crate::config::Config;

pub use finding::{Finding, Severity};
pub use spool_folder::same_database;

/// Says why the database cannot be reached or asked, with what to do.
pub type ExplainSql = fn(&sqlx::Error) -> String;

/// Makes all checks.
pub async fn examine(config: &Config, explain: ExplainSql) -> Vec<Finding> {
    let mut findings = vec![machine::open_files(config)];
    findings.extend(machine::exposure(config));
    findings.extend(machine::certificates(config));
    findings.extend(machine::collector(config));
    findings.push(masking::examine(config));
    let identities = database::examine(config, explain, &mut findings).await;
    let (of_spool, runs) = spool_folder::examine(config, &identities);
    findings.extend(of_spool);
    findings.push(machine::addresses(config, runs));
    findings
}
