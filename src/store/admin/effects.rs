//! What each migration does to tables that exist already: locks, rewrites, index builds.
//!
//! A test applies every migration, looks at what the server did, and compares it with the file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a migration does to tables and views that were there before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MigrationEffects {
    /// Its number.
    pub version: i64,
    /// The strongest lock on each table or view, if it holds up writers or readers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub locks: BTreeMap<String, String>,
    /// Tables that are written anew.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rewrites: Vec<String>,
    /// Tables of which every row is read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<String>,
    /// Indexes that are built on them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<String>,
    /// The new write epoch: daemons of the versions before must stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i32>,
}

/// The effects of all migrations, oldest first.
///
/// # Errors
/// If the file is malformed, which a test excludes.
pub fn migration_effects() -> Result<Vec<MigrationEffects>, serde_json::Error> {
    serde_json::from_str(include_str!("migration_effects.json"))
}
