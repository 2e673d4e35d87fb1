//! The text of `jsonb`, as Postgres prints it.

use super::*;
use crate::event::{MAX_JSON_DEPTH, Repairs};

fn json(text: &str) -> Json {
    Json::with_limits(MAX_JSON_DEPTH, false, text.into(), &mut Repairs::default()).expect("JSON")
}

#[test]
fn the_text_is_that_of_jsonb() {
    for (text, want) in [
        ("1e5", "100000"),
        ("1.50", "1.50"),
        ("-0", "0"),
        ("-0.00", "0.00"),
        ("1E-3", "0.001"),
        ("-1.50e1", "-15.0"),
        ("12.345e2", "1234.5"),
        ("0e-2", "0.00"),
        ("0e7", "0"),
        (" [ ] ", "[]"),
        ("{ }", "{}"),
        ("[1,\t{ \"a\" :null}]", "[1, {\"a\": null}]"),
        (
            r#"{"bb":1,"a":2,"c":3,"a":4,"":5}"#,
            r#"{"": 5, "a": 4, "c": 3, "bb": 1}"#,
        ),
        (
            r#""\/\u0001\u007f\u00e9\ud83d\ude00\n\"\\""#,
            "\"/\\u0001\u{7f}é😀\\n\\\"\\\\\"",
        ),
    ] {
        assert_eq!(JsonbText::of(&json(text)).to_string(), want, "{text}");
    }
}

#[test]
fn texts_are_ordered_by_their_bytes() {
    let texts = [
        "1", "1e1", "10", "1e2", "100", "1e3", "[1e1]", "[1]", "101", "1.5e1", "0.1", "1e-1",
        "1e-2", "0.01", "0.010", "1e-5", "[1e2,1]", "[100,1]", "[100]", "\"1\"", "2", "1.0",
    ];
    for one in texts {
        for two in texts {
            let (left, right) = (JsonbText::of(&json(one)), JsonbText::of(&json(two)));
            let want = left.to_string().cmp(&right.to_string());
            assert_eq!(left.cmp(&right), want, "{one} {two}");
        }
    }
}

#[test]
fn huge_exponents_cost_nothing() {
    let many = |exponent: &str| format!("[{}]", vec![exponent; 100_000].join(","));
    let one = JsonbText::of(&json(&many("1e131071")));
    let two = JsonbText::of(&json(&many("10e131070")));
    assert_eq!(one, two);
    assert!(one < JsonbText::of(&json(&many("1e999999999999"))));
    assert!(one > JsonbText::of(&json(&many("1e-999999999999"))));
}

#[test]
fn members_are_left_out() {
    let text = |text: &str| JsonbText::without(&json(text), &["a", "b"]);
    assert_eq!(text(r#"{"a":1,"b":2}"#), None);
    assert_eq!(text("{}"), None);
    let rest = text(r#"{"a":1,"c":{"a":2}}"#).expect("a member");
    assert_eq!(rest.to_string(), r#"{"c": {"a": 2}}"#);
}
