//! Network fixes on moto: ACL entries, routes, gateways, addresses; taken back, and gone on with after a cut at every line.

use crate::contract::check_plan;
use crate::host;
use crate::moto::{Moto, Spec, World};
use crate::program::{Home, Run};
use crate::sshd::Sshd;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// A world whose instance is a real sshd: what moto's rules say keeps no packet away.
pub struct Stage {
    pub moto: &'static Moto,
    pub home: Home,
    pub key: String,
    pub world: World,
    _sshd: Sshd,
}

pub fn stage(name: &str, faults: &[&str]) -> Stage {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let (sshd, place) = host::sshd(&[&key]);
    let world = moto.build(&Spec::new(name, place).faults(faults).key(&key));
    Stage { moto, home, key: key.display().to_string(), world, _sshd: sshd }
}

impl Stage {
    pub fn fix(&self, fix: &str, more: &[&str]) -> Run {
        let address = self.world.place.ip.to_string();
        self.home.fix(fix, &self.world, &[&["-i", &self.key, "--address", &address], more].concat())
    }

    pub fn plan(&self, fix: &str, more: &[&str]) -> Value {
        let plan = self.fix(fix, &[&["--dry-run", "--json"], more].concat()).exits(0).json();
        check_plan(&plan);
        plan
    }

    pub fn look(&self) -> Value {
        let mut seen = self.moto.look(&self.world);
        // What moto notes of a stop is no change that a repair could take back.
        for reservation in seen["instances"].as_array_mut().expect("reservations") {
            let instance = &mut reservation["Instances"][0];
            for word in ["StateReason", "StateTransitionReason", "LaunchTime", "UsageOperationUpdateTime"] {
                instance[word] = Value::Null;
            }
        }
        seen
    }

    fn journal(&self) -> PathBuf {
        self.home.path().join("state/port22/journal.jsonl")
    }

    /// Cuts the journal behind a line of this event and step, as a killed process leaves it.
    pub fn cut(&self, event: &str, step: u64) {
        let text = fs::read_to_string(self.journal()).expect("the journal");
        let mut kept = String::new();
        for line in text.lines() {
            kept.push_str(line);
            kept.push('\n');
            let line: Value = serde_json::from_str(line).expect("a line");
            if line["event"] == event && line["step"] == step {
                fs::write(self.journal(), kept).expect("the journal");
                return;
            }
        }
        panic!("no {event} of step {step} in {text}");
    }

    pub fn forget_journal(&self) {
        let _ = fs::remove_file(self.journal());
    }

    fn ec2(&self, operation: &str, arguments: &Value) -> Value {
        self.moto.ec2(operation, arguments)
    }

    fn entries(&self) -> Vec<(i64, bool, String)> {
        let answer = self.ec2("describe_network_acls", &json!({"NetworkAclIds": [self.world.acl]}));
        let all = answer["NetworkAcls"][0]["Entries"].as_array().expect("entries").clone();
        let mut all: Vec<_> = all
            .iter()
            .map(|e| {
                let text = format!(
                    "{} {} {}",
                    e["RuleAction"].as_str().unwrap_or(""),
                    e["CidrBlock"].as_str().unwrap_or(""),
                    e["PortRange"]
                );
                (e["RuleNumber"].as_i64().expect("a number"), e["Egress"] == true, text)
            })
            .collect();
        all.sort();
        all
    }

    /// Elastic IP addresses that port22 made in this world's tests, by the entry of the journal.
    fn own_addresses(&self) -> Vec<Value> {
        let line = fs::read_to_string(self.journal()).expect("the journal");
        let first: Value = serde_json::from_str(line.lines().next().expect("a line")).expect("a line");
        let token = format!("port22-{}-0", first["entry"].as_str().expect("an entry"));
        let filter = json!({"Filters": [{"Name": "tag:port22-step", "Values": [token]}]});
        self.ec2("describe_addresses", &filter)["Addresses"].as_array().expect("addresses").clone()
    }
}

fn gate<'a>(plan: &'a Value, id: &str) -> (&'a str, &'a str) {
    let all = plan["gates"].as_array().expect("gates");
    let found = all.iter().find(|g| g["id"] == id).unwrap_or_else(|| panic!("no gate {id} in {plan}"));
    (found["state"].as_str().expect("a state"), found["why"].as_str().expect("a reason"))
}

