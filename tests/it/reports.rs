//! Reports on the command line: redacted in every form, and compared with an earlier diagnosis.

use crate::program::Home;
use port22::core::fact::Fact;
use port22::core::facts::Facts;
use port22::core::facts::aws::{Caller, Instance};
use port22::core::facts::wire::Tcp;
use std::net::{IpAddr, Ipv4Addr};

const TELLING: [&str; 8] = [
    "203.0.113.7",
    "198.51.100.9",
    "i-0a1b2c3d4e5f60718",
    "orders-db",
    "111122223333",
    "sg-0f3a0f3a0f3a0f3a0",
    "orders-sg",
    "carol",
];

/// Facts of an instance whose port does not answer, or does.
fn facts(answers: bool) -> Facts {
    let mut facts = Facts { now: 1_795_000_000, ..Facts::default() };
    facts.target.name = "orders-db".to_owned();
    facts.target.user = Some("carol".to_owned());
    let instance = Instance {
        id: "i-0a1b2c3d4e5f60718".to_owned(),
        name: Some("orders-db".to_owned()),
        region: "eu-west-1".to_owned(),
        state: "running".to_owned(),
        public_ip: Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))),
        groups: vec![("sg-0f3a0f3a0f3a0f3a0".to_owned(), "orders-sg".to_owned())],
        ..Instance::default()
    };
    facts.aws.instance = Fact::known(instance, "DescribeInstances i-0a1b2c3d4e5f60718");
    let arn = "arn:aws:iam::111122223333:user/carol".to_owned();
    facts.aws.caller = Fact::known(Caller { account: "111122223333".to_owned(), arn }, "GetCallerIdentity");
    facts.local.source_ip = Fact::known(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9)), "the internet");
    facts.wire.address = Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)));
    let tcp = if answers { Tcp::Connected { millis: 20 } } else { Tcp::TimedOut { after_ms: 5000 } };
    facts.wire.tcp = Fact::known(tcp, "TCP connect to 203.0.113.7:22");
    facts
}

#[test]
fn a_redacted_report_tells_nobody_who_and_where_in_any_form() {
    let home = Home::new();
    let record = home.file("facts.json", serde_json::to_vec(&facts(false)).expect("facts"));
    let record = record.display().to_string();
    for form in ["--json", "--markdown", "--ascii"] {
        let open = home.run(&["diagnose", "--replay", &record, form]);
        let hidden = home.run(&["diagnose", "--replay", &record, form, "--redact"]);
        assert_eq!(open.exit, hidden.exit);
        assert!(open.stdout.contains("203.0.113.7") && open.stdout.contains("orders-db"), "{}", open.stdout);
        for telling in TELLING {
            assert!(!hidden.stdout.contains(telling), "{form}: {telling} in {}", hidden.stdout);
        }
        assert!(hidden.stdout.contains("IP-1") && hidden.stdout.contains("INSTANCE-1"), "{}", hidden.stdout);
    }
}

#[test]
fn what_changed_since_a_record_or_a_report_is_told() {
    let home = Home::new();
    let file = |name: &str, bytes: Vec<u8>| home.file(name, bytes).display().to_string();
    let before = file("before.json", serde_json::to_vec(&facts(false)).expect("facts"));
    let after = file("after.json", serde_json::to_vec(&facts(true)).expect("facts"));
    let report = home.run(&["diagnose", "--replay", &before, "--json", "--redact"]);
    let report = file("report.json", report.stdout.into_bytes());
    for earlier in [&before, &report] {
        let compared =
            home.run(&["diagnose", "--replay", &after, "--json", "--compare", earlier]).json()["compared"].clone();
        let turned = compared["checks"].as_array().expect("checks");
        let port = turned.iter().find(|c| c["id"] == "tcp-port").expect("the port's check");
        assert_eq!((port["before"].as_str(), port["after"].as_str()), (Some("fail"), Some("pass")), "{compared}");
        assert_eq!(compared["other_target"], false);
        let text = home.run(&["diagnose", "--replay", &after, "--compare", earlier]).stdout;
        assert!(text.contains("fail -> pass"), "{text}");
        let markdown = home.run(&["diagnose", "--replay", &after, "--markdown", "--compare", earlier]).stdout;
        assert!(markdown.contains("## Before and after"), "{markdown}");
    }
    let nothing = file("nothing.json", b"{}".to_vec());
    home.run(&["diagnose", "--replay", &after, "--compare", &nothing]).exits(2);
}
