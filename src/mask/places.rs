//! Finds the few places in a text where a card or an account number may be, much faster than a look at each byte.
//!
//! Words of four bytes are looked at. In each word within a number there are only digits and capital letters, but for one
//! separator: separators are at least four characters apart.

/// Bytes are compared in words.
const WORD_BYTES: usize = 4;
/// What is compared at a time, without branches, so that the compiler uses vectors.
const BLOCK_BYTES: usize = 64;
const BLOCK_WORDS: usize = BLOCK_BYTES / WORD_BYTES;
/// A block and the word behind it.
const SEEN_BYTES: usize = BLOCK_BYTES + WORD_BYTES;
/// Separators of a card are so many digits apart, at least. So dates are none.
const GROUP_DIGITS: usize = 4;
/// A card has so many digits in two words, then.
const DENSE_DIGITS: usize = 6;
/// How many bytes a dense place has.
pub(super) const DENSE_BYTES: usize = 2 * WORD_BYTES;

/// Where a number may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberPlace {
    /// Within a long number: at least six digits, and else blanks and `-` with four digits between them. Every number of
    /// 11 bytes or more, in groups of four digits or more, has such a place.
    Dense(usize),
    /// A capital letter before a digit. Each one is handed on that has ten more digits, capital letters and single
    /// separators behind it.
    Capital(usize),
}

/// Hands on the places where a number may be.
pub(super) fn each_number_place<E>(
    text: &[u8],
    mut take: impl FnMut(NumberPlace) -> Result<(), E>,
) -> Result<(), E> {
    for start in (0..text.len()).step_by(BLOCK_BYTES) {
        let rest = text.get(start..).unwrap_or_default();
        if rest.len() < DENSE_BYTES {
            break;
        }
        let padded;
        let block = match rest.first_chunk() {
            Some(block) => block,
            None => {
                padded = with_zeros(rest);
                &padded
            }
        };
        // Few blocks have eight bytes without a small letter, so this is asked first.
        if !has_pair(&of_words(block, small_letters)) {
            continue;
        }
        let others = of_words(block, others_in_number);
        if !has_pair(&others) {
            continue;
        }
        let (words, _) = block.as_chunks::<WORD_BYTES>();
        let pairs = words.windows(2).zip(others.windows(2)).enumerate();
        for (number, (words, others)) in pairs {
            if others == [0, 0] {
                let at = start + number * WORD_BYTES;
                if is_dense(words.as_flattened()) {
                    take(NumberPlace::Dense(at))?;
                }
                // The first two words in a number begin up to two bytes behind its second letter, or one before.
                for at in at.saturating_sub(2)..at + 2 {
                    if matches!(text.get(at..at + 2), Some([b'A'..=b'Z', b'0'..=b'9'])) {
                        take(NumberPlace::Capital(at))?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// What `of` says about each word of a block, and about the one behind it.
fn of_words(block: &[u8; SEEN_BYTES], of: impl Fn(u32) -> u32) -> [u32; BLOCK_WORDS + 1] {
    let (words, _) = block.as_chunks();
    let mut all = [0; BLOCK_WORDS + 1];
    for (one, word) in all.iter_mut().zip(words) {
        *one = of(u32::from_ne_bytes(*word));
    }
    all
}

/// Zero if no byte is like a small letter.
fn small_letters(word: u32) -> u32 {
    // Small letters have both bits, digits and separators one, and capital letters the other one.
    word & word << 1 & 0x4040_4040
}

/// Zero if all bytes are like digits or capital letters, but for one that is like a separator.
fn others_in_number(word: u32) -> u32 {
    // Digits have one bit, capital letters the other one, and separators none.
    let separators = !(word | word >> 2) & 0x1010_1010;
    small_letters(word) | separators & separators.wrapping_sub(1)
}

/// Whether there is nothing in two words in a row.
fn has_pair(others: &[u32; BLOCK_WORDS + 1]) -> bool {
    let mut found = 0;
    for at in 0..BLOCK_WORDS {
        found |= u32::from(others[at] | others[at + 1] == 0);
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

fn with_zeros(rest: &[u8]) -> [u8; SEEN_BYTES] {
    let mut block = [0; SEEN_BYTES];
    if let Some(head) = block.get_mut(..rest.len()) {
        head.copy_from_slice(rest);
    }
    block
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn places(text: &str) -> Vec<NumberPlace> {
        let mut places = Vec::new();
        let Ok::<(), Infallible>(()) = each_number_place(text.as_bytes(), |place| {
            places.push(place);
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
                    let found = places(&text).iter().any(|place| match place {
                        NumberPlace::Dense(at) => {
                            range.contains(at) && at + DENSE_BYTES <= range.end
                        }
                        NumberPlace::Capital(_) => false,
                    });
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
            let is_dense = |place: &NumberPlace| matches!(place, NumberPlace::Dense(_));
            assert!(!places(text).iter().any(is_dense), "{text}");
        }
    }

    #[test]
    fn capitals_of_every_account_are_found_once_wherever_blocks_meet() {
        for account in [
            "NO9386011117947",
            "NO93 8601 1117 947",
            "MT84-MALT-0110-0001-2345-MTLC-AST0-01S",
            "LC55HEMMABCDEFGHIJKLMNOPQRSTUVWX",
        ] {
            for before in 0..200 {
                for around in ["b", "A", "9", " ", "\u{e9}"] {
                    let text = format!("{}{account}{around}", around.repeat(before));
                    let capital = NumberPlace::Capital(around.len() * before + 1);
                    let found = places(&text).into_iter().filter(|place| *place == capital);
                    assert_eq!(found.count(), 1, "{text}");
                }
            }
        }
    }
}