#[test]
fn entries_above_those_that_deny_let_in_and_out() {
    let stage = stage("nacl-both", &["nacl-in", "nacl-out"]);
    let before = stage.entries();
    let plan = stage.plan("nacl-allow-my-ip", &[]);
    assert_eq!(plan["steps"].as_array().map(Vec::len), Some(3), "{plan}");
    assert_eq!(gate(&plan, "shared").0, "warn");
    assert_eq!(gate(&plan, "permission").0, "warn", "nothing is asked of an emulator that would do it: {plan}");
    assert_eq!(stage.entries(), before, "a preview changes nothing");
    let done = stage.fix("nacl-allow-my-ip", &["--yes", "--json"]).exits(0).json();
    assert_eq!((&done["verified"], &done["login_works"]), (&true.into(), &true.into()), "{done}");
    let more: Vec<_> = stage.entries().into_iter().filter(|e| !before.contains(e)).collect();
    let port = stage.world.place.port;
    let own = [
        (40, false, format!("allow 203.0.113.10/32 {}", json!({"From": port, "To": port}))),
        (40, true, format!("allow 203.0.113.10/32 {}", json!({"From": 1024, "To": 65535}))),
    ];
    assert_eq!(more, own);
    let again = stage.plan("nacl-allow-my-ip", &[]);
    assert!(again["steps"].as_array().is_some_and(Vec::is_empty), "{again}");
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(stage.entries(), before);
}

#[test]
fn an_entry_of_somebody_else_stays() {
    let stage = stage("nacl-other", &["nacl-in"]);
    stage.fix("nacl-allow-my-ip", &["--yes"]).exits(0);
    let entry = json!({"NetworkAclId": stage.world.acl, "RuleNumber": 40, "Protocol": "6", "RuleAction": "allow", "Egress": false,
        "CidrBlock": "198.51.100.0/24", "PortRange": {"From": 443, "To": 443}});
    stage.ec2("replace_network_acl_entry", &entry);
    let changed = stage.entries();
    stage.home.run(&["undo", "--yes"]).exits(1).fails_with("not ours");
    assert_eq!(stage.entries(), changed);
}

#[test]
fn a_repair_of_entries_that_was_cut_short_is_gone_on_with_or_taken_back() {
    let stage = stage("nacl-cut", &["nacl-in", "nacl-out"]);
    let before = stage.entries();
    let drop_entry = |egress: bool| {
        let entry = json!({"NetworkAclId": stage.world.acl, "RuleNumber": 40, "Egress": egress});
        stage.ec2("delete_network_acl_entry", &entry);
    };
    // Where the journal ends, and which of the two entries are there.
    let cuts = [
        ("step_begun", 0, false, false),
        ("step_begun", 0, true, false),
        ("step_begun", 1, true, false),
        ("step_begun", 1, true, true),
    ];
    for (event, step, first, second) in cuts {
        for resume in [true, false] {
            stage.forget_journal();
            stage.fix("nacl-allow-my-ip", &["--yes"]).exits(0);
            stage.cut(event, step);
            if !second {
                drop_entry(true);
            }
            if !first {
                drop_entry(false);
            }
            if resume {
                stage.home.run(&["resume", "--yes", "--address", &stage.world.place.ip.to_string()]).exits(0);
                assert_eq!(stage.entries().len(), before.len() + 2, "{event} {step}");
            }
            stage.home.run(&["undo", "--yes"]).exits(0);
            assert_eq!(stage.entries(), before, "{event} {step} {first} {second} {resume}");
        }
    }
}

#[test]
fn a_default_route_is_added_and_taken_out_again() {
    let stage = stage("no-route", &["no-route"]);
    let before = stage.look();
    let plan = stage.plan("route-to-igw", &[]);
    assert_eq!((&plan["risk"], gate(&plan, "shared").0), (&"high".into(), "warn"), "{plan}");
    let command = plan["steps"][0]["command"].as_str().expect("a command");
    assert!(command.contains("create-route") && command.contains("0.0.0.0/0") && command.contains("igw-"), "{command}");
    let done = stage.fix("route-to-igw", &["--yes", "--json"]).exits(0).json();
    assert_eq!(done["verified"], true, "{done}");
    assert_ne!(stage.look()["tables"], before["tables"]);
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(stage.look()["tables"], before["tables"]);
}

