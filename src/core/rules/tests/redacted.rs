//! Redacted reports of every case: nothing that tells who and where is left, and what was judged is.

use super::{all_cases, facts, word};
use crate::core::diagnosis::judge;
use crate::core::report::{self, Run};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What must not be found in a report, read from the facts by other means than the program's own: every address, every
/// resource id, the account, names, and files of the client.
fn secrets_of(facts: &crate::core::facts::Facts) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    gather(&serde_json::to_value(facts).unwrap(), "", &mut out);
    let instance = facts.instance();
    out.extend(instance.map(|i| i.id.clone()));
    out.extend(instance.and_then(|i| i.name.clone()));
    out.extend(facts.aws.caller.value().map(|c| c.account.clone()));
    out.extend(facts.local.keys.iter().map(|k| k.path.clone()));
    out.extend(facts.aws.groups.value().into_iter().flatten().map(|g| g.name.clone()));
    // Names that say nothing about anybody.
    out.retain(|s| s.len() > 2 && !["default", "ubuntu", "0.0.0.0", "127.0.0.1", "::1"].contains(&s.as_str()));
    out
}

fn gather(value: &Value, field: &str, out: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let ip = text.split('/').next().and_then(|t| t.parse::<IpAddr>().ok());
            let id = ["i-", "vpc-", "subnet-", "sg-", "sgr-", "eni-", "rtb-", "acl-", "igw-"]
                .iter()
                .any(|p| text.starts_with(p) && text[p.len()..].bytes().all(|b| b.is_ascii_hexdigit()));
            if let Some(ip) = ip.filter(|ip| !ip.is_unspecified()) {
                out.insert(ip.to_string());
            } else if id || ["public_dns", "private_dns"].contains(&field) {
                out.insert(text.clone());
            }
        }
        Value::Array(all) => all.iter().for_each(|v| gather(v, field, out)),
        Value::Object(all) => all.iter().for_each(|(f, v)| gather(v, f, out)),
        _ => {}
    }
}

/// Whether a text has a word; part of a longer one is another word.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric());
        let after = text[at + word.len()..].chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        !before && !after
    })
}

/// The texts that the facts made, without the catalogue's own words and ids.
fn seen(json: &Value) -> String {
    let mut json = json.clone();
    for cause in json["causes"].as_array_mut().unwrap() {
        for fixed in ["id", "title", "fixes", "layer", "certainty"] {
            cause.as_object_mut().unwrap().remove(fixed);
        }
    }
    for check in json["checks"].as_array_mut().unwrap() {
        check.as_object_mut().unwrap().remove("id");
    }
    json["tree"] = Value::Null;
    json["target"]["region"] = Value::Null;
    json.to_string()
}

#[test]
fn no_identifier_of_any_case_survives_and_the_judgement_does() {
    let mut wrong = Vec::new();
    let mut looked_for = 0;
    for (name, case) in all_cases() {
        let facts = facts(&case);
        let diagnosis = judge(&facts);
        let plain = Run::default();
        let hidden = Run { redacted: true, ..Run::default() };
        let (open, json) = (report::json(&facts, &diagnosis, &plain), report::json(&facts, &diagnosis, &hidden));
        let text = report::text(&facts, &diagnosis, &hidden, true);
        let markdown = report::markdown(&facts, &diagnosis, &hidden);
        for secret in secrets_of(&facts) {
            looked_for += usize::from(has_word(&open.to_string(), &secret));
            // A name that is also a word of the program is looked for where the facts speak.
            let plain_word = secret.bytes().all(|b| b.is_ascii_lowercase());
            let escaped = secret.replace('_', "\\_");
            for (form, said) in [("json", seen(&json)), ("text", text.clone()), ("markdown", markdown.clone())] {
                if (has_word(&said, &secret) || has_word(&said, &escaped)) && !(plain_word && form != "json") {
                    wrong.push(format!("{name}: {form} tells {secret}"));
                }
            }
        }
        let ids = |json: &Value| -> Vec<String> {
            json["causes"].as_array().unwrap().iter().map(|c| format!("{} {}", c["id"], c["certainty"])).collect()
        };
        let verdicts = |json: &Value| -> Vec<String> {
            json["checks"].as_array().unwrap().iter().map(|c| format!("{} {}", c["id"], c["verdict"])).collect()
        };
        if ids(&open) != ids(&json)
            || verdicts(&open) != verdicts(&json)
            || open["target"]["port"] != json["target"]["port"]
        {
            wrong.push(format!("{name}: the judgement is another one"));
        }
        assert_eq!(word(&diagnosis.overall), json["verdict"].as_str().unwrap_or_default());
    }
    assert!(wrong.is_empty(), "{} of {looked_for}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(looked_for > 300, "the cases name only {looked_for} identifiers in their reports");
}
