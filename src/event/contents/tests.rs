mod bounds;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use uuid::Uuid;

use super::{Content, ContentKind, ContentRule, Cut};
use crate::event::{Json, Repairs};

fn json(text: &str) -> Json {
    let mut json = Json::new(text.to_owned(), &mut Repairs::default()).unwrap();
    json.cut_contents(ContentRule::Large);
    json
}

fn contents(json: &Json) -> Vec<Content<'_>> {
    let value = json.contents().expect("the value is cut");
    (0..value.len()).map(|at| value.get(at).unwrap()).collect()
}

fn hashes(text: &str) -> BTreeSet<Uuid> {
    let json = json(text);
    contents(&json).iter().map(Content::hash).collect()
}

fn is_plain(text: &str) -> bool {
    let json = json(text);
    assert_eq!(json.contents().is_none(), json.stored() == text);
    json.contents().is_none()
}

fn kinds(text: &str) -> Vec<ContentKind> {
    contents(&json(text)).iter().map(Content::kind).collect()
}

/// What the database makes of the contents; each names only those before it.
fn rebuilt(json: &Json) -> Value {
    let mut values: BTreeMap<Uuid, Value> = BTreeMap::new();
    let mut last = Uuid::nil();
    for content in contents(json) {
        let body = content.body().map(|body| serde_json::from_str(&body));
        let body: Option<Value> = body.map(Result::unwrap);
        let part = content.part().map(|part| values[&part].clone());
        assert!(body.is_some() != part.is_some(), "{content:?}");
        let prev = content.prev().map(|prev| values[&prev].clone());
        let value = match content.kind() {
            ContentKind::Leaf => {
                assert_eq!((&prev, &part, content.name()), (&None, &None, None));
                body.unwrap()
            }
            ContentKind::List => {
                assert_eq!(content.name(), None);
                let mut all = prev.unwrap_or_else(|| Value::Array(Vec::new()));
                let list = all.as_array_mut().unwrap();
                match body {
                    Some(mut body) => list.append(body.as_array_mut().unwrap()),
                    None => list.extend(part),
                }
                all
            }
            ContentKind::Object => {
                assert_eq!(content.name().is_some(), part.is_some());
                let mut all = prev.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
                let members = all.as_object_mut().unwrap();
                match (content.name(), body) {
                    (Some(name), _) => _ = members.insert(name.to_owned(), part.unwrap()),
                    (None, body) => members.append(body.unwrap().as_object_mut().unwrap()),
                }
                all
            }
        };
        last = content.hash();
        values.insert(last, value);
    }
    let reference = format!("{{\"$content\": \"{last}\"}}");
    assert_eq!(json.stored(), reference);
    values.remove(&last).unwrap()
}

/// Random JSON, with long and short parts at every depth.
struct RandomJson(StdRng);

impl RandomJson {
    fn space(&mut self) -> &'static str {
        ["", "", "", " ", "\n  "].choose(&mut self.0).unwrap()
    }

    fn string(&mut self) -> String {
        let word = ["a", "Ω", "\\n", "\\u00e9", "\\\"", "[", "}", ",", "\\\\"];
        let length = *[0, 3, 30, 300, 900].choose(&mut self.0).unwrap();
        let words: String = (0..length)
            .map(|_| *word.choose(&mut self.0).unwrap())
            .collect();
        format!("\"{words}\"")
    }

    fn value(&mut self, depth: usize) -> String {
        let count = self.0.random_range(0..if depth > 3 { 3 } else { 9 });
        match self.0.random_range(0..if depth > 9 { 3 } else { 8 }) {
            0 => ["1", "-2.5e3", "true", "null"]
                .choose(&mut self.0)
                .unwrap()
                .to_string(),
            1 | 2 => self.string(),
            3..6 => {
                let items: Vec<String> = (0..count).map(|_| self.item(depth)).collect();
                format!("[{}{}]", items.join(","), self.space())
            }
            _ => {
                let items: Vec<String> = (0..count)
                    .map(|_| {
                        let names = ["a", "b", "content", "messages", "\\u0061", "é", ""];
                        let mut name = (*names.choose(&mut self.0).unwrap()).to_owned();
                        if self.0.random_bool(0.7) {
                            name = format!("n{}", self.0.random::<u32>());
                        }
                        format!(
                            "{}\"{name}\"{}:{}",
                            self.space(),
                            self.space(),
                            self.item(depth)
                        )
                    })
                    .collect();
                format!("{{{}{}}}", items.join(","), self.space())
            }
        }
    }

    fn item(&mut self, depth: usize) -> String {
        let (before, value, after) = (self.space(), self.value(depth + 1), self.space());
        format!("{before}{value}{after}")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_contents_make_the_value(seed in any::<u64>()) {
        let text = RandomJson(StdRng::seed_from_u64(seed)).item(0);
        let json = json(&text);
        if json.contents().is_some() {
            prop_assert_eq!(rebuilt(&json), serde_json::from_str::<Value>(&text).unwrap());
        } else {
            prop_assert!(text.trim().len() < super::SMALL_VALUE_BYTES);
            prop_assert_eq!(json.stored(), text);
        }
    }
}

