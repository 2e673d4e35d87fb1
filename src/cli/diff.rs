//! `runtraced diff`: two runs side by side, step by step.

use std::collections::HashMap;
use std::process::ExitCode;

use anyhow::bail;
use sqlx::PgConnection;
use uuid::Uuid;

use super::database::DatabaseArgs;
use super::output::{self, duration, shortened, thousands};
use super::timeline;
use crate::config::{Faults, FlagReader, FlagValue};
use crate::query::{self, IdPrefix, InspectError, SkeletonRow};

/// The longest name in the table.
const NAME_CHARS: usize = 40;
/// Steps of the longest run that can be compared: the work grows with the square.
const MAX_STEPS: usize = 5_000;

/// Compare two runs: align their steps by kind and name, and show what differs.
///
/// Exit codes: 0, 1 no such run, 69 no database.
#[derive(Debug, Clone, clap::Args)]
pub struct DiffArgs {
    /// Id of the first run, or any unique prefix of it.
    pub first: FlagValue,
    /// Id of the second run, or any unique prefix of it.
    pub second: FlagValue,
    #[command(flatten)]
    #[allow(missing_docs)] // its fields are documented
    pub database: DatabaseArgs,
}

impl DiffArgs {
    pub(super) fn prefixes(&self) -> Result<(IdPrefix, IdPrefix), Faults> {
        let mut flags = FlagReader::default();
        self.database.check(&mut flags);
        let first = flags.parsed(&self.first, timeline::ID_KIND);
        let second = flags.parsed(&self.second, timeline::ID_KIND);
        flags.finish((first.unwrap_or_default(), second.unwrap_or_default()))
    }
}

/// A step of a run.
struct ComparedStep {
    row: SkeletonRow,
    input: Option<String>,
    output: Option<String>,
}

impl ComparedStep {
    /// What makes two steps the same one.
    fn name(&self) -> (Option<&str>, Option<&str>) {
        (self.row.kind.as_deref(), self.row.name.as_deref())
    }
}

/// Runs the command.
///
/// # Errors
/// If there is no such run, the database cannot be read, or stdout fails.
pub async fn run(args: DiffArgs) -> anyhow::Result<ExitCode> {
    let (first, second) = args.prefixes()?;
    // They may be on different servers.
    let (first, mut left) = timeline::find(&args.database, first).await?;
    let (second, mut right) = timeline::find(&args.database, second).await?;
    let (left, right) = (
        steps(&mut left.conn, first).await?,
        steps(&mut right.conn, second).await?,
    );
    if left.len().max(right.len()) > MAX_STEPS {
        bail!("a run of more than {MAX_STEPS} steps cannot be compared");
    }
    let pairs = aligned(&left, &right, |one, other| one.name() == other.name());
    let rows = pairs.into_iter().map(|pair| line(pair.0, pair.1));
    let heads = [
        "",
        "step",
        "kind",
        "took",
        "took",
        "tokens",
        "tokens",
        "differs in",
    ];
    output::print(&output::table(&heads, &[3, 4, 5, 6], rows))?;
    Ok(ExitCode::SUCCESS)
}

async fn steps(conn: &mut PgConnection, run: Uuid) -> anyhow::Result<Vec<ComparedStep>> {
    let skeleton = query::skeleton_rows(conn, run)
        .await
        .map_err(InspectError::Query)?;
    let digests = query::step_digests(conn, run)
        .await
        .map_err(InspectError::Query)?;
    let mut digests: HashMap<Uuid, _> =
        digests.into_iter().map(|(id, i, o)| (id, (i, o))).collect();
    let rows = skeleton.rows.into_iter();
    let steps = rows.filter(|row| row.item == "step");
    Ok(steps
        .map(|row| {
            let (input, output) = digests.remove(&row.id).unwrap_or_default();
            ComparedStep { row, input, output }
        })
        .collect())
}

/// Pairs of a longest common subsequence, with what only one side has between them.
fn aligned<'a, T>(
    left: &'a [T],
    right: &'a [T],
    same: impl Fn(&T, &T) -> bool,
) -> Vec<(Option<&'a T>, Option<&'a T>)> {
    let width = right.len() + 1;
    // Lengths of the longest common subsequences of what is left on both sides.
    let mut lengths = vec![0_u16; (left.len() + 1) * width];
    for (i, one) in left.iter().enumerate().rev() {
        for (j, other) in right.iter().enumerate().rev() {
            let place = i * width + j;
            lengths[place] = match same(one, other) {
                true => lengths[place + width + 1] + 1,
                false => lengths[place + width].max(lengths[place + 1]),
            };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    loop {
        let place = i * width + j;
        match (left.get(i), right.get(j)) {
            (Some(one), Some(other)) if same(one, other) => {
                pairs.push((Some(one), Some(other)));
                (i, j) = (i + 1, j + 1);
            }
            (Some(one), Some(_)) if lengths[place + width] >= lengths[place + 1] => {
                pairs.push((Some(one), None));
                i += 1;
            }
            (Some(one), None) => {
                pairs.push((Some(one), None));
                i += 1;
            }
            (_, Some(other)) => {
                pairs.push((None, Some(other)));
                j += 1;
            }
            (None, None) => return pairs,
        }
    }
}

fn line(left: Option<&ComparedStep>, right: Option<&ComparedStep>) -> [String; 8] {
    let took = |step: Option<&ComparedStep>| {
        let ms = step.and_then(|step| step.row.duration);
        ms.map(duration).unwrap_or_default()
    };
    let tokens = |step: Option<&ComparedStep>| {
        let tokens = step.and_then(|step| step.row.tokens);
        let sum = tokens.map(|tokens| tokens.0.unwrap_or(0) + tokens.1.unwrap_or(0));
        sum.map(thousands).unwrap_or_default()
    };
    let (mark, differs) = match (left, right) {
        (Some(one), Some(other)) => {
            let parts = [
                ("input", one.input != other.input),
                ("output", one.output != other.output),
                ("status", one.row.status != other.row.status),
                ("model", one.row.model != other.row.model),
                ("error", one.row.error != other.row.error),
            ];
            let differs = parts
                .iter()
                .filter(|(_, differs)| *differs)
                .map(|(name, _)| *name);
            let differs = differs.collect::<Vec<_>>().join(", ");
            (if differs.is_empty() { " " } else { "~" }, differs)
        }
        (Some(_), None) => ("-", "only in the first".to_owned()),
        _ => ("+", "only in the second".to_owned()),
    };
    let text = |part: fn(&SkeletonRow) -> &Option<String>| {
        let row = left.or(right).map(|step| &step.row);
        let text = row.and_then(|row| part(row).as_deref()).unwrap_or_default();
        shortened(text, NAME_CHARS)
    };
    [
        mark.to_owned(),
        text(|row| &row.name),
        text(|row| &row.kind),
        took(left),
        took(right),
        tokens(left),
        tokens(right),
        differs,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_have_is_aligned_and_the_rest_stands_between() {
        let (left, right) = (["a", "b", "c", "d"], ["a", "c", "x", "d", "e"]);
        let pairs = aligned(&left, &right, |one, other| one == other);
        let text: Vec<_> = pairs
            .iter()
            .map(|(one, other)| format!("{}{}", one.unwrap_or(&"."), other.unwrap_or(&".")))
            .collect();
        assert_eq!(text, ["aa", "b.", "cc", ".x", "dd", ".e"]);
        let none: [&str; 0] = [];
        assert!(aligned(&none, &none, |one, other| one == other).is_empty());
        assert_eq!(aligned(&none, &right, |_, _| false).len(), 5);
    }
}
