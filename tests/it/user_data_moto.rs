//! The repair through user data on moto: the calls, their order, what is saved, what comes back, and what is refused.
//!
//! Nothing boots here: whoever starts the instance only says on the console what the repair would say. A real
//! cloud-init runs in `user_data_guest`, a real boot in tests/boot.

use crate::contract::check_plan;
use crate::host::{Place, address};
use crate::moto::{Moto, World};
use crate::power_moto::{ask_scaling, join_group, lifecycle_of};
use crate::program::{Home, Run};
use crate::sshd::Sshd;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Somebody's own user data: bytes that no text survives, and a secret that must never be seen again.
const OWN: &[u8] = b"#!/bin/sh\r\nexport TOKEN=hunter2-secret\n\xff\xfe\x00 end without a line end";

fn endpoint() -> &'static Moto {
    static SHARED: OnceLock<Moto> = OnceLock::new();
    SHARED.get_or_init(|| Moto::of_with("cloudinit.py", &["bare"]))
}

struct Stage {
    moto: &'static Moto,
    home: Home,
    key: PathBuf,
    world: World,
    _sshd: Sshd,
}

/// An instance with this user data, and an sshd that lets root in at both addresses that it gets in turn.
fn stage(name: &str, own: &[u8], more: Value) -> Stage {
    let moto = endpoint();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let public = fs::read_to_string(format!("{}.pub", key.display())).expect("a public key");
    let (one, other) = (address(), address());
    let sshd = Sshd::start(&[&key], &format!("ListenAddress {one}\nListenAddress {other}"));
    let sshd = sshd.expect("sshd is needed: install openssh-server");
    assert!(sshd.wait_for("Server listening", 2), "{}", sshd.text());
    let place = Place { ip: one, port: sshd.port };
    let mut question = json!({
        "do": "bare", "name": name, "public": public, "user_data": STANDARD.encode(own), "port": place.port,
        "addresses": [one.to_string(), other.to_string()],
    });
    question.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let ids = moto.ask(&question);
    let id = |name: &str| ids[name].as_str().unwrap_or_default().to_owned();
    let world = World {
        place,
        instance: id("instance"),
        group: id("group"),
        vpc: id("vpc"),
        acl: id("acl"),
        table: id("table"),
        interface: id("interface"),
    };
    Stage { moto, home, key, world, _sshd: sshd }
}

impl Stage {
    fn fix(&self, fix: &str, more: &[&str]) -> Run {
        let key = self.key.display().to_string();
        self.home.fix(fix, &self.world, &[&["-i", &key, "-o", "User=root"], more].concat())
    }

    fn user_data(&self) -> Vec<u8> {
        let text = self.moto.ask(&json!({"do": "user_data_of", "instance": self.world.instance}));
        STANDARD.decode(text.as_str().expect("base64")).expect("base64")
    }

    fn state(&self) -> (String, Option<String>) {
        let state = self.moto.ask(&json!({"do": "state_of", "instance": self.world.instance}));
        (state[0].as_str().expect("a state").to_owned(), state[1].as_str().map(str::to_owned))
    }

    /// Changes of this instance so far, shortly.
    fn changes(&self) -> String {
        let all = self.moto.ask(&json!({"do": "changes_of", "instance": self.world.instance}));
        all.as_array().expect("changes").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    }

    fn journal(&self) -> String {
        fs::read_to_string(self.home.path().join("state/port22/journal.jsonl")).unwrap_or_default()
    }

