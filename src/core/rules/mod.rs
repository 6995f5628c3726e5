//! From facts to checks, causes, path, walk and doors. Pure judgement.
//!
//! Must not probe, and holds no words: titles and explanations are in the catalogue.

pub mod about;
mod agent;
pub mod answers;
pub mod auth;
mod config;
mod connect;
mod contained;
mod crypto;
pub mod doors;
pub mod gates;
pub mod host_key;
pub mod inside;
pub mod instance;
mod jump;
pub mod launch_key;
pub mod local;
pub mod looking;
mod lost;
mod machine;
pub mod network;
pub mod offering;
mod pasted;
mod ping;
pub mod rank;
mod root;
mod serial;
mod session;
mod ssm;
mod tunnel;
mod user;
pub mod versions;
pub mod walk;
mod windows;
pub mod wire;

pub use serial::obstacle as serial_obstacle;
pub use ssm::NEEDED as AGENT_ACTIONS;
pub use tunnel::{choose as connect_endpoint, named as named_endpoint};

use crate::core::ami;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::{CheckResult, Verdict};
use crate::core::diagnosis::{Diagnosis, Overall};
use crate::core::facts::Facts;
use crate::core::probe::ProbeId;

/// All checks in the order of the path, with the probes that each needs.
pub const CHECKS: &[(&str, &[ProbeId])] = &[
    ("ssh-config", &[ProbeId::SshConfig]),
    ("name-resolves", &[ProbeId::Dns]),
    ("key-file", &[ProbeId::Keys]),
    ("key-format", &[ProbeId::Keys]),
    ("key-permissions", &[ProbeId::Keys]),
    ("key-passphrase", &[ProbeId::Keys, ProbeId::Agent]),
    ("aws-credentials", &[ProbeId::Caller]),
    ("instance-found", &[ProbeId::Instance]),
    ("instance-running", &[ProbeId::Instance]),
    ("status-checks", &[ProbeId::Status]),
    ("public-address", &[ProbeId::Instance, ProbeId::Interfaces]),
    ("igw-attached", &[ProbeId::InternetGateways]),
    ("route-to-client", &[ProbeId::RouteTables, ProbeId::SourceIp]),
    ("nacl-inbound", &[ProbeId::NetworkAcls, ProbeId::SourceIp]),
    ("nacl-outbound", &[ProbeId::NetworkAcls, ProbeId::SourceIp]),
    ("block-public-access", &[ProbeId::Subnet]),
    ("security-group", &[ProbeId::SecurityGroups, ProbeId::SourceIp]),
    ("tcp-port", &[ProbeId::Tcp]),
    ("ssh-banner", &[ProbeId::Ssh]),
    ("host-key", &[ProbeId::Ssh, ProbeId::KnownHosts]),
    ("key-matches", &[ProbeId::Keys, ProbeId::KeyPair]),
    ("user-name", &[ProbeId::Image, ProbeId::Ssh]),
    ("server-takes-key", &[ProbeId::Ssh]),
    ("login-files", &[ProbeId::Ssh]),
    ("inside-sshd", &[ProbeId::Inside]),
    ("inside-firewall", &[ProbeId::Inside]),
    ("inside-account", &[ProbeId::Inside]),
    ("inside-key-files", &[ProbeId::Inside]),
    ("inside-log", &[ProbeId::Inside]),
    ("inside-resources", &[ProbeId::Inside]),
    ("ssm-agent", &[ProbeId::Ssm, ProbeId::Connection]),
    ("root-volume", &[ProbeId::Instance]),
    ("cpu-credits", &[ProbeId::Metrics, ProbeId::CreditMode]),
    ("machine-load", &[ProbeId::Metrics]),
    ("metadata-service", &[ProbeId::Instance]),
    ("ssm-role", &[ProbeId::HostManagement, ProbeId::Role, ProbeId::RolePolicies]),
    ("ssm-path", &[ProbeId::RouteTables, ProbeId::Endpoints, ProbeId::EndpointGroups]),
    ("instance-connect", &[ProbeId::Image]),
    ("instance-connect-endpoint", &[ProbeId::ConnectEndpoints, ProbeId::EndpointGroups]),
    ("serial-console", &[ProbeId::SerialAccess, ProbeId::Machine]),
    ("stop-gates", &[ProbeId::Instance, ProbeId::StopProtection, ProbeId::Spot]),
    ("windows-password", &[ProbeId::WindowsPassword]),
    ("ping-path", &[ProbeId::SecurityGroups, ProbeId::NetworkAcls]),
    ("key-at-hand", &[ProbeId::Keys, ProbeId::KeyPair]),
    ("key-private", &[]),
    ("keys-known", &[]),
    ("jump-host", &[ProbeId::Jump]),
    ("agent", &[ProbeId::Agent]),
];

