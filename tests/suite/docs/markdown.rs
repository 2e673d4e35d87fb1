//! The pages, and a reader for the parts of Markdown that they use.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One page of documentation.
pub struct Page {
    /// Its path in the repository.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// A fenced block.
pub struct Fence {
    /// The word after the opening fence.
    pub language: String,
    /// Its lines.
    pub text: String,
    /// The line before it, for example `<!-- demo -->`.
    pub mark: String,
}

/// A file of the repository.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// One page.
pub fn page(name: &str) -> Page {
    Page {
        name: name.to_owned(),
        text: fs::read_to_string(path(name)).unwrap(),
    }
}

/// Every page that a person reads.
pub fn pages() -> Vec<Page> {
    let mut names = vec![
        "README.md".to_owned(),
        "CONTRIBUTING.md".to_owned(),
        "clients/conformance/README.md".to_owned(),
        "clients/python/README.md".to_owned(),
        "examples/python/README.md".to_owned(),
        "examples/otlp-python/README.md".to_owned(),
        "clients/rust/README.md".to_owned(),
        "clients/rust/examples/tracing/README.md".to_owned(),
        "clients/typescript/README.md".to_owned(),
        "examples/typescript/README.md".to_owned(),
    ];
    for entry in fs::read_dir(path("docs")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        // Pictures that the pages show.
        if file == "plots" || file == "images" {
            continue;
        }
        assert!(file.ends_with(".md"), "docs/{file}");
        names.push(format!("docs/{file}"));
    }
    names.iter().map(|name| page(name)).collect()
}

impl Page {
    /// Its fenced blocks, in order.
    pub fn fences(&self) -> Vec<Fence> {
        let mut fences = Vec::new();
        let (mut open, mut before) = (None::<Fence>, "");
        for line in self.text.lines() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(language)) => {
                    open = Some(Fence {
                        language: language.to_owned(),
                        text: String::new(),
                        mark: before.to_owned(),
                    });
                }
                (Some(_), Some(_)) => fences.extend(open.take()),
                (Some(fence), None) => fence.text.extend([line, "\n"]),
                (None, None) => before = line,
            }
        }
        assert!(open.is_none(), "{}: a fence is not closed", self.name);
        fences
    }

    /// The texts of the blocks in a language.
    pub fn blocks(&self, language: &str) -> Vec<String> {
        let all = self.fences().into_iter();
        all.filter(|fence| fence.language == language)
            .map(|fence| fence.text)
            .collect()
    }

    /// The text of the block that follows `<!-- mark -->`.
    pub fn marked(&self, mark: &str) -> String {
        let mark = format!("<!-- {mark} -->");
        let fence = self.fences().into_iter().find(|fence| fence.mark == mark);
        fence
            .unwrap_or_else(|| panic!("{}: no block after {mark}", self.name))
            .text
    }

    /// The text outside fenced blocks.
    pub fn prose(&self) -> String {
        let mut inside = false;
        let mut prose = String::new();
        for line in self.text.lines() {
            if line.starts_with("```") {
                inside = !inside;
            } else if !inside {
                prose.extend([line, "\n"]);
            }
        }
        prose
    }

    /// The code spans of the prose.
    pub fn spans(&self) -> Vec<String> {
        let prose = self.prose();
        let parts = prose.split('`').skip(1).step_by(2);
        parts.map(str::to_owned).collect()
    }

    /// From a heading to the next one.
    pub fn section(&self, heading: &str) -> &str {
        let start = format!("\n{heading}\n");
        let (_, rest) = self
            .text
            .split_once(&start)
            .unwrap_or_else(|| panic!("{}: no {heading}", self.name));
        rest.split("\n#").next().unwrap()
    }
}

/// The code spans in the first column of a text's first table.
pub fn first_cells(text: &str) -> Vec<String> {
    text.lines()
        .skip_while(|line| !line.starts_with("| --- "))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .flat_map(|row| {
            let cell = row.split('|').nth(1).unwrap();
            cell.split('`').skip(1).step_by(2).map(str::to_owned)
        })
        .collect()
}
