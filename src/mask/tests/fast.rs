//! The fast searches find what a look at every place finds.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::cards::card;
use super::super::numbers::{NumberFinder, iban};
use super::super::span::word_begins;
use super::*;

static MASKER: LazyLock<Masker> = LazyLock::new(masker);

/// Pieces of secrets, and what may stand around them.
const PIECES: [&str; 36] = [
    "4111111111111111",
    "4111 1111 1111 1111",
    "3782-822463-10005",
    "4222222222222",
    "DE89370400440532013000",
    "DE89 3704 0044 0532 0130 00",
    "NO9386011117947",
    "MT84MALT011000012345MTLCAST001S",
    "2026-08-01 12:00",
    "1764400000000",
    "0.12345678",
    "12 ",
    "A1",
    "-",
    "_",
    " ",
    "=",
    ": ",
    "\"",
    "\\n",
    "\\",
    "://me:pa55word@",
    ":\\/\\/me:pa55word@",
    "\\u0067",
    "é",
    "password",
    "PassPhrase",
    "api-Key",
    "auth_token",
    "uthorization",
    "ookie",
    "a1B2c3D4e5",
    "0123456789abcdef",
    "QWERTYUIOPASDFGH",
    "          ",
    "and the renewal of a contract ",
];

/// Texts of pieces and of the needles themselves, in which secrets are whole, cut, or side by side.
fn texts() -> impl Strategy<Value = String> {
    let begins: Vec<String> = needles(&MASKER).cloned().collect();
    let piece = prop_oneof![
        4 => prop::sample::select(&PIECES[..]).prop_map(str::to_owned),
        2 => prop::sample::select(begins),
        1 => "[ -~]{0,12}",
    ];
    let text = prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat());
    ("[a-z ]{0,70}", text).prop_map(|(before, text)| before + &text)
}

fn needles(masker: &Masker) -> impl Iterator<Item = &String> {
    let stems = masker.names.iter().flat_map(NameFinder::texts);
    masker.tokens.begins.iter().chain(stems)
}

/// The places of needles, found by comparing at every place.
fn needles_everywhere(masker: &Masker, text: &str) -> Vec<(usize, usize)> {
    let at = |start: usize| {
        let rest = &text.as_bytes()[start..];
        let needles = needles(masker).enumerate();
        needles.filter_map(move |(number, needle)| {
            rest.starts_with(needle.as_bytes())
                .then_some((start, number))
        })
    };
    (0..text.len()).flat_map(at).collect()
}

/// The end of a card that begins with a digit of one.
fn card_at(text: &[u8], start: usize) -> Option<usize> {
    matches!(text.get(start), Some(b'2'..=b'6')).then(|| card(text, start))?
}

/// Where numbers are, found by a look at every place.
fn numbers_everywhere(
    text: &[u8],
    end_of: impl Fn(&[u8], usize) -> Option<usize>,
) -> Vec<(usize, usize)> {
    let (mut done, mut found) = (0, Vec::new());
    for at in 0..text.len() {
        if at >= done
            && word_begins(text, at)
            && let Some(end) = end_of(text, at)
        {
            found.push((at, end));
            done = end;
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_fast_searches_miss_nothing(texts in prop::collection::vec(texts(), 1..4)) {
        for text in texts {
            let mut found = Vec::new();
            let all = MASKER.needles.each(text.as_bytes(), |start, number| {
                found.push((start, number));
                Ok::<(), OverBudget>(())
            });
            prop_assert_eq!(all, Ok(()));
            found.sort_unstable();
            prop_assert_eq!(found, needles_everywhere(&MASKER, &text), "{}", text);

            let finder = NumberFinder { card: Some(0), iban: Some(1), phone: None, email: None };
            let mut spans = Vec::new();
            let mut budget = MaskBudget::for_field(text.len());
            finder.find(text.as_bytes(), &mut budget, &mut spans).unwrap();
            for (kind, wanted) in [
                (0, numbers_everywhere(text.as_bytes(), card_at)),
                (1, numbers_everywhere(text.as_bytes(), iban)),
            ] {
                let spans = spans.iter().filter(|span| span.kind == kind);
                let found: Vec<_> = spans.map(|span| (span.start, span.end)).collect();
                prop_assert_eq!(found, wanted, "{}", text);
            }
        }
    }
}

#[test]
fn what_one_masker_finds_clean_another_one_masks() {
    let text = "acme_0123456789abcdef";
    let plain = masker();
    let own = with_file(
        "[[pattern]]\nname = \"acme\"\nprefixes = [\"acme_\"]\nregex = 'acme_[0-9a-f]{16}'",
    );
    for _ in 0..3 {
        assert_eq!(plain.text(text), None);
        assert_eq!(untagged(&own.text(text).unwrap()), "<acme>");
    }
}

#[test]
fn a_text_like_one_that_was_clean_is_masked() {
    let masker = masker();
    for length in 8..80 {
        let clean = "p=".repeat(length / 2);
        let secret = format!("password={}", "x1".repeat(length / 2));
        for text in [&clean, &format!("{clean}\0"), &clean] {
            assert_eq!(masker.text(text), None);
        }
        for _ in 0..2 {
            let masked = masker.text(&secret).unwrap();
            assert_eq!(untagged(&masked), "password=<secret>");
        }
        let card = format!("{} 4111111111111111", "x".repeat(length % 30));
        assert_eq!(masker.text(&card.replace('4', "5")), None);
        assert!(masker.text(&card).is_some());
    }
}
