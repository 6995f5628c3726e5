//! One instance of the fleet: assembled, judged, and said in one line.

use super::region::Index;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::Verdict;
use crate::core::diagnosis::{Diagnosis, DoorState};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::inside::{End, Inside};
use crate::core::facts::local::SshConfig;
use crate::core::facts::wire::{SshServer, Tcp};
use crate::core::jump::{Way, way};
use crate::core::rules::rank::{Stage, stage, stops_login};
use crate::core::rules::{self, network};
use crate::core::target::Target;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A Region, as one profile sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// AWS profile; `None` where the environment's own credentials are used.
    pub profile: Option<String>,
    /// Region.
    pub region: String,
}

/// Whether SSH reaches an instance from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// It does, or nothing that AWS tells stands in the way.
    Yes,
    /// It does not.
    No,
    /// The facts do not tell.
    Unknown,
}

impl Reach {
    /// The word of the contract.
    pub fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// What a short connection to the port showed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Knock {
    /// The connect.
    pub tcp: Fact<Tcp>,
    /// How the port greets, where it connected.
    pub greeting: Option<Greeting>,
}

/// How a port greets.
#[derive(Debug, Clone, PartialEq)]
pub enum Greeting {
    /// As an SSH server: its identification string, cleaned.
    Ssh(String),
    /// Otherwise, or not at all.
    Other(SshServer),
}

/// What is asked of every instance alike.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Port (`-p`), when it is not that of the configuration or 22.
    pub port: Option<u16>,
    /// Login user (`-l`), for the look inside.
    pub user: Option<String>,
    /// Jump host (`-J`).
    pub jump: Option<String>,
    /// Client address as the instances see it (`--source-ip`).
    pub source_ip: Option<IpAddr>,
    /// Seconds since 1970.
    pub now: i64,
}

/// What is known of one instance besides the lists of its Region.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The client's own address towards it.
    pub source_ip: Fact<IpAddr>,
    /// What the user's ssh configuration says of it.
    pub config: Fact<SshConfig>,
    /// The probe of its port; `None` when it was not knocked at.
    pub knock: Option<Knock>,
    /// What a look inside told.
    pub inside: Fact<Inside>,
}

/// One instance, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `i-…`.
    pub id: String,
    /// Name tag.
    pub name: Option<String>,
    /// Region.
    pub region: String,
    /// Account of the profile that lists it.
    pub account: Option<String>,
    /// AWS profile that lists it.
    pub profile: Option<String>,
    /// `running`, `stopped`, ….
    pub state: String,
    /// Address that a login from here would go to.
    pub address: Option<IpAddr>,
    /// Port that a login would go to.
    pub port: u16,
    /// Whether SSH reaches it.
    pub reachable: Reach,
    /// The cheapest way in that is open: `ssh`, `ssm`, `eic`, `eice`, `serial`.
    pub door: Option<String>,
    /// Root-cause id of what stands in the way.
    pub cause: Option<String>,
    /// How certain: of the cause, or, where there is none, of the reachability.
    pub certainty: Option<Certainty>,
    /// What was seen, or why nothing can be told, in one sentence.
    pub detail: String,
}

impl Row {
    /// Name, or id where there is none.
    pub fn label(&self) -> &str {
        self.name.as_deref().filter(|n| !n.is_empty()).unwrap_or(&self.id)
    }
}

/// The certainty of a reachability that a probe saw.
pub(super) const SEEN: Certainty = Certainty::Proven;

/// Ways in that let a person log in, cheapest first. User data and rescue are repairs.
const DOORS: [&str; 4] = ["ssm", "eic", "eice", "serial"];

/// The facts of one instance, as a diagnosis would have them.
pub(super) fn facts(instance: &Instance, index: &Index, asked: &Asked, seen: &Seen) -> Facts {
    let mut facts = Facts {
        target: target(instance, asked),
        now: asked.now,
        inside_agreed: seen.inside.is_asked(),
        inside: seen.inside.clone(),
        ..Facts::default()
    };
    facts.local.source_ip = seen.source_ip.clone();
    facts.local.config = seen.config.clone();
    index.apply(instance, &mut facts);
    if let (Some(knock), Some(address)) = (&seen.knock, facts.address()) {
        (facts.wire.address, facts.wire.port) = (Some(address), Some(facts.port()));
        facts.wire.tcp = knock.tcp.clone();
        if let Some(Greeting::Other(server)) = &knock.greeting {
            facts.wire.ssh = Fact::known(server.clone(), format!("greeting of {address}"));
        }
    }
    facts
}

