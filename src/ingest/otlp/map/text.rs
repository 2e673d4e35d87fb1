//! Fields as the events need them: without NUL, and no longer than allowed.

use serde::Serialize;

use crate::event::{Json, Repairs, clean_text};

/// What was changed so that it can be stored.
#[derive(Debug, Default)]
pub struct Fit {
    /// Longest field in bytes.
    max_bytes: usize,
    /// What was replaced by U+FFFD.
    pub repairs: Repairs,
    /// Fields that were cut.
    pub truncated: u64,
    /// Where JSON is written before its length is known.
    scratch: Vec<u8>,
}

impl Fit {
    /// Of a request whose fields may have so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            ..Self::default()
        }
    }

    /// A text, cut and marked where it is too long.
    pub fn text(&mut self, text: impl Into<String>) -> String {
        let mut text = text.into();
        if text.len() > self.max_bytes {
            self.cut(&mut text);
        }
        clean_text(text, &mut self.repairs)
    }

    /// A text that says something.
    pub fn some(&mut self, text: impl Into<String>) -> Option<String> {
        let text = self.text(text);
        (!text.is_empty()).then_some(text)
    }

    /// JSON. Of what is too long the beginning is kept, as a JSON string.
    pub fn json(&mut self, value: &(impl Serialize + ?Sized)) -> Option<Json> {
        let json = self.write(value)?;
        if json.as_str().len() > self.max_bytes {
            return self.beginning(json.as_str());
        }
        Some(json)
    }

    /// A JSON object, for columns that hold nothing else.
    pub fn object(&mut self, value: &impl Serialize) -> Option<Json> {
        let json = self.write(value)?;
        if json.as_str().len() > self.max_bytes {
            let begins = self.text(json.as_str());
            let cut = serde_json::json!({"truncated": begins});
            return self.write(&cut);
        }
        json.into_object().ok()
    }

    /// JSON text as it came; text that is no JSON becomes a JSON string.
    pub fn json_text(&mut self, text: &str) -> Option<Json> {
        if text.len() > self.max_bytes {
            return self.beginning(text);
        }
        self.whole_json(text).or_else(|| self.write(text))
    }

    /// JSON text as it came, unless it is too long, or no JSON that can surely be stored.
    pub fn whole_json(&mut self, text: &str) -> Option<Json> {
        let fits = text.len() <= self.max_bytes;
        fits.then(|| Json::without_large_numbers(text.to_owned(), &mut self.repairs).ok())?
    }

    fn write(&mut self, value: &(impl Serialize + ?Sized)) -> Option<Json> {
        Json::from_value(value, &mut self.scratch, &mut self.repairs).ok()
    }

    fn beginning(&mut self, text: &str) -> Option<Json> {
        let mut cut = text.to_owned();
        self.cut(&mut cut);
        self.write(&cut)
    }

    fn cut(&mut self, text: &mut String) {
        self.truncated += 1;
        let length = text.len();
        let mark = |left_out: usize| format!("… [{left_out} bytes left out]");
        let mut end = self.max_bytes.saturating_sub(mark(length).len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(&mark(length - end));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_number_that_postgres_may_not_take_leaves_its_text_a_text() {
        let mut fit = Fit::new(1 << 20);
        for number in ["1e9999", "-1E+09999", "0.5e-1000", &"9".repeat(1_001)] {
            let text = format!("[{number}]");
            let json = fit.json_text(&text).unwrap();
            assert_eq!(json.as_str(), format!("\"{text}\""));
            assert_eq!(fit.whole_json(&text), None);
        }
        for number in ["1e999", "-0.1E-308", &"9".repeat(1_000), "\"1e9999\""] {
            let text = format!("[{number}]");
            assert_eq!(fit.json_text(&text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_marked_and_counted() {
        let mut fit = Fit::new(64);
        assert_eq!(fit.text("é".repeat(32)), "é".repeat(32));
        assert_eq!(fit.json_text(&"x".repeat(64)).unwrap().as_str().len(), 66);
        assert_eq!(fit.json(&"x".repeat(62)).unwrap().as_str().len(), 64);
        assert_eq!(fit.truncated, 0);
        let cut = fit.text("x".repeat(65));
        assert_eq!(cut.len(), 64, "{cut}");
        assert!(cut.ends_with("bytes left out]"), "{cut}");
        for cut in [fit.json_text(&"x".repeat(65)), fit.json(&"x".repeat(63))] {
            let cut = cut.unwrap();
            assert!(cut.as_str().ends_with("bytes left out]\""), "{cut:?}");
        }
        assert_eq!(fit.truncated, 3);
        let cut = fit.text("é".repeat(1000));
        assert!(cut.len() <= 64 && cut.ends_with("bytes left out]"), "{cut}");
        assert_eq!(fit.truncated, 4);
        let cut = fit.json(&Value::String("x".repeat(1000))).unwrap();
        assert!(cut.as_str().starts_with("\"\\\"xx"), "{cut:?}");
        let cut = fit
            .object(&serde_json::json!({"a": "x".repeat(1000)}))
            .unwrap();
        assert!(cut.as_str().starts_with("{\"truncated\":"), "{cut:?}");
        assert_eq!(fit.truncated, 6);
    }
}
