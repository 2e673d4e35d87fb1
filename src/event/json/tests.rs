use proptest::prelude::*;

use super::*;

fn check(text: &str) -> Result<String, JsonError> {
    Json::new(text.into(), &mut Repairs::default()).map(|json| json.text)
}

#[test]
fn accepts_the_same_texts_as_serde_json() {
    let good = [
        "0",
        "-0",
        "1.5e+10",
        "1e999",
        "\"\"",
        "\"a\\\"\\\\b\\u00e9\"",
        "true",
        " null ",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[1,[2,{\"a\":[]}],{}]",
        "{\"a\":{\"b\":1},\"c\":[]}",
        "\"\u{e9}\u{1f600}\"",
        "\"12345678\\n\"",
        "[\"1234567\",\"12345678\",\"123456789\"]",
    ];
    let bad = [
        "",
        " ",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "-",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "tru",
        "nul",
        "[",
        "[1",
        "[1,]",
        "[,1]",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{1:2}",
        "[1}",
        "{]",
        "1 2",
        "[] []",
        "\"a\nb\"",
        "\"1234567\n\"",
        "'a'",
        "NaN",
        "\"\0\"",
        "}",
        "{\"a\" 1}",
    ];
    for text in good {
        assert_eq!(check(text).as_deref(), Ok(text), "{text}");
    }
    for text in bad {
        assert!(
            matches!(check(text), Err(JsonError::Invalid { .. })),
            "{text}"
        );
        assert!(
            serde_json::from_str::<serde::de::IgnoredAny>(text).is_err(),
            "{text}"
        );
    }
}

#[test]
fn depth_is_limited_without_recursion() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(check(&nested(100)).is_ok());
    assert!(check(&nested(MAX_JSON_DEPTH)).is_ok());
    assert_eq!(
        check(&nested(MAX_JSON_DEPTH + 1)),
        Err(JsonError::TooDeep {
            limit: MAX_JSON_DEPTH
        })
    );
    assert_eq!(
        check(&"{\"a\":".repeat(10_000)),
        Err(JsonError::TooDeep {
            limit: MAX_JSON_DEPTH
        })
    );
    let shallow = |depth| Json::with_limits(3, true, nested(depth), &mut Repairs::default());
    assert!(shallow(3).is_ok());
    assert_eq!(shallow(4), Err(JsonError::TooDeep { limit: 3 }));
    assert_eq!(
        check(&"[".repeat(5_000_000)),
        Err(JsonError::TooDeep {
            limit: MAX_JSON_DEPTH
        })
    );
}

#[test]
fn nul_and_lone_surrogates_are_repaired_and_counted() {
    let mut repairs = Repairs::default();
    let text = r#"{"a\u0000":"\ud83d\ude00 \ud83d \ude00 \\u0000 \uD83D\u0041"}"#;
    let json = Json::new(text.into(), &mut repairs).expect("valid");
    let want = r#"{"a\ufffd":"\ud83d\ude00 \ufffd \ufffd \\u0000 \ufffd\u0041"}"#;
    assert_eq!(json.as_str(), want);
    assert_eq!(
        repairs,
        Repairs {
            nuls: 1,
            surrogates: 3
        }
    );
}

#[test]
fn only_an_object_passes_as_an_object() {
    let object = |text: &str| Json::object(text.into(), &mut Repairs::default());
    assert!(object(" {\"a\":1}").is_ok());
    assert_eq!(object("[1]"), Err(JsonError::NotAnObject));
}

#[test]
fn numbers_are_limited_to_what_numeric_holds() {
    let nines = |count| "9".repeat(count);
    for good in [
        nines(131_072),
        format!("0.{}", nines(16_383)),
        format!("{}e0", nines(131_072)),
        format!("-{}.{}e-16000", nines(16_000), nines(383)),
        "1.7976931348623157e308".into(),
        "5e-324".into(),
        "-2.2250738585072014E-308".into(),
        "1e4000".into(),
        "0e-0000000000000000000000000001".into(),
        format!("[1e131071,\"{}\"]", "x".repeat(16_000)),
    ] {
        assert!(check(&good).is_ok(), "{good:.40}");
    }
    for bad in [
        nines(131_073),
        format!("0.{}", nines(16_384)),
        format!("{}e1", nines(131_072)),
        format!("[{}e-16384]", nines(16_384)),
        "1e999999".into(),
        "-0e-99999999999999999999999999999".into(),
        format!("1e{}", nines(70_000)),
    ] {
        assert_eq!(check(&bad), Err(JsonError::NumberOutOfRange), "{bad:.40}");
    }
}

#[test]
fn numbers_that_grow_without_exponents_are_limited_in_sum() {
    let list = |number: &str, count| format!("[{}1]", format!("{number},").repeat(count));
    for (number, count) in [
        ("1e131071", 1),
        ("1e131071", 1_000),
        ("1e-16383", 100_000),
        ("1e308", 1_000),
        ("5e-324", 1_000),
    ] {
        assert_eq!(
            check(&list(number, count)),
            Err(JsonError::LongNumbers),
            "{number}"
        );
    }
    for (number, count) in [
        ("1.7976931348623157e308", 12),
        ("5e-324", 12),
        ("1.401298464324817e-45", 100_000),
        ("1e+20", 100_000),
        ("0.00001e5", 100_000),
    ] {
        assert!(check(&list(number, count)).is_ok(), "{number}");
    }
    let any = Json::with_limits(9, false, list("1e131071", 9), &mut Repairs::default());
    assert!(any.is_ok());
}

#[test]
fn values_are_limited_by_the_length_of_the_text() {
    let list = |item: &str, bytes: usize| {
        format!("[{}1]", format!("{item},").repeat(bytes / (item.len() + 1)))
    };
    for (item, megabytes) in [
        ("{}", 1),
        ("[]", 1),
        ("1", 4),
        ("{\"a\":1}", 2),
        ("\"\"", 8),
    ] {
        let text = list(item, megabytes << 20);
        let checked = check(&text);
        let dense = item != "\"\"";
        assert_eq!(checked == Err(JsonError::TooManyValues), dense, "{item}");
        assert!(check(&list(item, 64 << 10)).is_ok(), "{item}");
    }
    for (usual, megabytes) in [
        ("{\"role\":\"user\",\"content\":\"hi there, you\"}", 5),
        ("-0.0123456789", 32),
        ("\"token\"", 32),
        ("{\"x\":1,\"y\":2}", 1),
        ("12345", 8),
    ] {
        assert!(check(&list(usual, megabytes << 20)).is_ok(), "{usual}");
    }
}

proptest! {
    #[test]
    // Blanks around 1e5: 1e5000 is JSON, but too long a number.
    fn agrees_with_serde_json_on_anything_json_like(
        text in "([\\[\\]{}:, ]|\"[a-z\\\\\"]{0,9}\"|true|null|-?[0-9]{1,3}| 1e5 |\"k\":){0,12}"
    ) {
        let serde = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(check(&text).is_ok(), serde, "{}", text);
    }

    #[test]
    fn strings_of_any_content_pass_unchanged(content in "\\PC{0,40}") {
        let text = serde_json::to_string(&content).expect("encodes");
        prop_assert_eq!(check(&text), Ok(text));
    }
}

#[test]
fn serialized_values_need_no_repair_except_for_nul() {
    let (mut scratch, mut repairs) = (Vec::new(), Repairs::default());
    let mut of = |value: serde_json::Value| {
        let json = Json::from_value(&value, &mut scratch, &mut repairs).unwrap();
        json.as_str().to_owned()
    };
    let text = r#"{"a":["\\u0000 is text",1.5,null,"\"é\n"]}"#;
    assert_eq!(of(serde_json::from_str(text).unwrap()), text);
    assert_eq!(of("a\0b".into()), "\"a\\ufffdb\"");
    assert_eq!((repairs.nuls, repairs.surrogates), (1, 0));
}
