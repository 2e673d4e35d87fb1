//! Flag values as text, and the one pass that parses them.
//!
//! clap stops at the first value that it cannot parse. Here it accepts any text, and
//! [`FlagReader`] parses all of them and reports every fault at once.

use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{TypedValueParser, ValueParserFactory};
use uuid::Uuid;

use super::units::{UnitError, format_duration, format_size, parse_duration, parse_size};

/// The longest duration that a flag accepts: one year. Added to any clock in use it is
/// still a time that Postgres can store.
pub const MAX_DURATION: Duration = Duration::from_secs(366 * 86_400);

/// Every fault of a command line, one a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Faults(pub Vec<String>);

/// The text of a flag's value, and the flag or variable that it came from.
#[derive(Clone)]
pub struct FlagValue {
    name: String,
    text: String,
}

impl FlagValue {
    /// The text as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The flag or the variable that the text came from.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A default, for clap's `default_value_t`.
impl From<usize> for FlagValue {
    fn from(number: usize) -> Self {
        Self {
            name: String::new(),
            text: number.to_string(),
        }
    }
}

/// For clap, which shows defaults.
impl Display for FlagValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for FlagValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name, self.text)
    }
}

impl ValueParserFactory for FlagValue {
    type Parser = FlagValueParser;

    fn value_parser() -> FlagValueParser {
        FlagValueParser
    }
}

/// Accepts any text and notes where it came from.
#[derive(Clone, Debug)]
pub struct FlagValueParser;

impl TypedValueParser for FlagValueParser {
    type Value = FlagValue;

    fn parse_ref(
        &self,
        _command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<FlagValue, clap::Error> {
        // clap does not say where the value is from. If flag and variable hold the same
        // text, both are at fault and either name is right.
        let variable = arg
            .and_then(|arg| arg.get_env())
            .filter(|name| std::env::var_os(name).is_some_and(|set| set == value));
        let flag = arg.map(|arg| match arg.get_long() {
            Some(long) => format!("--{long}"),
            None => arg.get_value_names().unwrap_or_default().concat(),
        });
        Ok(FlagValue {
            name: variable.map_or(flag.unwrap_or_default(), |name| {
                name.to_string_lossy().into_owned()
            }),
            // What is not UTF-8 is no valid value and fails later, when it is parsed.
            text: value.to_string_lossy().into_owned(),
        })
    }
}

/// Parses flag values and collects every fault.
///
/// After a fault a method returns a stand-in, so that parsing goes on;
/// [`finish`](Self::finish) discards whatever was made of it.
#[derive(Debug, Default)]
pub struct FlagReader {
    faults: Vec<String>,
}

impl FlagReader {
    /// Notes a fault: its text begins with the flag's name.
    pub fn fault(&mut self, text: impl Into<String>) {
        self.faults.push(text.into());
    }

    /// How many faults there are so far.
    pub fn fault_count(&self) -> usize {
        self.faults.len()
    }

    /// Gives `value` if there were no faults.
    ///
    /// # Errors
    /// All faults.
    pub fn finish<T>(self, value: T) -> Result<T, Faults> {
        if self.faults.is_empty() {
            Ok(value)
        } else {
            Err(Faults(self.faults))
        }
    }

    /// A whole number within `range`.
    pub fn integer<T>(&mut self, value: &FlagValue, range: RangeInclusive<T>) -> T
    where
        T: Copy + PartialOrd + Display + FromStr,
    {
        let (least, most) = range.clone().into_inner();
        match value.text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.fault(format!(
                    "{} {} is not a whole number from {least} to {most}",
                    value.name, value.text
                ));
                least
            }
        }
    }

    /// A size in bytes within `range`.
    pub fn size(&mut self, value: &FlagValue, range: RangeInclusive<u64>) -> u64 {
        let example = "a size like 1048576, 64MiB or 4GB";
        let limits = (range.clone(), format_size as fn(u64) -> String);
        self.measure(value, parse_size(&value.text), limits, example)
    }

    /// The same for what memory holds.
    pub fn memory_size(&mut self, value: &FlagValue, range: RangeInclusive<u64>) -> usize {
        usize::try_from(self.size(value, range)).unwrap_or(usize::MAX)
    }

    /// A duration from `least` to [`MAX_DURATION`].
    pub fn duration(&mut self, value: &FlagValue, least: Duration) -> Duration {
        self.duration_within(value, least..=MAX_DURATION)
    }

    /// A duration within `range`.
    pub fn duration_within(
        &mut self,
        value: &FlagValue,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let example = "a duration like 30 (seconds), 500ms, 5m or 2h";
        let limits = (range, format_duration as fn(Duration) -> String);
        self.measure(value, parse_duration(&value.text), limits, example)
    }

    /// A switch: `true` or `false`, as flags set it and people write it in variables.
    pub fn switch(&mut self, value: &FlagValue) -> bool {
        match value.text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => true,
            // Scripts set a variable to nothing to say that it is not set.
            "false" | "f" | "no" | "n" | "off" | "0" | "" => false,
            _ => {
                self.fault(format!(
                    "{} {} is not true or false",
                    value.name, value.text
                ));
                true
            }
        }
    }

    /// A UUID.
    pub fn uuid(&mut self, value: &FlagValue) -> Option<Uuid> {
        self.parsed(value, "a UUID like 0194bb0a-0000-7000-8000-000000000001")
    }

    /// One of a few words.
    pub fn one_of(&mut self, value: &FlagValue, words: &[&str]) -> String {
        if !words.contains(&value.text()) {
            let fault = format!("{} {value} is not one of {}", value.name, words.join(", "));
            self.fault(fault);
        }
        value.text.clone()
    }

    /// A value of any other type; `kind` says what it should be, with an example.
    pub fn parsed<T: FromStr>(&mut self, value: &FlagValue, kind: &str) -> Option<T> {
        let parsed = value.text.parse().ok();
        if parsed.is_none() {
            self.fault(format!("{} {} is not {kind}", value.name, value.text));
        }
        parsed
    }

    fn measure<T: Copy + PartialOrd>(
        &mut self,
        value: &FlagValue,
        parsed: Result<T, UnitError>,
        (range, format): (RangeInclusive<T>, fn(T) -> String),
        example: &str,
    ) -> T {
        let (name, text) = (&value.name, &value.text);
        let fault = match parsed {
            Ok(amount) if range.contains(&amount) => return amount,
            Err(UnitError::Malformed) => format!("{name} {text} is not {example}"),
            Ok(_) | Err(UnitError::TooLarge) => format!(
                "{name} {text} is not between {} and {}",
                format(*range.start()),
                format(*range.end())
            ),
        };
        self.fault(fault);
        *range.start()
    }
}
