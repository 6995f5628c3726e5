//! The server's host key and the known_hosts files, as a plan to change them needs to know them. Reads only.

use crate::core::fact::Fact;
use crate::core::facts::Facts;
use crate::core::facts::own_files::{HostKeyPlaces, KnownHostsFile};
use crate::core::facts::wire::SshServer;
use crate::edge::change::files::{content, sha256};
use crate::edge::keys::expand;
use crate::edge::known_hosts::{self, DEFAULT_FILES};
use crate::edge::real_world::{host_names, known_hosts_files};
use crate::edge::ssh::{self, SshRequest};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Reads files and, where a server answered, its host key.
pub(super) async fn read(facts: &Facts, ask: bool) -> Fact<HostKeyPlaces> {
    let alias = facts.local.config.value().is_some_and(|c| c.host_key_alias.is_some());
    let port = if alias { crate::core::target::SSH_PORT } else { facts.port() };
    let names: Vec<String> = host_names(facts).iter().map(|n| known_hosts::entry_name(n, port)).collect();
    let (shown, why) = match if ask { shown(facts).await } else { Err("it was not asked for".to_owned()) } {
        Ok(line) => (Some(line), String::new()),
        Err(why) => (None, why),
    };
    let named = known_hosts_files(facts);
    let paths = if named.is_empty() { DEFAULT_FILES.map(str::to_owned).to_vec() } else { named };
    let files = paths.iter().filter(|p| !p.is_empty() && *p != "none").filter_map(|p| file(p, &names)).collect();
    Fact::known(HostKeyPlaces { shown, why, names, files }, paths.join(", "))
}

/// The host key of the type that the diagnosis saw.
async fn shown(facts: &Facts) -> Result<String, String> {
    let (Some(address), Some(SshServer::Ready { host_key_type, .. })) = (facts.wire.address, facts.wire.ssh.value())
    else {
        return Err("no SSH server answered".to_owned());
    };
    let mut request = SshRequest::new(address, facts.wire.port.unwrap_or(crate::core::target::SSH_PORT));
    request.known_types = vec![host_key_type.clone()];
    ssh::host_key(request).await.map_err(|why| why.text())
}

/// One file; `None` when it is nothing that ssh would read.
fn file(path: &str, names: &[String]) -> Option<KnownHostsFile> {
    let full = std::path::absolute(expand(path)).ok()?;
    let bytes = content(&full).ok()?;
    let text = bytes.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    Some(KnownHostsFile {
        own: is_own(&full),
        sha256: bytes.as_deref().map(sha256),
        lines: known_hosts::lines_for(&text, names),
        path: full.display().to_string(),
    })
}

/// Whether a file, or the directory where it would be made, is the user's own and none of the system's.
pub(super) fn is_own(path: &Path) -> bool {
    let mut seen = std::fs::metadata(path);
    // ~/.ssh may have to be made too.
    for parent in path.ancestors().skip(1).take(2) {
        seen = seen.or_else(|_| std::fs::metadata(parent));
    }
    let me = rustix::process::geteuid().as_raw();
    !path.starts_with("/etc") && !path.starts_with("/dev") && seen.is_ok_and(|seen| seen.uid() == me)
}
