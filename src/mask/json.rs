//! Masks the text of JSON in place. Strings without anything suspicious are passed over, and
//! nothing recurses: a string is a key if a colon is behind it.

use super::Masker;
use super::span::{MaskBudget, OverBudget};
use super::values::is_placeholder;
use crate::event::{Json, Repairs};

/// JSON that is being written anew, as far as it changes.
struct JsonEdit<'a> {
    text: &'a str,
    /// Where the part begins that is not copied yet.
    copied: usize,
    written: String,
}

impl<'a> JsonEdit<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            copied: 0,
            written: String::new(),
        }
    }

    /// Puts a string in the place of a value or a key.
    fn replace(&mut self, (start, end): (usize, usize), string: &str) {
        self.written
            .push_str(self.text.get(self.copied..start).unwrap_or_default());
        self.written
            .push_str(&serde_json::Value::from(string).to_string());
        self.copied = end;
    }

    fn finish(mut self) -> Option<String> {
        if self.copied == 0 {
            return None;
        }
        self.written
            .push_str(self.text.get(self.copied..).unwrap_or_default());
        Some(self.written)
    }
}

/// Walks over the values of JSON.
struct JsonWalk<'a, 'b> {
    masker: &'a Masker,
    edit: JsonEdit<'a>,
    bytes: &'a [u8],
    /// Places that deserve a look, in order.
    hits: std::iter::Peekable<std::vec::IntoIter<usize>>,
    depth: usize,
    budget: &'b mut MaskBudget,
}

impl Masker {
    /// Masks the text of JSON. `None` if there is nothing to mask.
    pub(super) fn mask_json(
        &self,
        text: &str,
        budget: &mut MaskBudget,
    ) -> Result<Option<String>, OverBudget> {
        let hits = self.json_hits(text.as_bytes(), budget)?;
        if hits.is_empty() {
            return Ok(None);
        }
        self.walk_json(text, hits, 0, budget)
    }

    /// Masks the strings of JSON in which there are hits.
    pub(super) fn walk_json(
        &self,
        text: &str,
        mut hits: Vec<usize>,
        depth: usize,
        budget: &mut MaskBudget,
    ) -> Result<Option<String>, OverBudget> {
        budget.spend(text.len())?;
        hits.sort_unstable();
        let mut walk = JsonWalk {
            masker: self,
            edit: JsonEdit::new(text),
            bytes: text.as_bytes(),
            hits: hits.into_iter().peekable(),
            depth,
            budget,
        };
        walk.walk()?;
        Ok(walk.edit.finish())
    }
}

impl JsonWalk<'_, '_> {
    fn walk(&mut self) -> Result<(), OverBudget> {
        let mut at = 0;
        while let Some(byte) = self.bytes.get(at) {
            at = match byte {
                b'"' => self.string(at)?,
                b'0'..=b'9' | b'-' => self.number(at)?,
                _ => at + 1,
            };
            if self.hits.peek().is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Whether there is a hit before `end`; all of them are done then.
    fn take_hits(&mut self, end: usize) -> bool {
        let mut any = false;
        while self.hits.next_if(|hit| *hit < end).is_some() {
            any = true;
        }
        any
    }

    /// Masks the string at `start`. Returns where to go on.
    fn string(&mut self, start: usize) -> Result<usize, OverBudget> {
        let end = string_end(self.bytes, start);
        if !self.take_hits(end) {
            return Ok(end);
        }
        let content = self.content((start, end));
        let colon = skip_space(self.bytes, end);
        let is_key = self.bytes.get(colon) == Some(&b':');
        let masked = match &content {
            Some(content) => self.masker.mask_text(content, self.depth, self.budget)?,
            None => return Err(OverBudget),
        };
        if let Some(masked) = masked {
            self.edit.replace((start, end), &masked);
        }
        let name = content.unwrap_or_default();
        if is_key && self.masker.is_secret_name(name.as_bytes()) {
            return self.named(skip_space(self.bytes, colon + 1));
        }
        Ok(end)
    }

    /// Masks the value at `start`, which has the name of a secret.
    fn named(&mut self, start: usize) -> Result<usize, OverBudget> {
        let end = value_end(self.bytes, start);
        self.budget.spend(end - start)?;
        let raw = self.edit.text.get(start..end).unwrap_or_default();
        let secret = match raw.as_bytes().first() {
            Some(b'"') => self.content((start, end)).ok_or(OverBudget)?,
            Some(b'0'..=b'9' | b'-') => raw.to_owned(),
            Some(b'{' | b'[')
                if raw
                    .bytes()
                    .any(|byte| byte == b'"' || byte.is_ascii_digit()) =>
            {
                raw.to_owned()
            }
            _ => return Ok(start),
        };
        let is_container = raw.starts_with(['{', '[']);
        let is_harmless = !is_container && is_placeholder(secret.as_bytes());
        if is_harmless || self.masker.is_allowed(&secret) {
            return Ok(start);
        }
        let mask = self.masker.mask_whole(&secret, self.budget)?;
        self.edit.replace((start, end), &mask);
        self.take_hits(end);
        Ok(end)
    }

    fn number(&mut self, start: usize) -> Result<usize, OverBudget> {
        let end = scalar_end(self.bytes, start);
        if self.take_hits(end) {
            let number = self.edit.text.get(start..end).unwrap_or_default();
            if let Some(masked) = self.masker.mask_text(number, self.depth, self.budget)? {
                self.edit.replace((start, end), &masked);
            }
        }
        Ok(end)
    }

    /// The content of a string, without quotes and escape sequences.
    fn content(&self, (start, end): (usize, usize)) -> Option<String> {
        let string = self.edit.text.get(start..end)?;
        serde_json::from_str(string).ok().or_else(|| {
            // A half of a character, where somebody has cut a text.
            let string = Json::with_limits(1, false, string.to_owned(), &mut Repairs::default());
            serde_json::from_str(string.ok()?.as_str()).ok()
        })
    }
}

/// The place behind the string that begins at `start`.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        let rest = json.get(at..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest) {
            None => return json.len(),
            Some(found) if rest.get(found) == Some(&b'"') => return at + found + 1,
            Some(found) => at += found + 2,
        }
    }
}

/// The place behind the value that begins at `start`.
fn value_end(json: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = json.get(at) {
        at = match byte {
            b'"' => string_end(json, at),
            b'{' | b'[' => {
                depth += 1;
                at + 1
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at + 1
            }
            b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => at + 1,
            _ => scalar_end(json, at),
        };
        if depth == 0 {
            break;
        }
    }
    at.min(json.len())
}

fn scalar_end(json: &[u8], start: usize) -> usize {
    let rest = json.get(start..).unwrap_or_default();
    let ends = |byte: &u8| b",]}: \n\r\t\"[{".contains(byte);
    start + rest.iter().take_while(|byte| !ends(byte)).count().max(1)
}

fn skip_space(json: &[u8], at: usize) -> usize {
    let rest = json.get(at..).unwrap_or_default();
    at + rest
        .iter()
        .take_while(|byte| b" \n\r\t".contains(byte))
        .count()
}