#[test]
fn a_route_that_works_is_not_replaced() {
    let stage = stage("nat-route", &["no-route"]);
    let allocation =
        stage.ec2("allocate_address", &json!({"Domain": "vpc", "Address": "127.99.0.9"}))["AllocationId"].clone();
    let subnet = stage.look()["interfaces"][0]["SubnetId"].clone();
    let nat = stage.ec2("create_nat_gateway", &json!({"SubnetId": subnet, "AllocationId": allocation}));
    let nat = nat["NatGateway"]["NatGatewayId"].clone();
    let route = json!({"RouteTableId": stage.world.table, "DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": nat});
    stage.ec2("create_route", &route);
    let before = stage.look();
    let refused = stage.fix("route-to-igw", &["--yes"]).exits(4);
    refused.fails_with("private by design");
    assert_eq!(stage.look(), before);
}

#[test]
fn a_free_gateway_is_attached_or_a_new_one_is_made() {
    let stage = stage("gateway", &["igw-detached"]);
    let before = stage.look();
    let plan = stage.plan("igw-attach", &[]);
    let named = stage.look()["tables"].to_string();
    let options: Vec<&str> =
        plan["choices"][0]["options"].as_array().expect("options").iter().filter_map(|o| o[0].as_str()).collect();
    assert!(named.contains(options[0]), "the gateway that the route names comes first: {options:?}");
    assert_eq!(options.last(), Some(&"new"));
    let done = stage.fix("igw-attach", &["--yes", "--json"]).exits(0).json();
    assert_eq!(done["verified"], true, "{done}");
    assert_eq!(stage.look()["gateways"][0]["InternetGatewayId"], options[0]);
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(stage.look(), before);

    let made = stage.fix("igw-attach", &["--choose", "gateway=new", "--yes", "--json"]).exits(0).json();
    assert!(made["steps"][0]["command"].as_str().is_some_and(|c| c.contains("create-internet-gateway")), "{made}");
    let new = stage.look()["gateways"][0]["InternetGatewayId"].as_str().expect("a gateway").to_owned();
    assert_ne!(new, options[0]);
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(stage.look(), before);
    let all = stage.ec2("describe_internet_gateways", &json!({}));
    assert!(!all.to_string().contains(&new), "the gateway that was made is deleted");
}

#[test]
fn an_address_is_allocated_associated_and_released_again() {
    let stage = stage("address", &["no-eip"]);
    let before = stage.look();
    let plan = stage.plan("eip-associate", &["--choose", "address=new"]);
    assert!(plan["cost"].as_str().is_some_and(|c| c.contains("USD")), "{plan}");
    let done = stage.fix("eip-associate", &["--choose", "address=new", "--yes", "--json"]).exits(0).json();
    assert_eq!(done["verified"], true, "{done}");
    let own = stage.own_addresses();
    assert_eq!((own.len(), &own[0]["NetworkInterfaceId"]), (1, &stage.world.interface.as_str().into()), "{own:?}");
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!((stage.look(), stage.own_addresses().len()), (before, 0));
}

#[test]
fn a_free_address_is_used_and_left_as_it_was() {
    let stage = stage("free-address", &["no-eip"]);
    let address = host::address().to_string();
    let free = stage.ec2("allocate_address", &json!({"Domain": "vpc", "Address": address}))["AllocationId"].clone();
    let choice = format!("address={}", free.as_str().expect("an id"));
    let plan = stage.plan("eip-associate", &["--choose", &choice]);
    assert_eq!(plan["steps"].as_array().map(Vec::len), Some(2), "{plan}");
    assert_eq!(gate(&plan, "taken-from").0, "warn");
    stage.fix("eip-associate", &["--choose", &choice, "--yes"]).exits(0);
    let seen = stage.ec2("describe_addresses", &json!({"AllocationIds": [free]}))["Addresses"][0].clone();
    assert_eq!(seen["NetworkInterfaceId"], stage.world.interface.as_str());
    stage.home.run(&["undo", "--yes"]).exits(0);
    let seen = stage.ec2("describe_addresses", &json!({"AllocationIds": [free]}))["Addresses"].clone();
    assert_eq!(seen.as_array().map(Vec::len), Some(1), "it is not released");
    assert!(seen[0]["AssociationId"].as_str().is_none_or(str::is_empty), "{seen}");
}

