//! Virtual environments of Python with packages from a registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::needed;

/// The folder of programs of an environment with the packages of a file, or why they cannot be
/// installed. Kept between test runs.
pub fn environment(name: &str, requirements: &Path) -> Result<PathBuf, String> {
    needed::program("python3")?;
    let wanted = fs::read_to_string(requirements).unwrap();
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let bin = venv.join("bin");
    let complete = venv.join("complete");
    if fs::read_to_string(&complete).is_ok_and(|made_with| made_with == wanted) {
        return Ok(bin);
    }
    needed::run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&venv),
    )?;
    needed::run(
        Command::new(bin.join("python"))
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--disable-pip-version-check", "--only-binary", ":all:"])
            .args(["--timeout", "20", "--retries", "1"])
            .arg("-r")
            .arg(requirements),
    )?;
    fs::write(complete, wanted).unwrap();
    Ok(bin)
}
