//! What user data says about logins, without keeping it: it may hold secrets.
//!
//! Reads lines as cloud-init's documents are written; no YAML is evaluated. "Does not say" is the answer
//! where a document is written in another way. Source: cloud-init documentation, "User-data formats", "Users and groups".

use crate::core::facts::host::UserData;

/// Bytes that are looked at: EC2's limit (User Guide, "user data").
const LONGEST: usize = 16 * 1024;

/// Describes decoded user data.
pub fn describe(raw: &[u8]) -> UserData {
    let text = String::from_utf8_lossy(&raw[..raw.len().min(LONGEST)]).into_owned();
    let kind = kind(raw, &text).to_owned();
    let cloud_config = matches!(kind.as_str(), "cloud-config" | "multipart");
    UserData {
        bytes: raw.len(),
        default_user: cloud_config.then(|| default_user(&text)).flatten(),
        makes_users: makes_users(&text),
        ssh_port: port(&text),
        hinders_login: hinders(&text),
        kind,
    }
}

/// The format by its first bytes, as cloud-init tells them apart.
fn kind(raw: &[u8], text: &str) -> &'static str {
    let start = text.trim_start();
    let lower = start.get(..200.min(start.len())).unwrap_or(start).to_ascii_lowercase();
    match () {
        () if raw.starts_with(&[0x1f, 0x8b]) => "gzip",
        () if start.starts_with("#cloud-config") => "cloud-config",
        () if start.starts_with("#cloud-boothook") => "boothook",
        () if start.starts_with("#!") => "script",
        () if lower.starts_with("content-type:") || lower.starts_with("mime-version:") => "multipart",
        () if start.starts_with('{') && start.contains("\"ignition\"") => "ignition",
        () if lower.starts_with("<powershell>") || lower.starts_with("<script>") => "powershell",
        () if start.starts_with("[settings") => "toml",
        () => "other",
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn plain(value: &str) -> Option<String> {
    let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    let valid = !value.is_empty()
        && value.len() <= 32
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    valid.then(|| value.to_owned())
}

/// The name that replaces the image's default user.
fn default_user(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with('#') && !l.trim().is_empty()).collect();
    // system_info: default_user: name: X
    if let Some(at) = lines.iter().position(|l| l.trim() == "default_user:") {
        let inner = lines[at + 1..].iter().take_while(|l| indent(l) > indent(lines[at]));
        for line in inner {
            if let Some(name) = line.trim().strip_prefix("name:") {
                return plain(name);
            }
        }
    }
    // user: X, or user: {name: X}
    if let Some(value) = lines.iter().find_map(|l| l.strip_prefix("user:")) {
        let value = value.trim().trim_start_matches('{').trim_end_matches('}').trim();
        let value = value.strip_prefix("name:").unwrap_or(value);
        return plain(value.split(',').next().unwrap_or_default());
    }
    // users: without "default": the first user takes its place.
    let at = lines.iter().position(|l| l.trim_end() == "users:")?;
    let items: Vec<&str> =
        lines[at + 1..].iter().take_while(|l| indent(l) > 0 || l.starts_with('-')).map(|l| l.trim()).collect();
    if items.iter().any(|l| matches!(*l, "- default" | "- 'default'" | "- \"default\"")) {
        return None;
    }
    items.iter().find_map(|l| l.strip_prefix("- name:").or_else(|| l.strip_prefix("name:"))).and_then(plain)
}

/// Names of accounts that it makes: items of `users:`, and the last word of `useradd` and `adduser` lines. A name that
/// a variable holds is not known.
fn makes_users(text: &str) -> Vec<String> {
    let lines = || text.lines().filter(|l| !l.trim_start().starts_with('#'));
    let listed = lines()
        .skip_while(|l| l.trim_end() != "users:")
        .skip(1)
        .take_while(|l| indent(l) > 0 || l.starts_with('-') || l.trim().is_empty())
        .filter_map(|l| {
            let item = l.trim();
            item.strip_prefix("- name:").or_else(|| item.strip_prefix("name:")).and_then(plain)
        });
    let commanded = lines().filter_map(|line| {
        // One command of the line, without what follows it.
        let at = ["useradd ", "adduser "].iter().find_map(|word| line.find(word).map(|at| at + word.len()))?;
        let command = line[at..].split([';', '&', '|', '>', '#']).next()?;
        command.split_whitespace().next_back().filter(|word| !word.starts_with('-')).and_then(plain)
    });
    let mut users: Vec<String> = Vec::new();
    for name in listed.chain(commanded) {
        if !users.contains(&name) {
            users.push(name);
        }
    }
    users
}

