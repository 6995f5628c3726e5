//! Runs the cases of `tests/cases/vpc`: a network in a few lines, and what has to be said about it.

pub(in crate::core::rules) mod case;

use super::{checks, findings, hops};
use crate::core::fact::{Fact, Why};
use case::{Case, File, facts};

const FILES: [(&str, &str); 8] = [
    ("healthy", include_str!("../../../../tests/cases/vpc/healthy.toml")),
    ("security-group", include_str!("../../../../tests/cases/vpc/security-group.toml")),
    ("nacl", include_str!("../../../../tests/cases/vpc/nacl.toml")),
    ("route", include_str!("../../../../tests/cases/vpc/route.toml")),
    ("address", include_str!("../../../../tests/cases/vpc/address.toml")),
    ("private", include_str!("../../../../tests/cases/vpc/private.toml")),
    ("interfaces", include_str!("../../../../tests/cases/vpc/interfaces.toml")),
    ("probe", include_str!("../../../../tests/cases/vpc/probe.toml")),
];

#[test]
fn a_probe_without_an_answer_brings_no_address() {
    let case = toml::from_str::<File>("[[case]]\nname = \"x\"\nsource = \"198.51.100.7\"\nfindings = []\n")
        .unwrap()
        .case
        .remove(0);
    let mut facts = facts(&case);
    facts.wire.address = Some("0.0.0.0".parse().unwrap());
    facts.wire.port = Some(0);
    facts.wire.tcp = Fact::unknown(Why::needs("an address"));
    assert_eq!(findings(&facts), []);
    assert_eq!(crate::core::vpc::flow_of(&facts).address, Some("203.0.113.7".parse().unwrap()));
}

#[test]
fn the_rule_of_the_former_address_is_told_for_the_fix() {
    let text = "[[case]]\nname = \"x\"\nsource = \"198.51.100.7\"\nfindings = []\ninbound = [\"tcp 443 0.0.0.0/0\", \"tcp 22 192.0.2.4/32 bob's ip\", \"tcp 22 192.0.2.9/32 natalie\"]\n";
    let case = toml::from_str::<File>(text).unwrap().case.remove(0);
    let rule = super::former_rule(&facts(&case)).and_then(|r| r.rule.rule_id);
    assert_eq!(rule.as_deref(), Some("sgr-sg-web-1"));
}

fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap_or_default().to_owned()
}

/// What is wrong about a case; empty when nothing is.
fn complaints(case: &Case) -> Vec<String> {
    let facts = facts(case);
    let mut wrong = Vec::new();
    let found = findings(&facts);
    let got: Vec<String> = found.iter().map(|f| format!("{} {}", f.id, word(&f.certainty))).collect();
    if got != case.findings {
        wrong.push(format!("findings {got:?}, expected {:?}", case.findings));
    }
    let evidence: Vec<String> =
        found.iter().flat_map(|f| &f.evidence).map(|e| format!("{} [{}]", e.text, e.source)).collect();
    let all = checks(&facts);
    let reasons: Vec<&str> = all.iter().map(|c| c.reason.as_str()).collect();
    for piece in &case.says {
        if !evidence.iter().map(String::as_str).chain(reasons.iter().copied()).any(|text| text.contains(piece)) {
            wrong.push(format!("nothing says {piece:?}: {evidence:?} {reasons:?}"));
        }
    }
    for (id, verdict) in &case.checks {
        let got = all.iter().find(|c| &c.id == id).map(|c| word(&c.verdict));
        if got.as_ref() != Some(verdict) {
            wrong.push(format!("check {id} is {got:?}, expected {verdict}"));
        }
    }
    let way = hops(&facts);
    for (id, state) in &case.hops {
        let got = way.iter().find(|h| &word(&h.hop) == id).map(|h| word(&h.state));
        if got.as_ref() != Some(state) {
            wrong.push(format!("hop {id} is {got:?}, expected {state}"));
        }
    }
    for finding in &found {
        if finding.evidence.is_empty() || finding.evidence.iter().any(|e| e.text.is_empty() || e.source.is_empty()) {
            wrong.push(format!("{} has no evidence", finding.id));
        }
        if finding.certainty < crate::core::cause::Certainty::Proven && finding.would_prove.is_none() {
            wrong.push(format!("{} does not say what would prove it", finding.id));
        }
    }
    wrong
}

#[test]
fn every_case_is_judged_as_it_should_be() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (file, text) in FILES {
        let cases: File = toml::from_str(text).unwrap_or_else(|e| panic!("{file}: {e}"));
        for case in &cases.case {
            count += 1;
            wrong.extend(complaints(case).into_iter().map(|c| format!("{file}: {}: {c}", case.name)));
        }
    }
    assert!(count > 70, "only {count} cases were read");
    assert!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every case with its facts taken away one by one: a proof never appears because less is known.
#[test]
fn a_missing_fact_never_makes_a_proof() {
    for (file, text) in FILES {
        let cases: File = toml::from_str(text).unwrap_or_else(|e| panic!("{file}: {e}"));
        for mut case in cases.case {
            let proven = |case: &Case| -> Vec<String> {
                let all = findings(&facts(case)).into_iter();
                all.filter(|f| f.certainty == crate::core::cause::Certainty::Proven).map(|f| f.id).collect()
            };
            let before = proven(&case);
            for name in ["groups", "acls", "route_tables", "internet_gateways", "subnet", "interfaces", "prefix_lists"]
            {
                case.denied.push(name.to_owned());
                let after = proven(&case);
                assert!(
                    after.iter().all(|id| before.contains(id)),
                    "{file}: {}: without {name}: {after:?}, before {before:?}",
                    case.name
                );
                case.denied.pop();
            }
        }
    }
}

/// Every case with a connection made: the packet arrived, so nothing on the way can be the cause.
#[test]
fn a_packet_that_arrived_clears_the_network() {
    for (file, text) in FILES {
        let cases: File = toml::from_str(text).unwrap_or_else(|e| panic!("{file}: {e}"));
        for mut case in cases.case {
            for outcome in ["connected", "refused"] {
                case.tcp = Some(outcome.to_owned());
                let view = super::View::new(&facts(&case)).probe;
                if !matches!(view, super::Probe::Arrived(_)) {
                    continue;
                }
                let facts = facts(&case);
                assert_eq!(findings(&facts), [], "{file}: {}", case.name);
                assert!(hops(&facts).iter().all(|h| word(&h.state) == "open"), "{file}: {}", case.name);
                assert!(checks(&facts).iter().all(|c| word(&c.verdict) != "fail"), "{file}: {}", case.name);
            }
        }
    }
}
