//! The names of a tool in the words of several instrumentations.

/// Whether two names may be those of one tool. A name that says only that it is a tool may
/// be any.
pub fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (bare_name(a), bare_name(b));
    a.is_empty() || b.is_empty() || a == b || is_qualified(&a, &b) || is_qualified(&b, &a)
}

/// A tool's name without the words that instrumentations put around it. Empty if nothing
/// else is left.
fn bare_name(name: &str) -> String {
    const PREFIXES: [&str; 5] = [
        "execute_tool",
        "tools/call",
        "tool_call",
        "call_tool",
        "tool",
    ];
    const SUFFIXES: [&str; 6] = [".__call__", ".tool", ".run", ".call", ".invoke", ".execute"];
    let lower = name.trim().to_lowercase();
    let mut bare = lower.as_str();
    for prefix in PREFIXES {
        if let Some(rest) = bare.strip_prefix(prefix)
            && !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
        {
            bare = rest.trim_start_matches([' ', '.', ':', '/']);
        }
    }
    for suffix in SUFFIXES {
        bare = bare.strip_suffix(suffix).unwrap_or(bare);
    }
    bare.to_owned()
}

/// Whether a name is another one with its owner before it, as in `server__tool`.
fn is_qualified(name: &str, bare: &str) -> bool {
    name.strip_suffix(bare)
        .is_some_and(|owner| owner.ends_with("__") || owner.ends_with(['.', '/', ':', '-', ' ']))
}
