//! Reads the code as tokens, so that comments and texts are not taken for code.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A file of the code.
pub struct Source {
    /// For messages: `src/store/mod.rs`.
    pub file: String,
    /// Its module: `store/batch/aliases`; `store/batch` for a `mod.rs`.
    pub module: Vec<String>,
    pub lines: usize,
    /// Its code without modules of tests.
    tokens: Vec<TokenTree>,
}

/// A path in the code: `crate::store::error`, `super::plan`, `sqlx`, `std::fs`.
pub struct PathUse {
    pub segments: Vec<String>,
    pub line: usize,
}

/// Every file of the daemon but those of tests.
pub fn sources() -> Vec<Source> {
    sources_of("src")
}

/// The same of the client's crate.
pub fn client_sources() -> Vec<Source> {
    sources_of("clients/rust/src")
}

fn sources_of(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let is_test = |module: &[String]| module.iter().any(|part| part == "tests");
    let sources = files.iter().map(|file| Source::read(folder, &root, file));
    sources.filter(|source| !is_test(&source.module)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

impl Source {
    fn read(folder: &str, root: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let inside = path.strip_prefix(root).unwrap();
        let mut module: Vec<String> = inside
            .with_extension("")
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        let tokens = TokenStream::from_str(&text).unwrap();
        Self {
            file: format!("{folder}/{}", inside.display()),
            module,
            lines: text.lines().count(),
            tokens: without_tests(tokens),
        }
    }

    /// Types of the file's own level: struct, enum, trait, union, type.
    pub fn types(&self) -> Vec<String> {
        let words = ["struct", "enum", "trait", "union", "type"];
        let pairs = self.tokens.windows(2);
        pairs
            .filter_map(|pair| match pair {
                [TokenTree::Ident(word), TokenTree::Ident(name)]
                    if words.iter().any(|w| word == w) =>
                {
                    Some(name.to_string())
                }
                _ => None,
            })
            .collect()
    }

    /// Every path of two or more segments, those of nested imports written out.
    pub fn paths(&self) -> Vec<PathUse> {
        let mut paths = Vec::new();
        find_paths(&self.tokens, &mut paths);
        paths
    }
}

/// Drops items under `#[cfg(test)]` (and `#[cfg(all(test, …))]`).
fn without_tests(tokens: TokenStream) -> Vec<TokenTree> {
    let mut kept: Vec<TokenTree> = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let is_test = matches!(&token, TokenTree::Punct(p) if p.as_char() == '#')
            && tokens.peek().is_some_and(is_cfg_test);
        if !is_test {
            kept.push(token);
            continue;
        }
        // An item ends with its body or with a semicolon.
        for token in tokens.by_ref() {
            match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
                TokenTree::Punct(p) if p.as_char() == ';' => break,
                _ => {}
            }
        }
    }
    kept
}

fn is_cfg_test(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else {
        return false;
    };
    let text = group.stream().to_string().replace(' ', "");
    text.starts_with("cfg(test)") || text.starts_with("cfg(all(test,")
}

fn find_paths(tokens: &[TokenTree], paths: &mut Vec<PathUse>) {
    let mut position = 0;
    while position < tokens.len() {
        match &tokens[position] {
            TokenTree::Ident(first) => {
                let line = first.span().start().line;
                let mut segments = vec![first.to_string()];
                position += 1;
                while is_separator(tokens, position) {
                    match tokens.get(position + 2) {
                        Some(TokenTree::Ident(next)) => {
                            segments.push(next.to_string());
                            position += 3;
                        }
                        Some(TokenTree::Group(group)) => {
                            add_group(&segments, group.stream(), paths);
                            position += 3;
                            segments.clear();
                        }
                        _ => position += 2,
                    }
                }
                if segments.len() > 1 {
                    paths.push(PathUse { segments, line });
                }
            }
            TokenTree::Group(group) => {
                find_paths(&group.stream().into_iter().collect::<Vec<_>>(), paths);
                position += 1;
            }
            _ => position += 1,
        }
    }
}

/// The paths of `prefix::{a, b::c}`.
fn add_group(prefix: &[String], group: TokenStream, paths: &mut Vec<PathUse>) {
    let tokens: Vec<TokenTree> = group.into_iter().collect();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ',');
    for part in tokens.split(is_comma) {
        let Some(first) = part.first() else { continue };
        let line = first.span().start().line;
        let mut inner = Vec::new();
        find_paths(part, &mut inner);
        if inner.is_empty() {
            let segments = vec![first.to_string()];
            inner.push(PathUse { segments, line });
        }
        for path in inner {
            let segments = prefix.iter().cloned().chain(path.segments).collect();
            paths.push(PathUse {
                segments,
                line: path.line,
            });
        }
    }
}

fn is_separator(tokens: &[TokenTree], position: usize) -> bool {
    let is_colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == ':');
    is_colon(tokens.get(position)) && is_colon(tokens.get(position + 1))
}
