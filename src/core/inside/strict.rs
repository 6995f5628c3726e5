//! StrictModes: whether sshd trusts a key file, exactly as OpenSSH's `safe_path` asks (misc.c).
//!
//! The resolved file and then every directory up to and including the home directory (or `/` when the file is
//! elsewhere) must belong to root or the user, and nobody else may write them. Debian and Ubuntu patch this: a
//! group may write when nobody but the owner is in it.

use crate::core::facts::inside::{Inside, Passwd, PathState};

/// What sshd thinks of a key file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strict {
    /// It trusts the file.
    Trusted,
    /// It refuses the file because of a path, which is the file itself or a directory.
    Refused {
        /// The path at fault.
        path: String,
        /// Mode and owner, in words.
        why: String,
    },
    /// There is no file.
    Missing,
    /// It is a directory, a device or another thing that is no regular file.
    NotRegular {
        /// Resolved path.
        path: String,
    },
    /// A state that is needed was not seen.
    Unknown {
        /// The path.
        path: String,
    },
}

/// Whether this distribution's OpenSSH bears with a private group.
pub fn private_groups(inside: &Inside) -> bool {
    let os = &inside.os;
    let family = |id: &str| matches!(id, "debian" | "ubuntu");
    family(&os.id) || os.like.iter().any(|id| family(id))
}

/// The resolved name of a path: symbolic links followed as far as the script could.
pub fn resolved(inside: &Inside, path: &str) -> String {
    if let Some(real) = inside.real.get(path) {
        return real.clone();
    }
    // The file in a directory that does not exist: what is known of the directory holds for it.
    match path.rsplit_once('/') {
        Some((dir, name)) if !dir.is_empty() && inside.real.contains_key(dir) => {
            format!("{}/{name}", inside.real[dir].trim_end_matches('/'))
        }
        _ => path.to_owned(),
    }
}

/// The directory above a path; `None` above `/`.
pub fn parent(path: &str) -> Option<&str> {
    match path.rsplit_once('/')? {
        ("", "") => None,
        ("", _) => Some("/"),
        (dir, _) => Some(dir),
    }
}

/// Judges one key file for a user.
pub fn judge(inside: &Inside, user: &Passwd, file: &str) -> Strict {
    let real = resolved(inside, file);
    let home = resolved(inside, &user.home);
    let state = |path: &str| inside.paths.get(path).copied().unwrap_or(PathState::Unknown);
    match state(&real) {
        PathState::Missing => return Strict::Missing,
        PathState::Denied | PathState::Unknown => return Strict::Unknown { path: real },
        there if !there.is_file() => return Strict::NotRegular { path: real },
        PathState::There { .. } => {}
    }
    let mut at = real.as_str();
    loop {
        let PathState::There { mode, uid, gid, .. } = state(at) else {
            return Strict::Unknown { path: at.to_owned() };
        };
        if let Some(why) = objection(inside, user, (mode, uid, gid)) {
            return Strict::Refused { path: at.to_owned(), why };
        }
        if at == home && at != real {
            return Strict::Trusted;
        }
        match parent(at) {
            Some(above) => at = above,
            None => return Strict::Trusted,
        }
    }
}

/// Why sshd distrusts something with this mode and owner; `None` when it does not.
fn objection(inside: &Inside, user: &Passwd, (mode, uid, gid): (u32, u32, u32)) -> Option<String> {
    let shown = format!("mode {:04o}, owner uid {uid}, group {}", mode & 0o7777, group_name(inside, gid));
    if uid != 0 && uid != user.uid {
        return Some(format!("{shown}: neither {} (uid {}) nor root owns it", user.name, user.uid));
    }
    if mode & 0o002 != 0 {
        return Some(format!("{shown}: everybody may write it"));
    }
    if mode & 0o020 == 0 {
        return None;
    }
    if private_groups(inside) && is_private(inside, user, uid, gid) {
        return None;
    }
    Some(format!("{shown}: the group may write it"))
}

fn group_name(inside: &Inside, gid: u32) -> String {
    match inside.group(gid) {
        Some(group) => format!("{} ({gid})", group.name),
        None => gid.to_string(),
    }
}

/// Debian's condition (user-group-modes.patch): the group exists, is the primary one of nobody but the user, lists
/// no member but the owner, and has at least one member in all.
fn is_private(inside: &Inside, user: &Passwd, owner: u32, gid: u32) -> bool {
    let Some(group) = inside.group(gid) else { return false };
    let Some(primary_of) = &group.primary_of else { return false };
    let owner_name = if owner == user.uid { user.name.as_str() } else { "root" };
    let only_owner = match group.members.as_slice() {
        [] => true,
        [one] => one == owner_name,
        _ => false,
    };
    primary_of.iter().all(|uid| *uid == user.uid) && only_owner && !(primary_of.is_empty() && group.members.is_empty())
}

/// The first directory on the way to a path that a user may not enter by its mode; `None` when modes forbid nothing
/// (or are not known).
pub fn closed_directory(inside: &Inside, user: &Passwd, path: &str) -> Option<String> {
    let real = resolved(inside, path);
    let mut above = Vec::new();
    // Links on the way have their own ancestors.
    for name in [path, real.as_str()] {
        let mut at = parent(name);
        while let Some(dir) = at {
            above.push(dir);
            at = parent(dir);
        }
    }
    above.sort_by_key(|dir| dir.len());
    let closed = |dir: &&&str| inside.paths.get(**dir).is_some_and(|s| s.is_dir() && !may(inside, user, s, 0o1));
    above.iter().find(closed).map(|dir| (*dir).to_owned())
}

/// Whether the mode lets the user read (4) or enter (1) something.
pub fn may(inside: &Inside, user: &Passwd, state: &PathState, want: u32) -> bool {
    let PathState::There { mode, uid, gid, .. } = *state else { return true };
    let shift = if user.uid == 0 {
        return true;
    } else if uid == user.uid {
        6
    } else if gid == user.gid || inside.account.groups.contains(&gid) {
        3
    } else {
        0
    };
    mode >> shift & want == want
}
