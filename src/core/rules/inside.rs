//! What a look inside the instance proves: every cause between the port and the shell.
//!
//! A proof is what the instance itself showed now: mode bits, an effective setting, a rule, a log line of this boot
//! whose cause is still there. Must not judge what the wire already answers: a port that connects has no firewall
//! in front, and a key that the server takes lies in a good file.

mod account;
mod files;
mod gate;
mod lines;
mod log;
mod room;
mod server;

use super::View;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::CheckResult;
use crate::core::fact::{Evidence, Fact};
use crate::core::facts::inside::{End, Inside, Lookup, Passwd};
use crate::core::facts::wire::{SshServer, Tcp};
use crate::core::inside::VERSION;
use std::net::IpAddr;

/// Ids of the checks of these rules.
const IDS: [&str; 6] =
    ["inside-sshd", "inside-firewall", "inside-account", "inside-key-files", "inside-log", "inside-resources"];

/// What several of these rules need, worked out once.
struct Look<'a> {
    view: &'a View<'a>,
    inside: &'a Inside,
    /// Where it comes from, for evidence.
    source: &'a str,
    /// The account that the script was asked about, when it exists.
    user: Option<&'a Passwd>,
    /// Its name, whether or not it exists; empty when nobody was asked about.
    name: &'a str,
    /// The client as the instance sees it.
    address: Option<IpAddr>,
    /// Port of the login.
    port: u16,
    /// The port was reached from here, at an address of this instance.
    connected: bool,
    /// An SSH server answered there.
    answered: bool,
    /// The server said that it knows a key of the user.
    known: bool,
}

impl<'a> Look<'a> {
    /// Whether it may be that sshd does not listen: nothing was reached, or something that is no SSH server.
    fn may_lack_sshd(&self) -> bool {
        !self.connected || matches!(self.view.facts.wire.ssh.value(), Some(SshServer::NotSsh { .. }))
    }

    /// The look, when there is one that can be read and that was taken for this login.
    fn new(view: &'a View<'a>) -> Result<Self, String> {
        let facts = view.facts;
        let inside = match &facts.inside {
            Fact::Known { value, .. } => value,
            Fact::Unknown { why } => return Err(format!("cannot tell: {}", why.text())),
            Fact::NotAsked => return Err("nobody looked inside: it needs your consent and an open way in".to_owned()),
        };
        if inside.version != VERSION {
            return Err(match inside.version {
                0 => "what the instance printed is not the script's output".to_owned(),
                other => format!("the instance printed version {other}, and version {VERSION} is read here"),
            });
        }
        let unseen = crate::core::vpc::through_jump(facts) && facts.wire.onward.is_none();
        let through = unseen || facts.probes_elsewhere();
        // Without the instance's addresses the dialled one is taken to be its own: that only keeps quiet.
        let own = facts.instance().is_none() || facts.dialled_own_address();
        let connected = !through && own && matches!(facts.wire.tcp.value(), Some(Tcp::Connected { .. }));
        let answered = connected && matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. }));
        let name = inside.asked.user.as_str();
        // What was asked about another user says nothing about this one.
        let same = view.user().is_none_or(|user| user == name);
        let name = if same { name } else { "" };
        let known = facts.wire.offers.iter().any(|o| o.user == name && o.answer.key_is_known());
        let user = inside.account.entry().filter(|entry| entry.name == name && !name.is_empty());
        let address = inside.asked.address.parse().ok().or_else(|| {
            // A jump host's own address is what counts, even when nobody knows it.
            let over = crate::core::vpc::through_jump(facts);
            if over { crate::core::vpc::flow_of(facts).source } else { facts.source_ip() }
        });
        let port = if inside.asked.port == 0 { facts.port() } else { inside.asked.port };
        let source = facts.inside.source();
        Ok(Self { view, inside, source, user, name, address, port, connected, answered, known })
    }

    /// A finding with this look as its source; `by` names what told it.
    fn finding(&self, id: &str, certainty: Certainty, text: impl Into<String>, by: &str) -> Finding {
        Finding::new(id, certainty, text, self.by(by))
    }

    fn by(&self, by: &str) -> String {
        if self.source.is_empty() { format!("{by}, inside") } else { format!("{by}, {}", self.source) }
    }

    /// Whether sshd told its effective settings.
    fn has_settings(&self) -> bool {
        !self.inside.sshd.settings.is_empty()
    }

    /// Whether sshd asks PAM. A build without PAM has no such setting at all.
    fn uses_pam(&self) -> Option<bool> {
        self.has_settings().then(|| self.inside.sshd.says_yes("usepam").unwrap_or(false))
    }

    /// Whether a moment of the log belongs to this boot. A line without a time does not count as one.
    fn this_boot(&self, at: Option<i64>) -> bool {
        at.is_some_and(|at| self.inside.boot.is_none_or(|boot| at >= boot - 5))
    }

    /// The instance's day, counted from 1970.
    fn today(&self) -> Option<i64> {
        self.inside.at.map(|at| (at + i64::from(self.inside.zone_minutes) * 60).div_euclid(86_400))
    }

    /// A time of the log for evidence: how long ago, as the instance counts.
    fn ago(&self, at: Option<i64>) -> String {
        match self.inside.at.zip(at).map(|(now, at)| now - at) {
            Some(seconds @ 0..120) => format!("{seconds} s before the look"),
            Some(seconds @ 120..7200) => format!("{} min before the look", seconds / 60),
            Some(seconds @ 7200..) => format!("{} h before the look", seconds / 3600),
            _ => "time not known".to_owned(),
        }
    }
}

