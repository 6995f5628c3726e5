//! Repairs in the practice account that are killed with SIGKILL in every step: before its deed, in the middle of it, and
//! after the deed was done and before the journal says so. Each is then gone on with, or taken back.
//!
//! The moment is held by the journal's own lock: a process that wants to write its next line waits for whoever has it.

use crate::fix_lab::count;
use crate::lab_cli::{Serving, serve};
use crate::rescue_lab::{ask, ask_version};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest wait for one line of the journal.
const LONGEST: Duration = Duration::from_secs(90);

/// When a repair is killed that has written so many lines of its journal, and may not write the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// At once.
    AtOnce,
    /// When the deed that was begun has had its time.
    DeedDone,
}

/// The id of a host, as EC2 tells it.
pub fn id_of(lab: &Serving, name: &str) -> String {
    let told = ask(lab, "DescribeInstances", &[("Filter.1.Name", "tag:Name"), ("Filter.1.Value.1", name)]);
    let id = told.split_once("<instanceId>").and_then(|(_, rest)| rest.split_once("</instanceId>"));
    id.map(|(id, _)| id.to_owned()).expect("an instance")
}

pub fn journal_of(lab: &Serving) -> PathBuf {
    lab.home.path().join("state/port22/journal.jsonl")
}

fn lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |bytes| bytes.iter().filter(|b| **b == b'\n').count())
}

/// Runs port22 with an empty journal and kills it when it has written so many lines. How many there are; fewer when it
/// came to its end before.
pub fn kill_after(lab: &Serving, words: &[&str], wanted: usize, moment: Moment, done: &dyn Fn() -> bool) -> usize {
    let path = journal_of(lab);
    fs::create_dir_all(path.parent().expect("a directory")).expect("the state directory");
    let _ = fs::remove_file(&path);
    let held: File =
        OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&path).expect("a journal");
    held.lock().expect("the lock");
    let mut child = lab.home.start(words);
    let began = Instant::now();
    while lines(&path) < wanted {
        let before = held.metadata().expect("its size").len();
        held.unlock().expect("unlocked");
        while held.metadata().expect("its size").len() == before {
            if child.try_wait().expect("its state").is_some() {
                return lines(&path);
            }
            assert!(began.elapsed() < LONGEST, "{words:?} hangs");
            std::thread::sleep(Duration::from_micros(200));
        }
        // Waits until the line is on the disk.
        held.lock().expect("the lock");
    }
    if moment == Moment::DeedDone {
        let from = Instant::now();
        while !done() && from.elapsed() < Duration::from_millis(1200) {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(60));
    }
    child.kill().expect("killed");
    child.wait().expect("its end");
    held.unlock().expect("unlocked");
    lines(&path)
}

/// The last entry as `port22 journal --json` tells it.
pub fn entry(lab: &Serving) -> Value {
    let all = lab.home.run(&["journal", "--json"]).exits(0).json();
    all["entries"].as_array().and_then(|all| all.last()).cloned().unwrap_or_default()
}

/// Fails unless the entry says what was changed and how to go on and back, in words and as a command.
#[track_caller]
pub fn says_how(entry: &Value, what: &str) {
    let id = entry["entry"].as_str().unwrap_or_default();
    assert!(matches!(entry["state"].as_str(), Some("interrupted" | "failed")), "{what}: {entry}");
    assert_eq!(entry["on"], format!("port22 resume {id}"), "{what}: {entry}");
    let parts = entry["in_force"].as_array().into_iter().flatten().chain(Some(&entry["unknown"]));
    let parts: Vec<&Value> = parts.filter(|part| !part.is_null()).collect();
    assert_eq!(entry["back"].is_null(), parts.is_empty(), "{what}: {entry}");
    assert!(entry["back"].is_null() || entry["back"] == format!("port22 undo {id}"), "{what}: {entry}");
    for part in entry["in_force"].as_array().into_iter().flatten() {
        assert!(part["text"].as_str().is_some_and(|t| t.len() > 8), "{what}: {entry}");
        let undo = part["undo"].as_str();
        assert!(undo.is_some_and(|u| !u.is_empty() && !u.contains("${")), "{what}: {entry}");
    }
}

/// A fix of a lesson, and how to see what it changes.
struct Case<'a> {
    fix: &'a str,
    name: &'a str,
    more: &'a [&'a str],
    /// What is seen of the world: as before once the repair is taken back.
    look: fn(&Serving, &str) -> String,
    /// What must be out of the way of an undo.
    clear: fn(&Serving, &str),
    /// Each round in an account of its own: a start gives another address, a reboot heals.
    fresh: bool,
    /// Deeds that its plan has at least.
    deeds: usize,
}

