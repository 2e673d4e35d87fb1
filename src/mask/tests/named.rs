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
    ] {
        assert_eq!(untagged(&masked(text)), wanted);
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
            "3 or more",
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
