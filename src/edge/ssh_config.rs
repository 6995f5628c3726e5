//! Effective ssh configuration of a target: what the user's own ssh would do.
//!
//! Asks `ssh -G`, which connects to nothing; without OpenSSH the configuration files are parsed here.
//! Must not judge. Settings count as set only where they differ from what ssh does without any file
//! or option. Used by the configuration probe.

mod parse;

use crate::core::fact::{Fact, Why};
use crate::core::facts::local::{ClientAlgorithms, SshConfig};
use crate::core::recognise::strip_controls;
use crate::core::target::Target;
use crate::edge::keys::expand;
use crate::edge::tcp::{os_words, whole_millis};
use parse::Settings;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// Limit of one run of ssh.
const LIMIT: Duration = Duration::from_secs(3);

/// Settings that ssh would use for the target (ssh(1), `-G`).
pub async fn effective(target: &Target) -> Fact<SshConfig> {
    effective_by(find("ssh", std::env::var_os("PATH")).as_deref(), target).await
}

/// Configuration files read once, for the hosts of a whole fleet. No ssh is started: `Match exec` is passed over.
pub struct Files {
    parsed: Result<Vec<ssh2_config::SshConfig>, String>,
}

impl Files {
    /// Reads the given file, else the user's and the system's.
    pub fn read(config_file: Option<&str>) -> Self {
        let target = Target { config_file: config_file.map(str::to_owned), ..Target::default() };
        Self { parsed: parse::read(&config_files(&target)) }
    }

    /// What they say of a host that may be typed by any of these names: by the first that a Host block names, else by
    /// the last of them.
    pub fn of(&self, names: &[&str]) -> Fact<SshConfig> {
        match &self.parsed {
            Err(reason) => Fact::unknown(Why::failed("reading the ssh configuration", reason.clone())),
            Ok(files) => {
                let plain = names.iter().filter(|name| is_plain(name));
                let mut found = plain.map(|name| parse::of(files, name)).collect::<Vec<_>>();
                let at = found.iter().position(|c| c.matched).unwrap_or(found.len().saturating_sub(1));
                let config = if found.is_empty() { SshConfig::default() } else { found.swap_remove(at) };
                Fact::known(config, "ssh configuration")
            }
        }
    }
}

/// Version line of the local ssh client (`ssh -V`), such as `OpenSSH_9.6p1, OpenSSL 3.0.13`.
pub async fn client_version() -> Fact<String> {
    let Some(ssh) = find("ssh", std::env::var_os("PATH")) else {
        return Fact::unknown(Why::NotFound { what: "program ssh in PATH".to_owned() });
    };
    match run(&ssh, &["-V".into()]).await {
        Err(why) => Fact::unknown(why),
        // The version goes to the error stream.
        Ok(done) => match done.errors.lines().next().map(str::trim) {
            Some(line) if done.success && !line.is_empty() => Fact::known(line.to_owned(), "ssh -V"),
            _ => Fact::unknown(Why::failed("ssh -V", "it printed no version")),
        },
    }
}

