//! What the pasted text names: every cause that the recogniser found in it becomes a finding, once.
//!
//! The text is what somebody saw some time ago; a probe of this run may know better. Words that are themselves the
//! observation prove; all others only name the likeliest cause. Pasted console logs are judged in [`super::instance`].

use super::local::{key_of, trouble};
use super::offering::{agent_keys, in_agent};
use super::{View, auth, crypto, rank, versions};
use crate::core::catalogue;
use crate::core::cause::{Certainty, Finding};
use crate::core::facts::Facts;
use crate::core::facts::local::KeyProbe;
use crate::core::facts::wire::{Answer, SshServer, Tcp};
use crate::core::key::KeyFormat;
use crate::core::recognise::{Kind, Recognised};
use crate::core::target::TargetKind;

/// Words, in small letters, that are a direct observation of a cause: a program's statement about its own machine, or
/// the server's about its reason.
const PROOFS: &[(&str, &[&str])] = &[
    ("key-perms-open", &["are too open", "unprotected private key file"]),
    ("key-acl-open-windows", &["try removing permissions for user"]),
    ("key-file-missing", &["not accessible: no such file", "no such file or directory", "no such identity"]),
    ("key-unreadable-owner", &["\": permission denied"]),
    ("key-format-pem-with-putty", &["old pem format", "openssh ssh-2 private key", "key in openssh"]),
    ("ppk-version-too-new", &["key format too new"]),
    (
        "ssh-config-invalid",
        &[
            "bad configuration option",
            "bad owner or permissions",
            "terminating, ",
            "bad number",
            "missing argument",
            "unsupported option",
        ],
    ),
    ("agent-sign-failed", &["agent refused operation", "signing failed", "agent admitted failure to sign"]),
    ("key-file-is-public", &["contains public key only"]),
    ("hostkeys-perms", &["for '/etc/ssh/ssh_host_"]),
    ("akc-broken", &["unsafe authorizedkeyscommand", "could not stat authorizedkeyscommand"]),
    ("pam-denies", &["pam_faillock(sshd:auth)", "pam_sss(sshd:account)"]),
    ("scp-or-boundary-deny", &["explicit deny in a"]),
    (
        "agent-unavailable",
        &[
            "could not open a connection to your authentication agent",
            "error connecting to agent",
            "the agent has no identities",
        ],
    ),
    ("wrong-user-name", &["please login as the user", "invalid user "]),
    ("user-deleted", &["invalid user "]),
    ("too-many-agent-keys", &[]),
    ("persource-penalty", &["not allowed at this time", "penalty:"]),
    ("maxstartups", &["exceeded maxstartups", "past maxstartups", "beginning maxstartups"]),
    ("account-expired", &["account has expired", "has expired"]),
    ("account-locked", &["account is locked"]),
    ("nologin-file", &["going down", "/etc/nologin exists", "pam_nologin"]),
    ("boot-in-progress", &["booting up"]),
    (
        "password-change-forced",
        &["password change required", "password has expired", "required to change your password"],
    ),
    ("shell-nologin", &["currently not available"]),
    ("shell-missing", &["because shell"]),
    ("pubkey-disabled", &["permission denied ()"]),
    (
        "sha1-signature-refused",
        &["no mutual signature", "signature algorithm ssh-rsa not in", "key type ssh-rsa not in"],
    ),
    ("crypto-mismatch", &["no matching "]),
    ("key-type-unsupported", &["invalid key length"]),
    ("root-login-refused", &["root login refused"]),
    ("sshd-allow-deny", &["not allowed because", "listed in denyusers", "not listed in allowusers"]),
    ("authkeys-perms", &["bad ownership or modes for file"]),
    ("ssh-dir-perms", &["bad ownership or modes for directory"]),
    ("home-perms", &["bad ownership or modes for directory"]),
    ("authkeys-unreadable", &["could not open user", "could not open authorized keys"]),
    ("authkeys-not-file", &["is not a regular file"]),
    ("authkeys-from-restriction", &["not from a permitted host"]),
    ("hosts-deny", &["refused connect from"]),
    ("hostkeys-missing", &["no hostkeys available"]),
    ("privsep-dir", &["privilege separation directory"]),
    ("port-in-use", &["address already in use"]),
    ("sshd-config-invalid", &["bad configuration option", "bad configuration options"]),
    ("ssm-plugin-missing", &["sessionmanagerplugin is not found"]),
];