const CASE: Case<'static> =
    Case { fix: "", name: "", more: &[], look: network, clear: |_, _| {}, fresh: false, deeds: 1 };

/// An answer without what differs from call to call.
fn body(answer: &str) -> String {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    match (body.split_once("<requestId>"), body.split_once("</requestId>")) {
        (Some((head, _)), Some((_, tail))) => format!("{head}{tail}"),
        _ => body.to_owned(),
    }
}

fn network(lab: &Serving, _: &str) -> String {
    let actions = [
        "DescribeSecurityGroupRules",
        "DescribeNetworkAcls",
        "DescribeRouteTables",
        "DescribeInternetGateways",
        "DescribeAddresses",
    ];
    actions.iter().map(|action| body(&ask(lab, action, &[]))).collect()
}

fn gateways(lab: &Serving, _: &str) -> String {
    body(&ask(lab, "DescribeInternetGateways", &[]))
}

fn key_pairs(lab: &Serving, _: &str) -> String {
    body(&ask(lab, "DescribeKeyPairs", &[])) + &files(lab, "")
}

/// State, stop protection and membership of the instance.
fn power(lab: &Serving, id: &str) -> String {
    let told = ask(lab, "DescribeInstances", &[("InstanceId.1", id)]);
    let state = told.split_once("<instanceState>").and_then(|(_, rest)| rest.split_once("</instanceState>"));
    let protected = ask(lab, "DescribeInstanceAttribute", &[("InstanceId", id), ("Attribute", "disableApiStop")]);
    let member = lab.home.value("AWS_ENDPOINT_URL").map(|_| scaling(lab, id)).unwrap_or_default();
    format!("{}{}{member}", state.map_or("", |(state, _)| state), body(&protected))
}

fn scaling(lab: &Serving, id: &str) -> String {
    let told = ask_version(lab, "2011-01-01", "DescribeAutoScalingInstances", &[("InstanceIds.member.1", id)]);
    let state = told.split_once("<LifecycleState>").and_then(|(_, rest)| rest.split_once("</LifecycleState>"));
    state.map_or("", |(state, _)| state).to_owned()
}

