//! Fixes on moto: previewed, confirmed, applied, verified, journaled, undone.

use crate::contract::check_plan;
use crate::host::{Silent, silent};
use crate::moto::{CLIENT, Moto, Spec, World};
use crate::program::{Home, Run};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const OTHERS: (&str, &str) = ("198.51.100.0/24", "the office");

struct Stage {
    moto: &'static Moto,
    home: Home,
    key: String,
    world: World,
    _host: Silent,
}

fn stage(name: &str, rules: &[(&str, &str)]) -> Stage {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let host = silent();
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new(name, host.place).rules(rules).key(&key));
    Stage { moto, home, key: key.display().to_string(), world, _host: host }
}

impl Stage {
    fn fix(&self, more: &[&str]) -> Run {
        self.home.fix("sg-allow-my-ip", &self.world, &[&["-i", &self.key], more].concat())
    }

    fn rules(&self) -> Vec<(String, String)> {
        self.moto.rules(&self.world)
    }

    fn journal(&self) -> Vec<Value> {
        self.home.run(&["journal", "--json"]).exits(0).json()["entries"].as_array().expect("entries").clone()
    }

    /// Fails when the run changed anything of the world, or wrote a journal.
    #[track_caller]
    fn unchanged(&self, before: &Value) {
        assert_eq!(&self.moto.look(&self.world), before);
        assert_eq!(self.journal(), Vec::<Value>::new());
    }
}

fn owned(rules: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all: Vec<_> = rules.iter().map(|(cidr, text)| ((*cidr).to_owned(), (*text).to_owned())).collect();
    all.sort();
    all
}

#[test]
fn a_preview_changes_nothing() {
    let stage = stage("preview", &[OTHERS]);
    let before = stage.moto.look(&stage.world);
    let plan = stage.fix(&["--dry-run", "--json"]).exits(0).json();
    check_plan(&plan);
    assert_eq!(
        (&plan["fix"], &plan["reversible"], &plan["downtime"]),
        (&"sg-allow-my-ip".into(), &true.into(), &false.into())
    );
    let step = &plan["steps"][0];
    for (field, parts) in [
        ("command", ["aws ec2 authorize-security-group-ingress", &stage.world.group, "203.0.113.10/32"]),
        ("undo", ["aws ec2 revoke-security-group-ingress", &stage.world.group, "203.0.113.10/32"]),
    ] {
        let text = step[field].as_str().expect(field);
        assert!(parts.iter().all(|part| text.contains(part)), "{field}: {text}");
    }
    assert!(!plan.to_string().contains("0.0.0.0/0"), "{plan}");
    assert!(plan["gates"].as_array().is_some_and(|gates| gates.iter().all(|g| g["state"] != "refuse")), "{plan}");
    stage.unchanged(&before);
    let text = stage.fix(&["--dry-run"]).exits(0);
    assert!(text.stdout.contains("203.0.113.10/32") && text.stdout.contains("undo:"), "{text:#?}");
    stage.unchanged(&before);
}

#[test]
fn one_address_is_let_in_and_taken_out_again() {
    let stage = stage("let-in", &[OTHERS]);
    let done = stage.fix(&["--yes", "--json"]).exits(0).json();
    check_plan(&done);
    assert_eq!((&done["applied"], &done["verified"]), (&true.into(), &true.into()), "{done}");
    let rules = stage.rules();
    assert_eq!(rules.len(), 2, "{rules:?}");
    let added = rules.iter().find(|(cidr, _)| cidr == "203.0.113.10/32").expect("the new rule");
    assert!(added.1.contains("port22"), "{added:?}");
    assert!(rules.contains(&owned(&[OTHERS])[0]), "{rules:?}");

    let entry = done["entry"].as_str().expect("an entry").to_owned();
    let journal = stage.journal();
    let [line] = journal.as_slice() else { panic!("{journal:?}") };
    assert_eq!(
        (&line["entry"], &line["fix"], &line["state"]),
        (&entry.as_str().into(), &"sg-allow-my-ip".into(), &"in_force".into())
    );

    let again = stage.fix(&["--yes", "--json"]).exits(0).json();
    assert_eq!((stage.rules().len(), &again["entry"]), (2, &Value::Null), "a second run changes nothing: {again}");

    let undone = stage.home.run(&["undo", "--yes", "--json"]).exits(0).json();
    assert_eq!((&undone["entry"], &undone["state"]), (&entry.as_str().into(), &"undone".into()));
    assert_eq!(stage.rules(), owned(&[OTHERS]));
    assert_eq!(stage.journal()[0]["state"], "undone");
    stage.home.run(&["undo", "--yes"]).exits(2).one_sentence();
    assert_eq!(stage.rules(), owned(&[OTHERS]));
}

