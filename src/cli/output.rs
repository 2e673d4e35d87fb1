//! What all commands share towards the terminal: exit codes and printing.

use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    process::ExitCode,
};

/// Something that was asked for is not there, or was refused.
pub const EXIT_REFUSED: u8 = 1;
/// Wrong use (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;
/// An input cannot be read (`EX_NOINPUT`).
pub const EXIT_NO_INPUT: u8 = 66;
/// The daemon or the database does not answer (`EX_UNAVAILABLE`).
pub const EXIT_UNAVAILABLE: u8 = 69;

/// Writes `text` to stdout. That nobody reads on, as in `… | head`, is fine.
///
/// # Errors
/// Any other fault of stdout.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Says on stderr why the command failed; for its exit code.
pub fn fail(code: u8, message: impl std::fmt::Display) -> ExitCode {
    // If stderr is gone too, the exit code has to do.
    let _ = writeln!(io::stderr(), "runtraced: {message}");
    ExitCode::from(code)
}

/// Whether colours and bars are welcome on stdout.
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// The terminal's width in columns; of anything else, that of a wide one.
pub fn width() -> u16 {
    const OTHERWISE: u16 = 120;
    comfy_table::Table::new().width().unwrap_or(OTHERWISE)
}

/// A count with thousands separated: `12,345`.
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

/// A duration for people: `340ms`, `2.4s`, `3m 05s`, `2h 07m`.
pub fn duration(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}m {:02}s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{}h {:02}m", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
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
    fn durations_have_two_units_at_most() {
        let texts = [0, 999, 2_449, 185_000, 7_620_000].map(duration);
        assert_eq!(texts, ["0ms", "999ms", "2.4s", "3m 05s", "2h 07m"]);
    }
}
