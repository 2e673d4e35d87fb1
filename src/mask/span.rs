//! Where secrets are in a text, and how much work may be spent on finding them.

/// The work that any field may cost, in bytes looked at.
const FREE_WORK: usize = 64 << 10;
/// The work that each byte of a field may cost.
const WORK_PER_BYTE: usize = 32;
/// The parameters of a control sequence are no longer.
const MAX_CONTROL_BYTES: usize = 16;

/// A secret in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MaskSpan {
    pub start: usize,
    pub end: usize,
    /// Index of its kind.
    pub kind: usize,
}

/// The work on one field would exceed its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OverBudget;

/// What is left to spend on one field. It counts bytes, not time: an event that is sent
/// again must become the same event.
#[derive(Debug)]
pub(super) struct MaskBudget(usize);

impl MaskBudget {
    pub fn for_field(bytes: usize) -> Self {
        Self(FREE_WORK.saturating_add(bytes.saturating_mul(WORK_PER_BYTE)))
    }

    pub fn spend(&mut self, bytes: usize) -> Result<(), OverBudget> {
        self.0 = self.0.checked_sub(bytes).ok_or(OverBudget)?;
        Ok(())
    }
}

/// Sorts spans and joins those that overlap. A span within another one goes; of equal spans
/// the first one stays.
pub(super) fn join(mut spans: Vec<MaskSpan>) -> Vec<MaskSpan> {
    spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
    let mut joined: Vec<MaskSpan> = Vec::with_capacity(spans.len());
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => joined.push(span),
        }
    }
    joined
}

/// Whether a word may begin at `at`: the byte before is no letter or digit, or belongs to an
/// escape sequence such as `\n`, `\u00e9` or `%3D`, or to one that sets a colour.
pub(super) fn word_begins(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    match before {
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f' | b'v' | b'0'] => true,
        [.., b'\\', b'x', _, _] | [.., b'\\', b'u', _, _, _, _] => true,
        [.., b'%', one, other] if one.is_ascii_hexdigit() && other.is_ascii_hexdigit() => true,
        [before @ .., b'm' | b'K' | b'G' | b'H' | b'J'] => ends_in_control(before),
        [.., byte] => !byte.is_ascii_alphanumeric(),
        [] => true,
    }
}

/// Whether a text ends in the beginning of a control sequence of terminals, such as `ESC [ 1 ; 31`.
fn ends_in_control(text: &[u8]) -> bool {
    let is_parameter = |byte: &&u8| byte.is_ascii_digit() || **byte == b';';
    let parameters = text
        .iter()
        .rev()
        .take(MAX_CONTROL_BYTES)
        .take_while(is_parameter)
        .count();
    let before = text.get(..text.len() - parameters).unwrap_or_default();
    let escapes: [&[u8]; 6] = [b"\x1b[", b"001b[", b"001B[", b"\\x1b[", b"\\033[", b"\\e["];
    escapes.iter().any(|escape| before.ends_with(escape))
}

/// Whether a word may end before `at`.
pub(super) fn word_ends(text: &[u8], at: usize) -> bool {
    !text.get(at).is_some_and(u8::is_ascii_alphanumeric)
}
