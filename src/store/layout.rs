//! How the database keeps its rows.

use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection, PgTransaction};
use uuid::Uuid;

/// The tables of each slot, in an order in which each comes after those that it refers to. In the
/// layout in slots, their names in `public` are views.
pub const SLOT_TABLES: [&str; 8] = [
    "agent_runs",
    "agent_steps",
    "agent_messages",
    "agent_token_counts",
    "agent_scores",
    "agent_contents",
    "agent_run_scopes",
    "agent_step_aliases",
];

/// How the database keeps the rows of runs and below them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceLayout {
    /// Each table is one.
    Plain,
    /// Tables have partitions by month.
    ByMonth,
    /// Each slot has tables of its own, in a schema of its own; the names in `public` are views.
    InSlots(SlotCount),
}

/// How many slots there are: a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotCount(u8);

/// Where statements find the tables of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TracePlace {
    /// In `public`: all of them.
    Whole,
    /// In the schema of one slot, which has this number.
    Slot(u8),
}

impl TraceLayout {
    /// Asks the database.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(conn: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let (by_month, in_slots): (bool, bool) = sqlx::query_as(
            "SELECT to_regclass('public.agent_months') IS NOT NULL, to_regclass('public.agent_slots') IS NOT NULL",
        )
        .fetch_one(&mut *conn)
        .await?;
        Ok(match (by_month, in_slots) {
            (_, true) => Self::InSlots(SlotCount::find(conn).await?),
            (true, false) => Self::ByMonth,
            (false, false) => Self::Plain,
        })
    }

    /// The places that together have all runs.
    #[must_use]
    pub fn places(self) -> Vec<TracePlace> {
        match self {
            Self::Plain | Self::ByMonth => vec![TracePlace::Whole],
            Self::InSlots(slots) => (0..slots.0).map(TracePlace::Slot).collect(),
        }
    }

    /// How many writers a daemon has, if nobody says: with slots one for each, because a writer that
    /// changes from one slot to another has its statements planned again.
    #[must_use]
    pub fn fitting_writers(self) -> usize {
        const WRITERS: usize = 2;
        const MOST_WRITERS: usize = 16;
        self.places().len().clamp(WRITERS, MOST_WRITERS)
    }

    /// The tables that hold what has this name in `public`.
    #[must_use]
    pub fn tables_of(self, name: &str) -> Vec<String> {
        let places = self.places().into_iter();
        match self {
            Self::InSlots(_) if SLOT_TABLES.contains(&name) => places
                .map(|place| format!("{}.{name}", place.schema()))
                .collect(),
            _ => vec![format!("public.{name}")],
        }
    }

    /// The schemas that have [`SLOT_TABLES`], as tables.
    #[must_use]
    pub fn schemas(self) -> Vec<String> {
        self.places().into_iter().map(TracePlace::schema).collect()
    }

    /// The place of a run and of all that is below it. What has no run goes by its session.
    #[must_use]
    pub fn place_of(self, run_or_session: Uuid) -> TracePlace {
        match self {
            Self::Plain | Self::ByMonth => TracePlace::Whole,
            Self::InSlots(slots) => {
                let slot = share_of(run_or_session, slots.0.into());
                TracePlace::Slot(u8::try_from(slot).unwrap_or_default())
            }
        }
    }
}

impl SlotCount {
    /// The most slots. Their numbers have two digits.
    pub const MOST: u8 = 64;

    /// `None`: it is not a power of two from 2 to [`Self::MOST`].
    #[must_use]
    pub fn new(slots: u8) -> Option<Self> {
        ((2..=Self::MOST).contains(&slots) && slots.is_power_of_two()).then_some(Self(slots))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    async fn find(conn: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let slots: i64 = sqlx::query_scalar("SELECT count(*) FROM public.agent_slots")
            .fetch_one(conn)
            .await?;
        let slots = u8::try_from(slots).ok().and_then(Self::new);
        slots.ok_or_else(|| sqlx::Error::Protocol("public.agent_slots is not complete".to_owned()))
    }
}

impl TracePlace {
    /// The schema of its tables.
    #[must_use]
    pub fn schema(self) -> String {
        match self {
            Self::Whole => "public".to_owned(),
            Self::Slot(slot) => format!("runtraced_{slot:02}"),
        }
    }

    /// Leads the following statements of the session there.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn enter(self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.lead(conn, false).await
    }

    /// Leads the following statements of the transaction there.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn enter_in_transaction(self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.lead(conn, true).await
    }

    /// Begins a transaction whose statements are led there.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn begin(self, conn: &mut PgConnection) -> Result<PgTransaction<'_>, sqlx::Error> {
        let mut tx = conn.begin().await?;
        if self != Self::Whole {
            self.enter_in_transaction(&mut tx).await?;
        }
        Ok(tx)
    }

    /// Works there, and leads the session back to the whole, also if the work fails. It must be led
    /// to the whole before.
    ///
    /// # Errors
    /// That of `work`, or of the database.
    pub async fn within<T>(
        self,
        conn: &mut PgConnection,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        if self == Self::Whole {
            return work(conn).await;
        }
        self.enter(conn).await?;
        let done = work(conn).await;
        let back = Self::Whole.enter(conn).await;
        // As an error of the protocol, it ends the session: it would take a slot for the whole.
        back.map_err(|error| sqlx::Error::Protocol(format!("not led back: {error}")))?;
        done
    }

    async fn lead(self, conn: &mut PgConnection, is_local: bool) -> Result<(), sqlx::Error> {
        let path = match self {
            Self::Whole => self.schema(),
            Self::Slot(_) => format!("{}, public", self.schema()),
        };
        sqlx::query("SELECT set_config('search_path', $1, $2)")
            .bind(path)
            .bind(is_local)
            .execute(conn)
            .await?;
        Ok(())
    }
}

/// Divides all ids into `parts` equal shares, and returns in which one an id is, from 0. The
/// function `run_slot` in the database does the same. If one number of parts divides another, each
/// share of the smaller number is made of whole shares of the greater one.
///
/// Ids may have any form, so their own bits may not be even; those of SHA-256 are, and Postgres has
/// it without an extension.
#[must_use]
pub fn share_of(id: Uuid, parts: usize) -> usize {
    let hash = Sha256::digest(id.as_bytes());
    (usize::from(u16::from_be_bytes([hash[0], hash[1]])) * parts) >> 16
}