/// The probes that a check needs; empty for a check that does not exist.
pub fn needs(check: &str) -> &'static [ProbeId] {
    CHECKS.iter().find(|(id, _)| *id == check).map_or(&[], |(_, probes)| probes)
}

/// What the judging functions share, worked out once.
pub struct View<'a> {
    /// The facts.
    pub facts: &'a Facts,
    /// The image's family and default users.
    pub family: Option<ami::Guess>,
    /// What the user's team says about who logs in to this image: a hint, which never proves.
    pub team: Option<&'static ami::ImageUser>,
    /// The console log, recognised.
    pub console: Option<crate::core::recognise::Recognised>,
}

impl<'a> View<'a> {
    /// Works out what several rules need.
    pub fn new(facts: &'a Facts) -> Self {
        let pasted = || facts.paste.as_ref().filter(|p| p.kind == crate::core::recognise::Kind::Console).cloned();
        let console = facts.aws.console.value().map(|text| crate::core::recognise::console(text)).or_else(pasted);
        let family = facts.instance().and_then(|instance| {
            ami::identify(
                facts.aws.image.value().and_then(Option::as_ref),
                instance,
                facts.aws.ssm.value().and_then(Option::as_ref),
                facts.aws.console.value().map(String::as_str),
                console.as_ref().and_then(|c| c.console_user.as_deref()),
            )
        });
        let image = facts.aws.image.value().and_then(Option::as_ref);
        let team = facts
            .instance()
            .and_then(|instance| crate::core::catalogue::get().users.iter().find(|u| u.fits(image, instance)));
        Self { facts, family, team, console }
    }

    /// The user that the login uses: given, configured, in the paste, or the image's default.
    pub fn user(&self) -> Option<String> {
        let given = self.facts.user().map(str::to_owned);
        let pasted = || self.facts.paste.as_ref().and_then(|p| p.extract.user.clone());
        // Without a word from anybody, the user whose key the server knew is the one that the report can name.
        let taken = || self.facts.wire.offers.iter().find(|o| o.answer.key_is_known()).map(|o| o.user.clone());
        given.or_else(pasted).or_else(|| self.expected_user()).or_else(taken)
    }

    /// Whether nobody but the team's files names the login's user: what is seen of that account inside explains a login
    /// that perhaps nobody tried.
    pub fn user_is_of_team(&self) -> bool {
        let pasted = || self.facts.paste.as_ref().is_some_and(|p| p.extract.user.is_some());
        self.team.is_some() && self.facts.user().is_none() && !pasted() && self.printed_user().is_none()
    }

    /// Where the console log comes from.
    pub fn console_source(&self) -> &str {
        if self.facts.aws.console.is_known() { self.facts.aws.console.source() } else { "pasted console log" }
    }

    /// Whether the instance is known to run.
    pub fn running(&self) -> bool {
        self.facts.instance().is_some_and(|i| i.state == "running")
    }

    /// The image's default user, as far as image, agent and console log tell. What a team says is not asked: what is
    /// concluded from this may be proven.
    pub fn default_user(&self) -> Option<String> {
        self.family.as_ref().and_then(|f| f.family.users.first().cloned())
    }

