//! What Postgres refuses, and how it is stored as dead letters.

use super::dead_letters::{self, NewDeadLetter};
use super::outage::{ConflictHistory, Outage};
use super::{EventOutcome, OutcomeCounts, Writer};
use crate::event::{Refusal, RefusalCode};
use crate::store::batch::BatchError;
use crate::store::error::{FailureClass, classify_failure, reason, sqlstate};

/// The size of the dead letters of one statement. A larger one has a statement of its own.
const PART_BYTES: usize = 4 << 20;

/// The code of events whose rows the database skips without an error.
const SKIPPED: &str = "skipped";

/// Why a transaction did not write its events.
#[derive(Debug)]
pub enum Unwritten {
    /// Postgres refuses some of the events.
    Refused(RefusedPart),
    /// The database is away. `None`: the writer was told to give up.
    Away(Option<sqlx::Error>),
}

impl Unwritten {
    /// The reason in one word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Away(_) => "away",
        }
    }
}

/// Events of one transaction that Postgres refuses.
#[derive(Clone, Debug)]
pub struct RefusedPart {
    /// The position of an event that is probably to blame, if Postgres names it.
    pub event: Option<usize>,
    /// Whether some event is to blame. Otherwise other writers were in the way at every
    /// attempt, or the events are too many for one transaction.
    pub is_bad_data: bool,
    /// The SQLSTATE.
    pub(super) code: String,
    /// The message of Postgres.
    pub(super) reason: String,
}

impl RefusedPart {
    /// What the database said.
    #[must_use]
    pub fn new(error: &sqlx::Error, event: Option<usize>) -> Self {
        Self {
            event,
            is_bad_data: true,
            code: sqlstate(error),
            reason: reason(error),
        }
    }

    pub(super) fn conflict(error: &sqlx::Error) -> Self {
        let part = Self::new(error, None);
        Self {
            is_bad_data: false,
            reason: format!("{}, at every attempt", part.reason),
            ..part
        }
    }

    /// No statement failed.
    pub(super) fn without_error(error: &BatchError) -> Self {
        Self {
            event: None,
            is_bad_data: matches!(error, BatchError::MissingRow),
            code: SKIPPED.to_owned(),
            reason: error.to_string(),
        }
    }
}

impl Writer {
    /// Stores refused events as dead letters and fills in their outcomes, in few
    /// transactions, or in more if Postgres refuses that.
    ///
    /// # Errors
    /// If the database is away and the writer must not wait. `None`: the writer was told to
    /// give up.
    pub async fn write_dead_letters(
        &mut self,
        refused: &[NewDeadLetter],
        outcomes: &mut [Option<EventOutcome>],
    ) -> Result<(), Option<sqlx::Error>> {
        let give_up = self.config.give_up.clone();
        tokio::select! {
            written = self.insert_parts(refused, outcomes) => written.map_err(Some),
            () = give_up.cancelled() => Err(None),
        }
    }

    async fn insert_parts(
        &mut self,
        refused: &[NewDeadLetter],
        outcomes: &mut [Option<EventOutcome>],
    ) -> Result<(), sqlx::Error> {
        let mut parts = by_size(refused);
        parts.reverse();
        let mut outage = Outage::default();
        let mut retries = ConflictHistory::default().attempts(1);
        while let Some(letters) = parts.pop() {
            let Err(error) = self.insert_dead_letters(letters).await else {
                outage.end();
                retries = ConflictHistory::default().attempts(1);
                tracing::info!(
                    events = letters.len(),
                    "Postgres refused events; they are stored as dead letters"
                );
                for letter in letters {
                    let refusal = Refusal::new(RefusalCode::DeadLettered, letter.reason.as_str());
                    outcomes[letter.index] = Some(EventOutcome::DeadLettered(refusal));
                }
                continue;
            };
            match classify_failure(&error) {
                FailureClass::Unavailable
                | FailureClass::NeedsPerson
                | FailureClass::CopyForbidden => {
                    outage.wait(error, self.config.when_away).await?;
                    parts.push(letters);
                }
                FailureClass::Conflict if retries.wait().await => parts.push(letters),
                _ => match letters {
                    [letter] => {
                        outcomes[letter.index] = Some(self.report_unstorable(letter, &error))
                    }
                    letters => {
                        let (first, second) = letters.split_at(letters.len() / 2);
                        parts.extend([second, first]);
                    }
                },
            }
        }
        Ok(())
    }

    /// Refuses an event that cannot even be stored as a dead letter.
    fn report_unstorable(&self, letter: &NewDeadLetter, error: &sqlx::Error) -> EventOutcome {
        // ERROR: the event is not stored anywhere.
        tracing::error!(
            error = %reason(error),
            "Postgres refuses an event and cannot store it as a dead letter"
        );
        let message = format!("{}; it could not be stored as a dead letter", letter.reason);
        let outcome = EventOutcome::Refused(Refusal::new(RefusalCode::DeadLettered, message));
        self.counts.add(OutcomeCounts::of([&outcome]));
        outcome
    }

    /// Inserts dead letters and counts them, in one transaction.
    pub(super) async fn insert_dead_letters(
        &mut self,
        letters: &[NewDeadLetter],
    ) -> Result<(), sqlx::Error> {
        let ledger = self.ledger();
        let counts = OutcomeCounts {
            dead_lettered: letters.len() as u64,
            ..OutcomeCounts::default()
        };
        let reading = self.counts.read_with(counts);
        self.transaction(async |tx, _| {
            dead_letters::insert(tx, letters).await?;
            Ok(ledger.write(tx, reading).await?)
        })
        .await
        .map_err(BatchError::into_sql)?;
        self.counts.add(counts);
        self.ledger_written(reading);
        Ok(())
    }
}

/// Groups dead letters into parts of about [`PART_BYTES`].
fn by_size(letters: &[NewDeadLetter]) -> Vec<&[NewDeadLetter]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (position, letter) in letters.iter().enumerate() {
        bytes += letter.bytes();
        if bytes > PART_BYTES && position > start {
            parts.push(&letters[start..position]);
            (start, bytes) = (position, letter.bytes());
        }
    }
    if start < letters.len() {
        parts.push(&letters[start..]);
    }
    parts
}
