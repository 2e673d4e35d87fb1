//! Texts that would make too much of a value.

use super::super::outline::outline;
use super::super::{ContentKind, ContentRule, Cut, MAX_CUT_MEMBERS, PARTS_OF_ONE_SIZE};
use super::{contents, hashes, kinds, list, messages, string};
use crate::event::{Json, Repairs};

/// So many contents these texts make at most: 512 for each time that the length doubles, from
/// 16 KiB on. 32 MiB make 5,632.
fn most_contents(bytes: usize) -> usize {
    PARTS_OF_ONE_SIZE * (bytes >> 14).ilog2() as usize
}

/// Texts of about this length, each of which makes as many contents as it can.
fn hostile_texts(bytes: usize) -> Vec<String> {
    let (member, element) = (string(254), string(256));
    let repeat = |open: &str, item: &str, close: &str| {
        let count = (bytes - open.len() - close.len()) / item.len();
        format!("{open}{}{close}", item.repeat(count))
    };
    let members = |value: &str| {
        let count = bytes / (value.len() + 10);
        let members: Vec<String> = (0..count).map(|n| format!("\"{n}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    };
    let list = |item: &str| repeat("[", &format!("{item},"), "\"\"]");
    let nested = format!("[1,[1,[1,[1,[1,[1,[1,{}]]]]]]]", string(600));
    vec![
        list("1"),
        list("\"\""),
        list(&member),
        list(&element),
        list(&format!("1,{member}")),
        list(&format!("1,{element}")),
        list(&nested),
        list("{\"a\":1,\"b\":[\"\"]}"),
        list(&format!("[{}]", ["\"a\""; 150].join(","))),
        list(&format!(
            "{{\"a\":1,\"b\":{},\"c\":[{member},{element}]}}",
            string(17_000)
        )),
        repeat("[[[[[[[", &format!("1,{element},"), "1]]]]]]]"),
        format!("{{\"messages\":{}}}", list(&format!("1,{element}"))),
        members("1"),
        members(&element),
        members(&list_of(&element)),
    ]
}

fn list_of(item: &str) -> String {
    format!("[{item},{item},1]")
}

#[test]
fn no_text_makes_more_contents_than_its_length_allows() {
    for mebibytes in [1, 8, 32] {
        for text in hostile_texts(mebibytes << 20) {
            let cut = Cut::of(&text, ContentRule::Large).unwrap();
            let count = cut.contents.len();
            assert!(
                count <= most_contents(mebibytes << 20),
                "{count}: {text:.60}"
            );
            let covered: usize = cut.pieces.iter().map(ExactSizeIterator::len).sum();
            assert!(covered <= text.len(), "a byte is in two bodies: {text:.60}");
        }
    }
}

/// What a container that is not cut holds is not in the outline.
#[test]
fn an_outline_holds_parts_of_what_is_cut_only() {
    let text = list(&vec![list_of(&string(256)); 5_000]);
    let cut = Cut::of(&text, ContentRule::Large).unwrap();
    let parts = outline(&text).unwrap().parts.len();
    assert!(parts <= cut.contents.len(), "{parts}");
}

#[test]
fn a_long_list_that_goes_on_shares_its_contents_too() {
    let all: Vec<String> = (0..3_000)
        .map(|n| format!("{{\"text\": \"{}\"}}", format!("{n} ").repeat(n % 5 * 80)))
        .collect();
    let call = |count: usize| {
        format!(
            "{{\"model\": \"m\", \"messages\": {}}}",
            list(&all[..count])
        )
    };
    let whole = hashes(&call(3_000));
    assert!(whole.len() > 2 * PARTS_OF_ONE_SIZE, "{}", whole.len());
    for count in (200..3_000).step_by(97) {
        let (before, after) = (hashes(&call(count)), hashes(&call(count + 1)));
        // The last segment, the end of the list, and the object around it.
        let lost = before.difference(&whole).count();
        assert!(lost <= 2, "{count}: {lost} of {} are lost", before.len());
        let new = after.difference(&before).count();
        assert!(new <= 6, "{count}: {new} are new");
    }
}

#[test]
fn an_object_with_very_many_members_is_one_content() {
    let object = |count: usize| {
        let members: String = (1..count).map(|n| format!("\"{n}\": 1, ")).collect();
        format!("{{{members}\"last\": {}}}", list(&messages(20)))
    };
    assert!(kinds(&object(MAX_CUT_MEMBERS)).len() > 10);
    assert_eq!(kinds(&object(MAX_CUT_MEMBERS + 1)), [ContentKind::Leaf]);
    let around = format!(
        "{{\"a\": {}, \"m\": {}}}",
        object(9_000),
        list(&messages(20))
    );
    assert!(kinds(&around).len() > 10);
}

#[test]
fn the_weight_counts_the_cut() {
    let text = list(&messages(40));
    let mut json = Json::new(text.clone(), &mut Repairs::default()).unwrap();
    assert_eq!(json.weight_bytes(), text.len());
    json.cut_contents(ContentRule::Large);
    let count = contents(&json).len();
    // The contents, and what the writer needs for each.
    let (least, most) = (text.len() + count * 200, text.len() + count * 350 + 500);
    let weight = json.weight_bytes();
    assert!((least..most).contains(&weight), "{weight} of {count}");
}
