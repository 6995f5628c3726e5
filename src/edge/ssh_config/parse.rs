//! Reads `ssh -G` output, and configuration files where there is no ssh to ask.
//!
//! Must not start a program: `Match exec` of a file is passed over.

use crate::core::facts::local::SshConfig;
use crate::edge::tcp::os_words;
use ssh2_config::{HostParams, ParseRule};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::PathBuf;

/// The lines of `ssh -G`: a key in small letters, a value; some keys come several times.
#[derive(Debug, Default)]
pub(super) struct Settings(BTreeMap<String, Vec<String>>);

impl Settings {
    /// Reads the output.
    pub fn read(text: &str) -> Self {
        let mut out = BTreeMap::<String, Vec<String>>::new();
        for (key, value) in text.lines().filter_map(|line| line.trim_end().split_once(' ')) {
            out.entry(key.to_ascii_lowercase()).or_default().push(value.to_owned());
        }
        Self(out)
    }

    /// The first value of a key.
    pub fn first(&self, key: &str) -> Option<&String> {
        self.all(key).first()
    }

    /// All values of a key.
    pub fn all(&self, key: &str) -> &[String] {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Parses files, the first one counting most. A file that is not there says nothing.
pub(super) fn files(paths: &[PathBuf], name: &str) -> Result<SshConfig, String> {
    Ok(of(&read(paths)?, name))
}

/// Reads files once, for many names.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<ssh2_config::SshConfig>, String> {
    let mut all = Vec::new();
    for path in paths {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("{}: {}", path.display(), os_words(&error))),
        };
        let rules = ParseRule::ALLOW_UNKNOWN_FIELDS | ParseRule::ALLOW_UNSUPPORTED_FIELDS;
        let parsed = ssh2_config::SshConfig::default()
            .parse(&mut BufReader::new(file), rules)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        all.push(parsed);
    }
    Ok(all)
}

/// What files that were read say of a name.
pub(super) fn of(files: &[ssh2_config::SshConfig], name: &str) -> SshConfig {
    let mut config = SshConfig::default();
    for parsed in files {
        let named = parsed
            .intersecting_hosts(name)
            .any(|host| host.pattern.iter().any(|clause| !clause.negated && clause.pattern != "*"));
        merge(&mut config, parsed.query(name), name);
        config.matched |= named;
    }
    config
}

/// The first value obtained for a setting counts (ssh_config(5)); identity files add up.
fn merge(config: &mut SshConfig, params: HostParams, name: &str) {
    let other = |key: &str| {
        let found = params
            .unsupported_fields
            .iter()
            .chain(&params.ignored_fields)
            .find(|(field, _)| field.eq_ignore_ascii_case(key));
        found
            .map(|(_, values)| values.join(" "))
            .filter(|value| !value.is_empty() && !value.eq_ignore_ascii_case("none"))
    };
    let (alias, command, only, known) =
        (other("HostKeyAlias"), other("ProxyCommand"), other("IdentitiesOnly"), other("UserKnownHostsFile"));
    let (strict, agent) = (other("StrictHostKeyChecking"), other("IdentityAgent"));
    let hostname = params.host_name.map(|host| host.replace("%h", name));
    config.hostname = config.hostname.take().or(hostname.filter(|host| !host.eq_ignore_ascii_case(name)));
    config.user = config.user.take().or(params.user);
    config.port = config.port.or(params.port);
    config
        .identity_files
        .extend(params.identity_file.unwrap_or_default().iter().map(|file| file.display().to_string()));
    config.identities_only |= only.is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    config.proxy_jump =
        config.proxy_jump.take().or(params.proxy_jump.map(|jumps| jumps.join(",")).filter(|jumps| jumps != "none"));
    config.proxy_command = config.proxy_command.take().or(command);
    config.host_key_alias = config.host_key_alias.take().or(alias);
    // Without ssh nobody expands the tokens of ControlPath: it is passed over.
    config.pubkey_off |= params.pubkey_authentication == Some(false);
    let strict = strict.map(|value| match value.to_ascii_lowercase().as_str() {
        "true" => "yes".to_owned(),
        "false" | "off" => "no".to_owned(),
        other => other.to_owned(),
    });
    config.strict_host_key_checking = config.strict_host_key_checking.take().or(strict.filter(|value| value != "ask"));
    config.identity_agent = config.identity_agent.take().or(agent);
    if config.known_hosts_files.is_empty() {
        config.known_hosts_files = known.iter().flat_map(|list| list.split_whitespace()).map(str::to_owned).collect();
    }
}
