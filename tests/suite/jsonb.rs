//! The text of `jsonb` that the daemon makes is the one that Postgres prints.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use runtraced::event::{Json, JsonbText, MAX_JSON_DEPTH, Repairs};

use crate::support::pg;

/// JSON as clients write it: any spaces, escapes, numbers and repeated keys.
fn json() -> impl Strategy<Value = String> {
    let digits = "(0|[1-9][0-9]{0,9})(\\.[0-9]{1,7})?";
    let number = (
        "-?",
        prop_oneof![
            Just("0".to_owned()),
            Just("00.0"[1..].to_owned()),
            digits.prop_map(|d| d)
        ],
        prop_oneof![
            Just(String::new()),
            "[eE][+-]?[0-9]{1,2}",
            "[eE][+-]?00[0-9]{1,3}"
        ],
    )
        .prop_map(|(sign, digits, exponent)| format!("{sign}{digits}{exponent}"));
    let escape =
        "\\\\([\"\\\\/bfnrt]|u00[0-7][0-9a-fA-F]|u[1-9a-cA-C][0-9a-f]{3}|ud83d\\\\ude0[0-9])";
    let part = prop_oneof!["[a-cé😀\u{7f}]{1,3}", escape];
    let string =
        prop::collection::vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()));
    let key = prop_oneof![string.clone(), "\"[ab]{0,2}\""];
    let space = prop_oneof![4 => Just(String::new()), 1 => "[ \n\t\r]{1,2}"];
    let word = prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(str::to_owned);
    let leaf = prop_oneof![number, string, word];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let spaced =
            (space.clone(), inner, space.clone()).prop_map(|(a, b, c)| format!("{a}{b}{c}"));
        let member = (space.clone(), key.clone(), space.clone(), spaced.clone())
            .prop_map(|(a, key, b, value)| format!("{a}{key}{b}:{value}"));
        prop_oneof![
            prop::collection::vec(spaced, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..6)
                .prop_map(|items| format!("{{{}}}", items.join(","))),
        ]
    })
}

/// Scenario: random JSON, and what is at the edge of `numeric`.
/// Expected: the text is that of Postgres, and so is the order of texts by their bytes.
#[tokio::test]
async fn the_text_of_jsonb_is_that_of_postgres() {
    let database = pg::database().await;
    let mut conn = database.connect().await;
    let mut runner = TestRunner::default();
    let mut texts: Vec<String> = (0..5_000)
        .map(|_| json().new_tree(&mut runner).unwrap().current())
        .collect();
    let edge = [
        "1e131071",
        "-1e-16383",
        "0.1e-16382",
        "123e131069",
        "0e-16383",
        "10e3",
        "-0.0E+4",
    ];
    texts.extend(edge.map(str::to_owned));
    let texts: Vec<Json> = texts
        .into_iter()
        .map(|text| {
            Json::with_limits(MAX_JSON_DEPTH, false, text, &mut Repairs::default()).unwrap()
        })
        .collect();
    let sent: Vec<&str> = texts.iter().map(Json::as_str).collect();
    let want: Vec<String> = sqlx::query_scalar(
        "SELECT t::jsonb::text FROM unnest($1::text[]) WITH ORDINALITY AS u (t, n) ORDER BY n",
    )
    .bind(&sent)
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let made: Vec<JsonbText> = texts.iter().map(JsonbText::of).collect();
    for ((sent, made), want) in sent.iter().zip(&made).zip(&want) {
        assert_eq!(&made.to_string(), want, "{sent}");
    }
    for (made, want) in made.windows(2).zip(want.windows(2)) {
        assert_eq!(made[0].cmp(&made[1]), want[0].cmp(&want[1]), "{want:?}");
    }
}