    /// The user whose keys the instance itself printed at its first boot.
    fn printed_user(&self) -> Option<&str> {
        let printed = self.console.as_ref().and_then(|c| c.console_user.as_deref());
        printed.filter(|user| !user.is_empty() && *user != "root")
    }

    /// The user to expect: printed by the instance, named by the team, or the image's default.
    pub fn expected_user(&self) -> Option<String> {
        let team = || self.team.and_then(|t| t.users.first().cloned());
        self.printed_user().map(str::to_owned).or_else(team).or_else(|| self.default_user())
    }

    /// Whether somebody who knows the image names this user: the team, or the image's family.
    pub fn names_user(&self, user: &str) -> bool {
        let has = |users: &[String]| users.iter().any(|u| u == user);
        let family = || self.family.as_ref().is_some_and(|f| has(&f.family.users));
        match self.team {
            Some(team) => has(&team.users) || (self.printed_user().is_some() && family()),
            None => family(),
        }
    }

    /// Whether what is said about the image's users is more than a guess from its name.
    pub fn knows_users(&self) -> bool {
        self.team.is_some() || self.family.as_ref().is_some_and(|f| f.confidence != ami::Confidence::Guess)
    }

    /// What the image is called, why its users are thought to be these, and where that is from.
    pub fn about_users(&self) -> Option<(String, String, String)> {
        let title = self.family.as_ref().map(|f| f.family.title.clone());
        if let (Some(team), None) = (self.team, self.printed_user()) {
            let title = team.title.clone().or(title).unwrap_or_else(|| "this image".to_owned());
            let because = format!("your team's files name {} for this image ({})", team.users.join(" or "), team.place);
            return Some((title, because, "your team's files".to_owned()));
        }
        let because = self.family.as_ref().map(|f| f.because.clone())?;
        Some((title?, because, self.facts.aws.image.source().to_owned()))
    }
}

/// The user that the login uses, for probes and screens.
pub fn login_user(facts: &Facts) -> Option<String> {
    View::new(facts).user()
}

/// The user that the instance, the team or the image names.
pub fn default_user(facts: &Facts) -> Option<String> {
    View::new(facts).expected_user()
}

/// Whether the image may carry EC2 Instance Connect: not where it is known to come without.
pub fn may_carry_instance_connect(facts: &Facts) -> bool {
    View::new(facts).family.is_none_or(|guess| guess.family.eic_preinstalled != Some(false))
}

/// Users to ask the server about: the one to log in as, and at most one other that the image suggests.
pub fn users_to_try(facts: &Facts) -> Vec<String> {
    let view = View::new(facts);
    let hint = facts.paste.as_ref().and_then(|p| p.login_user_hint.clone());
    let mut users: Vec<String> = view.user().into_iter().collect();
    // A team may err: the image's own default is asked about behind its user.
    let default = view.default_user().filter(|_| view.user_is_of_team());
    for other in hint.into_iter().chain(view.expected_user()).chain(default) {
        if users.len() < 2 && !users.contains(&other) {
            users.push(other);
        }
    }
    if users.is_empty() {
        // Nothing tells: the most common default, then the next (domain: ec2-user, ubuntu, then stop).
        users = vec!["ec2-user".to_owned(), "ubuntu".to_owned()];
    }
    users
}

/// The user to log in as instead, when the user name is the cause.
pub fn suggested_user(facts: &Facts) -> Option<String> {
    auth::better_user(&View::new(facts))
}

