//! Models for tests: an account with a few instances, a blocked login, a plan, a journal.

use crate::core::cause::{Certainty, Finding};
use crate::core::check::{CheckResult, Hop, HopId, HopState};
use crate::core::diagnosis::{Diagnosis, Door, DoorState, Overall, TreeStep};
use crate::core::fact::{Fact, Why};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::plan::{Action, Consent, Gate, GateState, Plan, Risk, Step};
use crate::core::probe::ProbeId;
use crate::core::rules::CHECKS;
use crate::core::target::Target;
use crate::engine::event::{ProbeState, RunId, Snapshot};
use crate::engine::inventory::InventoryEvent;
use crate::engine::journal::{DoneStep, Entry, EntryState};
use crate::tui::effect::Effect;
use crate::tui::keys;
use crate::tui::model::{Model, Settings};
use crate::tui::msg::Msg;
use crate::tui::update::{begin, update};
use crate::tui::view::draw;
use crossterm::event::{KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use std::sync::Arc;

/// The moment of all samples: 2026-11-21 09:00 UTC.
pub const NOW: i64 = 1_795_251_600;
/// The instance that is diagnosed.
pub const WEB: &str = "i-0a1b2c3d4e5f60718";

/// A model with an account of six instances, as after the first seconds.
pub fn account(size: (u16, u16)) -> Model {
    account_with(size, Settings { color: true, profile: Some("prod".into()), ..Settings::default() })
}

/// The same with other settings.
pub fn account_with(size: (u16, u16), settings: Settings) -> Model {
    let mut model = Model::new(settings, size);
    update(&mut model, Msg::Clock { ms: 0, unix: NOW });
    begin(&mut model);
    let load = model.start.load;
    let events = [
        InventoryEvent::Caller { account: "111122223333".into(), regions: vec!["eu-west-1".into()] },
        InventoryEvent::SourceIp("203.0.113.10".parse().expect("an address")),
        InventoryEvent::Page(instances()),
        InventoryEvent::Hints(vec![(WEB.into(), "ssh no-sg".into()), (id(2), "ssh ok".into()), (id(3), "ssm".into())]),
        InventoryEvent::Done,
    ];
    for event in events {
        update(&mut model, Msg::Inventory { load, event });
    }
    model
}

/// An instance id.
pub fn id(n: u32) -> String {
    format!("i-{n:017x}")
}

/// An instance.
pub fn instance(id: &str, name: &str, state: &str, public: Option<&str>) -> Instance {
    Instance {
        id: id.into(),
        name: (!name.is_empty()).then(|| name.into()),
        region: "eu-west-1".into(),
        state: state.into(),
        instance_type: "t3.micro".into(),
        key_name: Some("deploy-2026".into()),
        platform_details: Some("Linux/UNIX".into()),
        private_ip: "10.0.3.20".parse().ok(),
        public_ip: public.and_then(|a| a.parse().ok()),
        vpc_id: Some("vpc-0aa11bb22cc33dd44".into()),
        subnet_id: Some("subnet-0f1e2d3c4b5a69788".into()),
        groups: vec![("sg-0f3a91c2b4d5e6f70".into(), "web-sg".into())],
        launched: Some(NOW - 3 * 86_400),
        ..Instance::default()
    }
}

fn instances() -> Vec<Instance> {
    vec![
        instance(WEB, "web-1", "running", Some("203.0.113.7")),
        instance(&id(2), "web-2", "running", Some("203.0.113.8")),
        instance(&id(3), "web-blue", "running", None),
        instance(&id(4), "web-old", "stopped", None),
        instance(&id(5), "api-日本語サーバー", "pending", Some("2001:db8:0:1234::7")),
        instance(&id(6), "", "running", Some("203.0.113.9")),
    ]
}

/// What stands in the way in a sample diagnosis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// Probes still run.
    Running,
    /// A security group, proven, and a closed network ACL besides.
    Blocked,
    /// The user name.
    WrongUser,
    /// Nothing.
    Healthy,
    /// AWS may not be asked.
    Denied,
}

