//! All texts of a run in full, wrapped to the terminal and never cut.

use std::fmt::Write as _;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::console::output::{self, duration, paint_mark, printable, thousands};
use crate::query::{self, InspectError, RunText, TimelineItem};

/// Columns before the fields of an item.
const FIELD_INDENT: usize = 4;
/// Columns before the lines of a text that does not fit beside its name.
const TEXT_INDENT: usize = 8;
/// Each level of steps is indented by so many columns, up to `MAX_LEVELS`.
const LEVEL_INDENT: usize = 2;
/// Deeper levels are not indented further, as in the drawing.
const MAX_LEVELS: usize = 8;
/// A narrower column is unreadable; lines then overflow the terminal.
const MIN_COLUMNS: usize = 20;

/// The texts of a run and of everything in it, in order.
pub(super) async fn texts(
    connection: &mut PgConnection,
    run: Uuid,
) -> Result<String, InspectError> {
    let columns = usize::from(output::width());
    let line_chars = i32::try_from(columns.saturating_sub(TEXT_INDENT)).unwrap_or(i32::MAX);
    let text = query::run_text(connection, run).await?;
    let items = query::timeline_items(connection, run, line_chars).await?;
    let wrap_at = output::terminal_width().map(usize::from);
    Ok(render(run, &text, &items, wrap_at))
}

/// `wrap_at`: the terminal's width; `None` leaves lines whole, for other programs.
fn render(id: Uuid, run: &RunText, items: &[TimelineItem], wrap_at: Option<usize>) -> String {
    let mut page = Page {
        text: String::new(),
        wrap_at,
    };
    page.head(0, &format!("run {id}"));
    page.fields(
        0,
        [
            ("name", &run.name),
            ("input", &run.input),
            ("output", &run.output),
            ("error", &run.error),
        ],
    );
    for item in items {
        let level = usize::try_from(item.depth).unwrap_or(0).min(MAX_LEVELS);
        let indent = level * LEVEL_INDENT;
        page.head(indent, &head(item));
        let content = match item.item.as_str() {
            "approval" => "notes",
            "score" => "comment",
            _ => "text",
        };
        page.fields(
            indent,
            [
                ("input", &item.input),
                ("output", &item.output),
                ("error", &item.error),
                (content, &item.content),
                ("thinking", &item.thinking),
                ("tool calls", &item.tool_calls),
            ],
        );
    }
    page.text
}

/// One line that says what an item is.
fn head(item: &TimelineItem) -> String {
    let kind = item.kind.as_deref().unwrap_or("?");
    let name = item.name.as_deref().or(item.model.as_deref());
    let mut parts = vec![match item.item.as_str() {
        "step" => format!("step  {} ({kind})", name.unwrap_or("?")),
        "approval" => format!("approval  {} ({kind})", name.unwrap_or("?")),
        "tokens" => format!("tokens  {kind}"),
        "score" => format!("score  {}", name.unwrap_or("?")),
        other => format!("{other}  {kind}"),
    }];
    let after = if item.item == "approval" {
        "after"
    } else {
        "in"
    };
    match (item.status.as_deref(), item.duration_ms) {
        (Some(status), Some(ms)) => parts.push(format!("{status} {after} {}", duration(ms))),
        (Some(status), None) => parts.push(status.to_owned()),
        _ => {}
    }
    if item.name.is_some() || item.item == "tokens" {
        parts.extend(item.model.iter().map(|model| format!("model {model}")));
    }
    parts.extend(token_counts(item));
    parts.extend(item.score_value.map(|value| value.to_string()));
    parts.extend(item.score_label.clone());
    let source = item.score_source.as_ref();
    parts.extend(source.map(|source| format!("by {source}")));
    parts.extend(item.offset_ms.map(|ms| format!("at {}", offset(ms))));
    parts.extend(item.flags.iter().map(|flag| flag.replace('_', " ")));
    let mark = match item.status.as_deref() {
        Some("completed" | "approved") => '✓',
        Some("failed" | "rejected" | "expired") => '✗',
        Some(_) => '…',
        None => '◆',
    };
    format!("{mark} {}", parts.join(" · "))
}

