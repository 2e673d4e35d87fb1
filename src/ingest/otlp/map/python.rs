//! Converts Python literals to JSON, because some instrumentations write
//! `str(value)`.

use serde_json::{Map, Number, Value};

use super::value::MAX_DEPTH;

/// Parses a literal of dictionaries, lists, tuples, strings, numbers, `True`,
/// `False` and `None`. Returns `None` for any other text, such as a call or a name.
pub fn literal(text: &str) -> Option<Value> {
    let mut reader = PythonReader { rest: text };
    let value = reader.value(0)?;
    reader.skip_space();
    reader.rest.is_empty().then_some(value)
}

struct PythonReader<'a> {
    rest: &'a str,
}

impl PythonReader<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip_space();
        match self.rest.chars().next()? {
            '{' => self.dictionary(depth),
            '[' => self.sequence("[", "]", depth),
            '(' => self.sequence("(", ")", depth),
            quote @ ('\'' | '"') => self.string(quote).map(Value::String),
            _ => self.word(),
        }
    }

    fn dictionary(&mut self, depth: usize) -> Option<Value> {
        let mut object = Map::new();
        self.take("{");
        while !self.take("}") {
            let key = match self.value(depth + 1)? {
                Value::String(key) => key,
                Value::Object(_) | Value::Array(_) => return None,
                other => other.to_string(),
            };
            if !self.take(":") {
                return None;
            }
            object.insert(key, self.value(depth + 1)?);
            if !self.take(",") {
                return self.take("}").then_some(Value::Object(object));
            }
        }
        Some(Value::Object(object))
    }

    fn sequence(&mut self, open: &str, close: &str, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        self.take(open);
        while !self.take(close) {
            items.push(self.value(depth + 1)?);
            if !self.take(",") {
                return self.take(close).then_some(Value::Array(items));
            }
        }
        Some(Value::Array(items))
    }

    fn string(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.rest[1..].char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                _ if char == quote => {
                    self.rest = &self.rest[1 + at + char.len_utf8()..];
                    return Some(text);
                }
                '\\' => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    kind @ ('x' | 'u' | 'U') => {
                        let digits = match kind {
                            'x' => 2,
                            'u' => 4,
                            _ => 8,
                        };
                        let mut code = 0;
                        for _ in 0..digits {
                            code = code * 16 + chars.next()?.1.to_digit(16)?;
                        }
                        text.push(char::from_u32(code)?);
                    }
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
        None
    }

    fn word(&mut self) -> Option<Value> {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c)));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Some(match word {
            "None" => Value::Null,
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            number => match number.parse::<i64>() {
                Ok(number) => number.into(),
                Err(_) => Value::Number(Number::from_f64(number.parse().ok()?)?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn literals_are_converted_to_json() {
        let text = r#"{'a': [1, -2.5, None], "b": (True, 'it\'s é \x41'), 'c': {},}"#;
        let want = json!({"a": [1, -2.5, null], "b": [true, "it's é A"], "c": {}});
        assert_eq!(literal(text), Some(want));
    }

    #[test]
    fn other_text_is_not_converted() {
        for text in [
            "{'a': f(x)}",
            "{'a'",
            "hello",
            "",
            "{1: 2} x",
            "'open",
            "{'a': Object at 0x1}",
        ] {
            assert_eq!(literal(text), None, "{text}");
        }
        assert_eq!(literal(&"[".repeat(100_000)), None);
    }
}