/// An SSH port that a script or file in it sets.
fn port(text: &str) -> Option<u16> {
    let ssh = text.contains("sshd_config") || text.contains("ssh.socket");
    if !ssh {
        return None;
    }
    let after = |line: &str, word: &str| {
        // The last one counts: `s/#Port 22/Port 2222/`.
        let at = line.rfind(word)? + word.len();
        let digits: String = line[at..].trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u16>().ok().filter(|p| *p != 22 && *p != 0)
    };
    text.lines()
        .filter(|l| !l.trim_start().starts_with('#'))
        .find_map(|line| after(line, "Port ").or_else(|| after(line, "ListenStream=")))
}

/// A line that turns logins off, quoted shortly.
fn hinders(text: &str) -> Option<String> {
    const SIGNS: &[(&str, &str)] = &[
        ("systemctl disable ssh", "it disables the SSH service"),
        ("systemctl stop ssh", "it stops the SSH service"),
        ("systemctl mask ssh", "it masks the SSH service"),
        ("service sshd stop", "it stops the SSH service"),
        ("PubkeyAuthentication no", "it turns public-key logins off"),
        ("ufw enable", "it turns the ufw firewall on"),
        ("> /home/", "it overwrites a file in a home directory"),
    ];
    let lines = || text.lines().map(str::trim).filter(|l| !l.starts_with('#'));
    SIGNS.iter().find_map(|(sign, words)| {
        let hit = lines().find(|l| l.contains(sign))?;
        // Only the overwriting of authorized_keys matters, and opening the port before the firewall is right.
        let counts = match *sign {
            "> /home/" => hit.contains("authorized_keys") && !hit.contains(">>"),
            "ufw enable" => !lines().any(|l| l.contains("ufw allow")),
            _ => true,
        };
        counts.then(|| (*words).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Option<String> {
        describe(text.as_bytes()).default_user
    }

    #[test]
    fn a_renamed_default_user_is_read_in_its_three_forms() {
        assert_eq!(
            user("#cloud-config\nsystem_info:\n  default_user:\n    name: deploy\n    lock_passwd: true\n").as_deref(),
            Some("deploy")
        );
        assert_eq!(user("#cloud-config\nuser: 'ops'\n").as_deref(), Some("ops"));
        assert_eq!(user("#cloud-config\nusers:\n  - name: alice\n    groups: wheel\n").as_deref(), Some("alice"));
        assert_eq!(user("#cloud-config\nusers:\n  - default\n  - name: alice\n"), None);
        assert_eq!(user("#cloud-config\npackages:\n  - nginx\n"), None);
        assert_eq!(user("#!/bin/sh\nuser: x\n"), None, "a script is no cloud-config");
    }

    #[test]
    fn accounts_that_it_makes_are_named() {
        let of = |text: &str| describe(text.as_bytes()).makes_users;
        assert_eq!(of("#!/bin/sh\nset -e\ndnf -y install x\nuseradd -m -s /bin/bash app\n"), ["app"]);
        assert_eq!(of("#!/bin/bash\nsudo adduser --disabled-password --gecos '' ops && echo done\n"), ["ops"]);
        assert_eq!(
            of("#cloud-config\nusers:\n  - default\n  - name: alice\n    groups: wheel\nruncmd: []\n"),
            ["alice"]
        );
        assert!(of("#!/bin/sh\n# useradd old\nuseradd \"$NAME\"\n").is_empty());
        assert!(of("#cloud-config\npackages:\n  - name: nginx\n").is_empty());
    }

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        for (text, kind) in [
            ("#cloud-config\n", "cloud-config"),
            ("#!/bin/bash\necho", "script"),
            ("#cloud-boothook\n#!/bin/sh", "boothook"),
            ("Content-Type: multipart/mixed; boundary=\"//\"\n", "multipart"),
            ("{\"ignition\":{\"version\":\"3.3.0\"}}", "ignition"),
            ("<powershell>\n", "powershell"),
            ("[settings.kubernetes]\n", "toml"),
            ("hello", "other"),
        ] {
            assert_eq!(describe(text.as_bytes()).kind, kind);
        }
        assert_eq!(describe(&[0x1f, 0x8b, 8, 0]).kind, "gzip");
    }

    #[test]
    fn what_hinders_a_login_is_named_and_what_helps_is_not() {
        let of = |t: &str| describe(t.as_bytes()).hinders_login;
        assert!(of("#!/bin/sh\nsystemctl disable --now ssh\nsystemctl disable ssh\n").is_some());
        assert!(of("#!/bin/sh\necho key >> /home/ec2-user/.ssh/authorized_keys\n").is_none());
        assert!(of("#!/bin/sh\necho key > /home/ec2-user/.ssh/authorized_keys\n").is_some());
        assert!(of("#!/bin/sh\nufw allow ssh\nufw --force enable; ufw enable\n").is_none());
        assert_eq!(describe(b"#!/bin/sh\nsed -i 's/#Port 22/Port 2222/' /etc/ssh/sshd_config\n").ssh_port, Some(2222));
        assert_eq!(describe(b"#!/bin/sh\necho Port 22 >> /etc/ssh/sshd_config\n").ssh_port, None);
    }
}
