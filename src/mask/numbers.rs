//! Finds numbers that are secrets: cards and accounts, by their checksums, and, if asked,
//! telephone numbers and e-mail addresses.

use super::places::{DENSE_BYTES, each_capital_before_digit, each_dense};
use super::span::{MaskBudget, MaskSpan, OverBudget, word_begins, word_ends};

/// No such number is longer.
const LONGEST_BYTES: usize = 48;
/// 19 digits in five groups.
const LONGEST_CARD_BYTES: usize = 23;

const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
/// Characters of a telephone number, with blanks and signs.
const MAX_PHONE_BYTES: usize = 32;
const MAX_LOCAL_BYTES: usize = 64;
const MAX_DOMAIN_BYTES: usize = 255;

/// The length of an account number (IBAN) by country.
const IBAN_BYTES: &str = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29\
ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25\
MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25\
SV28TL23TN24TR26UA29VA22VG24XK20YE30";

/// Finds numbers. A kind that is off is `None`.
#[derive(Clone, Copy, Debug)]
pub(super) struct NumberFinder {
    pub card: Option<usize>,
    pub iban: Option<usize>,
    pub phone: Option<usize>,
    pub email: Option<usize>,
}

impl NumberFinder {
    /// Finds numbers in a text, or in the text of JSON.
    pub fn find(
        &self,
        text: &[u8],
        budget: &mut MaskBudget,
        spans: &mut Vec<MaskSpan>,
    ) -> Result<(), OverBudget> {
        let mut search = NumberSearch {
            text,
            budget,
            spans,
        };
        if let Some(kind) = self.email {
            search.emails(kind)?;
        }
        if let Some(kind) = self.phone {
            search.phones(kind)?;
        }
        if let Some(kind) = self.card {
            search.cards(kind)?;
        }
        if let Some(kind) = self.iban {
            search.ibans(kind)?;
        }
        Ok(())
    }
}

/// The search in one text.
struct NumberSearch<'a> {
    text: &'a [u8],
    budget: &'a mut MaskBudget,
    spans: &'a mut Vec<MaskSpan>,
}

impl NumberSearch<'_> {
    fn emails(&mut self, kind: usize) -> Result<(), OverBudget> {
        for at in memchr::memchr_iter(b'@', self.text) {
            if let Some((start, end)) = email(self.text, at, self.budget)? {
                self.spans.push(MaskSpan { start, end, kind });
            }
        }
        Ok(())
    }

    fn phones(&mut self, kind: usize) -> Result<(), OverBudget> {
        let mut done = 0;
        for at in memchr::memchr_iter(b'+', self.text) {
            if matches!(self.text.get(at + 1), Some(b'1'..=b'9')) {
                done = self.number(at, done, kind, phone)?;
            }
        }
        Ok(())
    }

    fn cards(&mut self, kind: usize) -> Result<(), OverBudget> {
        let mut done = 0;
        each_dense(self.text, |place| {
            let from = done.max(place.saturating_sub(LONGEST_CARD_BYTES));
            let to = place + DENSE_BYTES;
            self.budget.spend(to.saturating_sub(from))?;
            for at in from..to {
                if self.text.get(at).is_some_and(u8::is_ascii_digit) {
                    done = self.number(at, done, kind, card)?;
                }
            }
            done = done.max(to);
            Ok(())
        })
    }

    fn ibans(&mut self, kind: usize) -> Result<(), OverBudget> {
        let mut done = 0;
        each_capital_before_digit(self.text, |capital| {
            // A country has two letters.
            if let Some(at) = capital.checked_sub(1)
                && self.text.get(at).is_some_and(u8::is_ascii_uppercase)
            {
                done = self.number(at, done, kind, iban)?;
            }
            Ok(())
        })
    }

    /// Looks for a number at `at`, if a word begins there and it is not in another number, which
    /// ends at `done`. Returns where the last number ends.
    fn number(
        &mut self,
        at: usize,
        done: usize,
        kind: usize,
        end_of: impl Fn(&[u8], usize) -> Option<usize>,
    ) -> Result<usize, OverBudget> {
        if at < done || !word_begins(self.text, at) {
            return Ok(done);
        }
        self.budget.spend(LONGEST_BYTES)?;
        let Some(end) = end_of(self.text, at) else {
            return Ok(done);
        };
        self.spans.push(MaskSpan {
            start: at,
            end,
            kind,
        });
        Ok(end)
    }
}

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
fn card(text: &[u8], start: usize) -> Option<usize> {
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

/// The end of an account number (IBAN) that begins at `start`.
fn iban(text: &[u8], start: usize) -> Option<usize> {
    let country = text.get(start..start + 2)?;
    let known = IBAN_BYTES
        .as_bytes()
        .chunks(4)
        .find(|known| known.starts_with(country))?;
    let length = usize::from(known.get(2)? - b'0') * 10 + usize::from(known.get(3)? - b'0');
    let mut number = Vec::with_capacity(length);
    let mut end = start;
    for (at, byte) in text.iter().enumerate().skip(start) {
        if number.len() == length {
            break;
        }
        let next = text.get(at + 1).copied().unwrap_or_default();
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' => number.push(*byte),
            b' ' | b'-' if number.len() % 4 == 0 && next.is_ascii_alphanumeric() => {}
            _ => return None,
        }
        end = at + 1;
    }
    let is_iban = number.len() == length
        && number.iter().skip(2).take(2).all(u8::is_ascii_digit)
        && word_ends(text, end)
        && mod_97(&number) == 1;
    is_iban.then_some(end)
}

