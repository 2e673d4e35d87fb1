//! Makes fields storable: without NUL, and within the length limit.

use serde::Serialize;

use crate::event::{Json, JsonError, Repairs, clean_text};

/// Makes the fields of a request storable and counts the changes.
#[derive(Debug, Default)]
pub struct FieldFitter {
    /// The longest field in bytes.
    max_bytes: usize,
    /// The characters that were replaced by U+FFFD.
    pub repairs: Repairs,
    /// The number of fields that were truncated.
    pub truncated: u64,
    /// A reusable buffer for writing JSON.
    scratch: Vec<u8>,
}

impl FieldFitter {
    /// A fitter for fields of at most `max_bytes`.
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            ..Self::default()
        }
    }

    /// Makes a text storable. A text that is too long is truncated and marked.
    pub fn text(&mut self, text: impl Into<String>) -> String {
        let mut text = text.into();
        if text.len() > self.max_bytes {
            self.truncate(&mut text);
        }
        clean_text(text, &mut self.repairs)
    }

    /// Makes a text storable. `None` if it is empty.
    pub fn non_empty_text(&mut self, text: impl Into<String>) -> Option<String> {
        let text = self.text(text);
        (!text.is_empty()).then_some(text)
    }

    /// Writes a value as JSON. If it is too long, returns its beginning as a JSON
    /// string. JSON that would be far larger in Postgres becomes a JSON string, too.
    pub fn json(&mut self, value: &(impl Serialize + ?Sized)) -> Option<Json> {
        let json = match self.try_write(value) {
            Ok(json) => json,
            Err(text) => return self.json_string(&text?),
        };
        if json.as_str().len() > self.max_bytes {
            return self.truncated_json(json.as_str());
        }
        Some(json)
    }

    /// Writes a value as a JSON object, for columns that accept only objects. If
    /// it is too long, the object has its beginning as `truncated`. If it would be far
    /// larger in Postgres, the object has its text as `text`.
    pub fn object(&mut self, value: &impl Serialize) -> Option<Json> {
        let json = match self.try_write(value) {
            Ok(json) => json,
            Err(text) => {
                let text = self.text(text?);
                return self.write(&serde_json::json!({"text": text}));
            }
        };
        if json.as_str().len() > self.max_bytes {
            let beginning = self.text(json.as_str());
            let truncated = serde_json::json!({"truncated": beginning});
            return self.write(&truncated);
        }
        json.into_object().ok()
    }

    /// Keeps JSON text unchanged. Text that is not JSON becomes a JSON string.
    pub fn json_text(&mut self, text: &str) -> Option<Json> {
        self.intact_json(text).or_else(|| self.json_string(text))
    }

    /// Keeps JSON text unchanged. `None` if it is too long, or not JSON that
    /// Postgres is sure to accept.
    pub fn intact_json(&mut self, text: &str) -> Option<Json> {
        let fits = text.len() <= self.max_bytes;
        fits.then(|| Json::new(text.to_owned(), &mut self.repairs).ok())?
    }

    fn write(&mut self, value: &(impl Serialize + ?Sized)) -> Option<Json> {
        self.try_write(value).ok()
    }

    /// Writes a value. The error is the text of JSON that cannot be stored as JSON.
    fn try_write(&mut self, value: &(impl Serialize + ?Sized)) -> Result<Json, Option<String>> {
        let json = Json::from_value(value, &mut self.scratch, &mut self.repairs);
        json.map_err(|error| match error {
            JsonError::Invalid { .. } => None,
            _ => String::from_utf8(std::mem::take(&mut self.scratch)).ok(),
        })
    }

    fn json_string(&mut self, text: &str) -> Option<Json> {
        if text.len() > self.max_bytes {
            return self.truncated_json(text);
        }
        self.write(text)
    }

    fn truncated_json(&mut self, text: &str) -> Option<Json> {
        let mut cut = text.to_owned();
        self.truncate(&mut cut);
        self.write(&cut)
    }

    fn truncate(&mut self, text: &mut String) {
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
    fn json_with_a_number_that_postgres_may_refuse_becomes_a_string() {
        let mut fit = FieldFitter::new(1 << 20);
        for number in ["1e9999", "-1E+09999", "0.5e-16384", &"9".repeat(131_073)] {
            let text = format!("[{number}]");
            let json = fit.json_text(&text).unwrap();
            assert_eq!(json.as_str(), format!("\"{text}\""));
            assert_eq!(fit.intact_json(&text), None);
        }
        for number in ["1e999", "-0.1E-308", &"9".repeat(131_072), "\"1e9999\""] {
            let text = format!("[{number}]");
            assert_eq!(fit.json_text(&text).unwrap().as_str(), text);
        }
        let doubles = vec![1e308; 1_000];
        let json = fit.json(&doubles).unwrap();
        assert!(json.as_str().starts_with("\"[1e"), "{json:.40?}");
        let json = fit.object(&serde_json::json!({"a": doubles})).unwrap();
        assert!(json.as_str().starts_with("{\"text\":\"{"), "{json:.40?}");
        assert_eq!(fit.truncated, 0);
    }

    #[test]
    fn long_fields_are_truncated_marked_and_counted() {
        let mut fit = FieldFitter::new(64);
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