/// Settings by a given ssh program, or by the own parser.
async fn effective_by(ssh: Option<&Path>, target: &Target) -> Fact<SshConfig> {
    // The name becomes an argument of a program, and part of what that program may run.
    if !is_plain(&target.name) || target.user.as_deref().is_some_and(|user| !is_plain(user)) {
        return Fact::unknown(Why::failed("reading the ssh configuration", "the target is no host name"));
    }
    let files = config_files(target);
    if let Some(file) = target.config_file.as_deref().filter(|file| *file != "none" && !expand(file).exists()) {
        return Fact::unknown(Why::NotFound { what: format!("configuration file {file}") });
    }
    let readable = files.clone();
    let name = target.name.clone();
    let parsed = tokio::task::spawn_blocking(move || parse::files(&readable, &name)).await;
    let parsed = parsed.unwrap_or_else(|error| Err(error.to_string()));
    let Some(ssh) = ssh else {
        let source = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
        return match parsed {
            Ok(parsed) => Fact::known(parsed, source),
            Err(reason) => Fact::unknown(Why::failed("reading the ssh configuration", reason)),
        };
    };
    let asked = match ask(ssh, &arguments(target)).await {
        Ok(settings) => settings,
        Err(why) => return Fact::unknown(why),
    };
    // What ssh does without files and options: what differs was set by somebody.
    let without = ask(ssh, &["-G".into(), "-F".into(), "none".into(), "--".into(), target.name.clone().into()])
        .await
        .unwrap_or_default();
    let mut config = difference(&asked, &without, target);
    if let Ok(parsed) = parsed {
        // A file may set what is the default anyway; only the parser sees that.
        config.user = config.user.or_else(|| parsed.user.filter(|user| asked.first("user") == Some(user)));
        config.port = config.port.or_else(|| parsed.port.filter(|port| asked.first("port") == Some(&port.to_string())));
        config.matched |= parsed.matched;
    }
    if target.user.is_some() {
        config.user = None;
    }
    if target.port.is_some() {
        config.port = None;
    }
    let file = target.config_file.as_ref().map(|file| format!(" -F {file}")).unwrap_or_default();
    Fact::known(config, format!("ssh -G{file} {}", target.name))
}

/// The arguments of `ssh -G` for a target. `-i` is left out: which keys were typed is known.
fn arguments(target: &Target) -> Vec<OsString> {
    let mut out: Vec<OsString> = vec!["-G".into()];
    let mut pair = |option: &str, value: String| out.extend([OsString::from(option), value.into()]);
    if let Some(file) = &target.config_file {
        pair("-F", if file == "none" { file.clone() } else { expand(file).display().to_string() });
    }
    for option in &target.options {
        pair("-o", option.clone());
    }
    pair("-o", "BatchMode=yes".to_owned());
    if let Some(port) = target.port {
        pair("-p", port.to_string());
    }
    if let Some(user) = &target.user {
        pair("-l", user.clone());
    }
    if let Some(jump) = &target.jump {
        pair("-J", jump.clone());
    }
    out.extend([OsString::from("--"), target.name.clone().into()]);
    out
}

/// The files that ssh reads: the given one, else the user's and the system's.
fn config_files(target: &Target) -> Vec<PathBuf> {
    match target.config_file.as_deref() {
        Some("none") => Vec::new(),
        Some(file) => vec![expand(file)],
        None => vec![expand("~/.ssh/config"), PathBuf::from("/etc/ssh/ssh_config")],
    }
}

/// A name that can be given to ssh: no option, no blanks, no control characters.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && !name.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// What differs from the defaults.
fn difference(asked: &Settings, without: &Settings, target: &Target) -> SshConfig {
    let set = |key: &str| {
        asked.first(key).filter(|value| without.first(key) != Some(*value) && *value != "none").map(ToOwned::to_owned)
    };
    let yes = |key: &str| asked.first(key).is_some_and(|value| value == "yes");
    let hostname =
        asked.first("hostname").filter(|name| !name.eq_ignore_ascii_case(&target.name)).map(ToOwned::to_owned);
    let identity_files = if asked.all("identityfile") == without.all("identityfile") {
        Vec::new()
    } else {
        asked.all("identityfile").iter().filter(|file| *file != "none").cloned().collect()
    };
    let known_hosts_files = ["userknownhostsfile", "globalknownhostsfile"]
        .iter()
        .filter_map(|key| asked.first(key))
        .flat_map(|list| list.split_whitespace())
        .map(str::to_owned)
        .collect();
    let jumps = set("proxyjump");
    let strict = asked.first("stricthostkeychecking").map(|value| match value.as_str() {
        "true" => "yes".to_owned(),
        "false" | "off" => "no".to_owned(),
        other => other.to_owned(),
    });
    // Older versions know the setting under its former name.
    let signatures = asked.first("pubkeyacceptedalgorithms").or_else(|| asked.first("pubkeyacceptedkeytypes"));
    SshConfig {
        matched: hostname.is_some(),
        hostname,
        user: set("user"),
        port: set("port").and_then(|port| port.parse().ok()),
        identity_files,
        certificate_files: asked.all("certificatefile").to_vec(),
        identities_only: yes("identitiesonly"),
        // With ProxyJump ssh makes a ProxyCommand of its own.
        proxy_command: if jumps.is_some() { None } else { set("proxycommand") },
        proxy_jump: jumps,
        host_key_alias: set("hostkeyalias"),
        known_hosts_files,
        strict_host_key_checking: strict.filter(|value| value != "ask"),
        control_path: set("controlpath"),
        pubkey_off: asked.first("pubkeyauthentication").is_some_and(|value| value == "no" || value == "false"),
        // "none" is a setting here: it keeps ssh from any agent.
        identity_agent: asked.first("identityagent").filter(|v| without.first("identityagent") != Some(*v)).cloned(),
        sha1_signatures: signatures.map(|list| list.split(',').any(|algorithm| algorithm == "ssh-rsa")),
        algorithms: algorithms(asked),
    }
}

