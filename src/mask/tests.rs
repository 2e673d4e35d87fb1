//! What is masked, in which places, and what is not.

use super::*;
use crate::event::Repairs;

mod clean;
mod fast;
mod named;

fn masker() -> Masker {
    with_file("")
}

fn with_file(text: &str) -> Masker {
    Masker::new(MaskRules::with_file(text).unwrap(), &[7; 32]).unwrap()
}

fn json(text: &str) -> Json {
    Json::new(text.to_owned(), &mut Repairs::default()).unwrap()
}

/// The text after masking.
fn masked(text: &str) -> String {
    masker().text(text).unwrap_or_else(|| text.to_owned())
}

/// The JSON after masking. It is still JSON.
fn masked_json(text: &str) -> String {
    let masked = masker().json(&json(text));
    let masked = masked.map_or_else(|| text.to_owned(), |json| json.as_str().to_owned());
    json(&masked);
    masked
}

/// Assembled here, so that nothing that looks like a key is in the repository.
fn token() -> String {
    format!("gh{}_{}", "p", "a1B2c3D4e5".repeat(4))
}

/// Without what tells masks apart.
fn untagged(text: &str) -> String {
    let mut untagged = String::new();
    for (index, part) in text.split("[masked:").enumerate() {
        if index == 0 {
            untagged.push_str(part);
            continue;
        }
        let (mask, rest) = part.split_once(']').unwrap();
        let kind = mask.split(':').next().unwrap();
        untagged.push_str(&format!("<{kind}>{rest}"));
    }
    untagged
}

#[test]
fn a_mask_names_its_kind_and_tells_secrets_apart() {
    let (one, other) = (token(), token().replace('a', "z"));
    let text = masked(&format!("{one} {other} {one}"));
    let masks: Vec<&str> = text.split(' ').collect();
    assert!(
        masks[0].starts_with("[masked:github:") && masks[0].len() == 20,
        "{text}"
    );
    assert_eq!(masks[0], masks[2]);
    assert_ne!(masks[0], masks[1]);
    let other_key = Masker::new(MaskRules::built_in().unwrap(), &[8; 32]).unwrap();
    assert_ne!(other_key.text(&one).unwrap(), masks[0]);
    assert_eq!(masked(&text), text, "a mask is not masked again");
}

#[test]
fn a_secret_may_stand_anywhere_in_a_text() {
    let token = token();
    for (before, after) in [
        ("", ""),
        ("key=", ""),
        ("é", "é"),
        ("(", ")"),
        ("\"", "\""),
        ("x:", ","),
        ("-", "."),
        ("\n", "\n"),
        ("https://host/", "/x"),
        ("[", "]"),
        ("_", " "),
        ("{a: ", "}"),
        ("\\n", "\\n"),
        ("%3D", "%26"),
        ("\x1b[32m", "\x1b[0m"),
        ("\x1b[1;31m", "\x1b[m"),
        ("\\u001b[32m", "\\u001b[0m"),
        ("\\x1b[K", "\\033[m"),
    ] {
        let text = format!("{before}{token}{after}");
        let masked = masked(&text);
        assert_eq!(
            untagged(&masked),
            format!("{before}<github>{after}"),
            "{text}"
        );
    }
}

