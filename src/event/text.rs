//! Text that Postgres can store.

/// Counts of characters that were replaced by U+FFFD because Postgres cannot store them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    /// NUL characters, raw in text or as `\u0000` in JSON.
    pub nuls: u64,
    /// Lone surrogates in JSON escapes.
    pub surrogates: u64,
}

/// Replaces each NUL by U+FFFD, and counts it in `repairs`.
#[must_use]
pub fn clean_text(text: String, repairs: &mut Repairs) -> String {
    let nuls = text.bytes().filter(|&byte| byte == 0).count();
    if nuls == 0 {
        return text;
    }
    repairs.nuls += nuls as u64;
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_becomes_the_replacement_character_and_is_counted() {
        let mut repairs = Repairs::default();
        assert_eq!(
            clean_text("a\0b\0".into(), &mut repairs),
            "a\u{fffd}b\u{fffd}"
        );
        assert_eq!(clean_text("plain".into(), &mut repairs), "plain");
        assert_eq!(
            repairs,
            Repairs {
                nuls: 2,
                surrogates: 0
            }
        );
    }
}