/// The lists that ssh offers: what is in force, not only what somebody set.
fn algorithms(asked: &Settings) -> ClientAlgorithms {
    let list = |key: &str| -> Vec<String> {
        let value = asked.first(key).map(|value| value.trim()).unwrap_or_default();
        // A change of the defaults that ssh printed as it was written tells no whole list.
        if value.is_empty() || value.starts_with(['+', '-', '^']) {
            return Vec::new();
        }
        value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(strip_controls).collect()
    };
    let mut out = ClientAlgorithms {
        kex: list("kexalgorithms"),
        host_keys: list("hostkeyalgorithms"),
        ciphers: list("ciphers"),
        macs: list("macs"),
    };
    // With Kerberos ssh puts methods of its own in front, which need no host key (RFC 4462, sections 2 and 5).
    if asked.first("gssapikeyexchange").is_some_and(|value| value == "yes") {
        for (known, more) in
            [(&mut out.kex, list("gssapikexalgorithms")), (&mut out.host_keys, vec!["null".to_owned()])]
        {
            if !known.is_empty() {
                known.extend(more);
            }
        }
    }
    out
}

/// Runs `ssh -G` and reads what it prints.
async fn ask(ssh: &Path, arguments: &[OsString]) -> Result<Settings, Why> {
    let done = run(ssh, arguments).await?;
    if done.success {
        return Ok(Settings::read(&done.output));
    }
    // ssh names file and line, and sums up in a last line.
    let words: Vec<&str> = done.errors.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let reason = if words.is_empty() { "ssh -G failed without a word".to_owned() } else { words.join("; ") };
    Err(Why::failed("reading the ssh configuration", reason))
}

/// What a finished program left.
pub(super) struct Done {
    /// Whether it ended with status 0.
    pub success: bool,
    /// What it printed.
    pub output: String,
    /// What it printed as errors, cleaned.
    pub errors: String,
}

/// Runs a program to its end, within the limit.
pub(super) async fn run(program: &Path, arguments: &[OsString]) -> Result<Done, Why> {
    let doing = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let child = Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    match timeout(LIMIT, child).await {
        Err(_) => Err(Why::TimedOut { doing, after_ms: whole_millis(LIMIT) }),
        Ok(Err(error)) => Err(Why::failed(format!("starting {doing}"), os_words(&error))),
        Ok(Ok(out)) => Ok(Done {
            success: out.status.success(),
            output: String::from_utf8_lossy(&out.stdout).into_owned(),
            errors: strip_controls(&String::from_utf8_lossy(&out.stderr)),
        }),
    }
}

/// A program in the directories of `PATH`.
pub(super) fn find(name: &str, path: Option<OsString>) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |file: &PathBuf| {
        std::fs::metadata(file).is_ok_and(|seen| seen.is_file() && seen.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(runs)
}

#[cfg(test)]
mod tests;