#[test]
fn a_secret_is_found_behind_text_of_any_length() {
    let secrets = [
        (token(), "<github>"),
        ("4111 1111 1111 1111".to_owned(), "<card>"),
        ("4222222222222".to_owned(), "<card>"),
        ("NO9386011117947".to_owned(), "<iban>"),
        ("api_key=a1B2c3D4e5".to_owned(), "api_key=<secret>"),
        (
            format!("auth_{}-{}", "tvly", "a1B2c3D4e5".repeat(3)),
            "auth_<tavily>",
        ),
    ];
    let masker = masker();
    for (secret, mask) in &secrets {
        for before in 0..150 {
            for filler in ["x", "1", "-", "A"] {
                let filler = filler.repeat(before);
                let text = masker.text(&format!("{filler} {secret} x")).unwrap();
                assert_eq!(untagged(&text), format!("{filler} {mask} x"));
                let text = json(&format!(r#"["{filler}\n{secret}"]"#));
                let text = masker.json(&text).unwrap();
                let expected = format!(r#"["{filler}\n{mask}"]"#);
                assert_eq!(untagged(text.as_str()), expected);
            }
        }
    }
}

#[test]
fn names_of_a_file_hide_no_token() {
    let masker = with_file(r#"keys = ["glpat", "x sk"]"#);
    for begin in ["glpat-", "x sk-"] {
        let text = masker
            .text(&format!("{begin}{}", "a1B2c3D4e5".repeat(3)))
            .unwrap();
        assert!(
            text.contains("[masked:gitlab:") || text.contains("[masked:openai:"),
            "{text}"
        );
    }
}

#[test]
fn json_is_masked_at_any_depth_and_stays_json() {
    let token = token();
    let inner = serde_json::json!({"a": [token, {"deep": format!("see {token}")}], "n": 1.5e3});
    let cases = [
        (
            inner.to_string(),
            r#"{"a":["<github>",{"deep":"see <github>"}],"n":1500.0}"#.to_owned(),
        ),
        (
            format!(r#"{{"{token}" : [1,"{token}"]}}"#),
            r#"{"<github>" : [1,"<github>"]}"#.to_owned(),
        ),
        (format!("\"\\n{token}\\t\""), r#""\n<github>\t""#.to_owned()),
        (format!("\"\\u4e2d{token}\""), "\"中<github>\"".to_owned()),
        (
            format!("\"\\u0067{}\"", &token[1..]),
            "\"<github>\"".to_owned(),
        ),
        (
            r#"[4111111111111111, "4111 1111 1111 1111"]"#.to_owned(),
            r#"["<card>", "<card>"]"#.to_owned(),
        ),
        (
            r#"{"url":"https:\/\/me:pa55@host\/x"}"#.to_owned(),
            r#"{"url":"https://me:<url-password>@host/x"}"#.to_owned(),
        ),
    ];
    for (text, wanted) in cases {
        assert_eq!(untagged(&masked_json(&text)), wanted, "{text}");
    }
    let mut deep = format!("\"{token}\"");
    for _ in 0..500 {
        deep = format!("[{deep}]");
    }
    assert!(!masked_json(&deep).contains(&token));
}

#[test]
fn escaped_urls_are_masked_at_any_depth() {
    let text = r"https:\/\/me:pa55word@host\/x";
    let wanted = r"https:\/\/me:<url-password>@host\/x";
    assert_eq!(untagged(&masked(text)), wanted);
    let mut text = r#"{"u":"https:\/\/me:pa55word@host"}"#.to_owned();
    for _ in 0..3 {
        let masked = masked_json(&text);
        assert!(!masked.contains("pa55word"), "{text} {masked}");
        text = serde_json::json!({ "v": text }).to_string();
    }
    let hook = format!(
        r#"{{"u":"hooks.slack.com\/services\/{}"}}"#,
        "T0123456789".repeat(3)
    );
    assert!(
        masked_json(&hook).contains("[masked:slack-webhook:"),
        "{hook}"
    );
}

#[test]
fn a_cut_character_closes_no_field() {
    for text in [
        r#"{"r":"{\"t\":\"https://me:pa55word@host then cut \\ud83d\",\"ok\":true}","other":1}"#,
        r#"{"r":"{\"password\":\"hunter2 \\ud83d\"}"}"#,
    ] {
        let masked = masked_json(text);
        assert!(!masked.contains("unchecked"), "{masked}");
        assert!(
            !masked.contains("pa55word") && !masked.contains("hunter2"),
            "{masked}"
        );
    }
    for char in ["é", "文", "😀"] {
        for start in 0..4 {
            let text = format!("secret: \"{}{}", "x".repeat(start), char.repeat(3_000));
            let masked = masked(&text);
            assert_eq!(untagged(&masked), "secret: \"<secret>", "{char} {start}");
        }
    }
}

#[test]
fn json_in_strings_of_json_is_masked() {
    let (token, password) = (token(), "correct horse");
    let mut text =
        serde_json::json!({"password": password, "t": token, "pin": {"secret": 4711}}).to_string();
    for level in 0..12 {
        let masked = masked_json(&text);
        for secret in [&*token, password] {
            assert!(!masked.contains(secret), "level {level}: {masked}");
        }
        if level < MAX_JSON_IN_JSON {
            assert!(!masked.contains("4711"), "level {level}: {masked}");
        }
        text = serde_json::json!({"arguments": text}).to_string();
    }
    let line = format!("result: {{\\\"password\\\": \\\"{password}\\\"}}");
    assert!(!masked(&line).contains(password));
}

#[test]
fn private_keys_are_masked_whole_even_without_an_end() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n".repeat(20);
    for kind in [
        "RSA PRIVATE KEY",
        "PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ] {
        let dashes = "-".repeat(5);
        let key = format!("{dashes}BEGIN {kind}{dashes}\n{body}{dashes}END {kind}{dashes}");
        assert_eq!(
            untagged(&masked(&format!("a {key} b"))),
            "a <private-key> b"
        );
        let cut = &key[..key.len() / 2];
        assert_eq!(untagged(&masked(&format!("a {cut}"))), "a <private-key>");
        let in_json = serde_json::json!({ "k": key }).to_string();
        assert_eq!(untagged(&masked_json(&in_json)), r#"{"k":"<private-key>"}"#);
        let public = key.replace("PRIVATE", "PUBLIC");
        assert_eq!(masked(&public), public);
    }
}

#[test]
fn talk_of_private_keys_is_no_key() {
    let code = "    if line.startswith(\"-----BEGIN RSA PRIVATE KEY-----\"):\n        return read_key(line)\n";
    let text = format!("{code}{}", "    # and so on, line by line\n".repeat(20));
    assert_eq!(masked(&text), text);
}

#[test]
fn numbers_in_json_in_json_stay_within_the_budget() {
    for line in [
        "1234 5678 9012 3456\n",
        "555-0100-2000\n",
        "AA1,AB2,AC3,AD4\n",
        "2026-08-01 12:00:00.123456 1764400000000 INFO x=1\n",
    ] {
        let mut text =
            serde_json::json!({ "v": line.repeat(200_000 / line.len()), "w": "\u{1}" }).to_string();
        for depth in 0..3 {
            assert!(!masked_json(&text).contains("unchecked"), "{depth} {line}");
            text = serde_json::json!({ "v": text }).to_string();
        }
    }
}

#[test]
fn too_much_work_closes_the_field() {
    let masker = masker();
    // Each value goes on to the end: looking at all would take quadratic time.
    let hard = "password=".repeat(20_000);
    assert_eq!(masker.text(&hard).unwrap(), UNCHECKED);
    let text = serde_json::to_string(&hard).unwrap();
    for (text, wanted) in [
        (text.clone(), format!("\"{UNCHECKED}\"")),
        (format!("[{text}]"), format!("[\"{UNCHECKED}\"]")),
        (
            format!("{{\"a\":{text}}}"),
            format!("{{\"masked\":\"{UNCHECKED}\"}}"),
        ),
    ] {
        assert_eq!(masker.json(&json(&text)).unwrap().as_str(), wanted);
    }
    assert_eq!(masker.counts().next(), Some(("unchecked", 4)));
}

#[test]
fn work_grows_with_the_text_only() {
    for hard in [
        "eyJ-",
        "sk-",
        "-----BEGIN ",
        "://a:",
        "4111 ",
        "DE89 ",
        "{\"secret\":",
        "a@",
    ] {
        let text = hard.repeat(1 << 14);
        let begun = std::time::Instant::now();
        let _ = masker().text(&text);
        let _ = masker().json(&json(&serde_json::to_string(&text).unwrap()));
        assert!(begun.elapsed().as_secs() < 20, "{hard}");
    }
}

#[test]
fn secrets_are_counted_by_kind() {
    let masker = masker();
    masker.text(&format!("{} {}", token(), token()));
    masker.text("4111111111111111");
    let counts: Vec<(&str, u64)> = masker.counts().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counts, [("card", 1), ("github", 2)]);
}

#[test]
fn few_passes_find_all_texts() {
    // Each further pass costs as much as the first one.
    assert!(masker().needles.passes() <= 2);
    let rules = MaskRules::built_in().unwrap();
    assert!(rules.patterns.len() >= 40);
}
