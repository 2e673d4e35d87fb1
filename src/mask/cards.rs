//! Finds the numbers of cards.

use super::span::word_ends;

const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// 19 digits in five groups.
pub(super) const LONGEST_CARD_BYTES: usize = 23;

/// Digits in groups, with the same sign between groups.
struct DigitGroups {
    digits: Vec<u8>,
    /// Where each group ends, and how many digits it has.
    groups: Vec<(usize, usize)>,
}

impl DigitGroups {
    /// Those at `start`, as far as two cards go.
    fn at(text: &[u8], start: usize) -> Self {
        let mut digits = Vec::with_capacity(2 * LONGEST_CARD_BYTES);
        let mut groups = Vec::with_capacity(8);
        let mut separator = None;
        let mut len = 0;
        let seen = text.iter().enumerate().skip(start);
        for (at, byte) in seen.take(2 * LONGEST_CARD_BYTES) {
            let next_is_digit = text.get(at + 1).is_some_and(u8::is_ascii_digit);
            match byte {
                b'0'..=b'9' => {
                    digits.push(byte - b'0');
                    len += 1;
                    if !next_is_digit {
                        groups.push((at + 1, len));
                        len = 0;
                    }
                }
                b' ' | b'-' if next_is_digit && *separator.get_or_insert(*byte) == *byte => {}
                _ => break,
            }
        }
        Self { digits, groups }
    }

    /// How many of the first groups are a card: the most there are.
    fn card(&self) -> Option<usize> {
        let counts = (1..=self.groups.len()).rev();
        counts.into_iter().find(|count| {
            let groups = self.groups.iter().take(*count).map(|(_, len)| *len);
            let groups: Vec<usize> = groups.collect();
            let digits = self.digits.get(..groups.iter().sum());
            let is_card = |digits: &[u8]| {
                CARD_DIGITS.contains(&digits.len())
                    && is_grouped(&groups)
                    && has_issuer(digits)
                    && luhn(digits)
            };
            digits.is_some_and(is_card)
        })
    }
}

/// The end of a card number that begins at `start`. A date, a code or another card may follow it.
pub(super) fn card(text: &[u8], start: usize) -> Option<usize> {
    // The digits behind a decimal point are no number of their own.
    let before = text.get(start.saturating_sub(2)..start)?;
    if matches!(before, [digit, b'.'] if digit.is_ascii_digit()) || before.ends_with(b"_") {
        return None;
    }
    let number = DigitGroups::at(text, start);
    let count = number.card()?;
    let (end, _) = *number.groups.get(count - 1)?;
    let more = number.groups.get(count..).unwrap_or_default();
    // Groups of four that go on and on are a table.
    let is_table = count > 1 && matches!(more, [(_, 4), (_, 4), ..]);
    if is_table && DigitGroups::at(text, end + 1).card().is_none() {
        return None;
    }
    let is_decimal =
        matches!(text.get(end..end + 2), Some([b'.', digit]) if digit.is_ascii_digit());
    let is_whole = word_ends(text, end) && !is_decimal && text.get(end) != Some(&b'_');
    is_whole.then_some(end)
}

/// Whether digits are grouped as on a card.
fn is_grouped(groups: &[usize]) -> bool {
    matches!(
        groups,
        [_] | [4, 6, 4 | 5] | [4, 4, 4, 1..=4] | [4, 4, 4, 4, 1..=3]
    )
}

/// Whether a network issues cards with these first digits and this length.
fn has_issuer(digits: &[u8]) -> bool {
    let first = |count: usize| {
        digits
            .iter()
            .take(count)
            .fold(0_u32, |number, digit| number * 10 + u32::from(*digit))
    };
    match digits.len() {
        14 => matches!(first(3), 300..=305 | 309) || matches!(first(2), 36 | 38 | 39),
        15 => matches!(first(2), 34 | 37),
        13 => first(1) == 4,
        16..=19 => {
            first(1) == 4
                || matches!(first(2), 51..=55 | 62 | 65)
                || matches!(first(3), 644..=649)
                || matches!(first(4), 2221..=2720 | 3528..=3589 | 5018 | 5020 | 5038 | 5893 | 6011 | 6304 | 6759 | 6761..=6763)
        }
        _ => false,
    }
}

/// The checksum of cards.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match (at % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::super::numbers::NumberFinder;
    use super::super::span::MaskBudget;

    fn found(text: &str) -> Vec<&str> {
        let cards = NumberFinder {
            card: Some(0),
            iban: None,
            phone: None,
            email: None,
        };
        let mut spans = Vec::new();
        let mut budget = MaskBudget::for_field(text.len());
        cards
            .find(text.as_bytes(), &mut budget, &mut spans)
            .unwrap();
        spans
            .iter()
            .map(|span| &text[span.start..span.end])
            .collect()
    }

    #[test]
    fn cards_of_every_network_and_grouping() {
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4222222222222",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "3782 822463 10005",
            "6011111111111117",
            "3530111333300000",
            "30569309025904",
            "3056 930902 5904",
            "6200000000000005",
            "6759649826438453",
        ] {
            for text in [
                card.to_owned(),
                format!("pay with {card}, please"),
                format!("x={card}."),
                format!("{card} 12/26 737"),
                format!("{card} 2026-08-01"),
                format!("17,{card},x"),
                format!("17 {card}"),
            ] {
                assert_eq!(found(&text), [card], "{text}");
            }
        }
    }

    #[test]
    fn cards_side_by_side() {
        for text in [
            "4111111111111111 5555555555554444",
            "4111 1111 1111 1111 5555 5555 5555 4444",
            "[4111111111111111,5555555555554444]",
            "4111-1111-1111-1111 5555-5555-5555-4444",
        ] {
            assert_eq!(found(text).len(), 2, "{text}");
        }
    }

    #[test]
    fn other_numbers_are_no_cards() {
        for text in [
            "4111111111111112",
            "1764400000000000000",
            "0.4111111111111111",
            "4111111111111111.5",
            "a4111111111111111",
            "4111111111111111a",
            "41111111-1111-1111-1111-411111111111",
            "4111 1111-1111 1111",
            "4111 1111 1111 1111 1234 5678",
            "99999999999999999999999999",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }
}
