//! The shape of the pages: the README is short, the glossary is sorted.

use super::markdown;

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