/// Judges a set of facts.
pub fn judge(facts: &Facts) -> Diagnosis {
    let view = View::new(facts);
    let symptom = wire::symptom(&view);
    let mut checks = all_checks(&view, symptom.as_deref());
    answers::apply(facts, &mut checks);
    let mut found: Vec<Finding> = Vec::new();
    found.extend(local::findings(&view));
    found.extend(agent::findings(&view));
    found.extend(instance::findings(&view));
    found.extend(network::findings(facts));
    found.extend(wire::findings(&view));
    found.extend(crypto::finding(&view));
    found.extend(auth::findings(&view));
    found.extend(versions::findings(&view));
    found.extend(session::findings(&view));
    found.extend(pasted::findings(&view));
    // Where a setting comes from is said after what is wrong with it.
    found.extend(config::findings(&view));
    found.extend(machine::findings(&view));
    found.extend(windows::findings(&view));
    found.extend(ssm::findings(&view));
    found.extend(connect::findings(&view));
    found.extend(tunnel::findings(&view));
    found.extend(serial::findings(&view));
    found.extend(ping::finding(&view));
    found.extend(lost::finding(&view));
    found.extend(lost::foreign_keys(&view));
    found.extend(gates::findings(&view));
    found.extend(looking::findings(&view));
    found.extend(answers::findings(facts, &checks));
    let mut seen = inside::findings(&view);
    inside::settle(&view, &mut found, &mut seen);
    // A login by SSH on 22 is no answer to a question about Remote Desktop.
    let works = auth::login_works(&view) && !about::remote_desktop(facts) && !inside::stops(&view, &seen);
    found.extend(seen);
    if !found.iter().any(|f| rank::explains(&view, f)) {
        found.extend(looking::deeper(&view));
    }
    await_pending(facts, &mut found);
    let mut causes = rank::rank(&view, found, works);
    if works {
        // That the login works does not answer every symptom.
        causes.extend(session::answer(&view));
    }
    let overall = if causes.iter().any(|f| rank::explains(&view, f)) {
        Overall::CauseFound
    } else if works {
        Overall::Healthy
    } else {
        Overall::Inconclusive
    };
    let path = wire::path(&view, works);
    let tree = walk::walk(&view, symptom.as_deref(), &checks, &causes);
    let doors = doors::doors(&view, works, &causes);
    Diagnosis { symptom, overall, causes, checks, path, tree, doors }
}

/// While the port is still being dialled, an answer may come that contradicts what the rules say.
fn await_pending(facts: &Facts, found: &mut [Finding]) {
    // Without the ssh configuration nobody knows whether the login goes through another host.
    let through = matches!(facts.local.config, crate::core::fact::Fact::Unknown { .. }) && facts.target.jump.is_none();
    let proof = if facts.pending.contains(&ProbeId::Tcp) {
        "the TCP connect, which still runs"
    } else if through {
        "your ssh configuration, which could not be read: a jump host would change the way"
    } else {
        return;
    };
    for finding in
        found.iter_mut().filter(|f| rank::stage(&f.id) == rank::Stage::Network && f.certainty == Certainty::Proven)
    {
        finding.certainty = Certainty::Likely;
        finding.would_prove = Some(proof.to_owned());
    }
}

fn all_checks(view: &View<'_>, symptom: Option<&str>) -> Vec<CheckResult> {
    let mut found = config::checks(view);
    found.extend(local::checks(view));
    found.push(agent::check(view.facts));
    found.extend(instance::checks(view));
    found.extend(network::checks(view.facts));
    found.extend(wire::checks(view));
    found.extend(auth::checks(view));
    found.extend(inside::checks(view));
    found.push(looking::credentials(view.facts));
    found.extend(ssm::checks(view));
    found.push(root::check(view));
    found.extend(machine::checks(view));
    found.extend(gates::checks(view));
    found.extend([connect::check(view), tunnel::check(view), serial::check(view)]);
    found.extend([windows::check(view), ping::check(view), lost::check(view)]);
    found.extend(answers::statements(view.facts));
    let known = CHECKS.iter().map(|(id, _)| {
        let result = found.iter().position(|c| c.id == *id).map(|at| found.swap_remove(at));
        result.unwrap_or_else(|| CheckResult::not_applicable(id, "not asked for this target"))
    });
    known.chain(answers::questions_of_the_team(symptom)).collect()
}

/// The verdict of a check in a list.
pub fn verdict(checks: &[CheckResult], id: &str) -> Option<Verdict> {
    checks.iter().find(|c| c.id == id).map(|c| c.verdict)
}

#[cfg(test)]
mod tests;
