//! Finds numbers that are secrets: cards and accounts, by their checksums, and, if asked,
//! telephone numbers and e-mail addresses.

use super::cards::{LONGEST_CARD_BYTES, card};
use super::places::{DENSE_BYTES, NumberPlace, each_number_place};
use super::span::{MaskBudget, MaskSpan, OverBudget, word_begins, word_ends};

/// No such number is longer.
const LONGEST_BYTES: usize = 48;

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
        if self.card.is_some() || self.iban.is_some() {
            search.cards_and_accounts(self.card, self.iban)?;
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

    fn cards_and_accounts(
        &mut self,
        card: Option<usize>,
        iban: Option<usize>,
    ) -> Result<(), OverBudget> {
        let (mut card_done, mut iban_done) = (0, 0);
        each_number_place(self.text, |place| {
            match (place, card, iban) {
                (NumberPlace::Dense(at), Some(kind), _) => {
                    card_done = self.card(at, card_done, kind)?;
                }
                (NumberPlace::Capital(at), _, Some(kind)) => {
                    iban_done = self.account(at, iban_done, kind)?;
                }
                _ => {}
            }
            Ok(())
        })
    }

    /// Looks for a card around a dense place. Returns how far was looked.
    fn card(&mut self, place: usize, mut done: usize, kind: usize) -> Result<usize, OverBudget> {
        let from = done.max(place.saturating_sub(LONGEST_CARD_BYTES));
        let to = place + DENSE_BYTES;
        self.budget.spend(to.saturating_sub(from))?;
        for at in from..to {
            // No network has cards with other first digits.
            if matches!(self.text.get(at), Some(b'2'..=b'6')) {
                done = self.number(at, done, kind, card)?;
            }
        }
        Ok(done.max(to))
    }

    /// Looks for an account whose second letter is a capital before a digit. Returns where the last one ends.
    fn account(&mut self, capital: usize, done: usize, kind: usize) -> Result<usize, OverBudget> {
        match capital.checked_sub(1) {
            Some(at) if iban_bytes(self.text, at).is_some() => self.number(at, done, kind, iban),
            _ => Ok(done),
        }
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

/// The length of the account numbers (IBAN) of the country whose code is at `start`.
fn iban_bytes(text: &[u8], start: usize) -> Option<usize> {
    let country = text.get(start..start + 2)?;
    let countries = IBAN_BYTES.as_bytes().chunks(4);
    let known = countries
        .into_iter()
        .find(|known| known.starts_with(country))?;
    Some(usize::from(known.get(2)? - b'0') * 10 + usize::from(known.get(3)? - b'0'))
}

/// The end of an account number (IBAN) that begins at `start`.
pub(super) fn iban(text: &[u8], start: usize) -> Option<usize> {
    let length = iban_bytes(text, start)?;
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
