//! Exit codes and printing, for all commands.

use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    process::ExitCode,
};

/// The command failed in any other way.
pub const EXIT_FAILED: u8 = 1;
/// Something does not exist or was refused.
pub const EXIT_REFUSED: u8 = 1;
/// The command line is wrong (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;
/// An input cannot be read (`EX_NOINPUT`).
pub const EXIT_NO_INPUT: u8 = 66;
/// The daemon or the database does not answer (`EX_UNAVAILABLE`).
pub const EXIT_UNAVAILABLE: u8 = 69;

/// Writes `text` to stdout. A reader that has gone, as in `… | head`, is not an error.
///
/// # Errors
/// If stdout fails in another way.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Says on stderr why the command failed, and gives its exit code.
pub fn fail(code: u8, message: impl std::fmt::Display) -> ExitCode {
    // Without stderr the exit code is all that is left.
    let _ = writeln!(io::stderr(), "runtraced: {message}");
    ExitCode::from(code)
}

/// Writes a message to stderr. Clears a progress bar that may be on the line.
pub fn warn(message: impl std::fmt::Display) {
    let clear = if io::stderr().is_terminal() {
        "\r\u{1b}[2K"
    } else {
        ""
    };
    let _ = writeln!(io::stderr(), "{clear}runtraced: {message}");
}

/// A table for stdout. The columns at the places `right` hold numbers. Cells are made printable: names come from
/// whoever sends events.
pub fn table<const N: usize>(
    heads: &[&str; N],
    right: &[usize],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let mut table = comfy_table::Table::new();
    let line = comfy_table::LineStyle::new('─', '─', '─', '─');
    table.load_style(comfy_table::TableStyle::new().header_separator(line));
    table.set_header(heads);
    if !stdout_is_terminal() {
        table.force_no_tty();
    }
    for row in rows {
        table.add_row(row.map(|cell| one_line(&cell)));
    }
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if right.contains(&place) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    table.trim_fmt() + "\n"
}

/// Whether stdout is a terminal that may show colours.
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// The terminal's width in columns; 120 if stdout is not a terminal.
pub fn width() -> u16 {
    const WITHOUT_TERMINAL: u16 = 120;
    terminal_width().unwrap_or(WITHOUT_TERMINAL)
}

/// The terminal's width in columns, if stdout is a terminal.
pub fn terminal_width() -> Option<u16> {
    comfy_table::Table::new().width()
}

/// Payload text for a terminal: characters that could act on it, that reorder text or that
/// nobody can see are escaped, tabs become spaces.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push(c),
            '\t' => shown.push_str("    "),
            c if c.is_control() || is_unseen(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// Text for one line of a terminal: as [`printable`], and line breaks become spaces, so that no text makes lines
/// of its own.
pub fn one_line(text: &str) -> String {
    printable(text).replace('\n', " ")
}

/// Whether a character hides or reorders what a person reads. What joins letters and emoji stays.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// A count with thousands separators: `12,345`.
pub fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// A duration as the database's `waterfall_ms` writes it: `340 ms`, `2.4 s`, `3m 05s`,
/// `2h 07m`, `2d 03h`.
pub fn duration(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..59_950 => format!("{:.1} s", ms as f64 / 1_000.0),
        59_950..3_600_000 => format!("{}m {:02}s", ms / 60_000, ms / 1_000 % 60),
        3_600_000..86_400_000 => format!("{}h {:02}m", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{}d {:02}h", ms / 86_400_000, ms / 3_600_000 % 24),
    }
}

/// `text`, cut to `most` characters with an ellipsis.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars()
        .take(most.saturating_sub(1))
        .chain(['…'])
        .collect()
}

/// `text` in a colour, if stdout may show colours.
pub fn paint(colour: Colour, text: &str) -> String {
    if stdout_is_terminal() {
        format!("\u{1b}[{}m{text}\u{1b}[0m", colour as u8)
    } else {
        text.to_owned()
    }
}

/// `line` with its first character, a mark of drawings and of the demo, in a colour.
pub fn paint_mark(line: &str) -> String {
    let mark = line.chars().next().unwrap_or(' ');
    let colour = match mark {
        '✓' => Colour::Green,
        '✗' => Colour::Red,
        '…' | '?' => Colour::Yellow,
        '●' | '◆' | '▸' => Colour::Dim,
        _ => return line.to_owned(),
    };
    let rest = line.get(mark.len_utf8()..).unwrap_or_default();
    paint(colour, &mark.to_string()) + rest
}

/// Colours by their numbers in terminal escape codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Colour {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
    Magenta = 35,
    Cyan = 36,
    LightBlue = 94,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        let numbers = [0, 999, 1_000, -1_234_567].map(thousands);
        assert_eq!(numbers, ["0", "999", "1,000", "-1,234,567"]);
    }

    #[test]
    fn no_text_acts_on_the_terminal_or_makes_lines() {
        let hostile = "a\u{1b}[2Jb\r\u{7}\u{202e}c\td\ne";
        let shown = one_line(hostile);
        assert_eq!(shown, r"a\u{1b}[2Jb\r\u{7}\u{202e}c    d e");
        let text = table(&["name"], &[], [[hostile.to_owned()]].into_iter());
        assert!(
            text.contains(&shown) && text.lines().count() == 3,
            "{text:?}"
        );
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let texts = [0, 999, 2_449, 185_000, 7_620_000, 183_600_000].map(duration);
        assert_eq!(
            texts,
            ["0 ms", "999 ms", "2.4 s", "3m 05s", "2h 07m", "2d 03h"]
        );
    }
}