/// Checks of the six parts.
pub fn checks(view: &View<'_>) -> Vec<CheckResult> {
    if matches!(view.facts.inside, Fact::NotAsked) {
        let skip =
            |id: &&str| CheckResult::skipped(id, "needs a look inside, which needs your consent and an open way in");
        return IDS.iter().map(skip).collect();
    }
    let look = match Look::new(view) {
        Ok(look) => look,
        Err(why) => return IDS.iter().map(|id| CheckResult::unclear(id, why.clone())).collect(),
    };
    let found = all(&look);
    IDS.iter().map(|id| check(&look, id, &found)).collect()
}

/// Causes that were seen inside.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    Look::new(view).map_or_else(|_| Vec::new(), |look| all(&look).into_iter().map(|(_, f)| f).collect())
}

/// Takes back guesses of other rules that the look has settled: what was seen to be in order is no longer possible.
/// And what the wire saw is evidence for the reason that was found inside.
pub fn settle(view: &View<'_>, found: &mut Vec<Finding>, seen: &mut [Finding]) {
    const REASONS: [&str; 10] = [
        "sshd-not-installed-or-disabled",
        "sshd-config-invalid",
        "hostkeys-missing",
        "hostkeys-perms",
        "privsep-dir",
        "port-in-use",
        "sshd-other-port-or-address",
        "guest-firewall",
        "fail2ban-ban",
        "hosts-deny",
    ];
    const LOOKED_AT: [&str; 6] =
        ["home-perms", "ssh-dir-perms", "authkeys-perms", "authkeys-key-absent", "authkeys-missing", "sshd-allow-deny"];
    const ACCOUNT: [&str; 8] = [
        "account-expired",
        "account-locked",
        "nologin-file",
        "pam-denies",
        "password-change-forced",
        "shell-missing",
        "shell-nologin",
        "user-deleted",
    ];
    let Ok(look) = Look::new(view) else { return };
    let is_proven = |f: &Finding| f.certainty == Certainty::Proven;
    // The text of a nologin file is what the server said: it may say that the machine boots, and be wrong.
    if let Some(file) = seen.iter_mut().find(|f| f.id == "nologin-file" && f.certainty == Certainty::Proven) {
        file.evidence.extend(found.extract_if(.., |f| f.id == "boot-in-progress").flat_map(|f| f.evidence));
    }
    if seen.iter().any(|f| is_proven(f) && ACCOUNT.contains(&f.id.as_str())) {
        found.retain(|f| is_proven(f) || !ACCOUNT.contains(&f.id.as_str()) || seen.iter().any(|s| s.id == f.id));
    }
    let reason = seen.iter_mut().find(|f| f.certainty == Certainty::Proven && REASONS.contains(&f.id.as_str()));
    if let Some(reason) = reason {
        let refused = found.extract_if(.., |f| f.id == "sshd-not-listening");
        reason.evidence.extend(refused.flat_map(|f| f.evidence));
    }
    let whole = look.inside.end == End::Whole && look.inside.left_out == 0 && look.inside.slow.is_empty();
    let seen_all = look.inside.key_files.iter().all(|f| f.read || missing(&look, &f.path));
    let in_order = whole && look.user.is_some() && look.has_settings() && seen_all;
    if whole {
        before_aws(&look, found, seen);
    }
    // Beside the reason that was found, guesses only distract.
    let reason = seen.iter().any(|f| is_proven(f) && super::rank::stage(&f.id) == super::rank::Stage::Login);
    if in_order || reason {
        found.retain(|f| is_proven(f) || !LOOKED_AT.contains(&f.id.as_str()) || seen.iter().any(|s| s.id == f.id));
    }
}

/// AWS lets the packet through, sshd listens, the guest's filter lets the client in, and nothing answers: what is left
/// lies on the client's side of AWS.
fn before_aws(look: &Look<'_>, found: &mut Vec<Finding>, seen: &[Finding]) {
    let in_the_way = |f: &Finding| {
        f.certainty >= Certainty::Likely
            && matches!(super::rank::stage(&f.id), super::rank::Stage::Network | super::rank::Stage::Server)
    };
    let (Ok(listens), Ok(lets_in)) = (server::summary(look), gate::summary(look)) else { return };
    if look.connected || seen.iter().any(in_the_way) {
        return;
    }
    let Some(egress) = found.iter_mut().find(|f| f.id == "client-egress-blocked") else { return };
    egress.certainty = egress.certainty.max(Certainty::Likely);
    for (text, by) in [(listens, "listening sockets"), (lets_in, "packet filter")] {
        egress.evidence.push(Evidence::new(text, look.by(by)));
    }
    found.retain(|f| f.id != "guest-firewall" || f.certainty == Certainty::Proven);
}

