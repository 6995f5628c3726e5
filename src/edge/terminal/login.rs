//! A login over an open connection: whose host key it is, which keys are brought, and why it failed, in sentences.
//!
//! Must not write known_hosts, and offers no key to a server whose host key nothing vouches for.

use super::attach::{self, Wanted};
use super::gather::complete;
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::local::{AgentKey, KeyFileState, KnownHosts};
use crate::core::facts::wire::{Answer, Offer, SshServer};
use crate::core::probe::ProbeId;
use crate::core::rules::offering::{Candidate, keys_to_offer, order};
use crate::core::text::{list, shell_quote};
use crate::core::trust::{self, Trust, Vouch};
use crate::edge::ssh::{SshKey, SshRequest, Stream, Tunnel, enter, greeted as greeted_stream, no_session};
use crate::edge::{RealWorld, agent, keys, known_hosts, passphrase};
use crate::engine::failure::Failure;
use crate::engine::terminal::{Opened, Wish};
use russh::keys::decode_secret_key;
use russh::keys::ssh_key::LineEnding;
use std::ffi::OsString;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Keys that are brought, at most: sshd ends a login at its sixth (`MaxAuthTries`).
const KEYS: u32 = 5;
/// Limit of each answer of the server; an agent may have to ask its user.
const ANSWER: Duration = Duration::from_secs(20);
/// Limit of the login as a whole.
const LOGIN: Duration = Duration::from_secs(50);

/// An open connection to a server, and how it is known.
pub(super) struct Place {
    /// The connection.
    pub stream: Stream,
    /// Address and port, to name the server.
    pub at: (IpAddr, u16),
    /// Names under which known_hosts may have it, the best first; the first one that is there counts.
    pub names: Vec<String>,
    /// The port that known_hosts puts to them.
    pub port: u16,
    /// What the way proves of the server.
    pub vouch: Vouch,
    /// Host key that is published for it: then nothing else counts.
    pub published: Option<String>,
    /// The login to the jump host that the connection goes through.
    pub jump: Option<Arc<Tunnel>>,
}

/// Who logs in, and with what.
pub(super) struct Who {
    /// User.
    pub user: String,
    /// Keys in their order.
    pub keys: Vec<SshKey>,
    /// Socket of the agent that may sign.
    pub agent: Option<OsString>,
    /// What it means here that the server takes none of the keys; otherwise that is all that is said.
    pub none_taken: Option<NoneTaken>,
}

/// What it means that a server takes none of the keys.
pub(super) struct NoneTaken {
    /// Why, as far as it is known.
    pub reason: &'static str,
    /// What to do next.
    pub next: &'static str,
}

/// The user's own keys, as ssh would bring them.
pub(super) async fn own_keys(facts: &Facts) -> (Vec<SshKey>, Option<OsString>) {
    let named = facts.local.config.value().and_then(|c| c.identity_agent.as_deref());
    let held: &[AgentKey] = facts.local.agent.value().map_or(&[], Vec::as_slice);
    let would = order(facts);
    let brought = |label: &str| would.iter().any(|c| c.label() == label);
    let mut out = Vec::new();
    for candidate in keys_to_offer(facts, 1, KEYS).into_iter().filter(|c| brought(&c.label())) {
        let of_agent = held.iter().any(|key| Some(key.fingerprint.as_str()) == candidate.fingerprint());
        let unlocked = if of_agent { None } else { unlocked(candidate).await };
        let Some(key) = RealWorld::ssh_key(candidate) else { continue };
        let encrypted = key.encrypted && unlocked.is_none();
        out.push(SshKey { held: of_agent, encrypted, private: unlocked.or(key.private), ..key });
    }
    (out, agent::socket_of(named))
}

/// The private half of a protected file, where its passphrase is at hand. Asks no terminal.
async fn unlocked(candidate: Candidate<'_>) -> Option<Vec<u8>> {
    let Candidate::File(probe) = candidate else { return None };
    match probe.file.value()? {
        KeyFileState::Read { key, .. } if key.encrypted => {}
        _ => return None,
    }
    passphrase::source(&probe.path)?;
    let passphrase = passphrase::get(&probe.path).await.ok()?;
    let bytes = keys::load_private(&probe.path).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let key = decode_secret_key(&text, Some(passphrase.as_str())).ok()?;
    Some(key.to_openssh(LineEnding::LF).ok()?.as_bytes().to_vec())
}

/// Waits for the server's greeting, and asks for what may vouch for its host key: then nothing but the login itself takes
/// of the 60 seconds of a key that is pushed now. The greeting stays in the stream.
pub(super) async fn greeted(
    world: &RealWorld,
    facts: Facts,
    mut place: Place,
    title: &str,
) -> Result<(Facts, Place), Failure> {
    let greeting = greeted_stream(place.stream, ANSWER).await;
    let doing = || format!("wait for the SSH server ({title})");
    place.stream = greeting.map_err(|reason| Failure::failed(doing(), reason, tells_why(&facts)))?;
    let facts = Box::pin(comparable(world, facts, (&place.names, place.port), place.published.is_some())).await;
    Ok((facts, place))
}

