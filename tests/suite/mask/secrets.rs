//! Secrets of many kinds. They are assembled while the test runs, so that nothing that looks
//! like a secret is in the repository.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &[u8] = b"0123456789abcdef";
const DIGITS: &[u8] = b"0123456789";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Secrets that are a prefix and random characters. The prefix is in two parts.
const PLAIN: [(&str, &str, &[u8], usize); 36] = [
    ("sk-", "ant-api03-", ALNUM, 60),
    ("sk-", "proj-", ALNUM, 48),
    ("s", "k-", ALNUM, 48),
    ("sk-", "or-v1-", HEX, 64),
    ("sk_", "live_", ALNUM, 24),
    ("rk_", "live_", ALNUM, 24),
    ("wh", "sec_", ALNUM, 32),
    ("gh", "p_", ALNUM, 36),
    ("gh", "s_", ALNUM, 36),
    ("github", "_pat_", ALNUM, 60),
    ("gl", "pat-", ALNUM, 20),
    ("xo", "xb-", DIGITS, 40),
    ("AK", "IA", BASE32, 16),
    ("AI", "za", ALNUM, 35),
    ("ya", "29.", ALNUM, 60),
    ("GOC", "SPX-", ALNUM, 28),
    ("h", "f_", ALNUM, 34),
    ("np", "m_", ALNUM, 36),
    ("py", "pi-", ALNUM, 80),
    ("do", "p_v1_", HEX, 64),
    ("sh", "pat_", HEX, 32),
    ("sq0", "atp-", ALNUM, 22),
    ("EA", "A", ALNUM, 120),
    ("lin", "_api_", ALNUM, 40),
    ("nt", "n_", ALNUM, 46),
    ("da", "pi", HEX, 32),
    ("dckr", "_pat_", ALNUM, 27),
    ("hv", "s.", ALNUM, 90),
    ("pp", "lx-", ALNUM, 48),
    ("gs", "k_", ALNUM, 52),
    ("r", "8_", ALNUM, 37),
    ("xa", "i-", ALNUM, 80),
    ("nv", "api-", ALNUM, 64),
    ("ph", "x_", ALNUM, 43),
    ("fi", "gd_", ALNUM, 40),
    ("sb", "p_", HEX, 40),
];

/// A secret within a text.
pub struct Secret {
    pub kind: String,
    /// A text with the secret.
    pub text: String,
    /// What must not be found anywhere.
    pub needle: String,
}

struct Maker(StdRng);

impl Maker {
    fn random(&mut self, alphabet: &[u8], count: usize) -> String {
        let pick = |_| char::from(alphabet[self.0.random_range(0..alphabet.len())]);
        (0..count).map(pick).collect()
    }

    fn base64(&mut self, bytes: usize) -> String {
        use base64::Engine as _;
        let text = format!("{{\"v\":\"{}\"}}", self.random(ALNUM, bytes));
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    }

    /// The kind, a text and the needle. The last kinds are those with a form of their own.
    fn secret(&mut self, number: usize) -> Secret {
        let word = self.random(ALNUM, 24);
        let made = |kind: &str, text: String, needle: &str| Secret {
            kind: kind.to_owned(),
            text,
            needle: needle.to_owned(),
        };
        if let Some((one, two, alphabet, count)) = PLAIN.get(number % (PLAIN.len() + 12)) {
            let token = format!("{one}{two}{}", self.random(alphabet, *count));
            return made(
                &format!("{one}{two}"),
                format!("use {token}, then go on"),
                &token,
            );
        }
        match number % (PLAIN.len() + 12) - PLAIN.len() {
            0 => {
                let token = format!("{}.{}.{word}", self.base64(20), self.base64(40));
                made("jwt", format!("jwt={token}"), &token)
            }
            1 => {
                let dashes = "-".repeat(5);
                let key = format!(
                    "{dashes}BEGIN PRIVATE KEY{dashes}\n{word}\n{word}\n{dashes}END PRIVATE KEY{dashes}"
                );
                made("private key", format!("my key:\n{key}\n"), &word)
            }
            2 => made(
                "url",
                format!("connect to postgres://me:{word}@db.example.com/x"),
                &word,
            ),
            3 => made(
                "bearer",
                format!("curl -H 'Authorization: Bearer {word}7{word}'"),
                &word,
            ),
            4 => {
                use base64::Engine as _;
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("me:{word}"));
                made("basic", format!("authorization: Basic {pair}"), &pair)
            }
            5 => made("assigned", format!("password = \"{word}\""), &word),
            6 => made("variable", format!("export DB_PASSWORD={word}"), &word),
            7 => made("query", format!("GET /x?api_key={word}&y=1"), &word),
            8 => made(
                "in json",
                format!("{{\"a\": {{\"clientSecret\": \"{word}\"}}}}"),
                &word,
            ),
            9 => made("cookie", format!("Cookie: sid={word}; theme=dark"), &word),
            10 => {
                let card = self.card();
                made("card", format!("paid with {card} today"), &card)
            }
            _ => {
                let iban = self.iban();
                made("iban", format!("to {iban} please"), &iban)
            }
        }
    }

    fn card(&mut self) -> String {
        let digits = format!("4{}", self.random(DIGITS, 14));
        let double = |(at, digit): (usize, char)| {
            let digit = digit.to_digit(10).unwrap() * (2 - u32::try_from(at % 2).unwrap());
            digit / 10 + digit % 10
        };
        let sum: u32 = digits.chars().enumerate().map(double).sum();
        let digits = format!("{digits}{}", (10 - sum % 10) % 10);
        let groups: Vec<&str> = (0..4).map(|at| &digits[at * 4..at * 4 + 4]).collect();
        groups.join(" ")
    }

    fn iban(&mut self) -> String {
        let account = self.random(DIGITS, 18);
        // D and E are 13 and 14.
        let number: u128 = format!("{account}131400").parse().unwrap();
        format!("DE{:02}{account}", 98 - number % 97)
    }
}

/// The same secrets for the same seed.
pub fn secrets(count: usize, seed: u64) -> Vec<Secret> {
    let mut maker = Maker(StdRng::seed_from_u64(seed));
    (0..count).map(|number| maker.secret(number)).collect()
}

#[test]
fn there_are_enough_kinds() {
    let secrets = secrets(super::SECRETS, 1);
    let kinds: std::collections::BTreeSet<&str> =
        secrets.iter().map(|secret| &*secret.kind).collect();
    assert!(kinds.len() >= 40, "{kinds:?}");
    assert!(
        secrets
            .iter()
            .all(|secret| secret.text.contains(&secret.needle))
    );
}
