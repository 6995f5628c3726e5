//! What stands between the client and the instance: one world for each fault, in moto, with a socket
//! on loopback that behaves as the fault would make it.

use crate::host::{Place, address, closed, silent, sshd};
use crate::moto::{CLIENT, Moto, Spec};
use crate::program::{Home, Report};

/// Diagnoses a world with these faults, whose packets are dropped.
fn diagnose(name: &str, faults: &[&str]) -> (Report, crate::moto::World) {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let host = silent();
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new(name, host.place).faults(faults).key(&key));
    (home.diagnose(&world.instance, &world, &key), world)
}

#[test]
fn no_rule_for_the_client() {
    let (report, world) = diagnose("sg-none", &["sg"]);
    report.finds("sg-no-rule proven", 1).blocked(&["security_group"]);
    report.names(
        "sg-no-rule",
        &[&world.group, CLIENT, &world.place.port.to_string(), "DescribeSecurityGroups", "no answer from"],
    );
    assert_eq!(report.json["symptom"], "timeout");
    assert_eq!(report.check("security-group").0, "fail");
    assert_eq!(
        (report.hop("route"), report.hop("nacl"), report.hop("igw"), report.hop("sshd")),
        ("open", "open", "open", "not_reached")
    );
    assert_eq!(report.json["causes"][0]["fixes"][0]["id"], "sg-allow-my-ip");
    let target = &report.json["target"];
    assert_eq!((&target["instance_id"], &target["name"]), (&world.instance.clone().into(), &"sg-none".into()));
    assert_eq!((&target["address"], &target["source_ip"]), (&world.place.ip.to_string().into(), &CLIENT.into()));
    assert_eq!(
        (&target["region"], &target["account"], &target["user"]),
        (&"us-east-1".into(), &"123456789012".into(), &"root".into())
    );
}

#[test]
fn a_rule_for_the_former_address() {
    let (report, world) = diagnose("sg-former", &["sg-changed"]);
    report.finds("sg-source-ip-changed proven", 1).blocked(&["security_group"]);
    report.names("sg-source-ip-changed", &[&world.group, CLIENT, "203.0.113.77/32"]);
    assert!(!report.causes().iter().any(|c| c.starts_with("sg-no-rule")), "{:?}", report.causes());
}

#[test]
fn a_network_acl_that_denies_the_way_in() {
    let (report, world) = diagnose("acl-in", &["nacl-in"]);
    report.finds("nacl-inbound-deny proven", 1).blocked(&["nacl"]);
    report.names("nacl-inbound-deny", &[&world.acl, "50", "DescribeNetworkAcls"]);
    assert_eq!((report.check("nacl-inbound").0, report.check("nacl-outbound").0), ("fail", "pass"));
}

#[test]
fn a_network_acl_that_drops_the_answers() {
    let (report, world) = diagnose("acl-out", &["nacl-out"]);
    report.finds("nacl-outbound-ephemeral proven", 1).blocked(&["nacl"]);
    report.names("nacl-outbound-ephemeral", &[&world.acl]);
    assert_eq!((report.check("nacl-inbound").0, report.check("nacl-outbound").0), ("pass", "fail"));
}

#[test]
fn no_route_to_the_client() {
    let (report, world) = diagnose("no-route", &["no-route"]);
    report.finds("route-missing-igw proven", 1).blocked(&["route"]);
    report.names("route-missing-igw", &[&world.table, "DescribeRouteTables"]);
}

#[test]
fn an_internet_gateway_that_is_not_attached() {
    let (report, world) = diagnose("no-igw", &["igw-detached"]);
    report.finds("igw-not-attached proven", 1);
    assert_eq!(report.hop("igw"), "blocked");
    report.names("igw-not-attached", &[&world.vpc, "DescribeInternetGateways"]);
    assert_eq!((report.hop("security_group"), report.hop("nacl")), ("open", "open"));
}

#[test]
fn no_public_address() {
    let (report, world) = diagnose("no-address", &["no-eip"]);
    report.finds("no-public-ip proven", 1);
    report.names("no-public-ip", &[&world.interface]);
    assert_eq!(report.check("public-address").0, "fail");
    assert_eq!(report.hop("eni"), "blocked");
    // Its private address belongs to a machine of this network, if to any: it is not dialled.
    assert_eq!(report.check("tcp-port").0, "cannot_tell", "{}", report.brief());
}