/// A snapshot of a run.
pub fn snapshot(run: RunId, story: Story) -> Snapshot {
    let mut facts = Facts {
        target: Target {
            name: WEB.into(),
            user: Some("ec2-user".into()),
            keys: vec!["~/.ssh/deploy.pem".into()],
            ..Target::default()
        },
        now: NOW,
        ..Facts::default()
    };
    facts.aws.instance = Fact::known(instance(WEB, "web-1", "running", Some("203.0.113.7")), "DescribeInstances");
    facts.local.source_ip = Fact::known("203.0.113.10".parse().expect("an address"), "checkip.amazonaws.com");
    if story == Story::WrongUser {
        facts.target.user = Some("root".into());
        let refused =
            crate::core::recognise::ssh("Please login as the user \"ec2-user\" rather than the user \"root\".");
        facts.paste = Some(refused);
    }
    let checks: Vec<CheckResult> = CHECKS.iter().map(|(id, _)| check(id, story)).collect();
    let finished = story != Story::Running;
    let probes = ProbeId::ALL
        .into_iter()
        .map(|p| match p {
            ProbeId::Tcp if !finished => (p, ProbeState::Running { since_ms: 300, limit_ms: 6000, slowed: false }),
            ProbeId::Ssh | ProbeId::KnownHosts if !finished => (p, ProbeState::Waiting),
            ProbeId::PrefixLists => (p, ProbeState::NotNeeded),
            _ => (p, ProbeState::Ended { millis: 120, note: None }),
        })
        .collect();
    let diagnosis = Diagnosis {
        symptom: Some("timeout".into()),
        overall: match story {
            Story::Healthy => Overall::Healthy,
            Story::Blocked | Story::WrongUser => Overall::CauseFound,
            Story::Running | Story::Denied => Overall::Inconclusive,
        },
        causes: causes(story),
        checks,
        path: path(story),
        tree: tree(story),
        doors: doors(),
    };
    Snapshot {
        run,
        facts: Arc::new(facts),
        diagnosis: Arc::new(diagnosis),
        probes,
        api_calls: 9,
        millis: 1400,
        finished,
        cancelled: false,
    }
}

fn check(id: &str, story: Story) -> CheckResult {
    let denied = Why::Denied { action: "ec2:DescribeSecurityGroups".into(), reason: String::new() };
    match (id, story) {
        ("security-group", Story::Blocked) => {
            CheckResult::fail(id, "No rule of web-sg (sg-0f3a91c2b4d5e6f70) matches tcp/22 from 203.0.113.10.").seen(
                "sgr-07a1 allows tcp/22 from 198.51.100.4/32 \"home office\": your address changed?",
                "DescribeSecurityGroups sg-0f3a91c2b4d5e6f70",
            )
        }
        ("nacl-inbound", Story::Blocked) => CheckResult::fail(id, "Entry 90 of acl-0b denies tcp/22 from 0.0.0.0/0."),
        ("security-group" | "nacl-inbound" | "nacl-outbound" | "route-to-client", Story::Denied) => {
            CheckResult::cannot_tell(id, &denied)
        }
        ("tcp-port", Story::Blocked) => CheckResult::fail(id, "No answer from 203.0.113.7:22 within 5 s."),
        ("tcp-port" | "ssh-banner" | "host-key" | "server-takes-key" | "login-files", Story::Running) => {
            CheckResult::unclear(id, "needs a probe that was not run")
        }
        ("ssh-banner" | "host-key" | "server-takes-key" | "login-files", Story::Blocked | Story::Denied) => {
            CheckResult::skipped(id, "needs a TCP connection")
        }
        ("user-name", Story::WrongUser) => CheckResult::fail(id, "The server wants ec2-user."),
        ("status-checks", _) => CheckResult::unclear(id, "cannot tell: not allowed to call ec2:DescribeInstanceStatus"),
        ("block-public-access" | "name-resolves", _) => CheckResult::not_applicable(id, "not used here"),
        ("instance-found", _) => CheckResult::pass(id, "web-1 (i-0a1b2c3d4e5f60718) in eu-west-1")
            .seen("web-1, t3.micro, running", "DescribeInstances"),
        _ => CheckResult::pass(id, "as it should be"),
    }
}

