//! Runs the cases of `tests/cases/rules`: facts in a few lines, and what has to be judged from them.

mod case;
mod contract;
mod redacted;

use crate::core::cause::Certainty;
use crate::core::diagnosis::{Diagnosis, judge};
use crate::core::fact::Fact;
use crate::core::facts::Facts;
use case::{Case, File, facts};

const FILES: &[(&str, &str)] = &[
    ("local", include_str!("../../../tests/cases/rules/local.toml")),
    ("auth", include_str!("../../../tests/cases/rules/auth.toml")),
    ("instance", include_str!("../../../tests/cases/rules/instance.toml")),
    ("wire", include_str!("../../../tests/cases/rules/wire.toml")),
    ("client", include_str!("../../../tests/cases/rules/client.toml")),
    ("agent", include_str!("../../../tests/cases/rules/agent.toml")),
    ("config", include_str!("../../../tests/cases/rules/config.toml")),
    ("jump", include_str!("../../../tests/cases/rules/jump.toml")),
    ("crypto", include_str!("../../../tests/cases/rules/crypto.toml")),
    ("hostkey", include_str!("../../../tests/cases/rules/hostkey.toml")),
    ("together", include_str!("../../../tests/cases/rules/together.toml")),
    ("inside/files", include_str!("../../../tests/cases/inside/files.toml")),
    ("inside/account", include_str!("../../../tests/cases/inside/account.toml")),
    ("inside/server", include_str!("../../../tests/cases/inside/server.toml")),
    ("host", include_str!("../../../tests/cases/rules/host.toml")),
    ("ssm", include_str!("../../../tests/cases/rules/ssm.toml")),
    ("iam", include_str!("../../../tests/cases/rules/iam.toml")),
    ("doors", include_str!("../../../tests/cases/rules/doors.toml")),
    ("windows", include_str!("../../../tests/cases/rules/windows.toml")),
    ("icmp", include_str!("../../../tests/cases/rules/icmp.toml")),
    ("shapes", include_str!("../../../tests/cases/rules/shapes.toml")),
];

fn all_cases() -> Vec<(String, Case)> {
    let read = |(file, text): (&str, &str)| {
        let cases: File = toml::from_str(text).unwrap_or_else(|e| panic!("{file}: {e}"));
        cases.case.into_iter().map(move |c| (format!("{file}: {}", c.name), c)).collect::<Vec<_>>()
    };
    FILES.iter().copied().flat_map(read).collect()
}

fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap_or_default().to_owned()
}

fn listed(diagnosis: &Diagnosis) -> Vec<String> {
    diagnosis.causes.iter().map(|f| format!("{} {}", f.id, word(&f.certainty))).collect()
}

/// What is wrong about a case; empty when nothing is.
fn complaints(case: &Case) -> Vec<String> {
    let facts = facts(case);
    let diagnosis = judge(&facts);
    let mut wrong = Vec::new();
    let mut differs = |what: &str, got: &str, wanted: &str| {
        if got != wanted {
            wrong.push(format!("{what} is {got:?}, expected {wanted:?}"));
        }
    };
    let got = listed(&diagnosis);
    if let Some(first) = &case.first {
        differs("first cause", got.first().map_or("none", String::as_str), first);
    }
    if let Some(causes) = &case.causes {
        differs("causes", &got.join(", "), &causes.join(", "));
    }
    differs("verdict", &word(&diagnosis.overall), &case.verdict);
    if let Some(symptom) = &case.seen {
        differs("symptom", diagnosis.symptom.as_deref().unwrap_or("none"), symptom);
    }
    for (id, verdict) in &case.checks {
        let got = diagnosis.checks.iter().find(|c| &c.id == id).map(|c| word(&c.verdict)).unwrap_or_default();
        differs(&format!("check {id}"), &got, verdict);
    }
    for (id, state) in &case.doors {
        let got = diagnosis.doors.iter().find(|d| &d.id == id).map(|d| word(&d.state)).unwrap_or_default();
        differs(&format!("door {id}"), &got, state);
    }
    if let Some(id) = &case.way_in {
        let open = diagnosis.doors.iter().find(|d| word(&d.state) == "open").map_or("none", |d| d.id.as_str());
        differs("first open door", open, id);
    }
    for (id, state) in &case.hops {
        let got = diagnosis.path.iter().find(|h| &word(&h.hop) == id).map(|h| word(&h.state)).unwrap_or_default();
        differs(&format!("hop {id}"), &got, state);
    }
    if let Some(end) = &case.leaf {
        differs("leaf", diagnosis.tree.last().map_or("none", |s| s.at.as_str()), end);
    }
    if let Some(user) = &case.suggests {
        differs("suggested user", super::suggested_user(&facts).as_deref().unwrap_or("none"), user);
    }
    if let Some(users) = &case.tries {
        differs("users to try", &super::users_to_try(&facts).join(" "), users);
    }
    for id in &case.never {
        if let Some(found) = got.iter().find(|f| f.split(' ').next() == Some(id)) {
            wrong.push(format!("{found} must not be named"));
        }
    }
    let said: Vec<&str> = diagnosis
        .causes
        .iter()
        .flat_map(|c| &c.evidence)
        .map(|e| e.text.as_str())
        .chain(diagnosis.checks.iter().map(|c| c.reason.as_str()))
        .chain(diagnosis.checks.iter().flat_map(|c| &c.evidence).map(|e| e.text.as_str()))
        .chain(diagnosis.doors.iter().map(|d| d.why.as_str()))
        .collect();
    for piece in &case.says {
        if !said.iter().any(|text| text.contains(piece)) {
            wrong.push(format!("nothing says {piece:?}: {said:?}"));
        }
    }
    wrong.extend(careless(&diagnosis));
    wrong.extend(contract::broken(&facts, &diagnosis));
    wrong
}