#[test]
fn an_instance_that_is_stopped() {
    let (report, world) = diagnose("stopped", &["stopped"]);
    report.finds("instance-not-running proven", 1);
    assert_eq!(report.hop("eni"), "blocked");
    report.names("instance-not-running", &[&world.instance, "stopped"]);
    assert_eq!(report.check("instance-running").0, "fail");
    assert_eq!(report.json["causes"][0]["fixes"][0]["id"], "instance-start");
}

#[test]
fn nobody_listens() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("refused", closed()).key(&key));
    let report = home.diagnose(&world.instance, &world, &key);
    report.finds("sshd-not-listening proven", 1).blocked(&["sshd"]);
    report.names("sshd-not-listening", &[&world.place.socket().to_string()]);
    assert_eq!(report.json["symptom"], "connection_refused");
    assert_eq!((report.hop("security_group"), report.hop("auth")), ("open", "not_reached"));
}

#[test]
fn a_refusal_disproves_every_fault_on_the_way() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("refused-sg", closed()).faults(&["sg", "nacl-in"]).key(&key));
    let report = home.diagnose(&world.instance, &world, &key);
    report.finds("sshd-not-listening proven", 1).blocked(&["sshd"]);
    assert!(report.causes().iter().all(|c| !c.starts_with("sg-") && !c.starts_with("nacl-")), "{:?}", report.causes());
    assert_eq!(report.check("security-group").0, "cannot_tell");
}

#[test]
fn all_blockers_are_listed() {
    let (report, world) = diagnose("two-faults", &["sg", "nacl-in"]);
    report.blocked(&["nacl", "security_group"]);
    let mut causes = report.causes();
    causes.sort();
    assert_eq!(causes, ["nacl-inbound-deny proven", "sg-no-rule proven"], "{}", report.brief());
    assert_eq!(report.exit, 1);
    report.names("sg-no-rule", &[&world.group]).names("nacl-inbound-deny", &[&world.acl]);
}

#[test]
fn everything_open_and_no_answer_is_not_proven() {
    let (report, _) = diagnose("all-open", &[]);
    assert_eq!((report.exit, &report.json["verdict"]), (3, &"inconclusive".into()), "{}", report.brief());
    report.blocked(&[]);
    assert!(report.causes().iter().all(|c| c.ends_with("possible")), "{:?}", report.causes());
    assert!(report.causes().iter().any(|c| c.starts_with("guest-firewall")), "{:?}", report.causes());
}

#[test]
fn a_service_that_fails_is_no_closed_door() {
    // moto answers DescribeInstanceInformation with 500 and a page of HTML.
    let (report, _) = diagnose("ssm-500", &["sg"]);
    assert_eq!(report.check("ssm-agent").0, "cannot_tell", "{}", report.brief());
    let door = report.list("doors").iter().find(|d| d["id"] == "ssm").expect("the door ssm");
    assert_eq!(door["state"], "unknown", "{door}");
}

/// With these actions denied, and a host that drops packets.
fn denied(actions: &[&str], faults: &[&str]) -> Report {
    let moto = Moto::start();
    let host = silent();
    let home = Home::with(&moto);
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("denied", host.place).faults(faults).key(&key));
    let (id, secret) = moto.enforce(actions);
    home.keys(&id, &secret).diagnose(&world.instance, &world, &key)
}

#[test]
fn a_denied_call_is_cannot_tell_and_never_clear() {
    let report = denied(&["ec2:DescribeSecurityGroups"], &["sg"]);
    report.finds("iam-denied-read proven", 3).names("iam-denied-read", &["ec2:DescribeSecurityGroups"]);
    assert_eq!(report.hop("security_group"), "unknown");
    let (verdict, reason) = report.check("security-group");
    assert!(verdict == "cannot_tell" && reason.contains("ec2:DescribeSecurityGroups"), "{verdict}: {reason}");
    assert!(!report.causes().iter().any(|c| c.ends_with("proven") && !c.starts_with("iam-")), "{:?}", report.causes());
}

#[test]
fn a_denied_call_hides_no_other_cause() {
    let report = denied(&["ec2:DescribeSecurityGroups"], &["sg", "nacl-in"]);
    report.finds("nacl-inbound-deny proven", 1).blocked(&["nacl"]);
    assert_eq!(report.hop("security_group"), "unknown");
    assert!(report.causes().contains(&"iam-denied-read proven".to_owned()), "{:?}", report.causes());
}