fn causes(story: Story) -> Vec<Finding> {
    match story {
        Story::Blocked => vec![
            Finding::new(
                "sg-no-rule",
                Certainty::Proven,
                "no rule of web-sg allows 203.0.113.10 to tcp/22",
                "DescribeSecurityGroups sg-0f3a91c2b4d5e6f70",
            ),
            Finding::new("nacl-inbound-deny", Certainty::Likely, "entry 90 of acl-0b denies it", "DescribeNetworkAcls")
                .would_prove("a TCP connect from the same subnet"),
        ],
        Story::WrongUser => vec![Finding::new(
            "wrong-user-name",
            Certainty::Proven,
            "Please login as the user \"ec2-user\" rather than the user \"root\".",
            "SSH banner",
        )],
        Story::Running | Story::Healthy | Story::Denied => Vec::new(),
    }
}

fn path(story: Story) -> Vec<Hop> {
    HopId::ALL
        .into_iter()
        .map(|hop| match (hop, story) {
            (HopId::SecurityGroup, Story::Blocked) => {
                Hop::new(hop, HopState::Blocked, "no rule of web-sg matches tcp/22 from 203.0.113.10")
            }
            (HopId::Nacl, Story::Blocked) => Hop::new(hop, HopState::Blocked, "entry 90 of acl-0b denies tcp/22"),
            (HopId::Eni | HopId::Sshd | HopId::Auth, Story::Blocked | Story::Running | Story::Denied) => {
                Hop::new(hop, HopState::NotReached, "")
            }
            (HopId::Route | HopId::Nacl | HopId::SecurityGroup, Story::Denied) => {
                Hop::new(hop, HopState::Unknown, "may not be read")
            }
            (HopId::Auth, Story::WrongUser) => Hop::new(hop, HopState::Blocked, "the server wants ec2-user"),
            _ => Hop::new(hop, HopState::Open, ""),
        })
        .collect()
}

fn tree(story: Story) -> Vec<TreeStep> {
    use crate::core::check::Verdict::{Fail, Pass};
    let step = |at: &str, verdict| TreeStep { at: at.into(), verdict };
    match story {
        Story::Blocked => vec![
            step("instance-found", Some(Pass)),
            step("instance-running", Some(Pass)),
            step("tcp-port", Some(Fail)),
            step("security-group", Some(Fail)),
            step("cause:sg-no-rule", None),
        ],
        _ => vec![step("instance-found", Some(Pass)), step("end:nothing stands in the way", None)],
    }
}

fn doors() -> Vec<Door> {
    let door = |id: &str, state, why: &str, cost: &str| Door {
        id: id.into(),
        state,
        why: why.into(),
        cost: cost.into(),
        command: Some(format!("take {id}")),
    };
    vec![
        door("ssh", DoorState::Closed, "the security group drops your packets", "nothing"),
        door("ssm", DoorState::Open, "the agent answered 12 s ago", "no change, seconds"),
        door("eic", DoorState::Unknown, "needs a TCP connection to tell", "a key for 60 s"),
        door("rescue", DoorState::Open, "always possible with an EBS root volume", "downtime, 10-20 min"),
    ]
}

