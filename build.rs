//! Lists the migrations, the dialect files and the files of the page, which the program embeds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

/// The folder of the dialect files.
const DIALECTS: &str = "src/ingest/otlp/dialects";
/// The folder of the migrations.
const MIGRATIONS: &str = "migrations";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={MIGRATIONS}");
    println!("cargo:rerun-if-changed=src/web/assets");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    println!("cargo:rerun-if-changed={DIALECTS}");
    fs::write(
        out.join("dialects.rs"),
        text_files("BUILT_IN_FILES", DIALECTS, "toml")?,
    )?;
    fs::write(
        out.join("migrations.rs"),
        text_files("MIGRATION_FILES", MIGRATIONS, "sql")?,
    )?;
    let page = out.join("page");
    fs::create_dir_all(&page)?;
    fs::write(out.join("web_assets.rs"), web_assets(&page)?)?;
    Ok(())
}

/// A Rust constant with the name and text of each file of a folder that ends so.
fn text_files(constant: &str, folder: &str, ending: &str) -> Result<String, Box<dyn Error>> {
    let folder = Path::new(&env::var_os("CARGO_MANIFEST_DIR").ok_or("no manifest")?).join(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == ending) {
            files.push(path);
        }
    }
    files.sort();
    let mut list = format!("pub const {constant}: &[(&str, &str)] = &[\n");
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let path = path.display().to_string();
        writeln!(list, "    ({name:?}, include_str!({path:?})),")?;
    }
    list.push_str("];\n");
    Ok(list)
}

/// The names and contents of the files that the page consists of, as a Rust expression.
fn web_assets(out: &Path) -> Result<String, Box<dyn Error>> {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("no manifest directory")?)
        .join("src/web/assets");
    let mut entries = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let name = path.file_name().and_then(|name| name.to_str());
        if let (Some("html" | "js" | "css" | "svg" | "png" | "ico"), Some(name)) = (extension, name)
        {
            let served = out.join(name);
            fs::write(&served, smaller(&path, extension)?)?;
            entries.push(format!("({name:?}, include_bytes!({served:?}) as &[u8])"));
        }
    }
    entries.sort();
    Ok(format!("&[{}]", entries.join(", ")))
}

/// A file as it is served: scripts and styles without comments and blanks, for which readers
/// of the source have more use than browsers.
fn smaller(path: &Path, extension: Option<&str>) -> Result<Vec<u8>, Box<dyn Error>> {
    let content = fs::read(path)?;
    Ok(match extension {
        Some("js") => {
            let small = minifier::js::minify(&String::from_utf8(content)?).to_string();
            joined(&shorter(small)).into_bytes()
        }
        Some("css") => {
            let small = minifier::css::minify(&String::from_utf8(content)?)?.to_string();
            shorter(small).into_bytes()
        }
        _ => content,
    })
}

/// Nothing needs a comma or a semicolon before what closes, and `const` helps only people. No
/// text or pattern of the page has any of these.
fn shorter(text: String) -> String {
    let pairs = [(",}", "}"), (",)", ")"), (",]", "]"), (";}", "}")];
    let words = [("const ", "let "), ("const{", "let{"), ("const[", "let[")];
    pairs
        .iter()
        .chain(&words)
        .fold(text, |text, (long, short)| text.replace(long, short))
}

/// Declarations behind each other as one: `let a=1;let b=2` is `let a=1,b=2`.
fn joined(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    let mut copied = 0;
    for (at, word) in text.match_indices("let") {
        let is_word = |c: char| c.is_alphanumeric() || "_$.".contains(c);
        let before = &text[..at];
        if before.ends_with(is_word) || before.ends_with("export ") {
            continue;
        }
        let end = at + word.len();
        let Some(end) = end_of_statement(&text[end..]).map(|length| end + length) else {
            continue;
        };
        let next = [";let ", ";let{", ";let["];
        if end >= copied && next.iter().any(|next| text[end..].starts_with(next)) {
            short.push_str(&text[copied..end]);
            short.push(',');
            copied = end + ";let".len() + usize::from(text[end..].starts_with(";let "));
        }
    }
    short + &text[copied..]
}

/// The length of a statement up to its semicolon; `None`: it is in something that ends before, or
/// holds what only a parser could tell.
fn end_of_statement(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_u32, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (_, '\\' | '/' | '`') => return None,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.checked_sub(1)?,
            (None, ';') if depth == 0 => return Some(at),
            (None, _) => {}
        }
    }
    None
}