#[test]
fn a_rule_that_somebody_changed_since_stays() {
    let stage = stage("changed-since", &[OTHERS]);
    stage.fix(&["--yes"]).exits(0);
    let filter = json!({"Filters": [{"Name": "group-id", "Values": [stage.world.group]}]});
    let rules = stage.moto.ec2("describe_security_group_rules", &filter)["SecurityGroupRules"].clone();
    let own = rules.as_array().and_then(|all| all.iter().find(|r| r["CidrIpv4"] == "203.0.113.10/32")).expect("ours");
    let set = |cidr: &str| {
        let rule = json!({"IpProtocol": own["IpProtocol"], "FromPort": own["FromPort"], "ToPort": own["ToPort"],
            "CidrIpv4": cidr, "Description": "the new office"});
        let update = json!({"GroupId": stage.world.group,
            "SecurityGroupRules": [{"SecurityGroupRuleId": own["SecurityGroupRuleId"], "SecurityGroupRule": rule}]});
        stage.moto.ec2("modify_security_group_rules", &update);
    };
    set("192.0.2.7/32");
    let changed = stage.rules();
    stage.home.run(&["undo", "--yes"]).exits(1).fails_with("changed since");
    assert_eq!(stage.rules(), changed, "the id is the same, and the rule is somebody else's now");
    set("203.0.113.10/32");
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(stage.rules(), owned(&[OTHERS]));
}

#[test]
fn the_rule_for_the_former_address_is_replaced() {
    let former = ("203.0.113.77/32", "mia's laptop, \"at home\"");
    let stage = stage("replaced", &[former, OTHERS]);
    let plan = stage.fix(&["--dry-run", "--json"]).exits(0).json();
    check_plan(&plan);
    assert!(plan["steps"][0]["command"].as_str().is_some_and(|c| c.contains("modify-security-group-rules")), "{plan}");
    stage.fix(&["--yes"]).exits(0);
    assert_eq!(stage.rules(), owned(&[("203.0.113.10/32", former.1), OTHERS]));
    let line = stage.home.path().join("state/port22/journal.jsonl");
    let mode = fs::metadata(&line).expect("the journal").permissions().mode();
    assert_eq!(mode & 0o077, 0, "the journal is the user's alone");
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(stage.rules(), owned(&[former, OTHERS]));
}

#[test]
fn nothing_is_done_without_consent() {
    let stage = stage("no-consent", &[OTHERS]);
    let before = stage.moto.look(&stage.world);
    stage.fix(&[]).exits(5).fails_with("--yes");
    stage.unchanged(&before);
    stage.fix(&["--json"]).exits(5);
    stage.unchanged(&before);
    // Words on a pipe are no consent.
    let port = stage.world.place.port.to_string();
    stage
        .home
        .run_with(&["fix", "sg-allow-my-ip", &stage.world.instance, "-p", &port, "--source-ip", CLIENT], b"y\nyes\n")
        .exits(5);
    stage.unchanged(&before);
}

#[test]
fn read_only_refuses() {
    let stage = stage("read-only", &[OTHERS]);
    let before = stage.moto.look(&stage.world);
    stage.fix(&["--yes", "--read-only"]).exits(4).fails_with("--read-only");
    stage.unchanged(&before);
    stage.fix(&["--dry-run", "--read-only", "--json"]).exits(0);
    stage.unchanged(&before);
    stage.fix(&["--yes"]).exits(0);
    stage.home.run(&["undo", "--yes", "--read-only"]).exits(4);
    assert_eq!(stage.rules().len(), 2, "the rule is still there");
}

