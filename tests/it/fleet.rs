//! `port22 fleet`: against moto with its calls counted, and against the practice account over HTTP.

use crate::lab_cli::{Serving, serve};
use crate::moto::{CLIENT, Moto};
use crate::program::{Home, Run};
use crate::waves::counting;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn rows(run: &Run) -> Vec<Value> {
    let all: Vec<Value> = run.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(all.iter().all(|row| row["schema"] == 1), "{}", run.stdout);
    all
}

/// Calls by name, of one look at this many instances.
fn calls_for(count: u32) -> (BTreeMap<String, usize>, Vec<Value>) {
    let moto = Moto::start();
    moto.ask(&json!({"do": "herd", "count": count}));
    let (heard, address) = counting(&moto.endpoint);
    let home = Home::with(&moto).set("AWS_ENDPOINT_URL", &address);
    let run = home.run(&["fleet", "--json", "--source-ip", CLIENT]).exits(0);
    let mut calls: BTreeMap<String, usize> = BTreeMap::new();
    for name in heard.lock().expect("the calls").iter() {
        *calls.entry(name.clone()).or_default() += 1;
    }
    (calls, rows(&run))
}

#[test]
fn the_calls_depend_on_the_pages_and_not_on_the_instances() {
    let (few, small) = calls_for(4);
    let (many, large) = calls_for(300);
    assert_eq!((small.len(), large.len()), (4, 300));
    assert_eq!(few, many);
    assert!(many.values().sum::<usize>() <= 12, "{many:?}");
    assert!(many.keys().all(|name| name.starts_with("Describe") || name.starts_with("Get")), "only reads: {many:?}");
    // Half of them has a group without a rule; none has an address that would be dialled.
    let closed = large.iter().filter(|row| row["cause"] == "sg-no-rule").count();
    assert_eq!(closed, 150);
    let open = large.iter().filter(|row| row["reachable"] == "yes" && row["certainty"] == "likely").count();
    assert_eq!(open, 150, "{}", large[0]);
}

#[test]
fn a_list_that_may_not_be_read_leaves_its_question_open() {
    let moto = Moto::start();
    moto.ask(&json!({"do": "herd", "count": 4}));
    let (id, secret) = moto.enforce(&["ec2:DescribeSecurityGroups"]);
    let run = Home::with(&moto).keys(&id, &secret).run(&["fleet", "--json", "--source-ip", CLIENT]).exits(0);
    let all = rows(&run);
    assert_eq!(all.len(), 4);
    for row in &all {
        assert_eq!((&row["reachable"], &row["cause"]), (&"unknown".into(), &"iam-denied-read".into()), "{row}");
        assert!(row["detail"].as_str().is_some_and(|d| d.contains("ec2:DescribeSecurityGroups")), "{row}");
    }
    let moto = Moto::start();
    let (id, secret) = moto.enforce(&["ec2:DescribeInstances"]);
    let run = Home::with(&moto).keys(&id, &secret).run(&["fleet", "--json", "--source-ip", CLIENT]).exits(2);
    assert!(run.stdout.contains("ec2:DescribeInstances") && run.stderr.contains("ec2:DescribeInstances"), "{run:?}");
}

#[test]
fn several_profiles_are_looked_at_at_once() {
    let moto = Moto::start();
    moto.ask(&json!({"do": "herd", "count": 2}));
    let home = Home::new().set("AWS_ENDPOINT_URL", &moto.endpoint);
    home.file(
        "aws_config",
        "[profile one]\nregion = us-east-1\naws_access_key_id = testing\naws_secret_access_key = testing\n\
         [profile two]\nregion = eu-west-1\naws_access_key_id = testing\naws_secret_access_key = testing\n",
    );
    for words in [&["--profile", "one,two"][..], &["--profile", "one", "--profile", "two"], &["--all-profiles"]] {
        let arguments = [&["fleet", "--json", "--source-ip", CLIENT, "--region", "us-east-1"], words].concat();
        let mut seen: Vec<String> =
            rows(&home.run(&arguments).exits(0)).iter().map(|row| row["profile"].to_string()).collect();
        seen.sort();
        assert_eq!(seen, ["\"one\"", "\"one\"", "\"two\"", "\"two\""], "{words:?}");
    }
    // Each profile's own Region, where none is named.
    assert_eq!(rows(&home.run(&["fleet", "--json", "--profile", "one,two", "--source-ip", CLIENT]).exits(0)).len(), 2);
    let run = home.run(&["diagnose", "web-1", "--profile", "one,two"]).exits(2);
    assert!(run.stderr.contains("only fleet takes several"), "{run:?}");
}

