//! The events in a body, as text: one a line, or an array of them.

use std::fmt;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::EventsError;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The events in a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrittenEvents<'a> {
    body: &'a [u8],
    is_array: bool,
    /// How many there are, and lines that are no events.
    pub(super) count: usize,
}

impl<'a> WrittenEvents<'a> {
    /// Finds out how many events a body holds.
    ///
    /// # Errors
    /// If there are more than `limit`, or the array is not JSON.
    pub(super) fn find(body: &'a [u8], limit: usize) -> Result<Self, EventsError> {
        let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        let is_array = body.trim_ascii_start().starts_with(b"[");
        let count = match is_array {
            false => lines(body).take(limit.saturating_add(1)).count(),
            true => {
                let mut count = 0;
                elements(body, |_: IgnoredAny| {
                    count += 1;
                    count <= limit
                })?;
                count
            }
        };
        if count > limit {
            return Err(EventsError::TooMany { limit });
        }
        Ok(Self {
            body,
            is_array,
            count,
        })
    }

    /// Hands each event to `take`, with its number: that of its line, or its place in the
    /// array. Both from 1. A line that is no text comes with the reason.
    ///
    /// # Errors
    /// If the array is not JSON.
    pub(super) fn each(
        &self,
        mut take: impl FnMut(u32, Result<&str, String>),
    ) -> Result<(), EventsError> {
        if !self.is_array {
            for (number, line) in lines(self.body) {
                take(number, as_text(line));
            }
            return Ok(());
        }
        let mut number = 0;
        elements(self.body, |element: &RawValue| {
            number += 1;
            take(number, Ok(element.get()));
            true
        })
    }
}

/// The lines that are not empty, with their numbers.
fn lines(body: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let lines = body.split(|byte| *byte == b'\n');
    let numbered = (1_u32..).zip(lines);
    numbered.filter(|(_, line)| !line.trim_ascii().is_empty())
}

fn as_text(line: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(line.trim_ascii_end())
        .map_err(|error| format!("column {}: not UTF-8", error.valid_up_to() + 1))
}

/// Hands each element of an array to `take`, until it answers false.
fn elements<'a, T: serde::Deserialize<'a>>(
    body: &'a [u8],
    take: impl FnMut(T) -> bool,
) -> Result<(), EventsError> {
    let mut stopped = false;
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = json
        .deserialize_seq(Elements {
            take,
            stopped: &mut stopped,
            element: std::marker::PhantomData,
        })
        .and_then(|()| json.end());
    match read {
        Err(error) if !stopped => Err(EventsError::Array(error.into())),
        _ => Ok(()),
    }
}

struct Elements<'s, T, F> {
    take: F,
    stopped: &'s mut bool,
    element: std::marker::PhantomData<T>,
}

impl<'a, T: serde::Deserialize<'a>, F: FnMut(T) -> bool> Visitor<'a> for Elements<'_, T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element()? {
            if !(self.take)(element) {
                *self.stopped = true;
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = Vec<(u32, Result<String, String>)>;

    fn found(body: &[u8]) -> Found {
        let mut all = Vec::new();
        let events = WrittenEvents::find(body, 10).unwrap();
        let take = |number, text: Result<&str, String>| all.push((number, text.map(str::to_owned)));
        events.each(take).unwrap();
        assert_eq!(all.len(), events.count);
        all
    }

    fn texts(all: &[(u32, &str)]) -> Found {
        all.iter()
            .map(|(n, text)| (*n, Ok((*text).to_owned())))
            .collect()
    }

    #[test]
    fn lines_are_numbered_with_the_empty_ones() {
        assert_eq!(found(b"{}\n{a}\n"), texts(&[(1, "{}"), (2, "{a}")]));
        assert_eq!(
            found(b"\r\n\n {1} \r\n\t\n{2}"),
            texts(&[(3, " {1}"), (5, "{2}")])
        );
        assert_eq!(found(b"\xEF\xBB\xBF{}"), texts(&[(1, "{}")]));
        for empty in [&b""[..], b"\n\n", b" \r\n", b"\xEF\xBB\xBF"] {
            assert_eq!(found(empty), []);
        }
    }

    #[test]
    fn a_line_that_is_no_text_harms_only_itself() {
        let found = found(b"{1}\n{\xff}\n\0\n");
        assert_eq!(found[0], (1, Ok("{1}".into())));
        assert_eq!(found[1], (2, Err("column 2: not UTF-8".into())));
        assert_eq!(found[2], (3, Ok("\0".into())));
    }

    #[test]
    fn elements_of_an_array_are_numbered_by_their_place() {
        let array = b" [ {\"a\": [1]},\n\n {} , 7]\n";
        assert_eq!(
            found(array),
            texts(&[(1, "{\"a\": [1]}"), (2, "{}"), (3, "7")])
        );
        assert_eq!(found(b"[]"), []);
    }

    #[test]
    fn an_array_that_is_not_json_is_refused_with_its_place() {
        for (body, line, column) in [
            (&b"[{},\n {]"[..], 2, 3),
            (b"[{}", 1, 3),
            (b"[{}]\n[{}]", 2, 1),
            (b"[{},]", 1, 5),
        ] {
            let text = String::from_utf8_lossy(body);
            match WrittenEvents::find(body, 10) {
                Err(EventsError::Array(error)) => {
                    assert_eq!((error.line, error.column), (line, column), "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(
            WrittenEvents::find(b"[\"\xff\"]", 10)
                .is_ok_and(|found| { matches!(found.each(|_, _| {}), Err(EventsError::Array(_))) })
        );
    }

    #[test]
    fn the_limit_is_exact() {
        let lines = |count: usize| "{}\n\n".repeat(count).into_bytes();
        let array = |count: usize| format!("[{}]", vec!["{}"; count].join(",")).into_bytes();
        for (fits, beyond) in [(lines(3), lines(4)), (array(3), array(4))] {
            assert_eq!(WrittenEvents::find(&fits, 3).unwrap().count, 3);
            let error = WrittenEvents::find(&beyond, 3).unwrap_err();
            assert_eq!(error, EventsError::TooMany { limit: 3 });
        }
        // What follows the limit is not read.
        assert!(matches!(
            WrittenEvents::find(b"[1,2,3,4,oops", 3),
            Err(EventsError::TooMany { .. })
        ));
    }
}
