//! Flags, variables and commands in the pages are those of the program.

use std::{collections::BTreeSet, env, fs};

use clap::{Arg, CommandFactory as _, Parser as _};
use runtraced::cli::Cli;

use super::markdown;

const BEGIN: &str = "<!-- serve flags: begin (RUNTRACED_UPDATE_DOCS=1 cargo test --test suite docs:: rewrites this table) -->\n";
const END: &str = "<!-- serve flags: end -->";

#[test]
fn the_configuration_table_is_what_clap_says() {
    let page = markdown::page("docs/CONFIGURATION.md");
    let (before, rest) = page.text.split_once(BEGIN).unwrap();
    let (now, after) = rest.split_once(END).unwrap();
    let table = serve_flags();
    if env::var_os("RUNTRACED_UPDATE_DOCS").is_some() {
        let text = format!("{before}{BEGIN}{table}{END}{after}");
        fs::write(markdown::path(&page.name), text).unwrap();
        return;
    }
    assert_eq!(
        now, table,
        "{}: the table of flags is out of date",
        page.name
    );
}

fn serve_flags() -> String {
    let mut command = Cli::command();
    command.build();
    let serve = command.find_subcommand("serve").unwrap();
    let mut table =
        "| flag | variable | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for arg in serve.get_arguments().filter(|arg| arg.get_id() != "help") {
        table.push_str(&row(arg));
    }
    table
}

fn row(arg: &Arg) -> String {
    let flag = arg.get_long().unwrap();
    let value = match arg.get_action().takes_values() {
        true => format!(" {}", arg.get_value_names().unwrap()[0]),
        false => String::new(),
    };
    let variable = arg.get_env().unwrap().to_str().unwrap();
    let default = match arg.get_default_values() {
        [] => String::new(),
        [default, ..] => format!("`{}`", default.to_str().unwrap()),
    };
    let meaning = arg.get_help().unwrap().to_string().replace('|', "\\|");
    assert!(!meaning.contains('\n'), "--{flag}: {meaning}");
    format!("| `--{flag}{value}` | `{variable}` | {default} | {meaning} |\n")
}

#[test]
fn every_command_line_is_valid() {
    let mut count = 0;
    for page in markdown::pages() {
        for block in page.blocks("sh") {
            for line in block.replace("\\\n", " ").lines() {
                // A placeholder for the id of any run.
                let line = line.replace("RUN_ID", "0194bb0a");
                for words in runtraced_calls(&line) {
                    count += 1;
                    let cli = match Cli::try_parse_from(&words) {
                        Ok(cli) => cli,
                        Err(error) => panic!("{}: {line}\n{error}", page.name),
                    };
                    if let Err(faults) = cli.check() {
                        panic!("{}: {line}\n{faults}", page.name);
                    }
                }
            }
        }
    }
    assert!(count > 10, "only {count} command lines: are they found?");
}

#[test]
fn every_command_and_flag_in_the_text_exists() {
    let mut command = Cli::command();
    command.build();
    let commands = command.get_subcommands();
    let flags: Vec<String> = commands
        .flat_map(|sub| std::iter::once(sub).chain(sub.get_subcommands()))
        .flat_map(|sub| sub.get_arguments())
        .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
        .collect();
    for page in markdown::pages() {
        for span in page.spans() {
            let mut words = span.split_whitespace();
            let first = words.next().unwrap_or_default();
            let flag = first.split('=').next().unwrap_or_default();
            if flag.starts_with("--") {
                assert!(flags.iter().any(|f| f == flag), "{}: {span}", page.name);
            }
            if first == "runtraced" {
                check_span(&command, words, &format!("{}: {span}", page.name));
            }
        }
    }
}

/// The words behind `runtraced` in a text: a command, perhaps one below it, and flags of that.
fn check_span<'a>(program: &clap::Command, words: impl Iterator<Item = &'a str>, place: &str) {
    let mut command = program;
    for word in words {
        let flag = word.split('=').next().unwrap_or_default();
        if let Some(name) = flag.strip_prefix("--") {
            let is_its = |arg: &Arg| arg.get_long() == Some(name);
            let is_known = command.get_arguments().any(is_its);
            assert!(is_known, "{place}: {} has no --{name}", command.get_name());
        } else if command.has_subcommands() {
            command = command
                .find_subcommand(word)
                .unwrap_or_else(|| panic!("{place}: there is no {word}"));
        }
    }
}