/// The plan that opens the security group.
pub fn plan(consent: Consent, gate: GateState) -> Plan {
    Plan {
        fix: "sg-allow-my-ip".into(),
        title: "allow 203.0.113.10 to tcp/22 in web-sg".into(),
        subject: WEB.into(),
        target: format!("web-1 ({WEB})"),
        gates: vec![
            Gate::new("permission", GateState::Ok, "you may make this call (DryRun)"),
            Gate::new("shared", gate, "web-sg is used by 4 more instances: web-2, web-3, api-1, api-2"),
        ],
        steps: vec![
            Step {
                text: "add one inbound rule for tcp/22 from 203.0.113.10/32".into(),
                command: "aws ec2 authorize-security-group-ingress --group-id sg-0f3a91c2b4d5e6f70 --protocol tcp --port 22 --cidr 203.0.113.10/32".into(),
                undo: Some("revoke the rule that was added".into()),
                action: Some(Action::AuthorizeIngress {
                    region: "eu-west-1".into(),
                    group: "sg-0f3a91c2b4d5e6f70".into(),
                    protocol: "tcp".into(),
                    from_port: 22,
                    to_port: 22,
                    cidr: "203.0.113.10/32".parse().expect("a range"),
                    description: "port22".into(),
                }),
            },
            Step { text: "run the failed checks again, until they pass".into(), command: String::new(), undo: None, action: None },
        ],
        risk: if consent == Consent::Yes { Risk::Medium } else { Risk::High },
        downtime: consent != Consent::Yes,
        reversible: true,
        verify: vec!["security-group".into(), "tcp-port".into()],
        consent,
        permissions: vec!["ec2:AuthorizeSecurityGroupIngress".into()],
        ..Plan::new("", "", "", "")
    }
}

/// A journal entry.
pub fn entry(id: &str, state: EntryState, at: i64) -> Entry {
    let plan = plan(Consent::Yes, GateState::Ok);
    let undo = Action::RevokeIngress {
        region: "eu-west-1".into(),
        group: "sg-0f3a91c2b4d5e6f70".into(),
        rule: "sgr-07a1".into(),
        seen: None,
    };
    let done = if state == EntryState::Undone {
        Vec::new()
    } else {
        vec![DoneStep { step: 0, text: "added sgr-07a1 to web-sg".into(), undo: Some(undo), changed: true }]
    };
    Entry {
        id: id.into(),
        at,
        plan,
        state,
        done,
        open_step: None,
        outputs: std::collections::BTreeMap::new(),
        text: "applied and verified".into(),
    }
}

/// Presses keys: `jj<enter>` is j, j, Enter. Returns all effects.
pub fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut rest = keys;
    while !rest.is_empty() {
        let (name, tail) = match rest.strip_prefix('<').and_then(|r| r.split_once('>')) {
            Some(found) => found,
            None => rest.split_at(rest.chars().next().map_or(0, char::len_utf8)),
        };
        let name = if name == " " { "space" } else { name };
        let (code, modifiers): (_, KeyModifiers) = keys::parse(name).expect(name);
        effects.extend(update(model, Msg::Key(KeyEvent::new(code, modifiers))));
        rest = tail;
    }
    effects
}

/// Opens the diagnosis of web-1 and lets its story happen.
pub fn diagnosed(size: (u16, u16), story: Story) -> Model {
    let mut model = account(size);
    tell(&mut model, story);
    model
}

/// Opens the diagnosis of web-1 in a model, and lets its story happen.
pub fn tell(model: &mut Model, story: Story) {
    press(model, "/web-1<enter>");
    let run = model.diagnosing().expect("a diagnosis").run;
    update(model, Msg::Clock { ms: 1400, unix: NOW + 1 });
    update(model, Msg::Learned(Box::new(snapshot(run, story))));
    update(model, Msg::Clock { ms: 3400, unix: NOW + 3 });
}

fn buffer(model: &Model) -> Buffer {
    let backend = TestBackend::new(model.size.0, model.size.1);
    let mut terminal = Terminal::new(backend).expect("a terminal");
    terminal.draw(|frame| draw(model, frame)).expect("a frame");
    terminal.backend().buffer().clone()
}

/// Every cell of the screen.
pub fn cells(model: &Model) -> Vec<Cell> {
    buffer(model).content
}

/// The screen as text, one line a row, without blanks at the ends.
pub fn screen(model: &Model) -> String {
    let buffer = buffer(model);
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..buffer.area.width {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            skip = crate::tui::text::width(symbol).saturating_sub(1);
            line.push_str(symbol);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
