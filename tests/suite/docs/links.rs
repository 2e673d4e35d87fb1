//! Relative links lead to files and headings that exist.

use super::markdown::{self, Page};

#[test]
fn every_relative_link_leads_somewhere() {
    let pages = markdown::pages();
    let mut count = 0;
    for page in &pages {
        for target in targets(&page.prose()) {
            if target.contains("://") {
                continue;
            }
            count += 1;
            let broken = format!("{}: {target} leads nowhere", page.name);
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let folder = page.name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let path = markdown::path(folder).join(file);
            if !file.is_empty() {
                assert!(path.exists(), "{broken}");
            }
            if !anchor.is_empty() {
                let linked = match file {
                    "" => anchors(page),
                    _ => {
                        let text = std::fs::read_to_string(&path).unwrap();
                        anchors(&Page {
                            name: file.to_owned(),
                            text,
                        })
                    }
                };
                assert!(linked.iter().any(|heading| heading == anchor), "{broken}");
            }
        }
    }
    assert!(count > 30, "only {count} links: are they found at all?");
}

/// The targets of `](…)`.
fn targets(prose: &str) -> Vec<String> {
    let parts = prose.split("](").skip(1);
    parts
        .map(|part| part.split(')').next().unwrap().to_owned())
        .collect()
}

/// The anchors that GitHub makes of the headings.
fn anchors(page: &Page) -> Vec<String> {
    let prose = page.prose();
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            text.chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}