    /// Begins the repair in a process of its own, and kills it as soon as the journal has a line with all of these.
    fn killed_when(&self, signs: &[&str]) {
        let port = self.world.place.port.to_string();
        let key = self.key.display().to_string();
        let (target, config) = (format!("root@{}", self.world.instance), self.home.path().join("ssh_config"));
        let config = config.display().to_string();
        let words = ["fix", "user-data-repair", &target, "-p", &port, "-i", &key, "--yes", "-F", &config];
        let mut child = self.home.start(&[&words[..], &["--source-ip", crate::moto::CLIENT]].concat());
        let until = Instant::now() + Duration::from_mins(4);
        while !self.journal().lines().any(|line| signs.iter().all(|sign| line.contains(sign))) {
            assert!(
                Instant::now() < until && child.try_wait().expect("a state").is_none(),
                "{signs:?}: {}",
                self.journal()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().expect("an end");
        child.wait().expect("an end");
    }
}

#[test]
fn the_plan_says_it_all_and_changes_nothing() {
    let stage = stage("plan", OWN, json!({}));
    let plan = stage.fix("user-data-repair", &["--dry-run", "--json"]).exits(0).json();
    check_plan(&plan);
    assert_eq!((&plan["risk"], &plan["downtime"], &plan["reversible"]), (&"high".into(), &true.into(), &true.into()));
    let gate = |id: &str| plan["gates"].as_array().and_then(|all| all.iter().find(|g| g["id"] == id)).cloned();
    let state = |id: &str| gate(id).map(|g| g["state"].as_str().unwrap_or_default().to_owned()).unwrap_or_default();
    assert_eq!((state("public-address").as_str(), state("user-data").as_str()), ("warn", "warn"), "{plan}");
    assert_eq!((state("system").as_str(), state("stop-protection").as_str()), ("ok", "ok"), "{plan}");
    assert!(gate("published-script").is_some(), "{plan}");
    let steps = plan["steps"].as_array().expect("steps");
    let verbs = [
        "describe-instance-attribute",
        "stop-instances",
        "modify-instance-attribute",
        "start-instances",
        "get-console-output",
    ];
    for (step, verb) in steps.iter().zip(verbs) {
        assert!(step["command"].as_str().is_some_and(|c| c.contains(verb)), "{verb}: {step}");
    }
    assert_eq!(steps.len(), 9, "with a second stop and start: {plan}");
    let later = stage.fix("user-data-repair", &["--dry-run", "--json", "--choose", "restore=later"]).exits(0).json();
    assert_eq!(later["steps"].as_array().map(Vec::len), Some(6), "{later}");
    assert_eq!(
        (stage.changes().as_str(), stage.user_data().as_slice(), stage.state().0.as_str()),
        ("", OWN, "running")
    );
    assert_eq!(stage.journal(), "");
    // Not confirmed.
    stage.fix("user-data-repair", &[]).exits(5);
    assert_eq!((stage.changes().as_str(), stage.journal().as_str()), ("", ""));
}

#[test]
fn the_owners_user_data_is_saved_replaced_and_put_back() {
    let stage = stage("all", OWN, json!({}));
    let run = stage.fix("user-data-repair", &["--yes", "--json"]).exits(0);
    let said = run.json();
    assert_eq!((&said["applied"], &said["login_works"]), (&true.into(), &true.into()), "{run:#?}");
    assert_eq!(
        stage.changes(),
        "StopInstances ModifyInstanceAttribute StartInstances StopInstances ModifyInstanceAttribute StartInstances"
    );
    assert_eq!(stage.user_data(), OWN, "byte for byte");
    assert_eq!(stage.state().0, "running");
    // The copy is for the user alone, and nothing of it stands anywhere else.
    let kept = stage
        .home
        .path()
        .join("state/port22/kept")
        .join(said["entry"].as_str().expect("an entry"))
        .join("user-data.b64");
    assert_eq!(STANDARD.decode(fs::read(&kept).expect("the copy")).expect("base64"), OWN);
    assert_eq!(fs::metadata(&kept).expect("the copy").permissions().mode() & 0o777, 0o600);
    for text in [stage.journal(), run.stdout, run.stderr] {
        assert!(!text.contains("hunter2") && !text.contains(&STANDARD.encode(OWN)), "{text}");
        assert!(!text.contains("#cloud-boothook"), "{text}");
    }
    // It is all back already: nothing is left for either of them to do.
    stage.fix("user-data-restore", &["--yes"]).exits(0);
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!((stage.changes().matches("StopInstances").count(), stage.user_data().as_slice()), (2, OWN));
    assert_eq!(stage.state().0, "running");
}

#[test]
fn what_is_set_is_one_boothook_encoded_once() {
    let stage = stage("later", b"", json!({}));
    let (_, before) = stage.state();
    stage.fix("user-data-repair", &["--yes", "--choose", "restore=later"]).exits(0);
    assert_ne!(stage.state().1, before, "the login is found at the new address");
    let set = stage.user_data();
    let text = String::from_utf8(set).expect("text");
    assert!(text.starts_with("#cloud-boothook\n#!/bin/sh\nU='root'; K='ssh-ed25519 AAAA"), "{text}");
    assert_eq!(stage.changes(), "StopInstances ModifyInstanceAttribute StartInstances");
    // A second repair would save the first one as if it were the owner's.
    stage.fix("user-data-repair", &["--yes"]).exits(4).fails_with("user-data-restore");
    let done = stage.fix("user-data-restore", &["--yes", "--json"]).exits(0).json();
    check_plan(&done);
    assert_eq!((stage.user_data().as_slice(), stage.state().0.as_str()), (&b""[..], "running"));
}

#[test]
fn undo_puts_back_what_later_would_have() {
    let stage = stage("undo", OWN, json!({}));
    stage.fix("user-data-repair", &["--yes", "--choose", "restore=later"]).exits(0);
    assert_ne!(stage.user_data(), OWN);
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!((stage.user_data().as_slice(), stage.state().0.as_str()), (OWN, "running"));
}

#[test]
fn an_instance_that_stood_runs_afterwards_and_stands_again_after_an_undo() {
    let stage = stage("stood", OWN, json!({"faults": ["stopped"]}));
    while stage.state().0 != "stopped" {}
    stage.fix("user-data-repair", &["--yes"]).exits(0);
    assert_eq!((stage.user_data().as_slice(), stage.state().0.as_str()), (OWN, "running"));
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!((stage.user_data().as_slice(), stage.state().0.as_str()), (OWN, "stopped"));
}

#[test]
fn a_repair_that_says_that_it_failed_is_named_by_its_cause_and_taken_back() {
    let stage = stage("ineffective", OWN, json!({}));
    stage.moto.ask(&json!({"do": "fails", "instance": stage.world.instance}));
    let run = stage.fix("user-data-repair", &["--yes"]).exits(1);
    run.fails_with("user-data-repair-ineffective");
    run.fails_with("no-such-user admin");
    run.fails_with("port22 undo");
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!((stage.user_data().as_slice(), stage.state().0.as_str()), (OWN, "running"));
}

#[test]
fn a_step_that_fails_says_what_is_in_force_and_the_way_back() {
    let stage = stage("denied", OWN, json!({}));
    stage.moto.ask(&json!({"do": "fail_once", "instance": stage.world.instance, "operation": "StartInstances", "code": "InsufficientInstanceCapacity", "message": "We currently do not have sufficient capacity."}));
    let run = stage.fix("user-data-repair", &["--yes"]).exits(1);
    run.fails_with("sufficient capacity");
    run.fails_with("port22 resume");
    assert_eq!(stage.state().0, "stopped");
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!((stage.user_data().as_slice(), stage.state().0.as_str()), (OWN, "running"));
}

#[test]
fn user_data_that_was_set_and_cannot_be_read_back_is_not_called_untouched() {
    let stage = stage("blind", OWN, json!({}));
    let blind = |on: bool| stage.moto.ask(&json!({"do": "blind", "instance": stage.world.instance, "on": on}));
    blind(true);
    let run = stage.fix("user-data-repair", &["--yes"]).exits(1);
    run.fails_with("EC2 took it, and does not show it");
    run.fails_with("Nobody knows whether step 3 was done");
    // What cannot be looked at is not started with the repair in it.
    stage.home.run(&["undo", "--yes"]).exits(4);
    assert_eq!(stage.state().0, "stopped");
    blind(false);
    assert!(stage.user_data().starts_with(b"#cloud-boothook"));
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!((stage.user_data().as_slice(), stage.state().0.as_str()), (OWN, "running"));
}

#[test]
fn what_somebody_else_set_meanwhile_is_not_overwritten() {
    let stage = stage("foreign", OWN, json!({}));
    stage.fix("user-data-repair", &["--yes", "--choose", "restore=later"]).exits(0);
    let theirs = b"#!/bin/sh\necho theirs\n";
    stage.moto.ask(&json!({"do": "overwrite", "instance": stage.world.instance, "user_data": STANDARD.encode(theirs)}));
    stage.fix("user-data-restore", &["--yes"]).exits(4).fails_with("somebody has set other user data");
    stage.home.run(&["undo", "--yes"]).exits(4);
    assert_eq!((stage.user_data().as_slice(), stage.state().0.as_str()), (&theirs[..], "running"));
}

#[test]
fn gates_refuse_before_anything_is_touched() {
    for (name, more, says) in [
        ("protected", json!({"protect": true}), "stop protection is on"),
        ("imds", json!({"imds": "disabled"}), "imds-disabled"),
    ] {
        let stage = stage(name, OWN, more);
        stage.changes();
        stage.fix("user-data-repair", &["--yes"]).exits(4).fails_with(says);
        assert_eq!((stage.changes().as_str(), stage.journal().as_str()), ("", ""), "{name}");
    }
    let stage = stage("user", OWN, json!({}));
    stage.fix("user-data-repair", &["--yes", "-l", "a'b"]).exits(4).one_sentence();
    stage.fix("user-data-restore", &["--yes"]).exits(4).fails_with("no repair in this journal");
    stage.fix("user-data-repair", &["--yes", "--read-only"]).exits(4);
    assert_eq!(stage.changes(), "");
}

/// State of the instance in its group.
fn in_the_group(stage: &Stage) -> String {
    lifecycle_of(stage.moto, &stage.world.instance)
}

#[test]
fn a_member_of_a_group_is_in_standby_from_the_first_stop_to_the_last_start() {
    let stage = stage("fleet", OWN, json!({}));
    join_group(stage.moto, &stage.world.instance, "fleet", 0);
    let plan = stage.fix("user-data-repair", &["--dry-run", "--json"]).exits(0).json();
    check_plan(&plan);
    let texts: Vec<&str> = plan["steps"].as_array().expect("steps").iter().filter_map(|s| s["text"].as_str()).collect();
    assert!(texts[1].contains("standby") && texts[9].contains("serve again"), "{texts:?}");
    assert_eq!((stage.changes().as_str(), in_the_group(&stage).as_str()), ("", "InService"));
    let done = stage.fix("user-data-repair", &["--yes", "--json"]).exits(0).json();
    assert_eq!(done["login_works"], true, "{done}");
    assert_eq!((stage.user_data().as_slice(), in_the_group(&stage).as_str()), (OWN, "InService"));
    // One that ends with the repair in place is stopped once more by an undo: in standby again.
    stage.fix("user-data-repair", &["--yes", "--choose", "restore=later"]).exits(0);
    assert_eq!(in_the_group(&stage), "InService");
    let before = stage.journal().lines().count();
    stage.home.run(&["undo", "--yes"]).exits(0);
    let undone: Vec<String> =
        stage.journal().lines().skip(before).filter(|l| l.contains("undo_done")).map(str::to_owned).collect();
    let at = |word: &str| {
        undone.iter().position(|line| line.contains(word)).unwrap_or_else(|| panic!("{word}: {undone:#?}"))
    };
    assert!(at("is in standby") < at("its owner's again") && at("its owner's again") < at("serves in"), "{undone:#?}");
    assert_eq!((stage.user_data().as_slice(), stage.state().0.as_str()), (OWN, "running"));
    assert_eq!(in_the_group(&stage), "InService");
    // The other way, for a group without room for one less, and for what puts the user data back on its own.
    ask_scaling(stage.moto, "update_auto_scaling_group", &json!({"AutoScalingGroupName": "fleet", "MinSize": 1}));
    stage.fix("user-data-repair", &["--yes", "--choose", "restore=later"]).exits(0);
    let plan = stage.fix("user-data-restore", &["--dry-run", "--json"]).exits(0).json();
    assert!(plan["steps"][0]["command"].as_str().is_some_and(|c| c.contains("suspend-processes")), "{plan}");
    stage.fix("user-data-restore", &["--yes"]).exits(0);
    let group = ask_scaling(stage.moto, "describe_auto_scaling_groups", &json!({"AutoScalingGroupNames": ["fleet"]}));
    assert_eq!(group["AutoScalingGroups"][0]["SuspendedProcesses"], json!([]), "{group}");
    assert_eq!((stage.user_data().as_slice(), stage.state().0.as_str()), (OWN, "running"));
}

/// Kills a repair in each of its steps, and ends it so.
fn killed_anywhere(end: &str, group: bool) {
    let mut steps = vec!["save", "power", "set", "power", "await", "power", "restore", "power"];
    if group {
        steps.insert(1, "enter-standby");
        steps.push("exit-standby");
    }
    let one = |nth: usize, what: &str| {
        let name = format!("killed-{nth}-{end}-{group}");
        let stage = stage(&name, OWN, json!({}));
        if group {
            join_group(stage.moto, &stage.world.instance, &name, 0);
        }
        let signs = [format!("\"step\":{nth},"), "step_begun".to_owned(), format!("\"what\":\"{what}\"")];
        stage.killed_when(&signs.each_ref().map(String::as_str));
        let run = stage.home.run(&[end, "--yes"]);
        let said = format!("killed in step {nth} ({what}), then {end}: {run:#?}\n{}", stage.journal());
        // In its first step nothing was changed yet, so that there is nothing to take back.
        assert!(run.exit == 0 || (nth == 0 && end == "undo"), "{said}");
        assert_eq!(stage.user_data(), OWN, "{said}");
        assert_eq!(stage.state().0, "running", "{said}");
        assert!(!stage.journal().contains("hunter2"), "{said}");
        assert!(!group || in_the_group(&stage) == "InService", "{said}");
    };
    std::thread::scope(|scope| {
        for (nth, what) in steps.iter().enumerate() {
            scope.spawn(move || one(nth, what));
        }
    });
}

#[test]
fn a_repair_that_is_killed_anywhere_is_gone_on_with() {
    killed_anywhere("resume", false);
}

#[test]
fn a_repair_that_is_killed_anywhere_is_taken_back() {
    killed_anywhere("undo", false);
}

#[test]
fn a_repair_of_a_member_that_is_killed_anywhere_is_gone_on_with() {
    killed_anywhere("resume", true);
}

#[test]
fn a_repair_of_a_member_that_is_killed_anywhere_is_taken_back() {
    killed_anywhere("undo", true);
}
