//! Finds the few places in a text where a number may be, much faster than a look at each byte.

/// Digits are compared in words.
const WORD_BYTES: usize = 4;
/// What is compared at a time, without branches, so that the compiler uses vectors.
const BLOCK_BYTES: usize = 64;
/// A block and the word behind it.
const SEEN_BYTES: usize = BLOCK_BYTES + WORD_BYTES;
/// Separators of a card are so many digits apart, at least. So dates are none.
const GROUP_DIGITS: usize = 4;
/// A card has so many digits in two words, then.
const DENSE_DIGITS: usize = 6;
/// How many bytes a dense place has.
pub(super) const DENSE_BYTES: usize = 2 * WORD_BYTES;

/// Hands on the places within long numbers: they have at least six digits, and else blanks and `-` with four digits
/// between them. Every number of 11 bytes or more, in groups of four digits or more, has such a place.
pub(super) fn each_dense<E>(
    text: &[u8],
    mut take: impl FnMut(usize) -> Result<(), E>,
) -> Result<(), E> {
    each_block(text, may_have_dense, |start, block| {
        let (words, _) = block.as_chunks::<WORD_BYTES>();
        for (number, pair) in words.windows(2).enumerate() {
            if is_dense(pair.as_flattened()) {
                take(start + number * WORD_BYTES)?;
            }
        }
        Ok(())
    })
}

/// Whether two words in a row have characters of which digits and separators are some.
fn may_have_dense(block: &[u8; SEEN_BYTES]) -> bool {
    let (words, _) = block.as_chunks::<WORD_BYTES>();
    let mut bits = [0; SEEN_BYTES / WORD_BYTES];
    for (bits, word) in bits.iter_mut().zip(words) {
        *bits = (u32::from_ne_bytes(*word) & 0xe0e0_e0e0) ^ 0x2020_2020;
    }
    let mut found = 0;
    for at in 0..BLOCK_BYTES / WORD_BYTES {
        found |= u32::from(bits[at] | bits[at + 1] == 0);
    }
    found != 0
}

fn is_dense(place: &[u8]) -> bool {
    let mut digits = 0;
    let mut separator = None;
    for (at, byte) in place.iter().enumerate() {
        match byte {
            b'0'..=b'9' => digits += 1,
            b' ' | b'-' if separator.is_none_or(|before| at - before > GROUP_DIGITS) => {
                separator = Some(at)
            }
            _ => return false,
        }
    }
    digits >= DENSE_DIGITS
}

/// Hands on the places of capital letters before a digit.
pub(super) fn each_capital_before_digit<E>(
    text: &[u8],
    mut take: impl FnMut(usize) -> Result<(), E>,
) -> Result<(), E> {
    each_block(text, has_capital_before_digit, |start, block| {
        for (place, pair) in block.windows(2).take(BLOCK_BYTES).enumerate() {
            if matches!(pair, [b'A'..=b'Z', b'0'..=b'9']) {
                take(start + place)?;
            }
        }
        Ok(())
    })
}

fn has_capital_before_digit(block: &[u8; SEEN_BYTES]) -> bool {
    let mut found = false;
    for at in 0..BLOCK_BYTES {
        found |= block[at].is_ascii_uppercase() & block[at + 1].is_ascii_digit();
    }
    found
}

/// Hands on the blocks that `may_have` one, each with the word behind it. Behind the text are zeros.
fn each_block<E>(
    text: &[u8],
    may_have: impl Fn(&[u8; SEEN_BYTES]) -> bool,
    mut take: impl FnMut(usize, &[u8; SEEN_BYTES]) -> Result<(), E>,
) -> Result<(), E> {
    let mut look = |start, block: &[u8; SEEN_BYTES]| match may_have(block) {
        true => take(start, block),
        false => Ok(()),
    };
    for start in (0..text.len()).step_by(BLOCK_BYTES) {
        let rest = text.get(start..).unwrap_or_default();
        match rest.first_chunk() {
            Some(block) => look(start, block)?,
            None => look(start, &padded(rest))?,
        }
    }
    Ok(())
}

fn padded(rest: &[u8]) -> [u8; SEEN_BYTES] {
    let mut block = [0; SEEN_BYTES];
    for (byte, rest) in block.iter_mut().zip(rest) {
        *byte = *rest;
    }
    block
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn dense(text: &str) -> Vec<usize> {
        let mut places = Vec::new();
        let Ok::<(), Infallible>(()) = each_dense(text.as_bytes(), |at| {
            places.push(at);
            Ok(())
        });
        places
    }

    #[test]
    fn every_long_number_has_a_dense_place() {
        for number in [
            "41111111111111",
            "4111111111111",
            "3056 930902 5904",
            "4111-1111-1111-1",
            "4111 1111 1111 1111 111",
        ] {
            for before in 0..140 {
                for around in ["a", "1a", " "] {
                    let text = format!("{}{number}{around}", around.repeat(before));
                    let range = around.len() * before..around.len() * before + number.len();
                    let found = dense(&text)
                        .iter()
                        .any(|at| range.contains(at) && at + DENSE_BYTES <= range.end);
                    assert!(found, "{text}");
                }
            }
        }
    }

    #[test]
    fn code_and_prose_have_no_dense_places() {
        for text in [
            "        let a = 12345;",
            "1, 2, 3, 4, 5, 6, 7, 8",
            "on 2026-11-30T04:05:06",
            "[0.12345678,0.87654321]",
        ] {
            assert_eq!(dense(text), Vec::<usize>::new(), "{text}");
        }
    }

    #[test]
    fn capitals_before_digits_are_found_where_blocks_meet() {
        for at in 0..200 {
            let text = format!("{}A1{}", "b".repeat(at), "9Z".repeat(at % 3));
            let mut places = Vec::new();
            let Ok::<(), Infallible>(()) = each_capital_before_digit(text.as_bytes(), |at| {
                places.push(at);
                Ok(())
            });
            let more = (0..(at % 3).saturating_sub(1)).map(|pair| at + 3 + 2 * pair);
            assert_eq!(
                places,
                std::iter::once(at).chain(more).collect::<Vec<_>>(),
                "{text}"
            );
        }
    }
}