/// The checksum of account numbers.
fn mod_97(number: &[u8]) -> u32 {
    let (first, rest) = number.split_at(number.len().min(4));
    rest.iter().chain(first).fold(0, |sum, byte| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte - b'0')) % 97,
        _ => (sum * 100 + u32::from(byte.wrapping_sub(b'A')) + 10) % 97,
    })
}

/// The end of a telephone number with a country code, which begins with `+` at `start`.
fn phone(text: &[u8], start: usize) -> Option<usize> {
    let mut digits = 0;
    let mut end = start + 1;
    if !matches!(text.get(end), Some(b'1'..=b'9')) {
        return None;
    }
    for (at, byte) in text.iter().enumerate().skip(end).take(MAX_PHONE_BYTES) {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                end = at + 1;
            }
            b' ' | b'-' | b'.' | b'(' | b')' | b'/' => {}
            _ => break,
        }
    }
    (PHONE_DIGITS.contains(&digits) && word_ends(text, end)).then_some(end)
}

/// The e-mail address around an `@`.
fn email(
    text: &[u8],
    at: usize,
    budget: &mut MaskBudget,
) -> Result<Option<(usize, usize)>, OverBudget> {
    let is_local = |byte: &&u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(byte);
    let before = text.get(..at).unwrap_or_default();
    let local = before
        .iter()
        .rev()
        .take(MAX_LOCAL_BYTES)
        .take_while(is_local)
        .count();
    let is_domain = |byte: &&u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
    let after = text.get(at + 1..).unwrap_or_default();
    let len = after
        .iter()
        .take(MAX_DOMAIN_BYTES)
        .take_while(is_domain)
        .count();
    budget.spend(local + len)?;
    let mut domain = after.get(..len).unwrap_or_default();
    while let Some((b'.' | b'-', rest)) = domain.split_last() {
        domain = rest;
    }
    let top = domain
        .rsplit(|byte| *byte == b'.')
        .next()
        .unwrap_or_default();
    let is_address = local > 0
        && top.len() >= 2
        && top.len() < domain.len()
        && top.iter().all(u8::is_ascii_alphabetic);
    Ok(is_address.then_some((at - local, at + 1 + domain.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, &str)> {
        let all = NumberFinder {
            card: Some(0),
            iban: Some(1),
            phone: Some(2),
            email: Some(3),
        };
        let mut spans = Vec::new();
        let mut budget = MaskBudget::for_field(text.len());
        all.find(text.as_bytes(), &mut budget, &mut spans).unwrap();
        spans
            .iter()
            .map(|span| (span.kind, &text[span.start..span.end]))
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
                assert_eq!(found(&text), [(0, card)], "{text}");
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
            let kinds: Vec<usize> = found(text).iter().map(|(kind, _)| *kind).collect();
            assert_eq!(kinds, [0, 0], "{text}");
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
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn accounts_with_and_without_blanks() {
        for iban in [
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "GB82WEST12345698765432",
            "NO9386011117947",
            "NO93 8601 1117 947",
            "MT84MALT011000012345MTLCAST001S",
            "FR14 2004 1010 0505 0001 3M02 606",
            "CH9300762011623852957",
        ] {
            assert_eq!(found(&format!("to {iban} now")), [(1, iban)]);
            // Another check digit.
            let digit = (iban.as_bytes()[2] - b'0' + 1) % 10;
            let wrong = format!("{}{digit}{}", &iban[..2], &iban[3..]);
            assert_eq!(found(&wrong), [], "{wrong}");
        }
    }

    #[test]
    fn people_s_addresses() {
        assert_eq!(found("call +49 30 901820-55."), [(2, "+49 30 901820-55")]);
        assert_eq!(
            found("call +1 (212) 555-0100 now"),
            [(2, "+1 (212) 555-0100")]
        );
        assert_eq!(
            found("write jane.doe+x@mail.example.com."),
            [(3, "jane.doe+x@mail.example.com")]
        );
        for text in ["1 + 12345678901", "user@host", "@12345678 a", "a@b.c1"] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