/// `make NAME` and `scripts/NAME` in the text.
#[test]
fn every_target_and_script_in_the_text_exists() {
    let makefile = fs::read_to_string(markdown::path("Makefile")).unwrap();
    let mut count = 0;
    for page in markdown::pages() {
        for span in page.spans() {
            let mut words = span.split_whitespace();
            match (words.next(), words.next()) {
                (Some("make"), Some(target)) => {
                    let is_there = makefile.lines().any(|line| {
                        line.strip_prefix(target)
                            .is_some_and(|rest| rest.starts_with(':'))
                    });
                    assert!(is_there, "{}: {span}", page.name);
                }
                (Some(script), _) if script.starts_with("scripts/") => {
                    assert!(markdown::path(script).exists(), "{}: {span}", page.name);
                }
                _ => continue,
            }
            count += 1;
        }
    }
    assert!(count > 20, "only {count}: are they found?");
}

/// Variables of flags, and those that only the tests or the scripts read.
#[test]
fn every_variable_in_the_text_exists() {
    let mut command = Cli::command();
    command.build();
    let known = variables(&command);
    let tests = sources("tests/suite");
    let scripts = scripts();
    let mut count = 0;
    for page in markdown::pages() {
        for name in page
            .text
            .split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
        {
            // `RUNTRACED_` alone, and `RUNTRACED_TLS_…`, stand for several.
            if !name.starts_with("RUNTRACED_") || name.ends_with('_') {
                continue;
            }
            count += 1;
            let quoted = format!("\"{name}\"");
            let expanded = format!("${{{name}:-");
            let is_known =
                known.contains(name) || tests.contains(&quoted) || scripts.contains(&expanded);
            assert!(is_known, "{}: {name} does not exist", page.name);
        }
    }
    assert!(count > 50, "only {count} variables: are they found?");
}

/// The variables of a command and of its subcommands.
fn variables(command: &clap::Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(Arg::get_env);
    let own = own.map(|name| name.to_str().unwrap().to_owned());
    own.chain(command.get_subcommands().flat_map(variables))
        .collect()
}

/// The text of the scripts that build and try packages.
fn scripts() -> String {
    let mut text = String::new();
    for folder in ["scripts", "scripts/release"] {
        for entry in fs::read_dir(markdown::path(folder)).unwrap() {
            let file = entry.unwrap().path();
            if file.extension().is_some_and(|ending| ending == "sh") {
                text += &fs::read_to_string(file).unwrap();
            }
        }
    }
    text
}

/// The text of every Rust file below a folder.
pub fn sources(folder: &str) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(markdown::path(folder)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = format!("{folder}/{name}");
        if markdown::path(&name).is_dir() {
            text.push_str(&sources(&name));
        } else if name.ends_with(".rs") {
            text.push_str(&fs::read_to_string(markdown::path(&name)).unwrap());
        }
    }
    text
}

/// The words of each call of runtraced in a line of shell.
fn runtraced_calls(line: &str) -> Vec<Vec<String>> {
    let calls = split(line).into_iter().map(|words| {
        let is_setting = |word: &String| word.contains('=') && !word.starts_with('-');
        words.into_iter().skip_while(is_setting).collect()
    });
    calls
        .filter(|words: &Vec<String>| words.first().is_some_and(|word| word == "runtraced"))
        .collect()
}

/// A line of shell as commands of words: quotes, pipes, `&`, `;`, redirections
/// and comments, as far as the pages use them.
fn split(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut word) = (vec![Vec::new()], None::<String>);
    let mut quote = None;
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(q), _) if q == c => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '|' | '&' | ';' | '>' | '<') => {
                commands.last_mut().unwrap().extend(word.take());
                if c != ' ' {
                    commands.push(Vec::new());
                }
            }
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    commands
}

#[test]
fn a_line_of_shell_is_taken_apart() {
    let calls = runtraced_calls("A=b runtraced psql -c 'SELECT 1; x' | runtraced send - & # c");
    assert_eq!(
        calls,
        [
            vec!["runtraced", "psql", "-c", "SELECT 1; x"],
            vec!["runtraced", "send", "-"]
        ]
    );
}
