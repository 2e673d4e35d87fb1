//! Lines of any input, in bounded memory.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// One line of input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InputLine {
    /// Its number, counted from 1.
    pub(super) number: u64,
    /// Its text without the end of line, or why it cannot be read.
    pub(super) text: Result<String, String>,
}

/// Reads lines of at most `max_bytes`. Reports longer ones and goes on.
pub(super) struct InputLines<R> {
    input: R,
    max_bytes: usize,
    number: u64,
    bytes_read: u64,
    /// The line so far, at most `max_bytes + 1` bytes of it. Here and not in `next`, so that
    /// nothing is lost if `next` is dropped.
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> InputLines<R> {
    pub(super) fn new(input: R, max_bytes: usize) -> Self {
        Self {
            input,
            max_bytes,
            number: 0,
            bytes_read: 0,
            line: Vec::new(),
        }
    }

    /// Bytes of the input so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The next line; `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> io::Result<Option<InputLine>> {
        loop {
            let chunk = self.input.fill_buf().await?;
            if chunk.is_empty() {
                return Ok((!self.line.is_empty()).then(|| self.take_line()));
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or(chunk);
            let room = (self.max_bytes + 1).saturating_sub(self.line.len());
            self.line.extend(part.iter().take(room));
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            self.bytes_read += used as u64;
            if end.is_some() {
                return Ok(Some(self.take_line()));
            }
        }
    }

    fn take_line(&mut self) -> InputLine {
        self.number += 1;
        let line = std::mem::take(&mut self.line);
        let text = if line.len() > self.max_bytes {
            Err(format!("longer than {} bytes", self.max_bytes))
        } else {
            String::from_utf8(line).map_err(|error| {
                let column = error.utf8_error().valid_up_to() + 1;
                format!("column {column}: not UTF-8")
            })
        };
        InputLine {
            number: self.number,
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    async fn read(input: &[u8], max_bytes: usize) -> Vec<(u64, Result<String, String>)> {
        // A tiny buffer, so that lines span many chunks.
        let mut lines = InputLines::new(BufReader::with_capacity(3, input), max_bytes);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push((line.number, line.text));
        }
        assert_eq!(lines.bytes_read(), input.len() as u64);
        all
    }

    #[tokio::test]
    async fn lines_are_numbered_with_and_without_a_last_end_of_line() {
        let expected = vec![
            (1, Ok("one".into())),
            (2, Ok("".into())),
            (3, Ok("three".into())),
        ];
        assert_eq!(read(b"one\n\nthree\n", 9).await, expected);
        assert_eq!(read(b"one\n\nthree", 9).await, expected);
        assert_eq!(read(b"", 9).await, []);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_or_no_text_harms_only_itself() {
        let lines = read(b"12345678\n123456789\na\xFFb\nlast", 8).await;
        assert_eq!(lines[0], (1, Ok("12345678".into())));
        assert_eq!(lines[1], (2, Err("longer than 8 bytes".into())));
        assert_eq!(lines[2], (3, Err("column 2: not UTF-8".into())));
        assert_eq!(lines[3], (4, Ok("last".into())));
    }
}
