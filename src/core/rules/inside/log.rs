//! sshd's log since the boot. A line proves only what is still so: what the state contradicts was mended since.

use super::Look;
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::inside::{LogLine, PathState};

/// How long a refusal for being too busy or for too many failures explains a login that fails now, in seconds.
const RECENT: i64 = 600;

/// What a line says: cause, and whether the state that was seen answers the question better than the line.
struct Told<'a> {
    id: &'static str,
    line: &'a LogLine,
    certainty: Certainty,
}

pub(super) fn findings(look: &Look<'_>, told: &[(String, Certainty)]) -> Vec<Finding> {
    let lines: Vec<&LogLine> = look.inside.log.iter().filter(|l| look.this_boot(l.at)).collect();
    // After a login that worked, older refusals of this user are mended.
    let accepted = lines.iter().rposition(|l| names_user(look, &l.text, "Accepted "));
    let mut out: Vec<Finding> = Vec::new();
    for (nth, line) in lines.iter().enumerate().rev() {
        let mended = accepted.is_some_and(|at| nth < at);
        let Some(found) = about_user(look, line, &lines, mended).or_else(|| about_server(look, line, &lines, nth))
        else {
            continue;
        };
        if out.iter().any(|f| f.id == found.id) {
            continue;
        }
        // PAM's general refusal says less than what was seen of the account.
        let special = ["account-expired", "nologin-file", "account-locked", "boot-in-progress", "user-deleted"];
        if found.id == "pam-denies"
            && told.iter().any(|(id, c)| *c == Certainty::Proven && special.contains(&id.as_str()))
        {
            continue;
        }
        let text = format!("{} ({})", found.line.text, look.ago(found.line.at));
        let by =
            look.inside.log_from.as_deref().map_or_else(|| "sshd's log".to_owned(), |f| format!("sshd's log ({f})"));
        let finding = look.finding(found.id, found.certainty, text, &by);
        out.push(if found.certainty == Certainty::Proven {
            finding
        } else {
            finding.would_prove("the same line in sshd's log at your next attempt")
        });
    }
    out
}

fn names_user(look: &Look<'_>, text: &str, start: &str) -> bool {
    !look.name.is_empty()
        && text
            .strip_prefix(start)
            .and_then(|t| t.split_once(" for "))
            .is_some_and(|(_, rest)| rest.split(' ').next() == Some(look.name))
}

/// The word after a piece of the text, without quotes.
fn word_after<'t>(text: &'t str, piece: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(piece)?;
    rest.split_whitespace().next().map(|w| w.trim_matches(['\'', '"', ',', ':']))
}

/// Lines that name the user.
fn about_user<'a>(look: &Look<'_>, line: &'a LogLine, all: &[&LogLine], mended: bool) -> Option<Told<'a>> {
    let text = line.text.as_str();
    let name = look.name;
    if name.is_empty() {
        return None;
    }
    // What follows an accepted key in the same session: the login was taken, and could not be opened.
    if text.contains("PAM: pam_open_session()") {
        let session =
            all.iter().any(|l| l.pid.is_some() && l.pid == line.pid && names_user(look, &l.text, "Accepted "));
        let later = all.iter().rposition(|l| names_user(look, &l.text, "Accepted ") && l.pid != line.pid);
        let here = all.iter().position(|l| std::ptr::eq(*l, line));
        return (session && later <= here).then_some(Told { id: "pam-denies", line, certainty: Certainty::Proven });
    }
    if mended {
        return None;
    }
    let is = |piece: &str| word_after(text, piece) == Some(name);
    let proven = |id| Some(Told { id, line, certainty: Certainty::Proven });
    let likely = |id| Some(Told { id, line, certainty: Certainty::Likely });
    if is("User ") && text.contains("not allowed because") && !look.known {
        return refusal(text).and_then(|id| if seen_well(look, id) { None } else { proven(id) });
    }
    if is("denied for user ") && text.contains("PAM account configuration") {
        return proven("pam-denies");
    }
    if text.contains("pam_access(sshd:account)") && text.contains(&format!("`{name}'"))
        || text.contains("pam_sss(sshd:account): Access denied for user ") && is("for user ")
    {
        return proven("pam-denies");
    }
    // The account stage comes after the key; all that follows is about the key itself.
    if look.known {
        return None;
    }
    if is("attempts exceeded for ") && same_client(look, text) {
        return proven("too-many-agent-keys");
    }
    // Older versions do not name the user.
    if (is("Could not open user ") || text.contains("Could not open authorized keys"))
        && text.contains("Permission denied")
    {
        // Whoever could try as the user, or read the modes, knows better than an old line.
        return if judged(look, text) { None } else { likely("authkeys-unreadable") };
    }
    if let Some((_, why)) = text.split_once("bad ownership or modes for ") {
        let (kind, path) = why.split_once(' ')?;
        let home = look.user.map(|u| u.home.trim_end_matches('/'))?;
        if judged(look, text) || !(path.starts_with(home) || home.starts_with(path)) {
            return None;
        }
        return proven(match kind {
            "file" => "authkeys-perms",
            _ if home.starts_with(path) => "home-perms",
            _ => "ssh-dir-perms",
        });
    }
    if text.contains("ROOT LOGIN REFUSED") && look.user.is_some_and(|u| u.uid == 0) && same_client(look, text) {
        return if look.has_settings() { None } else { proven("root-login-refused") };
    }
    if text.contains("tried for ")
        && is("tried for ")
        && text.contains("not from a permitted host")
        && same_client(look, text)
    {
        return if has_option(look, "from") { proven("authkeys-from-restriction") } else { None };
    }
    if text.contains(" revoked by file ") {
        let mine = text.split(' ').any(|w| w.starts_with("SHA256:") && offers(look, w));
        return if mine { proven("pubkey-disabled") } else { None };
    }
    let id = if text.contains("signature algorithm ssh-rsa not in")
        || text.contains("key type ssh-rsa not in PubkeyAccepted")
    {
        "sha1-signature-refused"
    } else if text.contains("refusing RSA key: Invalid key length")
        || text.contains("signature algorithm rsa-sha2-512 not in")
    {
        "key-type-unsupported"
    } else {
        return None;
    };
    // The line names nobody; the same process says who it was.
    let same = |l: &&&LogLine| l.pid.is_some() && l.pid == line.pid;
    let of_user = all.iter().filter(same).any(|l| word_after(&l.text, "authenticating user ") == Some(name));
    let others = all.iter().filter(same).any(|l| l.text.contains("authenticating user "));
    match (of_user, others) {
        (true, _) => proven(id),
        // Another user's session.
        (false, true) => None,
        (false, false) => likely(id),
    }
}

