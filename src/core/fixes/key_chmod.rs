//! `key-chmod`: makes a private key file readable by its owner only.

use crate::core::facts::Facts;
use crate::core::facts::local::KeyFileState;
use crate::core::key::mode_too_open;
use crate::core::plan::{Action, Choices, Gate, GateState, Plan, Step};
use crate::core::text::{list, shell_quote};

/// The mode that is set: read by the owner. ssh asks only that no bit of group and others is set (OpenSSH authfile.c, sshkey_perm_ok).
const MODE: u32 = 0o400;

/// Plans to set mode 0400 on every key file of the login that ssh refuses for its mode.
/// Fails when no key file is known; a file that is fine makes a plan without steps that change anything.
pub fn plan(facts: &Facts, _choices: &Choices) -> Result<Plan, String> {
    let keys: Vec<_> = facts
        .local
        .keys
        .iter()
        .filter(|k| k.origin != "default" || matches!(k.file.value(), Some(KeyFileState::Read { .. })))
        .collect();
    if keys.is_empty() {
        return Err("no key file is known: name it with -i FILE".to_owned());
    }
    if let Some(user) = &facts.prepared.windows_user {
        return Ok(super::acl::plan(&keys, user));
    }
    let mut gates = Vec::new();
    let mut steps = Vec::new();
    let mut paths = Vec::new();
    for probe in keys {
        match probe.file.value() {
            Some(KeyFileState::Read { mode, owner, me, modeless_fs, .. }) if mode_too_open(*mode, *owner, *me) => {
                if let Some(fs) = modeless_fs {
                    gates.push(Gate::new("file-system", GateState::Refuse, format!("{} lies on {fs}, which keeps no modes: copy the key to your home directory and use the copy", probe.path)));
                    continue;
                }
                let path = shell_quote(&probe.path);
                paths.push(probe.path.clone());
                steps.push(Step {
                    text: format!("set the mode of {} from {:04o} to {MODE:04o}", probe.path, mode & 0o7777),
                    command: format!("chmod {MODE:04o} {path}"),
                    undo: Some(format!("chmod {:04o} {path}", mode & 0o7777)),
                    action: Some(Action::Chmod { path: probe.path.clone(), from: mode & 0o7777, to: MODE }),
                });
            }
            Some(KeyFileState::Read { mode, .. }) => gates.push(Gate::new(
                "needed",
                GateState::Ok,
                format!("{} has mode {:04o}: nothing to do", probe.path, mode & 0o7777),
            )),
            Some(KeyFileState::Missing) => return Err(format!("{} does not exist", probe.path)),
            Some(KeyFileState::Unreadable { reason, .. }) => {
                gates.push(Gate::new("file", GateState::Refuse, format!("{} cannot be read: {reason}", probe.path)));
            }
            _ => gates.push(Gate::new(
                "file",
                GateState::Refuse,
                format!("{} is not a key file that can be looked at", probe.path),
            )),
        }
    }
    if gates.iter().any(|g| g.state == GateState::Refuse) && !steps.is_empty() {
        // One file that cannot be mended is no reason to leave the others.
        gates.iter_mut().filter(|g| g.state == GateState::Refuse).for_each(|g| g.state = GateState::Warn);
    }
    if !steps.is_empty() {
        gates.push(Gate::new("owner", GateState::Ok, "the file is yours, and only its mode changes"));
        steps.push(Step {
            text: "look at the file again".to_owned(),
            command: format!("ls -l {}", paths.iter().map(|p| shell_quote(p)).collect::<Vec<_>>().join(" ")),
            undo: None,
            action: None,
        });
    }
    let what = if paths.is_empty() {
        facts.local.keys.first().map(|k| k.path.clone()).unwrap_or_default()
    } else {
        list(&paths)
    };
    Ok(Plan {
        gates,
        steps,
        verify: vec!["key-permissions".to_owned()],
        ..Plan::new("key-chmod", format!("make {what} readable by you only"), format!("file {what}"), what)
    })
}
