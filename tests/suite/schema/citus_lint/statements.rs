//! Collects the statements of the daemon: from its files of SQL, and from texts in its code.

use std::fs;
use std::path::Path;
use std::str::FromStr as _;

use proc_macro2::{TokenStream, TokenTree};

/// A statement, and where it is.
pub struct Statement {
    pub place: String,
    pub text: String,
}

/// Commands that are no queries: they are for owners, and not on any path of events.
const COMMANDS: [&str; 8] = [
    "ALTER", "DROP", "DO", "GRANT", "REVOKE", "LOCK", "SET", "CREATE",
];
/// What changes rows.
const CHANGES: [&str; 3] = ["UPDATE ", "INSERT INTO ", "DELETE FROM "];
/// It writes its own rows into a database of its own, beside the daemon's.
const BENCH: &str = "src/bench/";

/// All statements that are whole, wherever they are in `src/`.
pub fn all_statements() -> Vec<Statement> {
    let mut statements = Vec::new();
    collect(
        Path::new(env!("CARGO_MANIFEST_DIR")),
        "src",
        &mut statements,
    );
    statements
}

fn collect(root: &Path, folder: &str, statements: &mut Vec<Statement>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let place = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            collect(root, &place, statements);
        } else if place.ends_with(".sql") {
            let text = fs::read_to_string(entry.path()).unwrap();
            let first = first_word(&text);
            if !COMMANDS.contains(&first) {
                statements.push(Statement { place, text });
            }
        } else if place.ends_with(".rs") && !place.starts_with(BENCH) {
            let text = fs::read_to_string(entry.path()).unwrap();
            let tokens = TokenStream::from_str(&text).unwrap();
            for text in whole_statements(tokens) {
                let place = place.clone();
                statements.push(Statement { place, text });
            }
        }
    }
}

/// The first word that is no comment.
fn first_word(text: &str) -> &str {
    let mut lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"));
    let line = lines.find(|line| !line.trim().is_empty());
    line.and_then(|line| line.split_whitespace().next())
        .unwrap_or_default()
}

/// The texts that change rows and have no part that is put in later.
fn whole_statements(tokens: TokenStream) -> Vec<String> {
    let mut found = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => found.extend(whole_statements(group.stream())),
            TokenTree::Literal(literal) => {
                let text = unquote(&literal.to_string());
                if changes_rows(&text) && !text.contains('{') {
                    found.push(text);
                }
            }
            _ => {}
        }
    }
    found
}

/// Whether a text is a statement that changes rows.
fn changes_rows(text: &str) -> bool {
    let text = text.trim_start();
    let begins = CHANGES.iter().any(|change| text.starts_with(change));
    let within = CHANGES.iter().any(|change| text.contains(change));
    begins || text.starts_with("WITH ") && within
}

/// The text of a literal; empty if it is none.
fn unquote(literal: &str) -> String {
    if let Some(raw) = literal.strip_prefix('r') {
        let raw = raw.trim_matches('#');
        return raw.trim_matches('"').to_owned();
    }
    let Some(quoted) = literal
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    else {
        return String::new();
    };
    let (mut text, mut chars) = (String::new(), quoted.chars().peekable());
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('\n')) => while chars.next_if(|c| c.is_whitespace()).is_some() {},
            ('\\', Some('n')) => {
                chars.next();
                text.push('\n');
            }
            ('\\', _) => text.extend(chars.next()),
            _ => text.push(c),
        }
    }
    text
}

#[test]
fn statements_are_found_in_code() {
    let code = r##"fn f() { g("UPDATE a \
        SET b = 'c'", r#"DELETE FROM a"#, "SELECT 1", "WITH a AS (SELECT 1)",
        "UPDATE {table} SET b = 1"); }"##;
    let found = whole_statements(TokenStream::from_str(code).unwrap());
    assert_eq!(found, ["UPDATE a SET b = 'c'", "DELETE FROM a"]);
}
