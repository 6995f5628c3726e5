//! The user's ssh configuration, as a plan to write it needs to know it. Reads only.

use super::hosts::is_own;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::own_files::ConfigFiles;
use crate::edge::change::files::{content, sha256};
use crate::edge::keys::expand;
use crate::edge::known_hosts;
use crate::edge::ssh_config::find;
use crate::edge::tcp::os_words;
use std::path::Path;

/// The name of port22's own file, beside the user's configuration.
const OWN: &str = "port22_config";

/// Reads configuration, own file, and what stands in known_hosts under the instance id.
pub(super) fn read(facts: &Facts, profile: Option<String>) -> Fact<ConfigFiles> {
    match look(facts, profile) {
        Ok(files) => Fact::known(files, "the ssh configuration"),
        Err(reason) => Fact::unknown(Why::failed("reading the ssh configuration", reason)),
    }
}

fn look(facts: &Facts, profile: Option<String>) -> Result<ConfigFiles, String> {
    let named = facts.target.config_file.as_deref();
    if named == Some("none") {
        return Err("-F none asks ssh to read no configuration".to_owned());
    }
    let main = std::path::absolute(expand(named.unwrap_or("~/.ssh/config"))).map_err(|e| os_words(&e))?;
    let text = content(&main).map_err(|e| format!("{}: {}", main.display(), os_words(&e)))?;
    let own = main.with_file_name(OWN);
    let own_bytes = content(&own).map_err(|e| format!("{}: {}", own.display(), os_words(&e)))?;
    let own_text = own_bytes.map(String::from_utf8).transpose().map_err(|_| format!("{} is no text", own.display()))?;
    let id = facts.instance().map(|i| i.id.clone());
    let paths = facts.local.keys.iter().chain(&facts.local.other_keys);
    let keys =
        paths.filter_map(|k| Some((k.path.clone(), std::path::absolute(expand(&k.path)).ok()?.display().to_string())));
    Ok(ConfigFiles {
        main_sha256: text.as_deref().map(sha256),
        included: text.as_deref().is_some_and(|t| includes(&String::from_utf8_lossy(t), &own)),
        writable: is_own(&main) && is_own(&own),
        own_sha256: own_text.as_deref().map(|t| sha256(t.as_bytes())),
        own_text,
        alias_keys: id.map(|id| alias_keys(facts, &id)).unwrap_or_default(),
        keys: keys.collect(),
        profile: profile.or_else(|| std::env::var("AWS_PROFILE").ok().filter(|p| !p.is_empty())),
        session_tools: ["aws", "session-manager-plugin"].iter().all(|n| find(n, std::env::var_os("PATH")).is_some()),
        main: main.display().to_string(),
        own: own.display().to_string(),
    })
}

/// Whether the first thing that a configuration says is to include a file: what comes before would win over it.
fn includes(text: &str, own: &Path) -> bool {
    let first = text.lines().map(str::trim).find(|l| !l.is_empty() && !l.starts_with('#'));
    let Some((keyword, rest)) = first.and_then(|l| l.split_once([' ', '\t', '='])) else { return false };
    let named = rest.trim_start_matches([' ', '\t', '=']).trim().trim_matches('"');
    let path = match expand(named) {
        path if path.is_absolute() => path,
        // As ssh_config(5) has it for the user's own configuration.
        path => expand("~/.ssh").join(path),
    };
    keyword.eq_ignore_ascii_case("include") && path == own
}

fn alias_keys(facts: &Facts, id: &str) -> Vec<String> {
    let named = crate::edge::real_world::known_hosts_files(facts);
    let files = if named.is_empty() { known_hosts::DEFAULT_FILES.map(str::to_owned).to_vec() } else { named };
    let texts = files.iter().filter_map(|f| content(&expand(f)).ok().flatten());
    texts
        .flat_map(|t| known_hosts::lines_for(&String::from_utf8_lossy(&t), &[id.to_owned()]))
        .filter(|l| !l.marked)
        .map(|l| l.key)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_first_include_counts() {
        let own = Path::new("/home/a/.ssh/port22_config");
        assert!(includes("# mine\n\nInclude /home/a/.ssh/port22_config\nHost *\n", own));
        assert!(includes("include = \"/home/a/.ssh/port22_config\"\n", own));
        assert!(!includes("Host *\nInclude /home/a/.ssh/port22_config\n", own));
        assert!(!includes("User me\nInclude /home/a/.ssh/port22_config\n", own));
        assert!(!includes("Include /home/a/.ssh/other\n", own));
        assert!(!includes("", own));
    }
}
