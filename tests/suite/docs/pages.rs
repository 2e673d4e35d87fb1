//! The shape of the pages: the README is short, the glossary is sorted.

use std::fs;
use std::path::Path;

use super::markdown;

/// Languages of blocks. Commands are in `sh` blocks: in another one nothing would run them.
const LANGUAGES: [&str; 10] = [
    "sh",
    "sql",
    "jsonl",
    "toml",
    "rust,no_run",
    "yaml",
    "text",
    "nginx",
    "python",
    "ts",
];

/// A newcomer reads all of it.
const README_LINES: usize = 200;

#[test]
fn the_readme_is_short() {
    let lines = markdown::page("README.md").text.lines().count();
    assert!(lines <= README_LINES, "README.md: {lines} lines");
}

#[test]
fn the_readme_lists_every_page_of_docs_once() {
    let readme = markdown::page("README.md");
    let table = readme.section("## Documentation");
    for page in markdown::pages() {
        let is_listed = page.name.starts_with("docs/") || page.name == "CONTRIBUTING.md";
        if is_listed {
            let links = table.matches(&format!("]({})", page.name)).count();
            assert_eq!(links, 1, "README.md: links to {}", page.name);
        }
    }
}

#[test]
fn the_glossary_is_sorted() {
    let page = markdown::page("docs/GLOSSARY.md");
    let lines = page.text.lines();
    let terms: Vec<String> = lines
        .filter_map(|line| line.strip_prefix("- **")?.split_once("**: "))
        .map(|(term, _)| term.to_lowercase())
        .collect();
    assert!(
        terms.len() > 40,
        "only {} terms: are they found?",
        terms.len()
    );
    for pair in terms.windows(2) {
        assert!(
            pair[0] < pair[1],
            "{}: {} comes after {}",
            page.name,
            pair[0],
            pair[1]
        );
    }
}

#[test]
fn blocks_are_in_languages_that_are_checked() {
    for page in markdown::pages() {
        for fence in page.fences() {
            let language = fence.language.as_str();
            assert!(LANGUAGES.contains(&language), "{}: {language}", page.name);
        }
        let indented = |line: &&str| line.starts_with(' ') && line.trim().starts_with("```");
        let indented = page.text.lines().find(indented);
        assert_eq!(indented, None, "{}: nobody reads this block", page.name);
    }
}

/// A page that the other tests do not know would be checked by none.
#[test]
fn every_page_is_known() {
    let mut found = Vec::new();
    markdown_files(&markdown::path(""), "", &mut found);
    let known: Vec<String> = markdown::pages()
        .into_iter()
        .map(|page| page.name)
        .collect();
    assert!(found.len() > 15, "{found:?}");
    for name in found {
        assert!(known.contains(&name), "markdown::pages() lacks {name}");
    }
}

/// The pages in a folder of the repository, without what is installed or built there.
fn markdown_files(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    const OTHERS: [&str; 3] = ["target", "node_modules", "venv"];
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && !OTHERS.contains(&name.as_str()) {
                markdown_files(&entry.path(), &format!("{path}/"), found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}
