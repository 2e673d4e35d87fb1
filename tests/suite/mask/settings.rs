//! The flags of masking.

use std::fs;
use std::process::Command;

use runtraced::mask::{MaskRules, Masker};

use super::DataDir;
use crate::support::pg;

/// Exit code and what was printed.
fn runtraced(database: &str, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtraced"));
    let output = command
        .args(args)
        .env("DATABASE_URL", database)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// The example is the one in SECURITY.md, it is valid, and it does what its comments say.
#[test]
fn the_example_of_rules_is_true() {
    let root = env!("CARGO_MANIFEST_DIR");
    let text = fs::read_to_string(format!("{root}/examples/masking/mask.toml")).unwrap();
    let page = fs::read_to_string(format!("{root}/docs/SECURITY.md")).unwrap();
    assert!(
        page.contains(&format!("```toml\n{text}```")),
        "SECURITY.md shows another example"
    );
    let masker = Masker::new(MaskRules::with_file(&text).unwrap(), &[7; 32]).unwrap();
    let masked = |text: &str| masker.text(text).unwrap_or_else(|| text.to_owned());
    for (text, kind) in [
        ("me@example.com", "email"),
        ("+49 30 901820-55", "phone"),
        ("acme_0123456789abcdef", "acme"),
        ("{\"patient_id\":4711}", "secret"),
        ("{\"X-Patient\":\"Jane\"}", "secret"),
        ("{\"ssn\":\"one two\"}", "secret"),
    ] {
        assert!(
            masked(text).contains(&format!("[masked:{kind}:")),
            "{}",
            masked(text)
        );
    }
    for text in ["DE89370400440532013000", "acme_0000000000000000"] {
        assert_eq!(masked(text), text);
    }
}

/// Scenario: files of rules that are missing or wrong, and keys that cannot be used.
/// Guarantees: the daemon does not start; it and `doctor` say what is wrong and where.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_stops_the_daemon() {
    let database = pg::database().await;
    let data = DataDir::new();
    let file = data.0.join("rules.toml");
    fs::write(&file, "email = true\nnames = ['x']\n").unwrap();
    let (path, missing) = (file.to_str().unwrap(), "/nonexistent/rules.toml");
    for (flags, wanted) in [
        (
            ["--mask", path],
            format!("--mask {path}: line 2: unknown field `names`"),
        ),
        (
            ["--mask", missing],
            format!("--mask {missing}: No such file"),
        ),
        (
            ["--mask-key-file", missing],
            "--mask-key-file needs --mask".to_owned(),
        ),
    ] {
        for command in ["serve", "doctor"] {
            let (code, text) = runtraced(database.url(), &[&[command], &flags[..]].concat());
            assert_eq!(code, Some(64), "{text}");
            assert!(text.contains(&wanted), "{text}");
        }
    }
    fs::write(&file, "short").unwrap();
    let flags = [
        "serve",
        "--grpc-listen",
        "127.0.0.1:0",
        "--http-listen",
        "127.0.0.1:0",
        "--spool-bytes",
        "0",
    ];
    let (code, text) = runtraced(
        database.url(),
        &[&flags[..], &["--mask", "default", "--mask-key-file", path]].concat(),
    );
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("holds 5 bytes, and a key has at least 32"),
        "{text}"
    );
}

/// Scenario: `doctor` without masking, with it, and with a key that others can read.
/// Guarantees: it says so.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_whether_secrets_are_masked() {
    let database = pg::database().await;
    let data = DataDir::new();
    let folder = data.0.to_str().unwrap();
    let doctor = |more: &[&str]| {
        runtraced(
            database.url(),
            &[&["doctor", "--data-dir", folder], more].concat(),
        )
        .1
    };
    assert!(doctor(&[]).contains("off: texts are stored as they come"));
    assert!(doctor(&["--mask", "default"]).contains("patterns; the daemon will make"));
    let key = data.0.join("key");
    let given = [
        "--mask",
        "default",
        "--mask-key-file",
        key.to_str().unwrap(),
    ];
    assert!(doctor(&given).contains("cannot be read"));
    fs::write(&key, "k".repeat(32)).unwrap();
    assert!(doctor(&given).contains("chmod 600"));
}