#[test]
fn nothing_may_be_read() {
    let report = denied(&["ec2:*"], &[]);
    report.finds("iam-denied-read proven", 3).names("iam-denied-read", &["ec2:DescribeInstances"]);
    assert_eq!(report.check("instance-found").0, "cannot_tell");
    for hop in ["igw", "route", "nacl", "security_group", "eni"] {
        assert!(matches!(report.hop(hop), "unknown" | "not_reached"), "{hop}: {}", report.brief());
    }
}

#[test]
fn keys_that_aws_does_not_know() {
    let moto = Moto::start();
    let host = silent();
    let home = Home::with(&moto);
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("strange", host.place).key(&key));
    moto.enforce(&[]);
    let report = home.keys("AKIAIOSFODNN7EXAMPLE", "nobody-knows-this-one").diagnose(&world.instance, &world, &key);
    report.finds("credentials-missing-or-expired proven", 1);
    let (verdict, reason) = report.check("aws-credentials");
    assert_eq!(verdict, "fail", "{reason}");
}

#[test]
fn no_credentials_at_all() {
    let moto = Moto::shared();
    let home = Home::new().set("AWS_ENDPOINT_URL", &moto.endpoint).set("AWS_REGION", "us-east-1");
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("no-credentials", closed()));
    let report = home.diagnose(&world.instance, &world, &key);
    report.finds("credentials-missing-or-expired proven", 1);
    assert_eq!(report.check("instance-found").0, "cannot_tell");
    assert_eq!(report.hop("security_group"), "unknown", "{}", report.brief());
}

#[test]
fn without_credentials_the_wire_still_tells() {
    let home = Home::new().set("AWS_REGION", "us-east-1");
    let key = home.key("k.pem");
    let (_sshd, place) = sshd(&[&key]);
    let world = crate::moto::World::unknown(place);
    let target = format!("{}@{}", crate::sshd::me(), place.ip);
    let report = home.diagnose(&target, &world, &key);
    assert_eq!((report.exit, &report.json["verdict"]), (0, &"healthy".into()), "{}", report.brief());
    assert_eq!(report.hops("blocked"), Vec::<&str>::new());
    let refused = crate::moto::World::unknown(closed());
    let report = home.diagnose(&refused.place.ip.to_string(), &refused, &key);
    assert_eq!(report.json["symptom"], "connection_refused");
    assert!(report.causes().iter().any(|c| c.starts_with("sshd-not-listening")), "{}", report.brief());
}

#[test]
fn no_endpoint_answers() {
    let home = Home::new()
        .set("AWS_ENDPOINT_URL", &format!("http://{}", closed().socket()))
        .set("AWS_REGION", "us-east-1")
        .keys("testing", "testing");
    let key = home.key("k.pem");
    let world = crate::moto::World::unknown(Place { ip: address(), port: 22 });
    let report = home.diagnose("i-0a1b2c3d4e5f60718", &world, &key);
    assert_eq!(report.exit, 3, "{}", report.brief());
    let (verdict, reason) = report.check("instance-found");
    assert!(verdict == "cannot_tell" && !reason.is_empty(), "{verdict}: {reason}");
}

#[test]
fn the_instance_is_found_by_every_kind_of_name() {
    let moto = Moto::shared();
    let home = Home::with(moto);
    let key = home.key("k.pem");
    let world = moto.build(&Spec::new("many-names", closed()).key(&key));
    let dns = format!("ec2-{}.compute-1.amazonaws.com", world.place.ip.to_string().replace('.', "-"));
    let arn = format!("arn:aws:ec2:us-east-1:123456789012:instance/{}", world.instance);
    let home_config = "Host box\n  HostName HERE\n".replace("HERE", &world.place.ip.to_string());
    std::fs::write(home.path().join("ssh_config"), home_config).expect("ssh_config");
    for target in ["many-names", "admin@many-names", &world.place.ip.to_string(), &dns, &arn, "box", &world.instance] {
        // A DNS name of an emulator belongs to somebody else on the internet: say where to dial.
        let address = world.place.ip.to_string();
        let report = home.report(target, &world, &["-i", &key.display().to_string(), "--address", &address]);
        assert_eq!(report.json["target"]["instance_id"], world.instance.as_str(), "{target}: {}", report.brief());
    }
}
