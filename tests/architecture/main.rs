//! Whoever breaks the architecture is told here, with the file and the line. The
//! rules are data, in `rooms.rs`; the table in `docs/ARCHITECTURE.md` is written from
//! it: `RUNTRACED_UPDATE_DOCS=1 cargo test --test architecture`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod rooms;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::{env, fs};

use rooms::{ANYHOW, CLIENT_WITHOUT, PURE, PURE_WITHOUT, ROOMS, Room, SENDERS};
use source::{PathUse, Source, client_sources, sources};

/// Lines that a file of the code may have.
const MAX_LINES: usize = 450;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ARCHITECTURE.md");
const CLIENT_MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/rust/Cargo.toml");
const BEGIN: &str = "<!-- rooms: begin (RUNTRACED_UPDATE_DOCS=1 cargo test --test architecture rewrites this table) -->\n";
const END: &str = "<!-- rooms: end -->";

#[test]
fn every_import_is_allowed() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(room) = room_of(&source.module) else {
            continue;
        };
        for path in source.paths() {
            if let Some(target) = target(&source, &path)
                && target != room.name
                && !room.uses.contains(&target)
            {
                faults.push(format!(
                    "{}:{}: `{}` must not use `{target}`",
                    source.file, path.line, room.name
                ));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn no_permission_is_unused_and_none_closes_a_circle() {
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for source in sources() {
        if let Some(room) = room_of(&source.module) {
            let paths = source.paths();
            let targets = paths.iter().filter_map(|path| target(&source, path));
            used.entry(room.name).or_default().extend(targets);
        }
    }
    let mut faults = Vec::new();
    for (index, room) in ROOMS.iter().enumerate() {
        for name in room.uses {
            if !ROOMS[..index].iter().any(|above| above.name == *name) {
                faults.push(format!(
                    "`{name}` must stand above `{}`, which uses it",
                    room.name
                ));
            }
            if !used.get(room.name).is_some_and(|used| used.contains(name)) {
                faults.push(format!("`{}` may use `{name}` and does not", room.name));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_module_is_a_room() {
    for source in sources() {
        let is_root = matches!(source.module[0].as_str(), "lib" | "main");
        assert!(
            is_root || room_of(&source.module).is_some(),
            "{}: its module is not in tests/architecture/rooms.rs",
            source.file
        );
    }
}

#[test]
fn no_room_names_a_crate_that_it_must_do_without() {
    let mut faults = Vec::new();
    for source in sources() {
        let module = source.module.join("/");
        let mut without: Vec<&str> =
            room_of(&source.module).map_or(Vec::new(), |r| r.without.to_vec());
        if PURE.iter().any(|pure| is_below(&module, pure)) {
            without.extend(PURE_WITHOUT);
        }
        if !ANYHOW.iter().any(|room| is_below(&module, room)) {
            without.push("anyhow");
        }
        // `lib.rs` passes the protocol on.
        if module != "lib" && !SENDERS.iter().any(|room| is_below(&module, room)) {
            without.push("runtraced_client");
        }
        faults.extend(named(&source, &without));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_client_knows_nothing_of_the_daemon() {
    let sources = client_sources();
    let faults: Vec<String> = sources
        .iter()
        .flat_map(|source| named(source, CLIENT_WITHOUT))
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(
        sources.len() > 10,
        "only {} files: are they found?",
        sources.len()
    );
    let manifest = fs::read_to_string(CLIENT_MANIFEST).unwrap();
    for name in CLIENT_WITHOUT {
        let depends = |line: &str| {
            line.starts_with(&format!("{name}.")) || line.starts_with(&format!("{name} "))
        };
        assert!(!manifest.lines().any(depends), "{CLIENT_MANIFEST}: {name}");
    }
}

/// Where a file names what it must not.
fn named(source: &Source, without: &[&str]) -> Vec<String> {
    let paths = source.paths().into_iter();
    let faults = paths.filter_map(|path| {
        let named = path.segments.join("::");
        let is_hit = |name: &&&str| named == **name || named.starts_with(&format!("{name}::"));
        let name = without.iter().find(is_hit)?;
        Some(format!(
            "{}:{}: must not name `{name}`",
            source.file, path.line
        ))
    });
    faults.collect()
}

#[test]
fn a_type_name_occurs_once_in_the_crate() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for name in source.types() {
            files.entry(name).or_default().push(source.file.clone());
        }
    }
    files.retain(|_, files| files.len() > 1);
    assert!(files.is_empty(), "these names are taken twice: {files:#?}");
}

#[test]
fn files_are_short() {
    let long: Vec<String> = sources()
        .iter()
        .chain(&client_sources())
        .filter(|source| source.lines > MAX_LINES)
        .map(|source| format!("{}: {} lines", source.file, source.lines))
        .collect();
    assert!(long.is_empty(), "over {MAX_LINES} lines: {long:?}");
}

#[test]
fn the_table_in_the_documentation_is_this_one() {
    let page = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (now, after) = rest.split_once(END).unwrap();
    let table = table();
    if env::var_os("RUNTRACED_UPDATE_DOCS").is_some() {
        fs::write(PAGE, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(
        now, table,
        "docs/ARCHITECTURE.md: the table of rooms is out of date"
    );
}

fn table() -> String {
    let mut table = "| module | may use | must not hold |\n| --- | --- | --- |\n".to_owned();
    for room in ROOMS {
        let uses: Vec<String> = room.uses.iter().map(|name| format!("`{name}`")).collect();
        let uses = if uses.is_empty() {
            "–".to_owned()
        } else {
            uses.join(", ")
        };
        table.push_str(&format!("| `{}` | {uses} | {} |\n", room.name, room.rule));
    }
    table
}

/// The room of a module: a directory of `store/`, else the top-level module.
fn room_of(module: &[String]) -> Option<&'static Room> {
    let find = |name: &str| ROOMS.iter().find(|room| room.name == name);
    match module {
        [top, below, ..] => find(&format!("{top}/{below}")).or_else(|| find(top)),
        [top] => find(top),
        [] => None,
    }
}

/// The room that a path leads to, if it stays in the crate. From outside `store/` its
/// directories are not told apart.
fn target(source: &Source, path: &PathUse) -> Option<&'static str> {
    let mut module = source.module.clone();
    let mut rest = path.segments.as_slice();
    match rest.first()?.as_str() {
        "crate" => {
            module.clear();
            rest = &rest[1..];
        }
        "super" => {
            while rest.first().is_some_and(|segment| segment == "super") {
                module.pop();
                rest = &rest[1..];
            }
        }
        _ => return None,
    }
    module.extend_from_slice(rest);
    if module.first() != source.module.first() {
        module.truncate(1);
    }
    room_of(&module).map(|room| room.name)
}

fn is_below(module: &str, room: &str) -> bool {
    module == room || module.starts_with(&format!("{room}/"))
}
