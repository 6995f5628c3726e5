//! The contract of `diagnose --json`, schema 1: fields, their words, and what goes together.

use crate::core::catalogue;
use crate::core::diagnosis::Diagnosis;
use crate::core::facts::Facts;
use crate::core::report::{Run, json};
use serde_json::Value;

fn one_of(value: &Value, words: &[&str]) -> bool {
    value.as_str().is_some_and(|text| words.contains(&text))
}

/// What breaks the contract; empty when nothing does.
pub(super) fn broken(facts: &Facts, diagnosis: &Diagnosis) -> Vec<String> {
    let report = json(facts, diagnosis, &Run::default());
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("contract: {what}"));
        }
    };
    must(report["schema"] == 1, "schema is 1");
    must(report["tool"].as_str().is_some_and(|t| t.starts_with("port22 ")), "tool is named");
    for field in ["instance_id", "name", "address", "port", "user", "keys", "source_ip", "region", "account"] {
        must(report["target"].get(field).is_some(), &format!("target has {field}"));
    }
    must(report["target"]["port"].is_u64() && report["target"]["keys"].is_array(), "port is a number, keys is a list");
    must(one_of(&report["verdict"], &["cause_found", "healthy", "inconclusive"]), "verdict is one of three words");
    must(
        report["symptom"].as_str().is_some_and(|s| catalogue::get().symptoms.contains_key(s)),
        &format!("symptom {} is known", report["symptom"]),
    );
    must(report["api_calls"].is_u64() && report["millis"].is_u64(), "api_calls and millis are numbers");
    let list = |name: &str| report[name].as_array().cloned().unwrap_or_default();
    for cause in list("causes") {
        let id = cause["id"].as_str().unwrap_or_default().to_owned();
        must(catalogue::get().causes.contains_key(&id), &format!("cause {id} is in the catalogue"));
        must(one_of(&cause["certainty"], &["proven", "likely", "possible"]), "certainty is one of three words");
        must(
            cause["layer"].as_str().is_some_and(|l| !l.is_empty())
                && cause["title"].as_str().is_some_and(|t| !t.is_empty()),
            "a cause has layer and title",
        );
        for evidence in cause["evidence"].as_array().into_iter().flatten() {
            must(evidence["text"].is_string() && evidence["source"].is_string(), "evidence has text and source");
        }
        for fix in cause["fixes"].as_array().into_iter().flatten() {
            must(
                fix["id"].is_string()
                    && one_of(&fix["risk"], &["low", "medium", "high"])
                    && fix["downtime"].is_boolean()
                    && fix["reversible"].is_boolean(),
                "a fix has id, risk, downtime, reversible",
            );
        }
        must(cause["fixes"].is_array(), "fixes is a list");
    }
    let checks = list("checks");
    must(checks.len() == super::super::CHECKS.len(), "every check is listed");
    for check in checks {
        let words = ["pass", "fail", "cannot_tell", "skipped", "not_applicable"];
        must(
            one_of(&check["verdict"], &words) && check["millis"].is_u64() && check["evidence"].is_array(),
            "a check has verdict, millis, evidence",
        );
        must(check["reason"].as_str().is_some_and(|r| !r.is_empty()), &format!("check {} has a reason", check["id"]));
        must(
            check["id"].as_str().is_some_and(|id| catalogue::get().checks.contains_key(id)),
            &format!("check {} is in the catalogue", check["id"]),
        );
    }
    let hops: Vec<String> = list("path").iter().map(|h| h["hop"].as_str().unwrap_or_default().to_owned()).collect();
    must(
        hops == ["client", "internet", "igw", "route", "nacl", "security_group", "eni", "sshd", "auth"],
        &format!("the path has all hops in order: {hops:?}"),
    );
    for hop in list("path") {
        must(
            one_of(&hop["state"], &["open", "blocked", "unknown", "not_reached"]) && hop["detail"].is_string(),
            "a hop has state and detail",
        );
    }
    must(list("tree").iter().all(Value::is_string) && !list("tree").is_empty(), "tree is a list of steps");
    for door in list("doors") {
        must(
            one_of(&door["state"], &["open", "closed", "unknown"])
                && door["why"].as_str().is_some_and(|w| !w.is_empty())
                && door["cost"].is_string(),
            "a door has state, why and cost",
        );
    }
    let explained = list("causes").iter().any(|c| one_of(&c["certainty"], &["proven", "likely"]));
    must(report["verdict"] != "cause_found" || explained, "a cause that is found is likely or proven");
    must(report["verdict"] != "healthy" || list("causes").is_empty(), "a login that works has no cause");
    if report["verdict"] == "healthy" {
        must(list("path").iter().all(|h| h["state"] != "blocked"), "a login that works has no blocked hop");
    }
    wrong
}
