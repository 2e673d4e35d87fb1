//! The layout in slots.

use sqlx::PgConnection;

use super::finding::{Finding, failure, fine, warning};
use crate::store::{SLOT_TABLES, TraceLayout};

const CHECK: &str = "slots";
/// More names than these are not told.
const TOLD: usize = 5;

/// What is wrong with the slots. `sql/slots.sql` says where it is from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SlotFacts {
    /// Tables that a slot lacks, and names in `public` that are not the views they should be.
    lost: Vec<String>,
    /// Tables without row level security.
    open: Vec<String>,
    /// Indexes that not all slots have.
    bare: Vec<String>,
    /// Whether rights on the views reach the tables by themselves.
    followed: bool,
}

/// `None`: there are no slots.
pub(super) async fn examine(
    conn: &mut PgConnection,
    layout: TraceLayout,
) -> Result<Option<Finding>, sqlx::Error> {
    if !matches!(layout, TraceLayout::InSlots(_)) {
        return Ok(None);
    }
    let schemas = layout.schemas();
    let (lost, open, bare, followed) = sqlx::query_as(include_str!("sql/slots.sql"))
        .bind(&schemas)
        .bind(&SLOT_TABLES[..])
        .fetch_one(conn)
        .await?;
    let facts = SlotFacts {
        lost,
        open,
        bare,
        followed,
    };
    Ok(Some(slots(&schemas, &facts)))
}

/// The layout is not known, for this reason.
pub(super) fn incomplete(why: &str) -> Finding {
    failure(
        CHECK,
        why,
        "restore the rows of public.agent_slots from a dump: one for each schema runtraced_NN",
    )
}

fn slots(schemas: &[String], facts: &SlotFacts) -> Finding {
    if !facts.lost.is_empty() {
        let names = some_of(&facts.lost);
        return failure(
            CHECK,
            format!("no table of a slot, or no view over the slots: {names}"),
            "restore a dump, or make again what is missing as the other slots have it",
        );
    }
    if !facts.open.is_empty() {
        return failure(
            CHECK,
            format!("row level security is off on {}", some_of(&facts.open)),
            "ALTER TABLE … ENABLE ROW LEVEL SECURITY on each",
        );
    }
    if !facts.bare.is_empty() {
        return warning(
            CHECK,
            format!("not every slot has the index {}", some_of(&facts.bare)),
            "make it in each slot; for indexes of the search, run `runtraced migrate --search-index`",
        );
    }
    let (first, last) = (schemas.first(), schemas.last());
    let (first, last) = (first.map_or("", |name| name), last.map_or("", |name| name));
    // An owner who is no superuser cannot make the event trigger.
    let rights = match facts.followed {
        true => "",
        false => "; after each GRANT and REVOKE on a view, run SELECT public.share_slots()",
    };
    let count = schemas.len();
    fine(CHECK, format!("{count} slots, {first} to {last}{rights}"))
}

fn some_of(names: &[String]) -> String {
    let told = names.len().min(TOLD);
    let text = names[..told].join(", ");
    match names.len() - told {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity::{self, Failure, Ok as Fine, Warning};

    #[test]
    fn slots_that_are_not_whole() {
        let schemas = ["runtraced_00".to_owned(), "runtraced_01".to_owned()];
        let found = |change: fn(&mut SlotFacts, Vec<String>)| -> (Severity, String) {
            let mut facts = SlotFacts::default();
            let names = (0..7).map(|table| format!("runtraced_01.t{table}"));
            change(&mut facts, names.collect());
            let finding = slots(&schemas, &facts);
            (finding.severity, finding.found)
        };
        let (severity, text) = found(|_, _| {});
        assert_eq!(severity, Fine);
        assert_eq!(
            text,
            "2 slots, runtraced_00 to runtraced_01; after each GRANT and REVOKE on a view, run SELECT public.share_slots()"
        );
        let (severity, text) = found(|facts, _| facts.followed = true);
        assert_eq!(severity, Fine);
        assert_eq!(text, "2 slots, runtraced_00 to runtraced_01");
        let (severity, text) = found(|facts, names| facts.lost = names);
        assert_eq!(severity, Failure);
        assert!(text.ends_with("runtraced_01.t4 and 2 more"), "{text}");
        assert_eq!(found(|facts, names| facts.open = names).0, Failure);
        assert_eq!(found(|facts, names| facts.bare = names).0, Warning);
    }
}
