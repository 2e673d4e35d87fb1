//! Masks any text, and the same text as JSON and within JSON. Masking again changes nothing.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use runtraced::event::{Json, Repairs};
use runtraced::mask::{MaskRules, Masker};

static MASKER: LazyLock<Masker> = LazyLock::new(|| {
    let rules = MaskRules::with_file("email = true\nphone = true\nkeys = [\"patient\"]");
    Masker::new(rules.expect("the rules are valid"), &[7; 32]).expect("they are not too many")
});

fn check_json(text: String) {
    let mut repairs = Repairs::default();
    let Ok(json) = Json::new(text, &mut repairs) else {
        return;
    };
    let Some(masked) = MASKER.json(&json) else {
        return;
    };
    let again = Json::new(masked.as_str().to_owned(), &mut repairs);
    assert_eq!(again.as_ref(), Ok(&masked), "it is JSON no more");
    let is_object = |json: &Json| json.as_str().trim_start().starts_with('{');
    assert_eq!(is_object(&json), is_object(&masked));
}

fuzz_target!(|text: &str| {
    let text = text.replace('\0', " ");
    if let Some(masked) = MASKER.text(&text) {
        assert!(masked.contains("[masked:"), "{masked}");
    }
    let string = format!("{:?}", text).replace("\\'", "'");
    check_json(format!("{{\"password\":{string},\"a\":[{string}]}}"));
    check_json(text);
});