/// What no diagnosis may show.
fn careless(diagnosis: &Diagnosis) -> Vec<String> {
    let mut wrong = Vec::new();
    for cause in &diagnosis.causes {
        if cause.evidence.is_empty()
            || cause.evidence.iter().any(|e| e.text.trim().is_empty() || e.source.trim().is_empty())
        {
            wrong.push(format!("{} has evidence without text or source: {:?}", cause.id, cause.evidence));
        }
        if cause.certainty < Certainty::Proven && cause.would_prove.is_none() {
            wrong.push(format!("{} does not say what would prove it", cause.id));
        }
        if cause.certainty == Certainty::Proven && cause.would_prove.is_some() {
            wrong.push(format!("{} is proven, and says what would prove it", cause.id));
        }
    }
    let mut ids: Vec<&str> = diagnosis.causes.iter().map(|c| c.id.as_str()).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        wrong.push("a cause is named twice".to_owned());
    }
    wrong
}

#[test]
fn every_case_is_judged_as_it_should_be() {
    let cases = all_cases();
    assert!(cases.len() > 90, "only {} cases were read", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .flat_map(|(name, case)| complaints(case).into_iter().map(move |c| format!("{name}: {c}")))
        .collect();
    assert!(wrong.is_empty(), "{} complaints:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every cause of these rules is raised by a case, and in some case with the highest certainty that it can have.
#[test]
fn every_cause_of_these_rules_has_a_case() {
    let mut raised: Vec<String> = all_cases().iter().flat_map(|(_, c)| judge(&facts(c)).causes).map(|c| c.id).collect();
    raised.sort();
    raised.dedup();
    let sources = [
        include_str!("local.rs"),
        include_str!("auth.rs"),
        include_str!("instance.rs"),
        include_str!("wire.rs"),
        include_str!("agent.rs"),
        include_str!("config.rs"),
        include_str!("host_key.rs"),
        include_str!("launch_key.rs"),
        include_str!("session.rs"),
        include_str!("user.rs"),
        include_str!("versions.rs"),
        include_str!("inside/account.rs"),
        include_str!("inside/files.rs"),
        include_str!("inside/gate.rs"),
        include_str!("inside/lines.rs"),
        include_str!("inside/log.rs"),
        include_str!("inside/room.rs"),
        include_str!("inside/server.rs"),
        include_str!("looking.rs"),
        include_str!("machine.rs"),
        include_str!("root.rs"),
        include_str!("contained.rs"),
        include_str!("gates.rs"),
        include_str!("lost.rs"),
        include_str!("ssm.rs"),
        include_str!("ssm/role.rs"),
        include_str!("ssm/egress.rs"),
        include_str!("connect.rs"),
        include_str!("tunnel.rs"),
        include_str!("serial.rs"),
        include_str!("windows.rs"),
        include_str!("ping.rs"),
    ];
    // Passed over: only a repair can tell it.
    let named =
        |id: &str| id != "change-not-yet-effective" && sources.iter().any(|text| text.contains(&format!("\"{id}\"")));
    let missing: Vec<&String> =
        crate::core::catalogue::get().causes.keys().filter(|id| named(id) && !raised.contains(id)).collect();
    assert!(missing.is_empty(), "no case raises {missing:?}");
}

/// Takes the facts of every case away one by one: nothing becomes proven because less is known.
#[test]
fn a_missing_fact_never_makes_a_proof() {
    type Take = (&'static str, fn(&mut Facts) -> bool);
    let takes: &[Take] = &[
        ("inside", |f| std::mem::take(&mut f.inside).is_known()),
        ("status", |f| std::mem::take(&mut f.aws.status).is_known()),
        ("image", |f| std::mem::take(&mut f.aws.image).is_known()),
        ("key pair", |f| std::mem::take(&mut f.aws.key_pair).is_known()),
        ("console", |f| std::mem::take(&mut f.aws.console).is_known()),
        ("ssm", |f| std::mem::take(&mut f.aws.ssm).is_known()),
        ("groups", |f| std::mem::take(&mut f.aws.groups).is_known()),
        ("launched", |f| match &mut f.aws.instance {
            Fact::Known { value, .. } => value.launched.take().is_some(),
            _ => false,
        }),
        ("known hosts", |f| std::mem::take(&mut f.local.known_hosts).is_known()),
        ("ssh version", |f| std::mem::take(&mut f.local.ssh_version).is_known()),
        ("metrics", |f| std::mem::take(&mut f.host.metrics).is_known()),
        ("credit mode", |f| std::mem::take(&mut f.host.credit_mode).is_known()),
        ("volumes", |f| std::mem::take(&mut f.host.volumes).is_known()),
        ("automations", |f| std::mem::take(&mut f.host.automations).is_known()),
        ("host management", |f| std::mem::take(&mut f.doors.host_management).is_known()),
        ("role", |f| std::mem::take(&mut f.doors.role).is_known()),
        ("policies", |f| std::mem::take(&mut f.doors.policies).is_known()),
        ("endpoints", |f| std::mem::take(&mut f.doors.endpoints).is_known()),
        ("endpoint groups", |f| std::mem::take(&mut f.doors.endpoint_groups).is_known()),
        ("route tables", |f| std::mem::take(&mut f.aws.route_tables).is_known()),
    ];
    let proven = |facts: &Facts| -> Vec<String> {
        judge(facts).causes.into_iter().filter(|c| c.certainty == Certainty::Proven).map(|c| c.id).collect()
    };
    for (name, case) in all_cases() {
        let full = facts(&case);
        let before = proven(&full);
        let works = judge(&full).overall == crate::core::diagnosis::Overall::Healthy;
        for (what, take) in takes {
            let mut less = full.clone();
            if !take(&mut less) {
                continue;
            }
            let new: Vec<String> = proven(&less).into_iter().filter(|id| !before.contains(id)).collect();
            // Without the console log a changed host key is no longer verified, which is less.
            let new: Vec<String> = new.into_iter().filter(|id| id != "host-key-changed-unverified").collect();
            // Without the look inside nobody knows why nothing listens: the same cause in fewer words.
            let new: Vec<String> =
                new.into_iter().filter(|id| *what != "inside" || id != "sshd-not-listening").collect();
            // And with less explained, more is told of what could not be looked at.
            let looking = |id: &String| super::rank::stage(id) == super::rank::Stage::Looking;
            let new: Vec<String> = new.into_iter().filter(|id| !looking(id)).collect();
            assert!(works || new.is_empty(), "{name}: without {what}, {new:?} are proven");
        }
    }
}

/// The walk ends at a leaf for every symptom, whatever the checks say.
#[test]
fn every_walk_ends_at_a_leaf() {
    use crate::core::check::{CheckResult, Verdict};
    let verdicts = [Verdict::Pass, Verdict::Fail, Verdict::CannotTell, Verdict::Skipped, Verdict::NotApplicable];
    let symptoms =
        crate::core::catalogue::get().symptoms.keys().map(|s| Some(s.as_str())).chain([None, Some("nobody-knows")]);
    for symptom in symptoms {
        for seed in 0..500_usize {
            let check = |(nth, (id, _)): (usize, &(&str, _))| CheckResult {
                verdict: verdicts[(seed * 7 + nth * (seed % 11 + 1) + seed / 5) % 5],
                ..CheckResult::unclear(id, "-")
            };
            let checks: Vec<CheckResult> = super::CHECKS.iter().enumerate().map(check).collect();
            let steps = super::walk::walk(&super::View::new(&Facts::default()), symptom, &checks, &[]);
            let end = steps.last().unwrap();
            assert!(end.verdict.is_none() && end.at.contains(':'), "{symptom:?}: ends at {end:?}");
            assert!(steps[..steps.len() - 1].iter().all(|s| s.verdict.is_some()), "{symptom:?}");
        }
    }
}

#[test]
fn a_change_needs_some_seconds_and_no_more() {
    let said = |changed_at, now, reads, probe| super::looking::not_yet_effective(changed_at, now, reads, probe);
    assert_eq!(said(100, 110, true, true).unwrap().certainty, Certainty::Likely);
    assert_eq!(said(100, 130, true, true), None, "half a minute is enough");
    assert_eq!(said(100, 110, false, true), None, "the change was not made");
    assert_eq!(said(100, 110, true, false), None, "it works already");
    assert_eq!(said(100, 90, true, true), None, "the clock went back");
}

#[test]
fn a_denied_repair_names_who_can_lift_the_denial() {
    let id = |reason| super::looking::denied_fix("ec2:StopInstances", reason).id;
    assert_eq!(id("because no identity-based policy allows the ec2:StopInstances action"), "iam-denied-fix");
    assert_eq!(id(""), "iam-denied-fix");
    assert_eq!(id("with an explicit deny in a service control policy"), "scp-or-boundary-deny");
    assert_eq!(id("because no permissions boundary allows the ec2:StopInstances action"), "scp-or-boundary-deny");
}

#[test]
fn a_repair_by_user_data_has_ten_minutes_to_leave_its_mark() {
    let said = |console, now| super::gates::repair_left_no_mark(console, "a1b2", 1000, now);
    let certainty = |console, now| said(console, now).map(|f| f.certainty);
    assert_eq!(said(Some("login:"), 1599), None, "there is still time");
    assert_eq!(certainty(Some("login:"), 1600), Some(Certainty::Likely));
    assert_eq!(certainty(Some("sshfix[zzzz] OK x"), 1600), Some(Certainty::Likely), "another repair's mark");
    assert_eq!(said(Some("x\nsshfix[a1b2] OK drwx------"), 1600), None);
    assert_eq!(certainty(Some("cloud-init: sshfix[a1b2] FAIL symlink"), 1010), Some(Certainty::Proven));
    assert_eq!(said(None, 9999), None, "without a console log nothing is known");
}

/// Step by step and at once, a diagnosis comes to the same causes.
#[test]
fn the_walk_ends_where_the_judgement_does() {
    for (name, case) in all_cases() {
        let diagnosis = judge(&facts(&case));
        let end = diagnosis.tree.last().map(|s| s.at.clone()).unwrap_or_default();
        let found: Vec<String> = diagnosis.causes.iter().map(|c| format!("cause:{}", c.id)).collect();
        let proven = diagnosis.causes.iter().any(|c| c.certainty == Certainty::Proven);
        match diagnosis.overall {
            // Where nothing is proven yet, the walk may end at the door to look further.
            crate::core::diagnosis::Overall::CauseFound => {
                assert!(found.contains(&end) || (!proven && end.starts_with("door:")), "{name}: {end}, {found:?}");
            }
            _ => assert!(!end.starts_with("cause:") || found.is_empty() || !proven, "{name}: {end}, {found:?}"),
        }
    }
}

/// Whatever is asked about: the report keeps its contract, and another door neither explains nor precedes the login's cause.
#[test]
fn no_question_breaks_the_report_or_the_order() {
    use super::rank::{Stage, stage};
    use crate::core::diagnosis::Overall;
    let aside = |id: &str| matches!(stage(id), Stage::Door | Stage::Obstacle);
    for (nth, (name, case)) in all_cases().into_iter().enumerate() {
        let told = facts(&case);
        let symptoms = ["ssm_not_connected", "eic_error", "rdp_error", "ping_failure", "aws_credentials"];
        for symptom in ["timeout", symptoms[nth % 5]] {
            let mut asked = Facts { symptom: Some(symptom.to_owned()), ..told.clone() };
            asked.wire.port = asked.wire.port.map(|_| asked.port());
            let diagnosis = judge(&asked);
            let wrong: Vec<String> =
                careless(&diagnosis).into_iter().chain(contract::broken(&asked, &diagnosis)).collect();
            assert!(wrong.is_empty(), "{name}, {symptom}: {wrong:?}");
            if symptom != "timeout" {
                continue;
            }
            let ids: Vec<&str> = diagnosis.causes.iter().map(|c| c.id.as_str()).collect();
            let last = ids.iter().rposition(|id| !aside(id)).map_or(0, |at| at + 1);
            assert!(ids[..last].iter().all(|id| !aside(id)), "{name}: {ids:?}");
            let login = diagnosis.causes.iter().any(|c| !aside(&c.id) && c.certainty >= Certainty::Likely);
            assert!(diagnosis.overall != Overall::CauseFound || login, "{name}: {ids:?}");
        }
    }
}
