//! What Citus refuses in migrations.

use std::fs;
use std::path::Path;

/// Parts of a migration that Citus refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// `ADD CONSTRAINT` beside another command of one ALTER TABLE.
    ConstraintBeside,
    /// A table that is made within DO stays on the coordinator, without an error.
    TableInDo,
}

/// Released migrations that have them, and why that does no harm.
const EXCEPTIONS: &[(&str, Refused, &str)] = &[(
    "0005_trace_columns.up.sql",
    Refused::ConstraintBeside,
    "released; all migrations of today run before somebody distributes a table",
)];

/// A migration without comments and texts, statement by statement; and the bodies of its DO blocks.
fn split(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut statements, mut bodies) = (Vec::new(), Vec::new());
    let (mut statement, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if c == '\'' {
            rest[1..].find('\'').map_or(rest.len(), |end| end + 2)
        } else if c == '$' {
            let tag = dollar_tag(rest);
            let end = tag.and_then(|tag| Some(rest[tag.len()..].find(tag)? + 2 * tag.len()));
            if end.is_some() && statement.trim_start().to_uppercase().starts_with("DO") {
                bodies.push(rest[..end.unwrap_or_default()].to_uppercase());
            }
            end.unwrap_or(1)
        } else {
            if c == ';' {
                statements.push(std::mem::take(&mut statement).trim().to_uppercase());
            } else {
                statement.push(c);
            }
            c.len_utf8()
        };
        rest = &rest[skipped..];
    }
    (statements, bodies)
}

/// `$body$` at the beginning of a text.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 2;
    let name = &text[1..end - 1];
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_name.then_some(&text[..end])
}

fn refused(text: &str) -> Vec<Refused> {
    let (statements, bodies) = split(text);
    let mut found = Vec::new();
    let alters = |text: &&String| text.starts_with("ALTER TABLE");
    if statements
        .iter()
        .filter(alters)
        .any(|text| is_constraint_beside(text))
    {
        found.push(Refused::ConstraintBeside);
    }
    if bodies.iter().any(|body| body.contains("CREATE TABLE")) {
        found.push(Refused::TableInDo);
    }
    found
}

fn is_constraint_beside(alter: &str) -> bool {
    let adds = [
        "ADD CONSTRAINT",
        "ADD PRIMARY KEY",
        "ADD FOREIGN KEY",
        "ADD UNIQUE",
        "ADD CHECK",
    ];
    let (mut depth, mut commands) = (0, 1);
    for c in alter.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => commands += 1,
            _ => {}
        }
    }
    commands > 1 && adds.iter().any(|add| alter.contains(add))
}

/// Guarantees: no migration has what Citus refuses, but for those that are released. Those that go down are not meant: a database that is distributed stays so.
#[test]
fn citus_takes_every_migration() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with(".up.sql") {
            seen += 1;
            let name = path.file_name().unwrap().to_str().unwrap();
            let known = EXCEPTIONS.iter().filter(|(file, _, _)| *file == name);
            let known: Vec<Refused> = known.map(|(_, what, _)| *what).collect();
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(refused(&text), known, "{name}");
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn what_citus_refuses_in_a_migration_is_found() {
    let both = "-- words\nALTER TABLE a ADD COLUMN b int, ADD CONSTRAINT c CHECK (b IN (1, 2));";
    assert_eq!(refused(both), [Refused::ConstraintBeside]);
    let made = "DO $do$ BEGIN CREATE TABLE a (b int); END $do$;";
    assert_eq!(refused(made), [Refused::TableInDo]);
    let fine = "ALTER TABLE a ADD CONSTRAINT c CHECK (b IN (1, 2));
        ALTER TABLE a ADD COLUMN b int, ADD COLUMN d text DEFAULT 'ADD CONSTRAINT';
        CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE TABLE x (y int); END $$;
        DO $$ BEGIN PERFORM 1; END $$;";
    assert_eq!(refused(fine), []);
}