/// What a probe of this run says about a pasted cause.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Live {
    /// Nothing.
    Silent,
    /// It was otherwise a moment later; such things come and go.
    Weaker,
    /// It is not so.
    Disproved,
}

fn paste(facts: &Facts) -> Option<&Recognised> {
    facts.paste.as_ref().filter(|p| p.kind == Kind::Ssh)
}

/// Every cause that the paste names, unless a probe knows better.
pub fn findings(view: &View<'_>) -> Vec<Finding> {
    let facts = view.facts;
    let Some(paste) = paste(facts) else { return Vec::new() };
    let mut out: Vec<Finding> = Vec::new();
    let logged = logged_user(view, paste);
    for id in paste.causes.iter().map(String::as_str).chain(logged).chain(hung_exchange(paste)) {
        let Some(words) = catalogue::get().causes.get(id) else { continue };
        let live = live(view, id);
        if live == Live::Disproved || out.iter().any(|f| f.id == id) {
            continue;
        }
        let telling = PROOFS.iter().filter(|(known, _)| *known == id).flat_map(|(_, words)| *words);
        let line = telling.into_iter().find_map(|w| paste.evidence.iter().find(|l| l.to_ascii_lowercase().contains(w)));
        // Without the image nobody knows whether the user is no user of it, or was one.
        let line = line.filter(|_| logged != Some(id) || (view.default_user().is_some() && !view.user_is_of_team()));
        let certainty = match (live, line) {
            (Live::Weaker, _) => Certainty::Possible,
            (_, Some(_)) if !about_another_host(facts, paste) => Certainty::Proven,
            _ => Certainty::Likely,
        };
        let text = line.or(paste.evidence.first()).unwrap_or(&paste.explanation);
        let finding = Finding::new(id, certainty, text.clone(), "pasted text");
        out.push(if certainty == Certainty::Proven { finding } else { finding.would_prove(words.proven_by.clone()) });
    }
    out
}

/// What sshd's log line `Invalid user X from` says of the login's user: it was never there, or, when the image has it
/// by default, it is no more.
fn logged_user(view: &View<'_>, paste: &Recognised) -> Option<&'static str> {
    let user = view.user()?;
    let line = format!("invalid user {} from ", user.to_ascii_lowercase());
    paste.evidence.iter().find(|l| l.to_ascii_lowercase().contains(&line))?;
    Some(if view.default_user().as_ref() == Some(&user) { "user-deleted" } else { "wrong-user-name" })
}

/// A debug log that stops in the key exchange, whose packets are the first large ones.
fn hung_exchange(paste: &Recognised) -> Option<&'static str> {
    let stopped = |line: &String| {
        let line = line.to_ascii_lowercase();
        line.contains("expecting ssh2_msg_kex") || line.ends_with("ssh2_msg_kexinit sent")
    };
    (paste.symptom == "banner_timeout" && paste.evidence.iter().any(stopped)).then_some("mtu-blackhole")
}

/// Whether the text names another host than the target: then it may be about a jump host, or about yesterday.
fn about_another_host(facts: &Facts, paste: &Recognised) -> bool {
    let Some(host) = paste.extract.host.as_deref() else { return false };
    let host = host.trim_matches(['[', ']']);
    let config = facts.local.config.value().and_then(|c| c.hostname.as_deref());
    let instance = facts.instance();
    let mut names = vec![Some(facts.target.name.as_str()), config];
    if let Some(instance) = instance {
        names.extend([Some(instance.id.as_str()), instance.name.as_deref()]);
        names.extend([instance.public_dns.as_deref(), instance.private_dns.as_deref()]);
    }
    if names.into_iter().flatten().any(|name| name.eq_ignore_ascii_case(host)) {
        return false;
    }
    match host.parse() {
        Ok(address) => {
            facts.wire.address != Some(address)
                && facts.address() != Some(address)
                && !instance.is_some_and(|i| i.addresses().contains(&address))
        }
        // A name of the user's own for an instance that is called by its id cannot be compared.
        Err(_) => !matches!(facts.target.kind(), TargetKind::InstanceId | TargetKind::Address(_)),
    }
}

