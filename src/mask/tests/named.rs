//! Secrets that are known by their names, and a user's file.

use super::*;

#[test]
fn values_of_names_in_json() {
    for (text, wanted) in [
        (r#"{"password":"hunter2"}"#, r#"{"password":"<secret>"}"#),
        (
            r#"{"DB_PASSWORD" : "x y","a":1}"#,
            r#"{"DB_PASSWORD" : "<secret>","a":1}"#,
        ),
        (
            r#"{"apiKey":"abc","api-key":"abc","X-Api-Key":"abc","API Key":"a b"}"#,
            r#"{"apiKey":"<secret>","api-key":"<secret>","X-Api-Key":"<secret>","API Key":"<secret>"}"#,
        ),
        (
            r#"{"client_secret":12345,"Authorization":["a",{"b":"c"}]}"#,
            r#"{"client_secret":"<secret>","Authorization":"<secret>"}"#,
        ),
        (
            r#"{"http.request.header.authorization":"Token t"}"#,
            r#"{"http.request.header.authorization":"<secret>"}"#,
        ),
        (
            r#"{"password (new)":"hunter2"}"#,
            r#"{"password (new)":"<secret>"}"#,
        ),
        (
            r#"{"p\u0061ssword":"hunter2"}"#,
            r#"{"p\u0061ssword":"<secret>"}"#,
        ),
        (
            r#"{"credentials":{"user":"me","pass":"x"},"z":[]}"#,
            r#"{"credentials":"<secret>","z":[]}"#,
        ),
        (
            r#"{"SecretString":"{\"user\":\"bob\",\"pw\":\"hunter2\"}"}"#,
            r#"{"SecretString":"<secret>"}"#,
        ),
        (
            r#"{"password":"YourMom1999!","secret":"[masked:hunter2]"}"#,
            r#"{"password":"<secret>","secret":"<secret>"}"#,
        ),
    ] {
        assert_eq!(untagged(&masked_json(text)), wanted, "{text}");
    }
}

#[test]
fn harmless_values_stay() {
    for text in [
        r#"{"password":null,"secret":true,"cookie":"","api_key":{},"passwd":[]}"#,
        r#"{"password_policy":"strong","secret_name":"db","token_count":17,"max_tokens":100}"#,
        r#"{"api_key":"${API_KEY}","password":"<your password>","secret":"****","cookie":"{cookie}"}"#,
        r#"{"tokens":["a","b"],"token":"Hello","session.id":"s-1","author":"me"}"#,
    ] {
        assert_eq!(masked_json(text), text);
    }
}

#[test]
fn values_of_names_in_text() {
    for (text, wanted) in [
        ("password: hunter2", "password: <secret>"),
        ("PASSWORD=letmein now", "PASSWORD=<secret> now"),
        (
            "export AWS_SECRET_ACCESS_KEY=abcd/efgh+1",
            "export AWS_SECRET_ACCESS_KEY=<secret>",
        ),
        (
            "get /x?a=1&api_key=letmein&b=2",
            "get /x?a=1&api_key=<secret>&b=2",
        ),
        ("password = \"correct horse\"", "password = \"<secret>\""),
        (
            "let password: &str = \"correct horse\";",
            "let password: &str = \"<secret>\";",
        ),
        (
            "os.environ['API_KEY'] = 'swordfish'",
            "os.environ['API_KEY'] = '<secret>'",
        ),
        ("{'password': b'swordfish'}", "{'password': b'<secret>'}"),
        (
            "Authorization: Bearer abcdef123456789012",
            "Authorization: Bearer <bearer>",
        ),
        (
            "Authorization: Token abcdef123456",
            "Authorization: Token <secret>",
        ),
        (
            "authorization: Basic bWU6c2VjcmV0",
            "authorization: Basic <bearer>",
        ),
        (
            "Cookie: sid=abcdef; theme=dark\nnext",
            "Cookie: <secret>\nnext",
        ),
        (
            "postgres://me:hunter2@db/x",
            "postgres://me:<url-password>@db/x",
        ),
        ("secret => \"swordfish\"", "secret => \"<secret>\""),
        (
            r#"{\"password\": \"hunter2\"}"#,
            r#"{\"password\": \"<secret>\"}"#,
        ),
        ("PASSWORD=Ab12cd&Ef34gh x", "PASSWORD=<secret> x"),
        (
            "session_cookie: 8f3a9c0b12de55 x",
            "session_cookie: <secret> x",
        ),
        (
            "Authorization: Bearer abcdefghijklmnopqrstuvw",
            "Authorization: Bearer <secret>",
        ),
        (
            "password: \x1b[31mhunter2\x1b[0m",
            "password: \x1b[31m<secret>\x1b[0m",
        ),
        (
            "here's the password: 'hunter2'",
            "here's the password: '<secret>'",
        ),
        (
            "postgres://me:pässword@db",
            "postgres://me:<url-password>@db",
        ),
    ] {
        assert_eq!(untagged(&masked(text)), wanted);
    }
}

#[test]
fn names_in_every_usual_spelling() {
    let masker = masker();
    for words in [
        &["api", "key"][..],
        &["access", "key"],
        &["access", "token"],
        &["refresh", "token"],
        &["auth", "token"],
        &["session", "token"],
        &["private", "key"],
        &["signing", "key"],
        &["encryption", "key"],
        &["bearer", "token"],
        &["client", "secret"],
        &["pass", "word"],
        &["pass", "phrase"],
        &["password"],
        &["passwd"],
        &["secret"],
        &["authorization"],
        &["credential"],
        &["cookie"],
    ] {
        let title = |word: &&str| word[..1].to_uppercase() + &word[1..];
        let titles: Vec<String> = words.iter().map(title).collect();
        let mut names = vec![words[0].to_owned() + &titles[1..].concat()];
        for separator in ["", "_", "-", " ", "."] {
            let name = words.join(separator);
            names.extend([
                name.to_uppercase(),
                titles.join(separator),
                format!("x-{name}s"),
                name,
            ]);
        }
        for name in names {
            for text in [
                format!("{name}: \"hunter2\""),
                format!("my {name} = 'hunter2'"),
            ] {
                let masked = masker.text(&text).unwrap_or_default();
                assert!(masked.contains("[masked:secret:"), "{text}");
            }
            let text = serde_json::json!({ name: "hunter2" }).to_string();
            assert!(masker.json(&json(&text)).is_some(), "{text}");
        }
    }
}

#[test]
fn long_values_of_names_are_masked_whole() {
    let value = "a1B2c3D4".repeat(2_000);
    for (before, after) in [
        ("GOOGLE_CREDENTIALS=", "\n"),
        ("password: ", "\n"),
        ("\"credentials\": \"", "\", x"),
        ("secret: 'x ", "'\n"),
        ("Cookie: a=", "\n"),
    ] {
        let text = masked(&format!("{before}{value}{after}"));
        assert!(!text.contains("a1B2"), "{before}");
        assert!(text.ends_with(after), "{before}");
    }
}

#[test]
fn labels_of_questions_hide_nothing() {
    for text in [
        "pw = getpass(\"Password: \")\nprint(\"done\")",
        "headers = \"Authorization: \" + token, \"Y\"",
        "throw new Error('Missing password: ');\nlog('ok and more')",
        "echo \"Enter password: \"\nread x\necho \"thank you\"",
        "(b\"Proxy-Authorization: \", b\"value\")",
        "see `Bearer Token`: https://tools.ietf.org/html/rfc6750",
    ] {
        assert_eq!(masked(text), text);
    }
}

#[test]
fn names_without_values_cost_little() {
    let records =
        r#"{"id":1,"login":"user1","password":null,"api_key":"","secret":false},"#.repeat(400);
    for text in [
        format!("Result: {records}"),
        "this.password=e,this.secret=t;".repeat(600),
        "password=&secret=&".repeat(600),
        "PASSWORD_A=1,SECRET_B=2,".repeat(600),
        "密码password:请输入，".repeat(600),
    ] {
        assert_ne!(masked(&text), UNCHECKED, "{}", &text[..40]);
    }
}

#[test]
fn names_of_a_file_are_found_as_they_are_written() {
    for key in [
        "contraseña",
        "größe",
        "ключ",
        "user.pin",
        "api/v1",
        "patient id",
        "social security number",
        "surname",
        "hostname",
    ] {
        let masker = with_file(&format!("keys = ['{key}']"));
        let text = serde_json::json!({ key: "Jane" }).to_string();
        assert!(masker.json(&json(&text)).is_some(), "{text}");
        let text = format!("the {key}: \"Jane\"");
        assert!(masker.text(&text).is_some(), "{text}");
    }
}

#[test]
fn a_file_adds_patterns_names_and_exceptions() {
    let masker = with_file(
        "keys = ['patient']\nallow = ['acme_00000000']\noff = ['card']\nemail = true\nphone = true\n\
         [[pattern]]\nname = 'acme'\nprefixes = ['acme_']\nregex = 'acme_[0-9a-f]{8}'\n",
    );
    let text = "acme_1234abcd acme_00000000 4111111111111111 me@example.com +49 30 901820-55";
    let wanted = "<acme> acme_00000000 4111111111111111 <email> <phone>";
    assert_eq!(untagged(&masker.text(text).unwrap()), wanted);
    let masked = masker
        .json(&json(r#"{"patient_id":17,"Patient":"Jane"}"#))
        .unwrap();
    assert_eq!(
        untagged(masked.as_str()),
        r#"{"patient_id":"<secret>","Patient":"<secret>"}"#
    );
    assert_eq!(
        super::masked("me@example.com +49 30 901820-55"),
        "me@example.com +49 30 901820-55"
    );
}

#[test]
fn a_wrong_file_says_where_and_why() {
    for (text, line, reason) in [
        ("keys = [", 1, "unclosed array"),
        ("\nkey = ['a']", 2, "unknown field `key`"),
        ("off = ['nothing']", 1, "no kind \"nothing\""),
        ("off = ['unchecked']", 1, "no kind \"unchecked\""),
        ("keys = ['a']", 1, "too short"),
        (
            "[[pattern]]\nname = 'A b'\nprefixes = ['abc']\nregex = 'abc'",
            2,
            "not 1 to 24",
        ),
        (
            "[[pattern]]\nname = 'github'\nprefixes = ['abc']\nregex = 'abc'",
            2,
            "taken",
        ),
        (
            "[[pattern]]\nname = 'card'\nprefixes = ['abc']\nregex = 'abc'",
            2,
            "taken",
        ),
        (
            "[[pattern]]\nname = 'a'\nprefixes = []\nregex = 'abc'",
            2,
            "no prefix",
        ),
        (
            "[[pattern]]\nname = 'a'\nprefixes = ['abc', 'ab']\nregex = 'abc'",
            3,
            "3 to 64",
        ),
        (
            "[[pattern]]\nname = 'a'\nprefixes = ['abc']\nregex = 'ab('",
            4,
            "not valid: error: unclosed group",
        ),
        (
            "[[pattern]]\nname = 'a'\nprefixes = ['abc']\nregex = '(abc)?'",
            4,
            "matches nothing",
        ),
        (
            "[[pattern]]\nname = 'a'\nprefixes = ['abc']",
            1,
            "missing field `regex`",
        ),
    ] {
        let error = MaskRules::with_file(text).unwrap_err();
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.reason.contains(reason), "{text}: {error}");
    }
}