#[test]
fn no_address_is_allocated_twice() {
    let stage = stage("address-cut", &["no-eip"]);
    let before = stage.look();
    let loosen = |release: bool| {
        for own in stage.own_addresses() {
            if let Some(id) = own["AssociationId"].as_str().filter(|id| !id.is_empty()) {
                stage.ec2("disassociate_address", &json!({"AssociationId": id}));
            }
            if release {
                stage.ec2("release_address", &json!({"AllocationId": own["AllocationId"]}));
            }
        }
    };
    let cuts = [
        ("step_begun", 0, false, false),
        ("step_begun", 0, true, false),
        ("step_done", 0, true, false),
        ("step_begun", 1, true, false),
        ("step_begun", 1, true, true),
    ];
    for (event, step, allocated, associated) in cuts {
        for resume in [true, false] {
            stage.forget_journal();
            stage.fix("eip-associate", &["--choose", "address=new", "--yes"]).exits(0);
            if !associated {
                loosen(!allocated);
            }
            stage.cut(event, step);
            if resume {
                stage.home.run(&["resume", "--yes", "--address", &stage.world.place.ip.to_string()]).exits(0);
                let own = stage.own_addresses();
                assert_eq!(
                    (own.len(), &own[0]["NetworkInterfaceId"]),
                    (1, &stage.world.interface.as_str().into()),
                    "{event} {step}"
                );
            }
            stage.home.run(&["undo", "--yes"]).exits(0);
            assert_eq!(
                (stage.look(), stage.own_addresses().len()),
                (before.clone(), 0),
                "{event} {step} {allocated} {associated} {resume}"
            );
        }
    }
}

#[test]
fn ping_and_remote_desktop_get_rules_of_their_own() {
    let stage = stage("ping", &[]);
    let rules = |protocol: &str| {
        let filter = json!({"Filters": [{"Name": "group-id", "Values": [stage.world.group]}]});
        let answer = stage.ec2("describe_security_group_rules", &filter);
        let all = answer["SecurityGroupRules"].as_array().expect("rules").clone();
        all.into_iter().filter(|r| r["IpProtocol"] == protocol && r["IsEgress"] == false).collect::<Vec<_>>()
    };
    let done = stage.fix("icmp-allow-my-ip", &["--yes", "--json"]).exits(0).json();
    assert_eq!(done["verified"], true, "{done}");
    let icmp = rules("icmp");
    assert_eq!((icmp.len(), &icmp[0]["FromPort"], &icmp[0]["CidrIpv4"]), (1, &8.into(), &"203.0.113.10/32".into()));
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert!(rules("icmp").is_empty());

    let plan = stage.plan("rdp-allow-my-ip", &["--choose", "expiry=8h"]);
    assert!(
        plan["steps"][0]["command"].as_str().is_some_and(|c| c.contains("FromPort=3389") && c.contains("until ")),
        "{plan}"
    );
    assert!(plan["expires"].as_i64().is_some_and(|at| at > 1_700_000_000), "{plan}");
}

#[test]
fn a_rule_that_is_to_end_is_told_by_the_journal() {
    let stage = stage("expiry", &["sg"]);
    stage.fix("sg-allow-my-ip", &["--choose", "expiry=8h", "--yes"]).exits(0);
    let rules = stage.moto.rules(&stage.world);
    assert!(rules[0].1.contains("until 20") && rules[0].1.ends_with("UTC"), "{rules:?}");
    let entry = |stage: &Stage| stage.home.run(&["journal", "--json"]).exits(0).json()["entries"][0].clone();
    assert_eq!(entry(&stage)["expired"], false);
    assert!(stage.home.run(&["journal"]).exits(0).stdout.contains("until 20"));
    // Nine hours later.
    let text = fs::read_to_string(stage.journal()).expect("the journal");
    let at = entry(&stage)["expires"].as_i64().expect("a time");
    fs::write(stage.journal(), text.replace(&at.to_string(), &(at - 9 * 3600).to_string())).expect("the journal");
    assert_eq!(entry(&stage)["expired"], true);
    assert!(stage.home.run(&["journal"]).exits(0).stdout.contains("EXPIRED"));
    stage.home.run(&["undo", "--yes"]).exits(0);
    assert_eq!(entry(&stage)["expired"], false, "what is closed does not expire");
}

#[test]
fn a_rule_that_was_added_before_the_cut_is_ours() {
    let stage = stage("rule-cut", &["sg"]);
    for resume in [true, false] {
        stage.forget_journal();
        stage.fix("sg-allow-my-ip", &["--yes"]).exits(0);
        stage.cut("step_begun", 0);
        if resume {
            stage.home.run(&["resume", "--yes", "--address", &stage.world.place.ip.to_string()]).exits(0);
            assert_eq!(stage.moto.rules(&stage.world).len(), 1);
        }
        stage.home.run(&["undo", "--yes"]).exits(0);
        assert!(stage.moto.rules(&stage.world).is_empty(), "{resume}");
    }
}
