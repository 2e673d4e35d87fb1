//! Finds `postgres` and `initdb` on the machine.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::error::PrivateError;

/// The oldest major version that runtraced works with: views need
/// `security_invoker`.
pub const OLDEST: u32 = 15;
/// The newest major version that runtraced was tried with.
pub const NEWEST: u32 = 18;

/// A directory with the programs of one PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Where they are.
    pub dir: PathBuf,
    /// Their major version.
    pub major: u32,
}

impl Binaries {
    /// Finds a PostgreSQL: in `bin_dir`, else in `$RUNTRACED_PG_BIN`, else on
    /// PATH and in the usual places, newest first. With `made_by`, only one
    /// of that major version will do, for it is to open a cluster in `cluster`.
    ///
    /// # Errors
    /// Says what to install when there is none.
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
            None => usual_places()
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
                return Err(bad(format!("there is no `{name}` in it")));
            }
        }
        let found = Self::in_dir(&dir)
            .ok_or_else(|| bad("`postgres --version` does not run there".to_owned()))?;
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
            // A link on PATH leads to where the other programs are.
            dir: postgres.canonicalize().ok()?.parent()?.to_owned(),
        })
    }

    fn is_supported(&self) -> bool {
        (OLDEST..=NEWEST).contains(&self.major)
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
                false => format!(" (but {})", versions()),
            },
            advice: advice(),
        }),
    }
}

/// "postgres (PostgreSQL) 18.4 (Debian 18.4-1)", also "19beta1" and "19devel".
fn major_of(version: &str) -> Option<u32> {
    let number = version.split("(PostgreSQL) ").nth(1)?;
    let end = number
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(number.len());
    number[..end].parse().ok()
}

fn usual_places() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = env::split_paths(&path).collect();
    for major in (OLDEST..=NEWEST).rev() {
        places.extend(
            [
                format!("/usr/lib/postgresql/{major}/bin"),
                format!("/usr/pgsql-{major}/bin"),
                format!("/opt/homebrew/opt/postgresql@{major}/bin"),
                format!("/usr/local/opt/postgresql@{major}/bin"),
                format!("/home/linuxbrew/.linuxbrew/opt/postgresql@{major}/bin"),
                format!("/Applications/Postgres.app/Contents/Versions/{major}/bin"),
                format!("/opt/local/lib/postgresql{major}/bin"),
            ]
            .map(PathBuf::from),
        );
    }
    places.push("/usr/local/pgsql/bin".into());
    places
}

fn advice() -> &'static str {
    let has = |file: &str| Path::new(file).exists();
    if cfg!(target_os = "macos") {
        "Install it: brew install postgresql@17"
    } else if has("/etc/debian_version") {
        "Install it: apt-get install postgresql (scripts/install-postgres.sh does)"
    } else if has("/etc/fedora-release") || has("/etc/redhat-release") {
        "Install it: dnf install postgresql-server"
    } else if has("/etc/alpine-release") {
        "Install it: apk add postgresql17"
    } else if has("/etc/arch-release") {
        "Install it: pacman -S postgresql"
    } else {
        "Install the PostgreSQL server with your package manager (it is called postgresql or \
         postgresql-server)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_version_is_read_from_every_form() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.13 (Debian 15.13-0)\n"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 19devel"), Some(19));
        assert_eq!(major_of("postgres (PostgreSQL) 18"), Some(18));
        assert_eq!(major_of("initdb?"), None);
    }

    #[test]
    fn only_a_supported_version_or_the_one_that_made_the_cluster_is_chosen() {
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
        assert!(error.contains("but 14 in /pg14"), "{error}");
        assert!(error.contains("DATABASE_URL"), "{error}");
    }
}
