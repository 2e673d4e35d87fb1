//! A folder that was created survives a crash.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::spool::directories::{Directories, create_durably};

/// Folders in memory: a crash loses those whose names were not synced.
#[derive(Clone, Default)]
struct FakeDirectories {
    now: BTreeSet<PathBuf>,
    durable: BTreeSet<PathBuf>,
    modes: Vec<(PathBuf, u32)>,
    /// The number of operations until the process is killed.
    left: Option<usize>,
}

impl FakeDirectories {
    fn with(folders: &[&str]) -> Self {
        let now: BTreeSet<_> = folders.iter().map(PathBuf::from).collect();
        Self {
            durable: now.clone(),
            now,
            ..Self::default()
        }
    }

    fn step(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(io::Error::other("killed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether the folder is there after a power loss.
    fn survives(&self, path: &Path) -> bool {
        let mut folders = path.ancestors().filter(|one| !one.as_os_str().is_empty());
        folders.all(|folder| self.durable.contains(folder))
    }
}

impl Directories for FakeDirectories {
    fn exists(&self, path: &Path) -> bool {
        self.now.contains(path)
    }

    fn create(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        self.step()?;
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        if parent.is_some_and(|parent| !self.now.contains(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.modes.push((path.to_owned(), mode));
        self.now.insert(path.to_owned());
        Ok(())
    }

    fn sync(&mut self, path: &Path) -> io::Result<()> {
        self.step()?;
        let below = |folder: &&PathBuf| {
            let parent = folder
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            parent.unwrap_or(Path::new(".")) == path
        };
        let synced: Vec<PathBuf> = self.now.iter().filter(below).cloned().collect();
        self.durable.extend(synced);
        Ok(())
    }
}

/// Scenario: a spool folder is created with two, one or none of its parents; absolute or relative;
/// the power fails afterwards.
/// Guarantees: the folder is there; it has its mode and its parents have theirs.
#[test]
fn a_created_folder_survives_a_crash() {
    for (there, path, created) in [
        (
            vec!["/"],
            "/var/lib/spool",
            vec![("/var", 2), ("/var/lib", 2), ("/var/lib/spool", 1)],
        ),
        (
            vec!["/", "/var"],
            "/var/lib/spool",
            vec![("/var/lib", 2), ("/var/lib/spool", 1)],
        ),
        (
            vec!["/", "/var", "/var/lib"],
            "/var/lib/spool",
            vec![("/var/lib/spool", 1)],
        ),
        (vec![], "data/spool", vec![("data", 2), ("data/spool", 1)]),
        (vec![], "spool", vec![("spool", 1)]),
    ] {
        let mut folders = FakeDirectories::with(&there);
        create_durably(&mut folders, Path::new(path), 1, 2).unwrap();
        assert!(folders.survives(Path::new(path)), "{path}");
        let created: Vec<_> = created
            .into_iter()
            .map(|(path, mode)| (PathBuf::from(path), mode))
            .collect();
        assert_eq!(folders.modes, created);
    }
}

/// Scenario: the process is killed after each step of creating the folder; the next one opens it,
/// and then the power fails.
/// Guarantees: the folder is there all the same.
#[test]
fn a_folder_of_a_killed_process_survives_a_crash() {
    let path = Path::new("/var/spool");
    for steps in 0..4 {
        let mut folders = FakeDirectories::with(&["/"]);
        folders.left = Some(steps);
        create_durably(&mut folders, path, 1, 2).unwrap_err();
        folders.left = None;
        create_durably(&mut folders, path, 1, 2).unwrap();
        assert!(folders.survives(path), "killed after {steps} steps");
    }
}
