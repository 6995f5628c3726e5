//! What a boot makes of user data, on hosts that are only told of.
//!
//! No script runs here. Of the documents that cloud-init knows, a boothook that repairs a login is understood by the
//! values in its head and by the lines that do the work, and the host's accounts are changed as those lines would.
//! Others change nothing: the first boot, which runs them, is long past. Used by `world`.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::scenario::KeyFile;
use super::world::{Instance, Node};

/// Lets a boot have its effect.
pub(super) fn boot(instance: &mut Instance) {
    if !instance.machine.imds {
        return;
    }
    let Some(text) = instance.machine.user_data.as_ref().and_then(|raw| String::from_utf8(raw.clone()).ok()) else {
        return;
    };
    // cloud-init looks at the very first bytes; anything before them makes it a text like any other.
    if !text.starts_with("#cloud-boothook") {
        return;
    }
    let value = |name: &str| {
        let from = text.split([';', '\n']).map(str::trim).find_map(|part| part.strip_prefix(name))?;
        from.strip_prefix("='")?.strip_suffix('\'').map(str::to_owned)
    };
    let (Some(user), Some(nonce)) = (value("U"), value("N")) else { return };
    if !text.contains("authorized_keys") || instance.marks.contains(&nonce) {
        return;
    }
    let key = value("K").unwrap_or_default();
    let said = repair(instance, &user, &key, &text);
    if said.starts_with("OK") {
        instance.marks.insert(nonce.clone());
    }
    instance.mutter(&format!("[    7.402210] cloud-init[402]: sshfix[{nonce}] {said}"));
}

/// What the script says at its end.
fn repair(instance: &mut Instance, name: &str, key: &str, script: &str) -> String {
    if instance.os.home_unmounted {
        return "FAIL home-not-mounted /home".to_owned();
    }
    let Some(user) = instance.users.iter_mut().find(|user| user.name == name) else {
        return format!("FAIL no-such-user {name}");
    };
    if user.form == KeyFile::Directory {
        return format!("FAIL no-file /home/{name}/.ssh/authorized_keys");
    }
    if script.contains("chmod a+x") {
        instance.parent_mode |= 0o111;
    }
    if user.form == KeyFile::Absent {
        user.form = KeyFile::Good;
        user.keys.clear();
    }
    let blob = key.split_whitespace().nth(1).and_then(|words| STANDARD.decode(words).ok());
    if let Some(blob) = blob.filter(|blob| !user.keys.contains(blob)) {
        user.keys.push(blob);
    }
    let mine = |node: &mut Node, mode: u32| *node = Node { owner: name.to_owned(), mode };
    let home = (user.home.mode | 0o700) & !0o022;
    mine(&mut user.home, home);
    mine(&mut user.ssh, 0o700);
    mine(&mut user.file, 0o600);
    let uid = user.uid;
    if script.contains("restorecon") {
        instance.os.selinux = instance.os.selinux.as_ref().map(|_| "ssh_home_t".to_owned());
    }
    format!("OK drwx------:{uid}:{uid}:/home/{name}")
}