#[test]
fn a_dry_run_that_aws_denies_refuses() {
    let moto = Moto::start();
    let host = silent();
    let home = Home::with(&moto);
    let key = home.key("k.pem").display().to_string();
    // No blank in the description: moto's check of signatures fails on them.
    let former = ("203.0.113.77/32", "laptop");
    let world = moto.build(&Spec::new("denied", host.place).rules(&[former]));
    let (id, secret) = moto.enforce(&["ec2:ModifySecurityGroupRules"]);
    let home = home.keys(&id, &secret);
    let plan = home.fix("sg-allow-my-ip", &world, &["-i", &key, "--dry-run", "--json"]).exits(4);
    let plan: Value =
        serde_json::Deserializer::from_str(&plan.stdout).into_iter().next().expect("a plan").expect("JSON");
    check_plan(&plan);
    let refused = plan["gates"].as_array().and_then(|all| all.iter().find(|g| g["state"] == "refuse"));
    assert!(
        refused.is_some_and(|g| g["why"].as_str().is_some_and(|w| w.contains("ModifySecurityGroupRules"))),
        "{plan}"
    );
    home.fix("sg-allow-my-ip", &world, &["-i", &key, "--yes"]).exits(4).fails_with("ModifySecurityGroupRules");
    moto.ask(&json!({"do": "relax"}));
    assert_eq!(moto.rules(&world), owned(&[former]));
}

#[test]
fn the_mode_of_a_key_is_set_and_put_back() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let (_sshd, place) = crate::host::sshd(&[&key]);
    let world = moto.build(&Spec::new("chmod", place).key(&key));
    let mode = || fs::metadata(&key).expect("the key").permissions().mode() & 0o7777;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a mode");
    let path = key.display().to_string();

    let plan = home.fix("key-chmod", &world, &["-i", &path, "--dry-run", "--json"]).exits(0).json();
    check_plan(&plan);
    assert_eq!(plan["steps"][0]["command"], format!("chmod 0400 {path}"));
    assert_eq!(mode(), 0o644);
    home.fix("key-chmod", &world, &["-i", &path]).exits(5);
    assert_eq!(mode(), 0o644);
    let done = home.fix("key-chmod", &world, &["-i", &path, "--yes", "--json"]).exits(0).json();
    assert_eq!((mode(), &done["verified"], &done["login_works"]), (0o400, &true.into(), &true.into()), "{done}");
    home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(mode(), 0o644);
}

#[test]
fn the_mode_is_set_without_aws_too() {
    let home = Home::new();
    let key = home.key("k.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a mode");
    let world = World::unknown(crate::host::closed());
    let path = key.display().to_string();
    let (ip, port) = (world.place.ip.to_string(), world.place.port.to_string());
    home.run(&["fix", "key-chmod", &ip, "-p", &port, "-i", &path, "--yes"]).exits(0);
    assert_eq!(fs::metadata(&key).expect("the key").permissions().mode() & 0o7777, 0o400);
}

#[test]
fn a_key_that_is_a_link_is_changed_at_its_end() {
    let home = Home::new();
    let key = home.key("real.pem");
    let link: PathBuf = home.path().join("link.pem");
    std::os::unix::fs::symlink(&key, &link).expect("a link");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).expect("a mode");
    let place = crate::host::closed();
    let (ip, port) = (place.ip.to_string(), place.port.to_string());
    home.run(&["fix", "key-chmod", &ip, "-p", &port, "-i", &link.display().to_string(), "--yes"]).exits(0);
    assert_eq!(fs::metadata(&key).expect("the key").permissions().mode() & 0o7777, 0o400);
    assert!(fs::symlink_metadata(&link).expect("the link").is_symlink());
}

#[test]
fn fixes_that_do_not_exist_or_do_not_fit() {
    let stage = stage("no-such-fix", &[OTHERS]);
    let before = stage.moto.look(&stage.world);
    for fix in ["no-such-fix", "", "sg-allow-everyone"] {
        stage.home.fix(fix, &stage.world, &["--yes"]).exits(2).one_sentence();
    }
    stage
        .home
        .fix("sg-allow-my-ip", &World { instance: "i-0123456789abcdef0".to_owned(), ..stage.world.clone() }, &["--yes"])
        .exits(2)
        .one_sentence();
    stage.unchanged(&before);
}