/// The address that a login would go to, before anything else is known.
pub fn address_of(instance: &Instance, asked: &Asked, config: &Fact<SshConfig>) -> Option<IpAddr> {
    let mut facts = Facts { target: target(instance, asked), ..Facts::default() };
    facts.aws.instance = Fact::known(instance.clone(), "DescribeInstances");
    facts.local.config = config.clone();
    facts.address()
}

fn target(instance: &Instance, asked: &Asked) -> Target {
    Target {
        name: instance.id.clone(),
        user: asked.user.clone(),
        port: asked.port,
        jump: asked.jump.clone(),
        source_ip: asked.source_ip,
        region: Some(instance.region.clone()),
        ..Target::default()
    }
}

/// The address and port to knock at; `None` for an instance that is not dialled straight, or has nothing to dial.
pub fn to_knock(instance: &Instance, index: &Index, asked: &Asked, seen: &Seen) -> Option<(IpAddr, u16)> {
    let facts = facts(instance, index, asked, seen);
    let direct = matches!(way(&facts), Way::Direct);
    facts.address().filter(|_| direct && instance.state == "running").map(|address| (address, facts.port()))
}

/// Judges one instance.
pub fn row(place: &Place, instance: &Instance, index: &Index, asked: &Asked, seen: &Seen) -> Row {
    let facts = facts(instance, index, asked, seen);
    let diagnosis = rules::judge(&facts);
    let answer = answer(&facts, &diagnosis, seen.knock.as_ref());
    let open = |id: &&&str| diagnosis.doors.iter().any(|d| d.id == **id && d.state == DoorState::Open);
    let door = match answer.reach {
        Reach::Yes => Some("ssh"),
        _ => DOORS.iter().find(open).copied(),
    };
    Row {
        id: instance.id.clone(),
        name: instance.name.clone(),
        region: instance.region.clone(),
        account: index.account().map(str::to_owned),
        profile: place.profile.clone(),
        state: instance.state.clone(),
        address: facts.address(),
        port: facts.port(),
        reachable: answer.reach,
        door: door.map(str::to_owned),
        cause: answer.cause,
        certainty: answer.certainty,
        detail: answer.detail + &inside(&seen.inside),
    }
}

/// What came of the look inside, where there was one.
fn inside(seen: &Fact<Inside>) -> String {
    match seen {
        Fact::NotAsked => String::new(),
        Fact::Known { value, .. } if value.end == End::Whole => "; looked inside".to_owned(),
        Fact::Known { .. } => "; looked inside, and the answer is not whole".to_owned(),
        Fact::Unknown { why } => format!("; could not look inside: {}", why.text()),
    }
}

struct Answer {
    reach: Reach,
    cause: Option<String>,
    certainty: Option<Certainty>,
    detail: String,
}

impl Answer {
    fn of(reach: Reach, finding: &Finding) -> Self {
        let detail = finding.evidence.first().map(|e| e.text.clone()).unwrap_or_default();
        Self { reach, cause: Some(finding.id.clone()), certainty: Some(finding.certainty), detail }
    }
}