/// The files that the paste can be about: the one that it names, or all that were named.
fn files<'a>(facts: &'a Facts, paste: &Recognised) -> Vec<&'a KeyProbe> {
    let base = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned();
    let named = paste.extract.key_path.as_deref();
    let exact = facts.local.keys.iter().filter(|k| named.is_none_or(|n| base(n) == base(&k.path)));
    exact.filter(|k| k.origin != "default").collect()
}

fn live(view: &View<'_>, id: &str) -> Live {
    let facts = view.facts;
    let Some(paste) = paste(facts) else { return Live::Silent };
    let no = |disproved: bool| if disproved { Live::Disproved } else { Live::Silent };
    let ready = matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. }));
    let answers: Vec<&Answer> = match view.user() {
        Some(user) => auth::for_user(facts, &user).0.into_iter().map(|o| &o.answer).collect(),
        None => Vec::new(),
    };
    let known = answers.iter().any(|a| a.key_is_known());
    let logged_in = answers.iter().any(|a| **a == Answer::LoggedIn);
    let files = files(facts, paste);
    let read =
        |good: &dyn Fn(&KeyProbe) -> bool| !files.is_empty() && files.iter().all(|k| key_of(k).is_some() && good(k));
    match id {
        "key-file-missing" | "key-unreadable-owner" => no(read(&|_| true)),
        "key-format-ppk-with-openssh" if versions::reads_ppk(paste) => Live::Disproved,
        "key-perms-open"
        | "key-perms-unfixable-fs"
        | "key-file-damaged"
        | "key-file-is-public"
        | "key-format-ppk-with-openssh" => no(read(&|k| trouble(k).is_none())),
        "key-format-pem-with-putty" => {
            no(read(&|k| key_of(k).is_some_and(|key| matches!(key.format, KeyFormat::Ppk { .. }))))
        }
        "ppk-version-too-new" => {
            no(read(&|k| key_of(k).is_some_and(|key| !matches!(key.format, KeyFormat::Ppk { version: 3 }))))
        }
        "key-passphrase-needed" => no(read(&|k| key_of(k).is_some_and(|key| !key.encrypted || in_agent(facts, key)))),
        "ssh-config-invalid" => no(facts.local.config.is_known()),
        "agent-unavailable" => no(!agent_keys(facts).is_empty()),
        "session-idle-dropped" => match facts.wire.tcp.value() {
            None => Live::Silent,
            // A login that works is answered elsewhere; one that does not has another cause.
            Some(Tcp::Connected { .. }) => Live::Weaker,
            Some(_) => Live::Disproved,
        },
        "stale-control-socket" => no(facts.local.control.value().is_some_and(|c| c.as_ref().is_none_or(|c| c.alive))),
        // These limits are forgotten after minutes.
        "persource-penalty" | "maxstartups" | "fail2ban-ban" | "hosts-deny" if ready => Live::Weaker,
        // This probe's packets may be smaller than those of ssh.
        "mtu-blackhole" if ready => Live::Weaker,
        "boot-in-progress" | "nologin-file" if known => {
            if logged_in {
                Live::Disproved
            } else {
                Live::Weaker
            }
        }
        "wrong-user-name" => no(known && view.user().as_deref() != Some("root")),
        "user-deleted" | "root-login-refused" => no(known),
        "pubkey-disabled" => {
            let offered = facts.wire.offers.iter().any(|o| o.methods.iter().any(|m| m == "publickey"));
            no(known || offered)
        }
        "proxyjump-broken" => no(facts.local.config.is_known() && !crate::core::vpc::through_jump(facts)),
        // What ends a login after the signature is not disproved by a key that the server knows.
        "account-expired"
        | "account-locked"
        | "password-change-forced"
        | "pam-denies"
        | "authkeys-from-restriction"
        | "authkeys-expired-option" => no(logged_in),
        "shell-nologin" | "agent-sign-failed" | "key-acl-open-windows" | "obsolete-client" => Live::Silent,
        // The lists of this ssh and this server say what comes of it now.
        "crypto-mismatch" => no(crypto::agree(facts) == Some(true)),
        id => by_aws(facts, id).unwrap_or_else(|| by_stage(facts, id, ready, known)),
    }
}