/// The practising user's own files: paths, modes, contents.
fn files(lab: &Serving, _: &str) -> String {
    fn walk(at: &Path, into: &mut BTreeMap<String, String>) {
        for one in fs::read_dir(at).into_iter().flatten().filter_map(Result::ok) {
            let path = one.path();
            let Ok(seen) = fs::symlink_metadata(&path) else { continue };
            if seen.is_dir() {
                walk(&path, into);
            } else if seen.is_file() {
                let content = fs::read(&path).unwrap_or_default();
                let text = format!("{:o} {}", seen.permissions().mode(), String::from_utf8_lossy(&content));
                into.insert(path.display().to_string(), text);
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(Path::new(&lab.config).parent().expect("a directory"), &mut all);
    format!("{all:#?}")
}

/// An instance with a public address holds its gateway: it is stopped first.
fn stop(lab: &Serving, id: &str) {
    ask(lab, "StopInstances", &[("InstanceId.1", id)]);
    let began = Instant::now();
    while !power(lab, id).contains("stopped") {
        assert!(began.elapsed() < Duration::from_secs(20), "{id} does not stop");
        std::thread::sleep(Duration::from_millis(50));
    }
}

struct Round<'a> {
    case: &'a Case<'a>,
    lab: Serving,
    id: String,
    before: String,
}

impl<'a> Round<'a> {
    fn new(case: &'a Case<'a>) -> Self {
        let lab = serve(&["--scenario", case.name, "--transition", "100"]);
        let id = id_of(&lab, case.name);
        let before = (case.look)(&lab, &id);
        Self { case, lab, id, before }
    }

    fn look(&self) -> String {
        (self.case.look)(&self.lab, &self.id)
    }

    /// Kills the fix after so many lines; false when it has come to its end before.
    fn kill(&self, lines: usize, moment: Moment) -> bool {
        let case = self.case;
        let own = self.lab.home.path().join("own.pem");
        let key = if own.exists() || !case.fix.starts_with("key-pair") { own } else { self.lab.home.key("own.pem") };
        let key = key.display().to_string();
        let from = self.look();
        // On a busy machine probes may be late, and then there is no plan; nothing is done then.
        for patience in ["2", "2", "4", "8", "16"] {
            let mut words =
                self.lab.fix_arguments(case.fix, case.name, &[case.more, &["--yes", "--timeout", patience]].concat());
            if case.fix.starts_with("key-pair") && case.more.is_empty() {
                words.extend(["-i", &key]);
            }
            let written = kill_after(&self.lab, &words, lines, moment, &|| self.look() != from);
            if written > 0 {
                return written >= lines && count(&self.lab, "ended") == 0;
            }
        }
        panic!("{} of {} has no plan", case.fix, case.name);
    }

    /// Takes the entry back, where there is something to take back, and looks whether all is as before.
    #[track_caller]
    fn undo(&self, what: &str) {
        (self.case.clear)(&self.lab, &self.id);
        let told = entry(&self.lab);
        if !told["back"].is_null() {
            let undone = self.lab.home.run(&["undo", "--yes", "--json"]);
            assert_eq!(undone.exit, 0, "{what}, taken back: {undone:#?}\n{told:#}");
            assert_eq!(entry(&self.lab)["state"], "undone", "{what}");
        }
        assert_eq!(self.look(), self.before, "{what}, taken back");
    }

    #[track_caller]
    fn resume(&self, what: &str) {
        let resumed = self.lab.home.run(&["resume", "--yes", "--json", "--timeout", "6"]);
        assert_eq!(resumed.exit, 0, "{what}, gone on with: {resumed:#?}");
        assert_eq!(resumed.json()["verified"], true, "{what}: {resumed:#?}");
        assert_eq!(entry(&self.lab)["state"], "in_force", "{what}");
    }
}

impl Case<'_> {
    /// Kills the fix wherever it can be killed: after each line of its journal, and in the middle of each deed.
    fn survives(&self) {
        let mut kept: Option<Round<'_>> = None;
        // The entry's begin, two lines for each step, and the end.
        for lines in 1..=40 {
            let begun = lines % 2 == 0;
            let rounds: &[(Moment, bool)] = if begun {
                &[(Moment::AtOnce, true), (Moment::DeedDone, true), (Moment::DeedDone, false)]
            } else {
                &[(Moment::AtOnce, lines > 1)]
            };
            for (moment, resume) in rounds {
                let round = match kept.take() {
                    Some(round) if !self.fresh => round,
                    _ => Round::new(self),
                };
                let what = format!("{} of {} killed after {lines} lines, {moment:?}", self.fix, self.name);
                if !round.kill(lines, *moment) {
                    assert!(lines > 2 * self.deeds + 1, "{what}: it has ended");
                    return;
                }
                says_how(&entry(&round.lab), &what);
                if *resume {
                    round.resume(&what);
                }
                round.undo(&what);
                kept = Some(round);
            }
        }
        panic!("{} has more than twenty steps", self.fix);
    }
}

/// Several at a time: most of the time is waiting.
fn all(cases: &[Case<'_>]) {
    std::thread::scope(|scope| {
        let running: Vec<_> = cases.iter().map(|case| scope.spawn(|| case.survives())).collect();
        let failed: Vec<_> = running.into_iter().filter_map(|one| one.join().err()).collect();
        assert!(failed.is_empty(), "{} of {} failed", failed.len(), cases.len());
    });
}

#[test]
fn rules_of_groups_survive_every_kill() {
    all(&[
        Case { fix: "sg-allow-my-ip", name: "web-timeout", ..CASE },
        Case { fix: "sg-allow-my-ip", name: "web-moved", ..CASE },
        Case { fix: "icmp-allow-my-ip", name: "web-ping", ..CASE },
        Case { fix: "rdp-allow-my-ip", name: "web-winrdp", ..CASE },
    ]);
}

#[test]
fn lists_and_routes_survive_every_kill() {
    all(&[
        Case { fix: "nacl-allow-my-ip", name: "web-nacl", deeds: 1, ..CASE },
        Case { fix: "route-to-igw", name: "web-noroute", ..CASE },
        Case { fix: "route-to-igw", name: "web-blackhole", ..CASE },
    ]);
}

#[test]
fn gateways_and_addresses_survive_every_kill() {
    let igw = Case { fix: "igw-attach", name: "web-noigw", look: gateways, clear: stop, fresh: true, ..CASE };
    all(&[
        Case { more: &["--choose", "gateway=new"], deeds: 2, ..igw },
        igw,
        Case { fix: "eip-associate", name: "web-nopublicip", more: &["--choose", "address=new"], deeds: 2, ..CASE },
    ]);
}

#[test]
fn starts_and_stops_survive_every_kill() {
    let case = Case { look: power, fresh: true, ..CASE };
    all(&[
        Case { fix: "instance-start", name: "web-stopped", ..case },
        Case { fix: "instance-reboot", name: "web-silent", ..case },
        Case { fix: "instance-stop-start", name: "web-system", deeds: 2, ..case },
        Case {
            fix: "instance-stop-start",
            name: "web-protected",
            more: &["--choose", "stop-protection=lift"],
            deeds: 4,
            ..case
        },
    ]);
}

#[test]
fn a_member_of_a_group_survives_every_kill() {
    let more = &["--choose", "scaling=standby"];
    Case { fix: "instance-stop-start", name: "web-oom", more, look: power, fresh: true, deeds: 4, ..CASE }.survives();
}

/// The profile of the instance, and the role and profile that the fix makes.
fn rights(lab: &Serving, id: &str) -> String {
    let iam = |action: &str, name: &str| ask_version(lab, "2010-05-08", action, &[(name, "port22-ssm-managed")]);
    let profile = body(&ask(lab, "DescribeIamInstanceProfileAssociations", &[]));
    let mine = if profile.contains(id) { profile } else { String::new() };
    let [role, own] = [("GetRole", "RoleName"), ("GetInstanceProfile", "InstanceProfileName")].map(|(a, n)| iam(a, n));
    let policies = iam("ListAttachedRolePolicies", "RoleName");
    let there = |text: &str| !text.contains("NoSuchEntity");
    let joined = own.contains("<RoleName>");
    let attached = policies.contains("AmazonSSMManagedInstanceCore");
    format!("{} {} {joined} {attached} {mine}", there(&role), there(&own))
}

#[test]
fn a_role_for_systems_manager_survives_every_kill() {
    let more = &["--choose", "profile=new"];
    let before = "false false false false ";
    let lab = serve(&["--scenario", "web-ssmnorole"]);
    assert_eq!(rights(&lab, &id_of(&lab, "web-ssmnorole")), before);
    Case { fix: "ssm-role-attach", name: "web-ssmnorole", more, look: rights, deeds: 6, ..CASE }.survives();
}

#[test]
fn local_files_survive_every_kill() {
    let case = Case { look: files, ..CASE };
    all(&[
        Case { fix: "key-chmod", name: "web-keymode", ..case },
        Case { fix: "key-convert", name: "web-ppk", ..case },
        Case { fix: "known-hosts-update", name: "web-hostkey", ..case },
        Case { fix: "ssh-config-entry", name: "web-healthy", deeds: 3, ..case },
    ]);
}

#[test]
fn key_pairs_survive_every_kill() {
    let case = Case { fix: "key-pair-import", name: "web-healthy", look: key_pairs, ..CASE };
    all(&[Case { more: &["--choose", "what=create"], ..case }, case]);
}

#[test]
fn a_gateway_that_holds_addresses_is_told_before_and_after() {
    let lab = serve(&["--scenario", "web-noigw", "--transition", "100"]);
    let id = id_of(&lab, "web-noigw");
    let before = gateways(&lab, &id);
    let plan = lab.fix("igw-attach", "web-noigw", &["--dry-run", "--json"]).exits(0).json();
    let gate =
        plan["gates"].as_array().and_then(|all| all.iter().find(|g| g["id"] == "undo")).cloned().unwrap_or_default();
    let why = gate["why"].as_str().unwrap_or_default();
    assert!(gate["state"] == "warn" && why.contains(&id) && why.contains("stopped"), "{plan}");
    assert_eq!(plan["reversible"], false, "{plan}");
    lab.fix("igw-attach", "web-noigw", &["--yes", "--timeout", "8"]).exits(0);
    let refused = lab.home.run(&["undo", "--yes"]).exits(1);
    let said = entry(&lab);
    for words in ["public addresses are mapped", &id, "stop-instances", "still in force", "undo again: port22 undo"] {
        assert!(refused.stderr.to_lowercase().contains(&words.to_lowercase()), "{words}: {refused:#?}");
    }
    assert_eq!((&said["state"], said["back"].is_null()), (&"in_force".into(), false), "{said}");
    assert!(said["text"].as_str().is_some_and(|t| t.contains("undo of step 1 failed")), "{said}");
    stop(&lab, &id);
    lab.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(gateways(&lab, &id), before);
}