/// Whether the modes of the path that a line names were seen: then they have been judged as they are now.
fn judged(look: &Look<'_>, text: &str) -> bool {
    look.inside.paths.iter().any(|(path, state)| {
        !matches!(state, PathState::Unknown | PathState::Denied)
            && text.split([' ', '\'', '"']).any(|word| word.trim_end_matches([':', ',']) == path)
    })
}

/// Whether the login would offer the key with this fingerprint.
fn offers(look: &Look<'_>, fingerprint: &str) -> bool {
    let keys = crate::core::inside::offered_keys(look.view.facts);
    keys.iter().filter_map(|line| crate::core::key::public_of(line)).any(|(_, mine)| mine == fingerprint)
}

fn has_option(look: &Look<'_>, name: &str) -> bool {
    look.inside.key_files.iter().any(|f| f.used && f.entries.iter().any(|l| l.options.iter().any(|(n, _)| n == name)))
}

fn refusal(text: &str) -> Option<&'static str> {
    let (_, why) = text.split_once("not allowed because")?;
    Some(if why.contains("account is locked") {
        "account-locked"
    } else if why.contains("nologin exists") {
        "nologin-file"
    } else if why.contains("shell") {
        "shell-missing"
    } else if ["DenyUsers", "AllowUsers", "DenyGroups", "AllowGroups", "not in any group"]
        .iter()
        .any(|w| why.contains(w))
    {
        "sshd-allow-deny"
    } else {
        return None;
    })
}

/// Whether the state behind a cause was seen now: then its own rule has judged it, and the line adds nothing.
fn seen_well(look: &Look<'_>, id: &str) -> bool {
    let inside = look.inside;
    match id {
        "sshd-allow-deny" => look.has_settings() && !inside.account.group_names.is_empty(),
        "account-locked" => inside.account.shadow.is_some() && look.has_settings(),
        "nologin-file" => inside.end == crate::core::facts::inside::End::Whole,
        _ => look.user.is_some(),
    }
}

/// Whether a line is about the client, or nobody knows the client's address.
fn same_client(look: &Look<'_>, text: &str) -> bool {
    look.address.is_some_and(|a| names_address(text, &a.to_string()))
}

fn names_address(text: &str, address: &str) -> bool {
    let whole = |c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':');
    text.split(|c: char| whole(c)).any(|w| w.trim_end_matches(['.', ':']) == address)
}

/// Lines about the server or the client's address.
fn about_server<'a>(look: &Look<'_>, line: &'a LogLine, all: &[&LogLine], nth: usize) -> Option<Told<'a>> {
    let text = line.text.as_str();
    let recent = look.inside.at.zip(line.at).is_some_and(|(now, at)| now - at <= RECENT);
    let proven = |id| Some(Told { id, line, certainty: Certainty::Proven });
    let after = |piece: &str| all[nth + 1..].iter().any(|l| l.text.contains(piece));
    // What happened before the server's last start happened to another one.
    let restarted = after("Server listening on");
    if look.answered || restarted {
        return match text {
            t if t.contains("Unable to negotiate with") && same_client(look, t) && !look.answered => {
                proven("crypto-mismatch")
            }
            _ => None,
        };
    }
    if (text.contains("past MaxStartups")
        || text.contains("past Maxstartups")
        || text.contains("beginning MaxStartups throttling"))
        && recent
    {
        return if after("exited MaxStartups throttling") { None } else { proven("maxstartups") };
    }
    if text.contains("penalty:") && text.contains("drop connection") {
        return if recent && same_client(look, text) { proven("persource-penalty") } else { None };
    }
    if text.starts_with("refused connect from") && same_client(look, text) {
        return if look.inside.firewall.hosts_deny.is_empty() && look.inside.firewall.hosts_allow.is_empty() {
            None
        } else {
            proven("hosts-deny")
        };
    }
    if text.contains("Unable to negotiate with") && same_client(look, text) {
        return proven("crypto-mismatch");
    }
    None
}

pub(super) fn summary(look: &Look<'_>) -> Result<String, String> {
    let Some(from) = &look.inside.log_from else { return Err("sshd's log was not found".to_owned()) };
    let count = look.inside.log.iter().filter(|l| look.this_boot(l.at)).count();
    if count == 0 {
        return Err(format!("sshd's log ({from}) says nothing about this user since the boot"));
    }
    Ok(format!("{count} lines of sshd's log ({from}) since the boot name no reason that still holds"))
}