/// What AWS says now of a cause that another tool printed.
fn by_aws(facts: &Facts, id: &str) -> Option<Live> {
    let disproved = match id {
        "wrong-region-or-account" | "api-endpoint-unreachable" | "api-throttled" => facts.instance().is_some(),
        "instance-not-running" => facts.instance().is_some_and(|i| i.state == "running"),
        "credentials-missing-or-expired" | "clock-skew" => facts.aws.caller.is_known(),
        "ssm-not-registered" => facts.agent_is_online(),
        "eice-missing" => facts.doors.connect_endpoints.value().is_some_and(|all| !all.is_empty()),
        "serial-console-disabled" => facts.doors.serial.value().is_some_and(|s| s.enabled),
        _ => return None,
    };
    Some(if disproved { Live::Disproved } else { Live::Silent })
}

/// For all other causes: a probe that got further than the stage at which they bite disproves them.
fn by_stage(facts: &Facts, id: &str, ready: bool, known: bool) -> Live {
    let arrived = matches!(facts.wire.tcp.value(), Some(Tcp::Connected { .. } | Tcp::Refused { .. }));
    let connected = matches!(facts.wire.tcp.value(), Some(Tcp::Connected { .. }));
    let inside = id.starts_with("authkeys-") || id.ends_with("-perms") || id.starts_with("home-");
    let disproved = match rank::stage(id) {
        rank::Stage::Network => arrived && facts.dialled_own_address(),
        rank::Stage::Server => ready || (id == "sshd-not-listening" && connected),
        rank::Stage::Login => inside && known,
        _ => false,
    };
    if disproved { Live::Disproved } else { Live::Silent }
}

/// Whether the paste names one of these causes, or the user told the symptom without any text.
fn names(facts: &Facts, causes: &[&str], symptom: &str) -> bool {
    facts.symptom.as_deref() == Some(symptom)
        || paste(facts).is_some_and(|p| p.causes.iter().any(|c| causes.contains(&c.as_str())))
}

/// The line of the pasted text which says that client and server have no algorithm in common, when a server answers,
/// the text is of this host, and nothing is known against it. That this program logs in is nothing against it: it has
/// more algorithms than ssh.
pub(super) fn no_algorithm(facts: &Facts) -> Option<&str> {
    let id = "crypto-mismatch";
    let paste = paste(facts).filter(|p| p.causes.iter().any(|c| c == id) && !about_another_host(facts, p))?;
    if !matches!(facts.wire.ssh.value(), Some(SshServer::Ready { .. })) || crypto::agree(facts) == Some(true) {
        return None;
    }
    let says = |line: &&String| {
        let line = line.to_ascii_lowercase();
        PROOFS.iter().any(|(known, words)| *known == id && words.iter().any(|w| line.contains(w)))
    };
    paste.evidence.iter().find(says).map(String::as_str)
}

/// Whether the user saw the login end after the signature: that the server knows the key says nothing about that.
pub(super) fn ends_after_signature(facts: &Facts) -> bool {
    names(
        facts,
        &["account-expired", "account-locked", "pam-denies", "authkeys-from-restriction"],
        "account_locked_or_expired",
    ) || names(facts, &["nologin-file", "boot-in-progress"], "booting_nologin")
}

/// Whether the pasted client cannot bring the key at all, for a reason of its own that nothing has disproved: that
/// this program logs in from here says nothing about it.
pub(super) fn stops_client(view: &View<'_>) -> bool {
    const OWN: [&str; 4] =
        ["key-acl-open-windows", "key-format-pem-with-putty", "ppk-version-too-new", "obsolete-client"];
    paste(view.facts).is_some_and(|p| {
        p.causes.iter().any(|id| OWN.contains(&id.as_str()) && live(view, id) == Live::Silent)
            && !about_another_host(view.facts, p)
    })
}

/// Whether the user saw the session end at once: that the server lets them in says nothing about that.
pub(super) fn ends_session(facts: &Facts) -> bool {
    names(facts, &["shell-nologin", "home-not-mounted"], "shell_or_home_missing")
        || names(facts, &["password-change-forced"], "-")
}
