//! Finds the calls that are nested in a call of their class.

use std::collections::HashMap;

use uuid::Uuid;

use super::decide::{CallTie, TieKind};

/// A step on the way up from a call.
#[derive(Clone, Copy, Debug)]
pub struct PartAbove<'a> {
    /// The class of a call. `None`: a chain or other work between calls.
    pub class: Option<&'a str>,
    /// The step above it.
    pub above: Option<Uuid>,
}

/// Ties each call to the nearest call above it, if that one has the same class. Each step is
/// passed once, however many calls are below it.
pub fn nested_calls(parts: &HashMap<Uuid, PartAbove<'_>>) -> Vec<CallTie> {
    // By step: the nearest step above it that is not between calls. While it is sought: nothing,
    // so that a circle ends.
    let mut nearest: HashMap<Uuid, Option<Uuid>> = HashMap::new();
    let mut ties = Vec::new();
    for (&id, call) in parts {
        let Some(class) = call.class else { continue };
        let Some(other) = call
            .above
            .and_then(|above| nearest_call(above, parts, &mut nearest))
        else {
            continue;
        };
        let is_alike = parts.get(&other).is_some_and(|o| o.class == Some(class));
        if is_alike && other != id {
            ties.push(CallTie {
                call: id,
                other,
                kind: TieKind::Nested,
            });
        }
    }
    ties
}

fn nearest_call(
    start: Uuid,
    parts: &HashMap<Uuid, PartAbove<'_>>,
    nearest: &mut HashMap<Uuid, Option<Uuid>>,
) -> Option<Uuid> {
    let (mut path, mut next) = (Vec::new(), Some(start));
    let found = loop {
        let Some(step) = next else { break None };
        if let Some(known) = nearest.get(&step) {
            break *known;
        }
        // A step that is no call separates calls, and so does one that is missing.
        match parts.get(&step) {
            Some(part) if part.class.is_none() => next = part.above,
            part => break part.map(|_| step),
        }
        nearest.insert(step, None);
        path.push(step);
    };
    nearest.extend(path.into_iter().map(|step| (step, found)));
    found
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn nested(parts: &[(u128, Option<&str>, Option<u128>)]) -> Vec<(u128, u128)> {
        let parts: HashMap<Uuid, PartAbove<'_>> = parts
            .iter()
            .map(|&(own, class, above)| {
                let above = above.map(id);
                (id(own), PartAbove { class, above })
            })
            .collect();
        let mut ties: Vec<(u128, u128)> = nested_calls(&parts)
            .iter()
            .map(|tie| (tie.call.as_u128(), tie.other.as_u128()))
            .collect();
        ties.sort_unstable();
        ties
    }

    #[test]
    fn the_nearest_call_of_the_same_class_is_found() {
        let (model, tool) = (Some("llm_call"), Some("tool_call"));
        let parts = [
            (1, model, None),
            (2, None, Some(1)),
            (3, None, Some(2)),
            (4, model, Some(3)),
            (5, model, Some(2)),
            // Below a call of another class, below itself, below a circle, below a step that is
            // missing.
            (6, tool, Some(3)),
            (7, model, Some(6)),
            (8, None, Some(9)),
            (9, model, Some(8)),
            (10, None, Some(11)),
            (11, None, Some(10)),
            (12, model, Some(10)),
            (13, model, Some(99)),
            // In a circle of two calls.
            (14, tool, Some(15)),
            (15, tool, Some(14)),
        ];
        assert_eq!(nested(&parts), [(4, 1), (5, 1), (14, 15), (15, 14)]);
    }

    #[test]
    fn a_long_way_up_is_gone_once() {
        // Gone for each call, it takes minutes.
        const STEPS: u128 = 100_000;
        let way = (1..=STEPS).map(|n| (n, None, Some(n - 1)));
        let calls = (1..=STEPS).map(|n| (STEPS + n, Some("tool_call"), Some(n)));
        let top = [(0, Some("tool_call"), None)];
        let parts: Vec<_> = top.into_iter().chain(way).chain(calls).collect();
        let started = Instant::now();
        assert_eq!(nested(&parts).len() as u128, STEPS);
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