fn token_counts(item: &TimelineItem) -> Option<String> {
    let counts = [
        (item.tokens_input, "in"),
        (item.tokens_cache_read, "read from cache"),
        (item.tokens_cache_write, "written to cache"),
        (item.tokens_output, "out"),
        (item.tokens_reasoning, "reasoning"),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter_map(|(count, what)| Some(format!("{} {what}", thousands(count?))))
        .collect();
    (!counts.is_empty()).then(|| counts.join(", "))
}

/// From the start of the run; negative before it.
fn offset(ms: i64) -> String {
    match ms {
        0.. => duration(ms),
        _ => format!("-{}", duration(ms.saturating_neg())),
    }
}

struct Page {
    text: String,
    wrap_at: Option<usize>,
}

impl Page {
    fn head(&mut self, indent: usize, text: &str) {
        self.text.push('\n');
        for (number, line) in self.lines(text, indent + FIELD_INDENT).enumerate() {
            let line = if number == 0 { paint_mark(&line) } else { line };
            let more = if number == 0 { 0 } else { FIELD_INDENT };
            let _ = writeln!(self.text, "{:width$}{line}", "", width = indent + more);
        }
    }

    fn fields<const N: usize>(&mut self, indent: usize, fields: [(&str, &Option<String>); N]) {
        for (name, text) in fields {
            if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
                self.field(indent, name, text);
            }
        }
    }

    fn field(&mut self, indent: usize, name: &str, text: &str) {
        let (first, rest) = (indent + FIELD_INDENT, indent + TEXT_INDENT);
        let beside = format!("{name}: {}", printable(text));
        let fits = self
            .columns(first)
            .is_none_or(|columns| beside.chars().count() <= columns);
        if fits && !text.contains('\n') {
            let _ = writeln!(self.text, "{:first$}{beside}", "");
            return;
        }
        let _ = writeln!(self.text, "{:first$}{name}:", "");
        for line in self.lines(text, rest) {
            let _ = writeln!(self.text, "{:rest$}{line}", "");
        }
    }

    /// Columns behind an indent; `None` without a terminal.
    fn columns(&self, indent: usize) -> Option<usize> {
        let columns = self.wrap_at?.saturating_sub(indent);
        Some(columns.max(MIN_COLUMNS))
    }

    /// The lines of a text, wrapped.
    fn lines(&self, text: &str, indent: usize) -> std::vec::IntoIter<String> {
        let text = printable(text);
        let mut lines = Vec::new();
        for line in text.lines() {
            match self.columns(indent) {
                Some(columns) => wrap(line, columns, &mut lines),
                None => lines.push(line.to_owned()),
            }
        }
        lines.into_iter()
    }
}

/// Breaks a line behind spaces where it can, elsewhere anywhere. Every character stays.
fn wrap(line: &str, columns: usize, lines: &mut Vec<String>) {
    let mut rest = line;
    loop {
        let Some((end, _)) = rest.char_indices().nth(columns) else {
            lines.push(rest.to_owned());
            return;
        };
        let (fitting, _) = rest.split_at(end);
        let at = fitting.rfind(' ').map_or(end, |space| space + 1);
        let (now, later) = rest.split_at(at);
        lines.push(now.to_owned());
        rest = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(input: &str) -> RunText {
        RunText {
            name: Some("Brief".into()),
            input: Some(input.into()),
            output: None,
            error: Some(String::new()),
        }
    }

    fn shown(input: &str, wrap_at: Option<usize>) -> String {
        render(Uuid::nil(), &run(input), &[], wrap_at)
    }

    #[test]
    fn long_texts_are_wrapped_and_never_cut() {
        let words = "lorem ipsum ".repeat(40);
        let solid = "ü".repeat(500);
        let text = shown(&format!("{words}{solid}"), Some(60));
        assert!(
            text.lines().all(|line| line.chars().count() <= 60),
            "{text}"
        );
        let joined: String = text.lines().map(str::trim_start).collect();
        assert!(
            joined.contains(&format!("{}{solid}", words.trim_end())) || joined.contains(&words)
        );
        assert_eq!(text.matches('ü').count(), 500);
        assert_eq!(text.matches("ipsum").count(), 40);
    }

    #[test]
    fn without_a_terminal_lines_stay_whole() {
        let solid = "x".repeat(5_000);
        assert_eq!(
            shown(&solid, None),
            format!(
                "\nrun {}\n    name: Brief\n    input: {solid}\n",
                Uuid::nil()
            )
        );
    }

    #[test]
    fn texts_of_several_lines_stand_below_their_name() {
        assert_eq!(
            shown("{\n  \"a\": 1\n}", None),
            format!(
                "\nrun {}\n    name: Brief\n    input:\n        {{\n          \"a\": 1\n        }}\n",
                Uuid::nil()
            )
        );
    }

    #[test]
    fn payloads_cannot_act_on_the_terminal() {
        let text = shown("\u{1b}]0;title\u{7}\r", None);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}') && !text.contains('\r'));
        assert!(text.contains("\\u{1b}]0;title\\u{7}\\r"), "{text}");
    }
}