fn answer(facts: &Facts, diagnosis: &Diagnosis, knock: Option<&Knock>) -> Answer {
    let stop = diagnosis.causes.iter().find(|c| stops_login(c));
    if let Some(Greeting::Ssh(banner)) = knock.and_then(|k| k.greeting.as_ref()) {
        // What a look inside found stops the login behind a port that answers.
        return match stop {
            Some(finding) => Answer::of(Reach::Yes, finding),
            None => Answer {
                reach: Reach::Yes,
                cause: None,
                certainty: Some(Certainty::Proven),
                detail: format!("an SSH server answers: {banner}"),
            },
        };
    }
    let silent = match facts.wire.tcp.value() {
        Some(Tcp::Refused { .. } | Tcp::TimedOut { .. } | Tcp::Unreachable { .. }) => true,
        Some(Tcp::Connected { .. }) | None => false,
    };
    if let Some(finding) = stop {
        return Answer::of(Reach::No, finding);
    }
    if silent {
        // That it does not answer was seen; why may be open.
        let seen = diagnosis.checks.iter().find(|c| c.id == "tcp-port").map(|c| c.reason.clone()).unwrap_or_default();
        return match diagnosis.causes.iter().find(|c| stage(&c.id) < Stage::Door) {
            Some(finding) => Answer::of(Reach::No, finding),
            None => Answer { reach: Reach::No, cause: None, certainty: Some(Certainty::Proven), detail: seen },
        };
    }
    let connected = matches!(facts.wire.tcp.value(), Some(Tcp::Connected { .. }));
    if !connected && facts.instance().is_some_and(|i| i.state == "running") && network::all_open(facts) {
        let why = facts.wire.tcp.why_not().filter(|_| knock.is_some());
        let not_tried = why.map_or_else(|| "its port was not tried".to_owned(), |why| not_tried(&why));
        return Answer {
            reach: Reach::Yes,
            cause: None,
            certainty: Some(Certainty::Likely),
            detail: format!("rules and routes let you in; {not_tried}"),
        };
    }
    unknown(facts, diagnosis)
}

fn not_tried(why: &Why) -> String {
    match why {
        Why::Needs { .. } => "its port was not tried".to_owned(),
        other => format!("its port could not be tried ({})", other.text()),
    }
}

/// Nothing is certain enough: the open question, and where it could not be answered for want of a right, that.
fn unknown(facts: &Facts, diagnosis: &Diagnosis) -> Answer {
    let of_login = diagnosis.causes.iter().find(|c| stage(&c.id) < Stage::Door);
    if let (Some(finding), Some(Tcp::Connected { .. })) = (of_login, facts.wire.tcp.value()) {
        return Answer::of(Reach::Unknown, finding);
    }
    let looking = diagnosis.causes.iter().find(|c| stage(&c.id) == Stage::Looking);
    let hindered = match way(facts) {
        Way::Hops(_) | Way::Unreadable(_) => Some("your ssh goes through a jump host, which was not asked"),
        Way::Aws(_) => Some("your ssh goes through a door of AWS, which was not opened"),
        Way::Command(_) => Some("your ssh goes through a ProxyCommand, which was not run"),
        Way::Direct => None,
    };
    let open = |id: &&str| diagnosis.checks.iter().find(|c| c.id == **id && c.verdict == Verdict::CannotTell);
    let question = NETWORK.iter().find_map(open).map(|c| c.reason.clone());
    let detail = match (hindered, question) {
        (Some(hindered), _) => hindered.to_owned(),
        // Why the own address is not known says what to do about it.
        (None, Some(question)) if question.contains("the client's address") => match facts.local.source_ip.why_not() {
            Some(why) if facts.source_ip().is_none() => format!("{question} ({})", why.text()),
            _ => question,
        },
        (None, Some(question)) => question,
        (None, None) => match looking.or(of_login) {
            Some(finding) => return Answer::of(Reach::Unknown, finding),
            None => "its port was not tried".to_owned(),
        },
    };
    // A right that is missing elsewhere is not what keeps this question open.
    let looking = looking.filter(|f| f.evidence.iter().any(|e| detail.contains(&e.source) || detail.contains(&e.text)));
    Answer {
        reach: Reach::Unknown,
        cause: looking.map(|f| f.id.clone()),
        certainty: looking.map(|f| f.certainty),
        detail,
    }
}

/// Checks that decide whether a packet gets there; last the one that hinders nothing while AWS says nothing of it.
const NETWORK: [&str; 9] = [
    "instance-running",
    "public-address",
    "igw-attached",
    "route-to-client",
    "nacl-inbound",
    "nacl-outbound",
    "security-group",
    "ssh-banner",
    "block-public-access",
];
