//! The Python examples: their packages, and how to run them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// An example's folder, and the folder of programs that its requirements
/// installed. Kept between test runs.
pub struct Example {
    pub folder: PathBuf,
    pub bin: PathBuf,
}

impl Example {
    /// `examples/NAME`, or why its packages cannot be installed.
    pub fn prepare(name: &str) -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("examples")
            .join(name);
        let wanted = fs::read_to_string(folder.join("requirements.txt")).unwrap();
        let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-example"));
        let bin = venv.join("bin");
        let complete = venv.join("complete");
        if fs::read_to_string(&complete).is_ok_and(|made_with| made_with == wanted) {
            return Ok(Self { folder, bin });
        }
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&venv))?;
        run(Command::new(bin.join("python"))
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--disable-pip-version-check", "--only-binary", ":all:"])
            .args(["--timeout", "20", "--retries", "1"])
            .arg("-r")
            .arg(folder.join("requirements.txt")))?;
        fs::write(complete, wanted).unwrap();
        Ok(Self { folder, bin })
    }
}

/// Runs a program; its stdout, or why it failed.
pub fn run(command: &mut Command) -> Result<String, String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() {
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    } else {
        let stderr = String::from_utf8_lossy(&stderr);
        Err(format!("{command:?}: {status}: {stderr}"))
    }
}