#[test]
fn a_profile_that_is_named_outranks_the_keys_of_the_environment() {
    let moto = Moto::start();
    moto.ask(&json!({"do": "herd", "count": 2}));
    let (id, secret) = moto.enforce(&["iam:ListUsers"]);
    // Keys that nobody has, as a shell may still hold them.
    let home = Home::with(&moto).keys("AKIA0123456789ABCDEF", "none");
    let profile = |settings: &str| format!("[profile one]\nregion = us-east-1\n{settings}");
    home.file("aws_config", profile(&format!("aws_access_key_id = {id}\naws_secret_access_key = {secret}\n")));
    let words = ["fleet", "--json", "--source-ip", CLIENT, "--profile", "one"];
    assert_eq!(rows(&home.run(&words).exits(0)).len(), 2);
    // One without credentials of its own goes with those of the environment.
    home.file("aws_config", profile(""));
    home.run(&words).exits(2);
}

#[test]
fn bad_words_are_refused_with_a_sentence() {
    let home = Home::new();
    for words in [
        &["fleet", "--json", "--csv"][..],
        &["fleet", "--inside-tag", "web", "--region", "us-east-1"],
        &["fleet", "--all-profiles"],
        &["fleet"],
    ] {
        let run = home.run(words).exits(2);
        assert!(run.stderr.len() > 40, "{words:?}: {run:?}");
    }
}

fn fleet(lab: &Serving, more: &[&str]) -> Run {
    lab.home.run(&[&["fleet", "-F", &lab.config, "--source-ip", &lab.source], more].concat())
}

#[test]
fn the_practice_account_is_told_as_its_lessons_have_it() {
    let lab = serve(&[]);
    let all = rows(&fleet(&lab, &["--json"]).exits(0));
    assert!(all.len() > 140, "{} rows", all.len());
    let of = |name: &str| all.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    let said = |name: &str| {
        let row = of(name);
        let word = |field: &str| row[field].as_str().unwrap_or("-").to_owned();
        ["reachable", "cause", "certainty", "door"].map(word).join(" ")
    };
    for (name, expected) in [
        ("web-healthy", "yes - proven ssh"),
        ("web-timeout", "no sg-no-rule proven ssm"),
        ("web-refused", "no sshd-not-listening proven ssm"),
        ("web-nacl", "no nacl-inbound-deny proven ssm"),
        ("web-behind", "unknown - - -"),
    ] {
        assert_eq!(said(name), expected, "{}", of(name));
    }
    // The fleet and a diagnosis of one instance name the same cause.
    for name in ["web-moved", "web-noroute", "web-windows"] {
        let report = lab.diagnose(name);
        let first = report.causes().into_iter().next().unwrap_or_default();
        let row = of(name);
        let cause = format!("{} {}", row["cause"].as_str().unwrap_or("-"), row["certainty"].as_str().unwrap_or("-"));
        assert_eq!(cause, first, "{name}");
    }
    let csv = fleet(&lab, &["--csv", "--no-probe"]).exits(0);
    let lines: Vec<&str> = csv.stdout.lines().collect();
    assert_eq!(lines.len(), all.len() + 1);
    assert_eq!(lines[0], port22::core::fleet::CSV_HEADER);
    let healthy = lines.iter().find(|line| line.contains(",web-healthy,")).expect("web-healthy");
    assert!(healthy.contains(",yes,ssh,,likely,"), "{healthy}");
    let table = fleet(&lab, &["--no-probe", "--ascii"]).exits(0);
    assert!(table.stdout.contains(" x No security group rule lets your address in"), "{}", table.stdout);
    assert!(table.stdout.is_ascii() && table.stderr.is_empty(), "{}", table.stderr);
}

#[test]
fn the_practice_account_is_looked_into_by_commands_for_many() {
    let lab = serve(&["--transition", "200"]);
    let all = rows(&fleet(&lab, &["--json", "--no-probe", "--inside"]).exits(0));
    let of = |name: &str| all.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    for (name, cause) in [("web-config", "sshd-config-invalid"), ("web-hostkeys", "hostkeys-missing")] {
        assert_eq!((&of(name)["cause"], &of(name)["certainty"]), (&cause.into(), &"proven".into()), "{}", of(name));
    }
    let looked = all.iter().filter(|row| row["detail"].as_str().is_some_and(|d| d.contains("; looked inside"))).count();
    assert!(looked > 80, "{looked}");
    // The one that may not be touched is told, and spoils no other.
    let refused: Vec<&Value> =
        all.iter().filter(|row| row["detail"].as_str().is_some_and(|d| d.contains("could not look inside"))).collect();
    assert!(!refused.is_empty() && refused.len() < 10, "{refused:?}");
    assert!(refused.iter().all(|row| row["detail"].as_str().is_some_and(|d| d.contains("ssm:SendCommand"))));
}
