//! `runtraced migrate --slots`.

use sqlx::PgConnection;

use crate::cli::output;
use crate::store::{SlotCount, SlotError, SlotMove, leave_slot_move, move_to_slots};

/// Moves the runs to slots, and prints how that goes on. One slot is what there is by default.
///
/// # Errors
/// If they were not moved.
pub(super) async fn run(conn: &mut PgConnection, slots: u8) -> Result<(), SlotError> {
    let Some(count) = SlotCount::new(slots) else {
        say(match leave_slot_move(conn).await? {
            true => "the move to slots is given up; all rows are where they were",
            false => "nothing to do: the runs are not in slots",
        });
        return Ok(());
    };
    let moved = move_to_slots(conn, count, |step| say(&told(step, slots))).await?;
    if !moved {
        say(&format!(
            "nothing to do: the runs are in {slots} slots already"
        ));
    }
    Ok(())
}

/// A line at once: a move may take long. What cannot be printed does not stop it.
fn say(line: &str) {
    let _ = output::print(&format!("{line}\n"));
}

fn told(step: SlotMove, slots: u8) -> String {
    match step {
        SlotMove::Begun => format!(
            "moving the runs to {slots} slots; until that is done, daemons spool and nobody else writes to them"
        ),
        SlotMove::Resumed => format!("going on with the move to {slots} slots"),
        SlotMove::Copied { table, rows, took } => {
            format!("{table}: {rows} rows copied in {:.1} s", took.as_secs_f64())
        }
        SlotMove::Completed { took } => {
            format!("indexes and references made in {:.1} s", took.as_secs_f64())
        }
        SlotMove::Ended { locked, held } => format!(
            "the runs are in {slots} slots; nobody could write for {:.1} s, nor read for {} ms",
            held.as_secs_f64(),
            locked.as_millis()
        ),
    }
}
