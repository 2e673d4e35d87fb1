//! Fields as the events need them: without NUL, and no longer than allowed.

use serde_json::Value;

use crate::event::{Json, Repairs, clean_text};

/// What was changed so that it can be stored.
#[derive(Debug, Default)]
pub struct Fit {
    /// Longest field in bytes.
    pub max_bytes: usize,
    /// What was replaced by U+FFFD.
    pub repairs: Repairs,
    /// Fields that were cut.
    pub truncated: u64,
}

impl Fit {
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
    pub fn json(&mut self, value: &Value) -> Option<Json> {
        self.json_text(&value.to_string())
    }

    /// A JSON object, for columns that hold nothing else.
    pub fn object(&mut self, value: &Value) -> Option<Json> {
        let text = value.to_string();
        if text.len() > self.max_bytes {
            let begins = self.text(text);
            let cut = serde_json::json!({"truncated": begins}).to_string();
            return Json::object(cut, &mut self.repairs).ok();
        }
        Json::object(text, &mut self.repairs).ok()
    }

    /// JSON text as it came; text that is no JSON becomes a JSON string.
    pub fn json_text(&mut self, text: &str) -> Option<Json> {
        if text.len() > self.max_bytes {
            let mut cut = text.to_owned();
            self.cut(&mut cut);
            return Json::new(Value::String(cut).to_string(), &mut self.repairs).ok();
        }
        if let Ok(json) = Json::new(text.to_owned(), &mut self.repairs) {
            return Some(json);
        }
        let quoted = Value::String(text.to_owned()).to_string();
        Json::new(quoted, &mut self.repairs).ok()
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
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_marked_and_counted() {
        let mut fit = Fit {
            max_bytes: 64,
            ..Fit::default()
        };
        assert_eq!(fit.text("é".repeat(32)), "é".repeat(32));
        assert_eq!(fit.truncated, 0);
        let cut = fit.text("é".repeat(1000));
        assert!(cut.len() <= 64 && cut.ends_with("bytes left out]"), "{cut}");
        assert_eq!(fit.truncated, 1);
        let cut = fit.json(&Value::String("x".repeat(1000))).unwrap();
        assert!(cut.as_str().starts_with("\"\\\"xx"), "{cut:?}");
        let cut = fit
            .object(&serde_json::json!({"a": "x".repeat(1000)}))
            .unwrap();
        assert!(cut.as_str().starts_with("{\"truncated\":"), "{cut:?}");
        assert_eq!(fit.truncated, 3);
    }
}
