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
    let properties = Properties::of(&fs::read_to_string(folder.join("page.css"))?);
    let mut entries = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let name = path.file_name().and_then(|name| name.to_str());
        if let (Some("html" | "js" | "css" | "svg" | "png" | "ico"), Some(name)) = (extension, name)
        {
            let served = out.join(name);
            fs::write(&served, smaller(&path, extension, &properties)?)?;
            entries.push(format!("({name:?}, include_bytes!({served:?}) as &[u8])"));
        }
    }
    entries.sort();
    Ok(format!("&[{}]", entries.join(", ")))
}

/// A file as it is served: scripts and styles without comments and blanks, for which readers
/// of the source have more use than browsers.
fn smaller(
    path: &Path,
    extension: Option<&str>,
    properties: &Properties,
) -> Result<Vec<u8>, Box<dyn Error>> {
    let content = fs::read(path)?;
    Ok(match extension {
        Some("js") => {
            let small = minifier::js::minify(&String::from_utf8(content)?).to_string();
            let small = own_names(&tight(&plainer(shorter(small))))?;
            properties.renamed(&joined(&small), true).into_bytes()
        }
        Some("css") => {
            let small = minifier::css::minify(&String::from_utf8(content)?)?.to_string();
            properties.renamed(&shorter(small), false).into_bytes()
        }
        _ => content,
    })
}

/// The custom properties that the styles declare. Their names are served as one letter.
struct Properties(Vec<String>);

impl Properties {
    fn of(css: &str) -> Self {
        let declared = css
            .split([';', '{', '}', '\n'])
            .filter_map(|part| part.trim().strip_prefix("--")?.split_once(':'));
        let mut names: Vec<String> = declared.map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names.dedup();
        Self(names)
    }

    /// A text with the short names. In a script, a name is a text of its own.
    fn renamed(&self, text: &str, is_script: bool) -> String {
        let (mut short, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find("--") {
            let (before, from) = rest.split_at(at + 2);
            let end = from.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
            let (name, after) = from.split_at(end.unwrap_or(from.len()));
            let is_name = !is_script || before.ends_with("'--") && after.starts_with('\'');
            let letter = self.0.iter().position(|one| one == name);
            let letter = letter.and_then(|place| ('A'..='Z').nth(place));
            short.push_str(before);
            match letter.filter(|_| is_name) {
                Some(letter) => short.push(letter),
                None => short.push_str(name),
            }
            rest = after;
        }
        short + rest
    }
}

/// What scripts call functions and values of their own. They are served with two characters.
const OWN_NAMES: [&str; 44] = [
    "says",
    "runLink",
    "link",
    "fault",
    "plural",
    "screen",
    "view",
    "template",
    "jsonLines",
    "chosen",
    "choice",
    "TABS",
    "draw",
    "column",
    "short",
    "contents",
    "opener",
    "finder",
    "paint",
    "bytes",
    "room",
    "pieces",
    "known",
    "clock",
    "cards",
    "bucket",
    "filterBar",
    "differing",
    "warning",
    "partly",
    "inTree",
    "arrange",
    "DEEPEST",
    "stop",
    "props",
    "here",
    "apply",
    "ApiError",
    "within",
    "viewer",
    "middle",
    "groups",
    "watcher",
    "visible",
];

/// A script with short names of its own.
///
/// # Errors
/// If a member has such a name too: it must not be renamed.
fn own_names(text: &str) -> Result<String, Box<dyn Error>> {
    let is_word = |c: char| c.is_alphanumeric() || "_$".contains(c);
    let letters: Vec<char> = ('a'..='z').chain('A'..='Z').collect();
    let mut short = String::with_capacity(text.len());
    let mut code = Code::default();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        let is_name = is_word(c) && !code.is_text();
        if !is_name {
            let place = OWN_NAMES.iter().position(|name| *name == word);
            let is_member = short.ends_with('.') && !short.ends_with("...")
                || c == ':' && short.ends_with(['{', ',']);
            match place.and_then(|place| letters.get(place)) {
                Some(_) if is_member => return Err(format!("a member is called {word}").into()),
                Some(letter) => short.extend(['_', *letter]),
                None => short.push_str(&word),
            }
            word.clear();
            short.push(c);
        } else {
            word.push(c);
        }
        code.read(c);
    }
    short.pop();
    Ok(short)
}

/// Nothing needs a comma or a semicolon before what closes. No text or pattern of the page has
/// any of these.
fn shorter(text: String) -> String {
    let pairs = [(",}", "}"), (",)", ")"), (",]", "]"), (";}", "}")];
    replaced(text, &pairs)
}

/// Words of a script that help only people. No text or pattern of the page has any of these.
fn plainer(text: String) -> String {
    let words = [
        ("const ", "let "),
        ("const{", "let{"),
        ("const[", "let["),
        (":true", ":!0"),
        (",true", ",!0"),
        ("=true", "=!0"),
        (":false", ":!1"),
        (",false", ",!1"),
        ("=false", "=!1"),
        ("return true", "return!0"),
        ("return false", "return!1"),
    ];
    // Nothing but a text equals a word, whether its type is compared or not.
    ('a'..='z')
        .chain('A'..='Z')
        .fold(replaced(text, &words), |text, letter| {
            text.replace(&format!("==='{letter}"), &format!("=='{letter}"))
                .replace(&format!("!=='{letter}"), &format!("!='{letter}"))
        })
}

fn replaced(text: String, pairs: &[(&str, &str)]) -> String {
    pairs
        .iter()
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
/// holds a pattern, which only a parser could tell.
fn end_of_statement(text: &str) -> Option<usize> {
    let mut code = Code::default();
    for (at, c) in text.char_indices() {
        match (code.open.is_empty(), c) {
            (true, ';') => return Some(at),
            (true, ')' | ']' | '}') => return None,
            (_, '/') if !code.is_text() && "(,=:[!&|?{;>".contains(code.last) => return None,
            _ => code.read(c),
        }
    }
    None
}

/// Without the blanks of expressions in templates, which only people need.
fn tight(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || "_$".contains(c);
    let mut short = String::with_capacity(text.len());
    let mut code = Code::default();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let is_blank = c == ' ' && code.open.contains(&'`') && !code.is_text();
        let joins = short.chars().next_back().is_some_and(is_word)
            && rest.peek().copied().is_some_and(is_word);
        if !is_blank || joins {
            short.push(c);
        }
        code.read(c);
    }
    short
}

/// Where in a script something is.
#[derive(Default)]
struct Code {
    /// What is open: brackets, quotes and templates.
    open: Vec<char>,
    last: char,
    is_escaped: bool,
}

impl Code {
    /// Whether the next character is part of a text.
    fn is_text(&self) -> bool {
        matches!(self.open.last(), Some('\'' | '"' | '`'))
    }

    fn read(&mut self, c: char) {
        let top = self.open.last().copied();
        match (top, c) {
            _ if self.is_escaped => self.is_escaped = false,
            (Some('\'' | '"' | '`'), '\\') => self.is_escaped = true,
            (Some('\'' | '"' | '`'), _) if top == Some(c) => _ = self.open.pop(),
            (Some('`'), '{') if self.last == '$' => self.open.push(c),
            (Some('\'' | '"' | '`'), _) => {}
            (_, '(' | '[' | '{' | '\'' | '"' | '`') => self.open.push(c),
            (_, ')' | ']' | '}') => _ = self.open.pop(),
            _ => {}
        }
        self.last = c;
    }
}