/// The facts with what the host key of a server will be compared with; nothing but known_hosts where the key is published.
async fn comparable(world: &RealWorld, mut facts: Facts, (names, port): (&[String], u16), published: bool) -> Facts {
    let files = facts.local.config.value().map(|c| c.known_hosts_files.clone()).unwrap_or_default();
    facts.local.known_hosts = known(names, port, &files).await;
    if !published && facts.local.known_hosts.value().is_some_and(|k| k.entries.is_empty()) {
        // The boot log may print the host's keys.
        facts = complete(world, &facts, &[ProbeId::Console]).await;
        if !facts.aws.console.is_asked() && facts.instance().is_some() {
            // Who did not answer in time is not waited for again.
            facts.aws.console = Fact::unknown(Why::failed("ec2:GetConsoleOutput", "no answer in time"));
        }
    }
    facts
}

/// Logs in and opens the terminal.
pub(super) async fn open(
    world: &RealWorld,
    facts: Facts,
    wish: &Wish,
    place: Place,
    who: Who,
    title: String,
) -> Result<Opened, Failure> {
    let doing = format!("log in as {} ({title})", who.user);
    let mut facts = Box::pin(comparable(world, facts, (&place.names, place.port), place.published.is_some())).await;
    let mut request = SshRequest::new(place.at.0, place.at.1);
    request.users = vec![who.user.clone()];
    request.keys = who.keys;
    request.agent = who.agent;
    (request.cap, request.lasting) = (KEYS + 1, true);
    (request.banner_limit, request.total_limit) = (ANSWER, LOGIN);
    request.expect_known(&facts);
    let mut trust = None;
    let judge = |server: &SshServer| {
        facts.wire.ssh = Fact::known(server.clone(), "SSH");
        let judged = match &place.published {
            Some(published) => by_publication(server, published),
            None => trust::judge(&facts, place.vouch),
        };
        trust.insert(judged).is_good()
    };
    let (heard, login) = enter(place.stream, &request, judge).await;
    let Some(login) = login else {
        let (reason, next) = match (&trust, heard.server) {
            (Some(Trust::No { reason, next }), _) => (reason.clone(), next.clone()),
            (_, Fact::Known { value: server, .. }) if !matches!(server, SshServer::Ready { .. }) => {
                (no_session(&server), tells_why(&facts))
            }
            (_, Fact::Unknown { why }) => (why.text(), tells_why(&facts)),
            _ => refusal(&heard.offers, &request.keys, &facts, who.none_taken),
        };
        return Err(Failure::failed(doing, reason, next));
    };
    let notices = match trust {
        Some(Trust::Vouched(why)) => vec![why],
        _ => Vec::new(),
    };
    let wanted = Wanted { title, size: wish.size, command: wish.command.clone(), notices, jump: place.jump };
    attach::attach(login, wanted).await.map_err(|reason| Failure::failed(doing, reason, tells_why(&facts)))
}

/// What to do about a way that is not open.
pub(super) fn tells_why(facts: &Facts) -> String {
    format!("port22 diagnose {} tells why", shell_quote(&facts.target.name))
}

/// The lines of known_hosts for the first name that has any.
async fn known(names: &[String], port: u16, files: &[String]) -> Fact<KnownHosts> {
    let mut last = Fact::known(KnownHosts::default(), "known_hosts");
    for name in names {
        last = known_hosts::lookup(std::slice::from_ref(name), port, files).await;
        let empty = |k: &KnownHosts| k.entries.is_empty() && k.revoked.is_empty() && k.authorities.is_empty();
        if !last.value().is_some_and(empty) {
            return last;
        }
    }
    last
}

fn by_publication(server: &SshServer, published: &str) -> Trust {
    match server {
        SshServer::Ready { host_key, .. } if host_key == published => Trust::Known,
        SshServer::Ready { host_key, host_key_type, .. } => Trust::No {
            reason: format!("the server shows the host key {host_key_type} {host_key}, and AWS publishes {published}"),
            next:
                "do not go on: something else than AWS answers (a proxy, or an attack). Compare with the EC2 User Guide"
                    .to_owned(),
        },
        _ => Trust::No { reason: "the server showed no host key".to_owned(), next: "try again".to_owned() },
    }
}

/// Why the server let nobody in.
fn refusal(offers: &[Offer], keys: &[SshKey], facts: &Facts, none_taken: Option<NoneTaken>) -> (String, String) {
    let names = list(&keys.iter().map(|k| k.path.clone()).collect::<Vec<_>>());
    let Some(last) = offers.last() else {
        return ("there is no key to log in with".to_owned(), "name one with -i".to_owned());
    };
    let user = &last.user;
    let said = last.banner.as_ref().map(|b| format!(" ({})", b.replace('\n', " "))).unwrap_or_default();
    match &last.answer {
        Answer::WouldAccept => (
            format!(
                "the server would take {}, which cannot sign here: it needs a passphrase",
                last.key.as_deref().unwrap_or("the key")
            ),
            "ssh-add it, or set SSH_ASKPASS or PORT22_PASSPHRASE".to_owned(),
        ),
        Answer::AcceptedThenRefused { reason } => {
            (format!("the server knows the key and refuses the login of {user}: {reason}{said}"), tells_why(facts))
        }
        Answer::Failed { reason } => (format!("the login of {user} broke off: {reason}{said}"), tells_why(facts)),
        _ if keys.is_empty() => (
            format!("there is no key to log in with; the server asks {user} for {}", list(&last.methods)),
            "name a key with -i, or take another way in".to_owned(),
        ),
        _ => match none_taken {
            Some(NoneTaken { reason, next }) => (reason.to_owned(), next.to_owned()),
            None => (format!("the server takes none of the keys for {user}: {names}{said}"), tells_why(facts)),
        },
    }
}
