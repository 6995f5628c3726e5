//! The rescue of a root volume against the practice account: applied, verified, killed at every step.

use crate::fix_lab::{Lesson, count, lines};
use crate::lab_cli::{Serving, serve};
use crate::program::Run;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

const FIX: &str = "root-volume-rescue";

/// Asks the account itself, as another program would.
pub fn ask(lab: &Serving, action: &str, more: &[(&str, &str)]) -> String {
    ask_version(lab, "2016-11-15", action, more)
}

/// The same of another Query service, which its version names.
pub fn ask_version(lab: &Serving, version: &str, action: &str, more: &[(&str, &str)]) -> String {
    let endpoint = lab.home.value("AWS_ENDPOINT_URL").expect("an endpoint");
    let place = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let mut form = format!("Action={action}&Version={version}");
    for (name, value) in more {
        write!(form, "&{name}={value}").expect("a text");
    }
    let mut stream = TcpStream::connect(place).expect("the account");
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {place}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        form.len()
    );
    stream.write_all((head + &form).as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// Where things are: the victim's state and mapping, and helpers that live.
fn world(lab: &Serving, instance: &str) -> (String, String, usize) {
    let told = ask(lab, "DescribeInstances", &[("InstanceId.1", instance)]);
    let between = |text: &str, from: &str, to: &str| {
        text.split_once(from)
            .and_then(|(_, rest)| rest.split_once(to))
            .map(|(part, _)| part.to_owned())
            .unwrap_or_default()
    };
    let state = between(&between(&told, "<instanceState>", "</instanceState>"), "<name>", "</name>");
    let mapping = between(&told, "<blockDeviceMapping>", "</blockDeviceMapping>");
    let place = format!(
        "{} {}",
        between(&mapping, "<deviceName>", "</deviceName>"),
        between(&mapping, "<deleteOnTermination>", "</deleteOnTermination>")
    );
    let helpers = ask(
        lab,
        "DescribeInstances",
        &[
            ("Filter.1.Name", "tag:port22-rescues"),
            ("Filter.1.Value.1", instance),
            ("Filter.2.Name", "instance-state-name"),
            ("Filter.2.Value.1", "running"),
            ("Filter.2.Value.2", "pending"),
        ],
    );
    (state, place, helpers.matches("<instanceId>").count())
}

fn id_of(lab: &Serving, name: &str) -> String {
    let report = lab.diagnose_with(name, &["--timeout", "2"]);
    report.json["target"]["instance_id"].as_str().map(str::to_owned).expect("an id")
}

fn practice_key(lab: &Serving) -> String {
    let keys: PathBuf = Path::new(&lab.config).parent().expect("its directory").join("keys/practice.pem");
    keys.display().to_string()
}

/// The words of the rescue with a key of the user's.
fn rescue(lab: &Serving, name: &str, more: &[&str]) -> Vec<String> {
    let key = practice_key(lab);
    let words = lab.fix_arguments(FIX, name, more);
    words.into_iter().chain(["-i", key.as_str()]).map(str::to_owned).collect()
}

fn run(lab: &Serving, name: &str, more: &[&str]) -> Run {
    let words = rescue(lab, name, more);
    lab.home.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_lost_key_is_replaced_on_the_disk() {
    let lab = serve(&["--scenario", "web-keylost", "--transition", "120"]);
    let id = id_of(&lab, "web-keylost");
    let before = world(&lab, &id);
    assert_eq!(before, ("running".to_owned(), "/dev/xvda true".to_owned(), 0));
    let plan = run(&lab, "web-keylost", &["--dry-run", "--json"]).exits(0).json();
    crate::contract::check_plan(&plan);
    assert_eq!(world(&lab, &id), before, "a preview changes nothing");
    // The agent is online: that is said, and no reason to refuse.
    assert!(
        plan["gates"].as_array().expect("gates").iter().any(|g| g["id"] == "cheaper" && g["state"] == "warn"),
        "{plan}"
    );
    let done = run(&lab, "web-keylost", &["--yes", "--json", "--timeout", "2"]).exits(0).json();
    assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{done}");
    assert_eq!(world(&lab, &id), before, "everything is back at its place, and the helper gone");
    let snapshots = ask(&lab, "DescribeSnapshots", &[("Owner.1", "self")]);
    assert_eq!(snapshots.matches("<snapshotId>").count(), 1, "{snapshots}");
    // It has come to its end: what is on the disk is not taken back.
    let undo = lab.home.run(&["undo", "--yes"]).exits(4);
    assert!(undo.stderr.contains("come to its end"), "{undo:#?}");
    assert_eq!(world(&lab, &id), before);
}

#[test]
fn a_mount_that_stops_the_boot_may_fail_afterwards() {
    Lesson { fix: FIX, name: "web-fstab", more: &[], reversible: false }.works();
}

#[test]
fn a_lost_root_is_put_back() {
    Lesson { fix: FIX, name: "web-detached", more: &[], reversible: true }.works();
    Lesson { fix: FIX, name: "web-rescue", more: &[], reversible: true }.works();
}

#[test]
fn a_lost_root_survives_every_kill() {
    Lesson { fix: FIX, name: "web-rescue", more: &[], reversible: true }.survives_every_kill();
}

/// Runs the rescue and kills it when the step with this number (from 1) was begun. False when it has fewer.
fn killed_at(lab: &Serving, name: &str, step: usize) -> bool {
    let words = rescue(lab, name, &["--yes", "--timeout", "2"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Lesson::kill(lab, &words, step)
}

/// Kills the rescue in each of its steps, in an account of its own each time; it is then gone on with or taken back.
fn rounds(resume: bool) {
    let name = "web-keylost";
    for step in 1..=24 {
        let lab = serve(&["--scenario", name, "--delay", "10", "--transition", "80"]);
        let id = id_of(&lab, name);
        let before = world(&lab, &id);
        if !killed_at(&lab, name, step) {
            assert!(step > 12, "only {step} steps");
            return;
        }
        let what = format!("killed in step {step}");
        if resume {
            let done = lab.home.run(&["resume", "--yes", "--json", "--timeout", "2"]);
            assert_eq!(done.exit, 0, "{what}, gone on with: {done:#?}\n{:#?}", lines(&lab));
            assert_eq!(done.json()["verified"], true, "{what}: {done:#?}");
        } else {
            let undone = lab.home.run(&["undo", "--yes", "--json"]);
            // A first step that was not done leaves nothing to take back.
            assert!(undone.exit == 0 || count(&lab, "step_done") == 0, "{what}, taken back: {undone:#?}");
        }
        assert_eq!(world(&lab, &id), before, "{what}");
        let snapshots = ask(&lab, "DescribeSnapshots", &[("Owner.1", "self")]);
        assert!(snapshots.matches("<snapshotId>").count() <= 1, "{what}: {snapshots}");
    }
    panic!("more than 24 steps");
}

#[test]
fn a_rescue_that_is_killed_is_gone_on_with() {
    rounds(true);
}

#[test]
fn a_rescue_that_is_killed_is_taken_back() {
    rounds(false);
}

#[test]
fn each_step_says_what_it_did_and_how_it_goes_back() {
    let lab = serve(&["--scenario", "web-keylost", "--transition", "60"]);
    run(&lab, "web-keylost", &["--yes", "--timeout", "2"]).exits(0);
    let done: Vec<Value> = lines(&lab).into_iter().filter(|l| l["event"] == "step_done").collect();
    let says = |words: &str| done.iter().any(|l| l["text"].as_str().is_some_and(|t| t.contains(words)));
    for words in ["aws ec2 delete-snapshot", "the key is added", "is attached to", "is terminated"] {
        assert!(says(words), "{words}: {done:#?}");
    }
    assert!(done.iter().any(|l| l["undo"]["do"] == "volume" && l["undo"]["what"] == "put"), "{done:#?}");
}