/// Whether something seen inside ends a login whose key the server takes: the key alone is then no proof that the
/// login works. A login that was really made disproves all but what comes after it.
pub fn stops(view: &View<'_>, seen: &[Finding]) -> bool {
    use crate::core::facts::wire::Answer;
    const AFTER: [&str; 4] = ["shell-nologin", "shell-missing", "password-change-forced", "pam-denies"];
    const BEFORE: [&str; 4] = ["account-expired", "nologin-file", "account-locked", "boot-in-progress"];
    let made = view.facts.wire.offers.iter().any(|o| o.answer == Answer::LoggedIn);
    seen.iter().filter(|f| f.certainty == Certainty::Proven).any(|f| {
        let id = f.id.as_str();
        AFTER.contains(&id) || (BEFORE.contains(&id) && !made)
    })
}

fn missing(look: &Look<'_>, path: &str) -> bool {
    use crate::core::facts::inside::PathState;
    use crate::core::inside::strict::resolved;
    let state = |p: &str| look.inside.paths.get(p);
    matches!(state(path).or_else(|| state(&resolved(look.inside, path))), Some(PathState::Missing))
}

/// Takes the proof from what is found of a user whom only the team's files name.
fn cap(finding: &mut Finding) {
    if finding.certainty == Certainty::Proven {
        finding.certainty = Certainty::Likely;
        finding.would_prove = Some("a login that names this user (-l USER)".to_owned());
    }
}

/// All findings, each with the check that it belongs to.
fn all(look: &Look<'_>) -> Vec<(&'static str, Finding)> {
    let mut out: Vec<(&'static str, Finding)> = Vec::new();
    let mut add = |id: &'static str, found: Vec<Finding>| out.extend(found.into_iter().map(|f| (id, f)));
    add("inside-sshd", server::findings(look));
    add("inside-firewall", gate::findings(look));
    let mut account = account::findings(look);
    let mut keys = if look.user.is_some() && !look.known { files::findings(look) } else { Vec::new() };
    if look.view.user_is_of_team() {
        account.iter_mut().chain(&mut keys).for_each(cap);
    }
    add("inside-account", account);
    add("inside-key-files", keys);
    add("inside-resources", room::findings(look));
    let told: Vec<(String, Certainty)> = out.iter().map(|(_, f)| (f.id.clone(), f.certainty)).collect();
    out.extend(log::findings(look, &told).into_iter().map(|f| ("inside-log", f)));
    out
}

fn check(look: &Look<'_>, id: &str, found: &[(&'static str, Finding)]) -> CheckResult {
    let mine = found.iter().filter(|(of, _)| *of == id).map(|(_, f)| f);
    let worst = mine.filter(|f| f.certainty >= Certainty::Likely).max_by_key(|f| f.certainty);
    if let Some((finding, evidence)) = worst.and_then(|f| f.evidence.first().map(|e| (f, e))) {
        let text = evidence.text.clone();
        let result = if finding.certainty == Certainty::Proven {
            CheckResult::fail(id, text)
        } else {
            CheckResult::unclear(id, format!("probably not: {text}"))
        };
        return result.seen(evidence.text.clone(), evidence.source.clone());
    }
    let answer = match id {
        "inside-sshd" => server::summary(look),
        "inside-firewall" => gate::summary(look),
        "inside-account" => account::summary(look),
        "inside-key-files" => files::summary(look),
        "inside-log" => log::summary(look),
        _ => room::summary(look),
    };
    match answer {
        Ok(good) => CheckResult::pass(id, good.clone()).seen(good, look.by("look")),
        Err(why) => CheckResult::unclear(id, format!("{why}{}", incomplete(look))),
    }
}

/// Why the look may have missed something; empty when it is whole.
fn incomplete(look: &Look<'_>) -> String {
    let inside = look.inside;
    match inside.end {
        End::Missing => "; the output was cut: its end is missing".to_owned(),
        End::Broken => "; the script broke off".to_owned(),
        End::Whole if !inside.slow.is_empty() => format!("; too slow: {}", inside.slow.join(", ")),
        End::Whole if inside.left_out > 0 => format!("; {} lines did not fit", inside.left_out),
        End::Whole if inside.uid.is_some_and(|uid| uid != 0) => "; the script did not run as root".to_owned(),
        End::Whole => String::new(),
    }
}

/// Whether the account was looked for and is not there.
fn is_absent(look: &Look<'_>) -> bool {
    !look.name.is_empty()
        && match (&look.inside.account.nss, &look.inside.account.file) {
            (Lookup::Absent, Lookup::Absent) => true,
            // Without getent, or when it fails, other sources than the file may know the user.
            (Lookup::NotAsked, Lookup::Absent) => {
                look.inside.account.nsswitch.as_deref().is_none_or(|s| s.split_whitespace().all(|w| w == "files"))
            }
            _ => false,
        }
}
