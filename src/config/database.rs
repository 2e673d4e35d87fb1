//! Which Postgres the daemon writes to.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnectOptions;

use super::values::FlagReader;

/// Execute permission of everybody: without it on a folder, other users cannot enter it.
const OTHERS_MAY_ENTER: u32 = 0o001;

/// The Postgres to write to.
#[derive(Clone, Debug)]
pub enum DatabaseSource {
    /// Servers that somebody else runs, in the order of the store.
    Urls(Vec<PgConnectOptions>),
    /// A private server, which the daemon runs.
    Private {
        /// The folder it lives in.
        data_dir: PathBuf,
        /// The folder with its programs; `None`: look for them.
        bin_dir: Option<PathBuf>,
    },
}

/// Checks the flag of the servers. `None`: there is none.
pub(super) fn source(flags: &mut FlagReader, urls: &[String]) -> Option<DatabaseSource> {
    match parse_database_urls(&given_urls(urls)) {
        Ok(servers) if servers.is_empty() => None,
        Ok(servers) => Some(DatabaseSource::Urls(servers)),
        Err(faults) => {
            for fault in faults {
                flags.fault(format!("--database-url {fault}"));
            }
            None
        }
    }
}

impl DatabaseSource {
    /// How many servers there are.
    #[must_use]
    pub fn servers(&self) -> usize {
        match self {
            Self::Urls(servers) => servers.len(),
            Self::Private { .. } => 1,
        }
    }
}

/// Parses a database URL. The error does not repeat it: it may hold a password.
///
/// # Errors
/// What is wrong with it, to be put behind the flag's name.
pub fn parse_database_url(url: &str) -> Result<PgConnectOptions, String> {
    const EXAMPLE: &str = "write it like postgresql://user:password@host:5432/database";
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(format!(
            "does not start with postgres:// or postgresql://; {EXAMPLE}"
        ));
    }
    url.parse()
        .map_err(|_| format!("is not a valid Postgres URL; {EXAMPLE}"))
}

/// The URLs that were given. Scripts set a variable to nothing to say that it is not set.
#[must_use]
pub fn given_urls(urls: &[String]) -> Vec<String> {
    urls.iter().filter(|url| !url.is_empty()).cloned().collect()
}

/// The most servers of a store.
pub const MAX_SERVERS: usize = 64;

/// Parses the URLs of a store's servers.
///
/// # Errors
/// Each fault, to be put behind the flag's name.
pub fn parse_database_urls(urls: &[String]) -> Result<Vec<PgConnectOptions>, Vec<String>> {
    let (mut servers, mut faults) = (Vec::with_capacity(urls.len()), Vec::new());
    for url in urls {
        match parse_database_url(url) {
            Ok(options) => servers.push(options),
            Err(fault) => faults.push(fault),
        }
    }
    if servers.len() > MAX_SERVERS {
        faults.push(format!("is there more than {MAX_SERVERS} times"));
    }
    let mut names = BTreeSet::new();
    for server in &servers {
        let database = server.get_database().unwrap_or(server.get_username());
        let address = database_address(server);
        if !names.insert((address.clone(), database.to_owned())) {
            faults.push(format!("names the database {database} at {address} twice"));
        }
    }
    match faults.is_empty() {
        true => Ok(servers),
        false => Err(faults),
    }
}

/// The host and port, or the socket folder, that a URL leads to; for messages.
#[must_use]
pub fn database_address(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// `$XDG_DATA_HOME/runtraced` or `~/.local/share/runtraced`. For root it is
/// `/var/lib/runtraced`: an unprivileged Postgres cannot enter root's home.
#[must_use]
pub fn default_data_dir() -> PathBuf {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = set("HOME");
    if home.as_deref().is_some_and(is_closed_home_of_root) {
        return PathBuf::from("/var/lib/runtraced");
    }
    set("XDG_DATA_HOME")
        .or_else(|| home.map(|home| home.join(".local/share")))
        .map_or_else(
            || PathBuf::from("runtraced-data"),
            |base| base.join("runtraced"),
        )
}

/// Whether a folder belongs to root and nobody else can enter it.
fn is_closed_home_of_root(folder: &Path) -> bool {
    std::fs::metadata(folder)
        .is_ok_and(|found| found.uid() == 0 && found.mode() & OTHERS_MAY_ENTER == 0)
}
