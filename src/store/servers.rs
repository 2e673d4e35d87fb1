//! A store on several servers: each run, with all that is below it, is on one of them.
//!
//! Each server has a whole database, with all tables, and does not know the others' rows. What belongs
//! to no run, such as sessions, is on every server that needs it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

/// The setting of a connection that says which server it was meant for.
const SETTING: &str = "runtraced.server";
/// Runs are divided into so many equal shares, and each server has consecutive ones. So a store could
/// get more servers later without a share being split.
const SHARES: usize = 64;

/// The store that this process works with: that of the first database that says so.
static STORE: OnceLock<Uuid> = OnceLock::new();
/// Whether another database has named another store. Nobody knows which of them is meant, so none is.
static IS_MIXED: AtomicBool = AtomicBool::new(false);

/// Which server of a store a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreServer {
    /// From 1.
    number: u8,
    of: u8,
}

impl StoreServer {
    /// The only server of its store.
    pub const ALONE: Self = Self { number: 1, of: 1 };
    /// The most servers.
    pub const MOST: usize = SHARES;

    /// All servers of a store, in order; none if there are more than [`Self::MOST`].
    pub fn all(of: usize) -> impl Iterator<Item = Self> {
        let of = u8::try_from(of)
            .ok()
            .filter(|of| usize::from(*of) <= Self::MOST);
        let of = of.unwrap_or(0);
        (1..=of).map(move |number| Self { number, of })
    }

    /// How many servers the store has.
    #[must_use]
    pub fn of(self) -> usize {
        self.of.into()
    }

    /// Whether the store has more servers.
    #[must_use]
    pub fn has_others(self) -> bool {
        self.of > 1
    }

    /// The folder of its spool, below that of a daemon. Runs are elsewhere if there are more servers or fewer, so its name
    /// says how many there are.
    #[must_use]
    pub fn spool_folder(self, whole: &Path) -> PathBuf {
        match self.has_others() {
            true => whole.join(format!("server_{:02}_of_{:02}", self.number, self.of)),
            false => whole.to_owned(),
        }
    }

    /// Whether a folder is called as [`Self::spool_folder`] calls one.
    #[must_use]
    pub fn is_spool_folder(name: &str) -> bool {
        let numbers = name
            .strip_prefix("server_")
            .and_then(|rest| rest.split_once("_of_"));
        let is_number = |text: &str| text.len() == 2 && text.bytes().all(|c| c.is_ascii_digit());
        numbers.is_some_and(|(number, of)| is_number(number) && is_number(of))
    }

    /// Makes connections say which server they are meant for. It is checked before anything is written, read or migrated.
    #[must_use]
    pub fn mark(self, options: PgConnectOptions) -> PgConnectOptions {
        match self.has_others() {
            true => options.options([(SETTING, self.to_string())]),
            false => options,
        }
    }

    /// Asks a database which server it is.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(conn: &mut PgConnection) -> Result<Self, sqlx::Error> {
        Ok(StorePlace::find(conn)
            .await?
            .map_or(Self::ALONE, |place| place.server))
    }

    /// Which server a connection was meant for; `setting` is its `runtraced.server`.
    ///
    /// # Errors
    /// If the setting cannot be read.
    pub fn meant(setting: Option<&str>) -> Result<Self, sqlx::Error> {
        let text = setting.filter(|text| !text.is_empty());
        text.map_or(Ok(Self::ALONE), |text| {
            Self::parse(text).ok_or_else(|| unreadable(text))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, of) = text.split_once('/')?;
        let (number, of) = (number.parse().ok()?, of.parse().ok()?);
        let known = (1..=of).contains(&number) && usize::from(of) <= Self::MOST;
        known.then_some(Self { number, of })
    }
}

/// `2/3`.
impl fmt::Display for StoreServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// The store that a database belongs to, and which server of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct StorePlace {
    pub store: Uuid,
    pub server: StoreServer,
}

impl StorePlace {
    /// Asks a database. `None`: nobody has said so, and it is a store of its own.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(conn: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        let known: bool =
            sqlx::query_scalar("SELECT to_regprocedure('public.store_server()') IS NOT NULL")
                .fetch_one(&mut *conn)
                .await?;
        if !known {
            return Ok(None);
        }
        let text: String = sqlx::query_scalar("SELECT public.store_server()")
            .fetch_one(conn)
            .await?;
        Self::parse(&text)
            .map(Some)
            .ok_or_else(|| unreadable(&text))
    }

    /// Whether the store is the one that this process works with. The first that is asked about becomes that. Once there are two,
    /// neither is.
    #[must_use]
    pub fn is_of_this_process(self) -> bool {
        if *STORE.get_or_init(|| self.store) != self.store {
            IS_MIXED.store(true, Relaxed);
        }
        !is_mixed()
    }

    fn parse(text: &str) -> Option<Self> {
        let (store, server) = text.split_once(' ')?;
        Some(Self {
            store: Uuid::try_parse(store).ok()?,
            server: StoreServer::parse(server)?,
        })
    }
}

/// Whether the servers that this process was given belong to different stores.
pub fn is_mixed() -> bool {
    IS_MIXED.load(Relaxed)
}

fn unreadable(text: &str) -> sqlx::Error {
    sqlx::Error::Protocol(format!("{text:?} is no server of a store"))
}

/// Which of so many servers has a run, from 0. What has no run goes by its session.
///
/// The bits are others than those that [`super::share_of`] looks at, so the runs of a server fill all
/// of its slots.
#[must_use]
pub fn server_of(run_or_session: Uuid, servers: usize) -> usize {
    if servers <= 1 {
        return 0;
    }
    let hash = Sha256::digest(run_or_session.as_bytes());
    let share = (usize::from(u16::from_be_bytes([hash[2], hash[3]])) * SHARES) >> 16;
    share * servers / SHARES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::share_of;

    #[test]
    fn each_server_has_its_part_of_the_runs_and_fills_all_of_its_slots() {
        for servers in [1, 2, 3, 7, 64] {
            let mut used = vec![[0_usize; 4]; servers];
            let runs = 2_000 * servers as u128;
            for run in (0..runs).map(|n| Uuid::from_u128(n << 64)) {
                used[server_of(run, servers)][share_of(run, 4)] += 1;
            }
            // Of 64 shares, one of 7 servers has at least 9.
            assert!(
                used.iter().flatten().all(|n| (400..620).contains(n)),
                "{used:?}"
            );
        }
    }

    #[test]
    fn a_server_is_read_as_it_is_written() {
        let all: Vec<StoreServer> = StoreServer::all(3).collect();
        let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["1/3", "2/3", "3/3"]);
        let read: Vec<_> = texts
            .iter()
            .filter_map(|text| StoreServer::parse(text))
            .collect();
        assert_eq!(read, all);
        assert_eq!(StoreServer::all(65).count(), 0);
        for wrong in ["", "2", "0/2", "3/2", "1/65", "1/300", "a/b"] {
            assert_eq!(StoreServer::parse(wrong), None, "{wrong}");
        }
    }
}