/// Messages of different lengths, some of them short.
fn messages(count: usize) -> Vec<String> {
    let message = |n: usize| {
        let text = format!("turn {n} ").repeat(1 + n * 37 % 90);
        format!("{{\"role\": \"user\", \"content\": \"{text}\"}}")
    };
    (0..count).map(message).collect()
}

fn list(elements: &[String]) -> String {
    format!("[{}]", elements.join(", "))
}

#[test]
fn a_list_that_goes_on_shares_all_but_its_last_segment() {
    let all = messages(60);
    for count in 3..all.len() {
        let (before, after) = (hashes(&list(&all[..count])), hashes(&list(&all[..=count])));
        let lost = before.difference(&after).count();
        assert!(lost <= 1, "{count}: {lost} of {} are lost", before.len());
        let new = after.difference(&before).count();
        assert!(new <= 4, "{count}: {new} are new");
    }
}

#[test]
fn a_list_within_an_object_shares_too() {
    let all = messages(40);
    let call = |count: usize, clock: &str| {
        let list = list(&all[..count]);
        format!("{{\"model\": \"m\", \"at\": \"{clock}\", \"messages\": {list}}}")
    };
    let (before, after) = (hashes(&call(30, "10:00")), hashes(&call(31, "10:01")));
    assert!(after.difference(&before).count() <= 6);
}

#[test]
fn windows_share_their_large_elements() {
    let large: Vec<String> = (0..20)
        .map(|n| format!("{{\"text\": \"{}\"}}", n.to_string().repeat(400)))
        .collect();
    let (one, two) = (list(&large[..15]), list(&large[5..]));
    assert_eq!(hashes(&one).intersection(&hashes(&two)).count(), 10);
    // Its chain is new, and the five elements that it did not have.
    assert_eq!(hashes(&two).difference(&hashes(&one)).count(), 15 + 5);
}

#[test]
fn an_output_is_the_content_that_a_later_input_names() {
    let output = format!("{{\"text\": \"{}\"}}", "x".repeat(600));
    let input = list(&[messages(1).remove(0), output.clone()]);
    assert!(hashes(&output).is_subset(&hashes(&input)));
}

#[test]
fn whatever_looks_like_a_reference_is_a_content() {
    let looks = [
        r#"{"$content": "018f0000-0000-7000-8000-000000000001"}"#,
        r#" { "\u0024content" : 1 } "#,
        r#"{"$content": [], "$c\u006fntent": {"a": 1}}"#,
        r#"{"$content": null}"#,
    ];
    for rule in [ContentRule::Lookalikes, ContentRule::Large] {
        for text in looks {
            let mut json = Json::new(text.to_owned(), &mut Repairs::default()).unwrap();
            json.cut_contents(rule);
            assert_eq!(kinds(text), [ContentKind::Leaf], "{text}");
            assert_eq!(rebuilt(&json), serde_json::from_str::<Value>(text).unwrap());
        }
        let others = [
            r#"{}"#,
            r#"{"$content": 1, "a": 2}"#,
            r#"{"a": 2, "$content": 1}"#,
            r#"["$content", 1]"#,
            r#"{"$contents": 1}"#,
            r#"{"$content\n": 1}"#,
            r#""$content""#,
        ];
        for text in others {
            assert!(Cut::of(text, rule).is_none(), "{text}");
        }
    }
    let large = format!("[{}]", "1,".repeat(3_000) + "1");
    assert!(Cut::of(&large, ContentRule::Lookalikes).is_none());
}

