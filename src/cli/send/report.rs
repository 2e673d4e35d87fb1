//! The summary of accepted and refused lines.

use runtraced_client::{Refused, Totals};
use std::{fmt::Write as _, sync::Arc};

use crate::cli::count;

/// The line numbers of a batch's events.
pub(super) type BatchLines = Arc<[u64]>;

/// The number of a refused line, and the reason.
pub(super) type RefusedLine = (u64, String);

/// Lines that are not events and were not sent.
#[derive(Debug, Default)]
pub(super) struct MalformedLines {
    /// The first ones.
    pub(super) shown: Vec<RefusedLine>,
    /// How many there are.
    pub(super) count: u64,
}

impl MalformedLines {
    pub(super) fn add(&mut self, keep: usize, number: u64, reason: String) {
        self.count += 1;
        if self.shown.len() < keep {
            self.shown.push((number, reason));
        }
    }
}

/// The summary for stdout.
pub(super) fn summary(
    totals: &Totals<BatchLines>,
    malformed: &MalformedLines,
    show: usize,
) -> String {
    let refused = totals.refused_count + malformed.count;
    let mut text = format!(
        "{} accepted, {} duplicate, {} refused\n",
        count(totals.committed + totals.spooled),
        count(totals.duplicate),
        count(refused)
    );
    if totals.spooled > 0 {
        let _ = writeln!(
            text,
            "{} of them are in the daemon's spool and will reach the database later",
            count(totals.spooled)
        );
    }
    let mut lines: Vec<RefusedLine> = totals.refused.iter().map(refused_line).collect();
    lines.extend_from_slice(&malformed.shown);
    lines.sort();
    lines.truncate(show);
    for (number, reason) in &lines {
        let _ = writeln!(text, "  line {number}: {reason}");
    }
    let more = refused - lines.len() as u64;
    if more > 0 {
        let _ = writeln!(text, "  and {} more", count(more));
    }
    text
}

fn refused_line(refused: &Refused<BatchLines>) -> RefusedLine {
    let line = refused.tag.get(refused.index as usize).copied();
    let code = refused.code.as_str_name();
    let code = code.strip_prefix("REFUSAL_CODE_").unwrap_or(code);
    (
        line.unwrap_or_default(),
        format!("{code}: {}", refused.reason),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::RefusalCode;

    #[test]
    fn refused_lines_are_shown_in_order_and_counted_beyond() {
        let refused = |index, reason: &str| Refused {
            tag: BatchLines::from([4, 7, 9]),
            index,
            code: RefusalCode::MissingField,
            reason: reason.into(),
        };
        let totals = Totals {
            committed: 1200,
            refused_count: 5,
            refused: vec![
                refused(2, "time is required"),
                refused(0, "run_id is required"),
            ],
            spooled: 34,
            ..Totals::default()
        };
        let mut malformed = MalformedLines::default();
        for number in [5, 6] {
            malformed.add(1, number, "column 3: expected value".into());
        }
        assert_eq!(
            summary(&totals, &malformed, 3),
            "1,234 accepted, 0 duplicate, 7 refused\n\
             34 of them are in the daemon's spool and will reach the database later\n\
             \x20 line 4: MISSING_FIELD: run_id is required\n\
             \x20 line 5: column 3: expected value\n\
             \x20 line 9: MISSING_FIELD: time is required\n\
             \x20 and 4 more\n"
        );
    }
}
