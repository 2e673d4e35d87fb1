//! `runtraced psql`: psql on the daemon's database.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use super::{
    database::DatabaseArgs,
    output::{self, EXIT_UNAVAILABLE},
};
use crate::postgres::Binaries;

/// Open psql on the daemon's database.
#[derive(Debug, Clone, clap::Args)]
pub struct PsqlArgs {
    #[allow(missing_docs)] // its fields are documented
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// Arguments for psql, for example -c 'SELECT …'.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    pub args: Vec<OsString>,
}

/// Replaces this process by psql. Returns only if that fails.
///
/// # Errors
/// If there is no database.
pub fn run(args: PsqlArgs) -> anyhow::Result<ExitCode> {
    let (url, password) = without_password(&args.database.url()?);
    let mut psql = Command::new(find_psql());
    psql.arg("--dbname").arg(url).args(&args.args);
    if let Some(password) = password {
        psql.env("PGPASSWORD", password);
    }
    let error = psql.exec();
    let cause = super::failure::explain(&error);
    let message = format_args!(
        "cannot start psql: {cause}; install the PostgreSQL client or add its folder to PATH"
    );
    Ok(output::fail(EXIT_UNAVAILABLE, message))
}

/// psql in PATH, else the one beside the server's programs.
fn find_psql() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path)
        .map(|dir| dir.join("psql"))
        .find(|program| program.is_file());
    let beside_server = || {
        let binaries = Binaries::find(None, None, Path::new("")).ok()?;
        Some(binaries.program("psql"))
    };
    on_path
        .or_else(beside_server)
        .unwrap_or_else(|| PathBuf::from("psql"))
}

/// Takes the password out of a URL: every user of the machine can see arguments.
fn without_password(url: &str) -> (String, Option<OsString>) {
    let parts = || {
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split(['/', '?']).next()?;
        let (user_info, _) = authority.rsplit_once('@')?;
        let (user, password) = user_info.split_once(':')?;
        let rest = rest.get(user_info.len()..)?;
        Some((format!("{scheme}://{user}{rest}"), decoded(password)))
    };
    match parts() {
        Some((url, password)) => (url, Some(password)),
        None => (url.to_owned(), None),
    }
}

/// Decodes percent-encoding.
fn decoded(text: &str) -> OsString {
    use std::os::unix::ffi::OsStringExt as _;
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let escaped = hex
            .filter(|_| *first == b'%')
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            &after[2..]
        } else {
            after
        };
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_leaves_the_url() {
        let split = |url| {
            let (url, password) = without_password(url);
            (url, password.map(|text| text.into_string().unwrap()))
        };
        assert_eq!(
            split("postgresql://me:p%40ss:%w%@host:5432/db?sslmode=require"),
            (
                "postgresql://me@host:5432/db?sslmode=require".into(),
                Some("p@ss:%w%".into())
            )
        );
        for url in ["postgres://me@host/db?x=a:b@c", "postgres:///db", "host=x"] {
            assert_eq!(split(url), (url.into(), None));
        }
    }
}