#[test]
fn objects_with_repeated_or_escaped_names_are_one_content() {
    let list = list(&messages(20));
    assert!(kinds(&format!("{{\"a\": 1, \"b\": {list}}}")).len() > 10);
    for names in [("b", "b"), ("b", "\\u0062"), ("\\n", "b")] {
        let text = format!("{{\"{}\": 1, \"{}\": {list}}}", names.0, names.1);
        assert_eq!(kinds(&text), [ContentKind::Leaf], "{names:?}");
    }
    // Names that are equal in different objects are not repeated.
    let inner = format!("{{\"b\": {{\"b\": {list}}}, \"c\": {{\"b\": 1}}}}");
    assert!(kinds(&inner).len() > 10);
}

/// A string that takes as many bytes.
fn string(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

#[test]
fn sizes_decide_what_is_cut() {
    use ContentKind::{Leaf, List, Object};
    assert!(is_plain(&string(511)));
    assert!(is_plain(&format!("  {} ", string(511))));
    assert_eq!(kinds(&string(512)), [Leaf]);
    // Elements: 255 bytes are gathered, 256 are a content.
    let pair = |one, two| kinds(&list(&[string(one), string(two)]));
    assert_eq!(pair(255, 255), [List]);
    assert_eq!(pair(255, 256), [List, Leaf, List]);
    assert_eq!(pair(300, 300), [Leaf, List, Leaf, List]);
    // Objects: only for an array in it, or if they are large.
    let object = |value: &str| kinds(&format!("{{\"a\": 1, \"b\": {value}, \"c\": 2}}"));
    assert_eq!(object(&string(16_000)), [Leaf]);
    assert_eq!(object(&string(17_000)), [Object, Leaf, Object]);
    assert_eq!(object(&list(&[string(510)])), [Object, Leaf, List, Object]);
    assert_eq!(object(&format!("[{}]", string(509))), [Leaf]);
    assert_eq!(
        object(&format!("{{\"d\": {}}}", list(&[string(510)]))).len(),
        5
    );
    // As an element, an object is one content until it is large.
    let element = |bytes| list(&[format!("{{\"a\": {}}}", list(&[string(bytes)]))]);
    assert_eq!(kinds(&element(16_000)), [Leaf, List]);
    assert_eq!(kinds(&element(17_000)), [Leaf, List, Object, List]);
    // Numbers, booleans and nulls are one content, and no reason to cut an object.
    let numbers = format!("[{}null]", "-0.25,true, ".repeat(500));
    assert_eq!(kinds(&numbers), [Leaf]);
    assert_eq!(
        kinds(&list(&[numbers.clone(), "2".into()])),
        [Leaf, List, List]
    );
    assert_eq!(object(&numbers), [Leaf]);
    for one in ["\"a\"", "[]", "{}"] {
        let segments = kinds(&format!("[{}{one}]", "1, ".repeat(500)));
        assert!(segments.len() > 4, "{one}: {segments:?}");
    }
    // Nothing to cut in spaces.
    assert_eq!(kinds(&format!("[{}]", " ".repeat(600))), [Leaf]);
    assert_eq!(kinds(&format!("{{{}}}", " ".repeat(20_000))), [Leaf]);
}

#[test]
fn what_is_nested_deeper_is_one_content() {
    let nested = |depth: usize| {
        let text = string(600);
        format!("{}{text}{}", "[".repeat(depth), "]".repeat(depth))
    };
    assert_eq!(kinds(&nested(8)).len(), 9);
    assert_eq!(kinds(&nested(9)).len(), 9);
    assert_eq!(kinds(&nested(500)).len(), 9);
}

/// The names are in databases: another hash would store everything once more.
#[test]
fn the_hash_of_a_content_never_changes() {
    let text = format!("{{\"a\": 1, \"m\": [{}, 2]}}", string(600));
    assert_eq!(
        json(&text).stored(),
        r#"{"$content": "b2a5e875-9141-e85b-d3db-90dbd769d946"}"#
    );
}
