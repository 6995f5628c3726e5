//! What a lesson of the practice account names as its fix brings its login back, applied there. Where it names a shell, the
//! serial console or nothing, the cause's commands by hand are the way.

use crate::lab_cli::{Serving, serve};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Mutex;

/// Fixes that are no plan: doors, or nothing.
const BY_HAND: &[&str] = &["none", "ssm-shell", "serial-console"];
/// Symptoms that are no login by ssh: of these lessons the cause must be gone.
const OTHER_DOORS: &[&str] = &["rdp_error", "ssm_not_connected", "ssm_plugin_missing", "ping_failure", "eic_error"];
/// What a lesson needs to be told besides, and why.
const MORE: &[(&str, &[&str])] = &[
    // Somebody set it on purpose.
    ("web-protected", &["--choose", "stop-protection=lift"]),
    // What the story lets one find out.
    ("web-eicuser", &["-l", "ec2-user"]),
    ("web-renamed", &["-l", "deployer"]),
    // Nobody vouches for the key but the instance itself.
    ("web-hostkeynew", &["--inside"]),
];
/// Where the fix belongs to another host of the lesson.
const AT: &[(&str, &str)] = &[("web-jump", "web-bastion")];
/// Lessons of which other tests see to the fix, in an account of its own each (`rescue_lab`): in a full account several
/// volumes could have been the lost root.
const ELSEWHERE: &[&str] = &["root-volume-rescue"];

/// Fixes that edit the user's own files, which all lessons share: one at a time, as a plan is refused when its file was
/// changed meanwhile.
const OWN_FILES: &[&str] = &["known-hosts-update", "ssh-config-entry"];

/// Lessons whose fix needs what only their reader has or finds out: a second fault behind the first, a key of another type,
/// the port that a look inside tells.
const MORE_STEPS: &[&str] = &["web-twousers", "web-fips", "web-otherport"];

struct Lesson {
    id: String,
    fix: String,
    cause: String,
    symptom: String,
    /// Only a look inside shows the cause.
    inside: bool,
    /// More is wrong than what this fix mends.
    also: bool,
    source: String,
}

fn lessons(lab: &Serving) -> Vec<Lesson> {
    let list = lab.home.run(&["lab", "list", "--json"]).exits(0).json();
    let all = list["scenarios"].as_array().expect("scenarios").clone();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    // One lesson of each fault: it is the fix that is looked at.
    let mut seen = BTreeSet::new();
    let taken = all.iter().filter(|one| one["alone"] != true).filter(|one| {
        let fix = text(one, "fix");
        !BY_HAND.contains(&fix.as_str())
            && !ELSEWHERE.contains(&fix.as_str())
            && !MORE_STEPS.contains(&text(one, "id").as_str())
            && seen.insert((fix, text(one, "cause"), one["inside"] == true))
    });
    taken
        .map(|one| Lesson {
            id: text(one, "id"),
            fix: text(one, "fix"),
            cause: text(one, "cause"),
            symptom: text(one, "symptom"),
            inside: one["inside"] == true,
            also: one["also"].as_array().is_some_and(|also| !also.is_empty()),
            source: text(one, "source_ip"),
        })
        .collect()
}

/// What is wrong with the fix of a lesson.
fn wrong(lab: &Serving, lesson: &Lesson) -> Option<String> {
    let key = lab.key_file("practice.pem");
    let at = AT.iter().find(|(id, _)| *id == lesson.id).map_or(lesson.id.as_str(), |(_, at)| at);
    let mut words = vec!["fix", &lesson.fix, at, "-F", &lab.config, "--source-ip", &lesson.source];
    words.extend(["--yes", "--json", "--timeout", "20"]);
    if matches!(lesson.fix.as_str(), "remote-add-key" | "eic-push-key") {
        words.extend(["-i", &key]);
    }
    if lesson.fix == "ssh-config-entry" {
        // A way through Session Manager would be ssh's own, which a diagnosis cannot go.
        words.extend(["--choose", "door=direct"]);
    }
    if lesson.inside {
        words.push("--inside");
    }
    words.extend(MORE.iter().filter(|(id, _)| *id == lesson.id).flat_map(|(_, more)| more.iter()));
    let run = lab.home.run(&words);
    if run.exit != 0 {
        return Some(format!("{} of {} ends with {}: {}", lesson.fix, lesson.id, run.exit, run.stderr));
    }
    let done = run.json();
    // A converted key is made for another client, which is not here.
    let made = lesson.fix == "key-convert" && done["created"].as_array().is_some_and(|files| !files.is_empty());
    if (done["login_works"] == true && at == lesson.id) || made {
        return None;
    }
    let symptom = ["--symptom", lesson.symptom.as_str(), "--timeout", "20"];
    let after = lab.home.report_of(&lesson.id, &lab.config, &lesson.source, &symptom);
    if after.json["verdict"] == "healthy" {
        return None;
    }
    let gone = !after.causes().iter().any(|cause| cause.starts_with(&format!("{} ", lesson.cause)));
    let partly = lesson.also || OTHER_DOORS.contains(&lesson.symptom.as_str());
    (!(gone && partly)).then(|| format!("{} of {} does not help: {:?}", lesson.fix, lesson.id, after.causes()))
}

#[test]
fn the_fix_that_a_lesson_names_brings_its_login_back() {
    let lab = serve(&["--transition", "60"]);
    let all = lessons(&lab);
    assert!(all.len() > 50, "{}", all.len());
    let (queue, found, own_files) = (Mutex::new(all.iter()), Mutex::new(Vec::new()), Mutex::new(()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some(lesson) = queue.lock().expect("the queue").next() else { return };
                    let own = OWN_FILES.contains(&lesson.fix.as_str());
                    let _one_at_a_time = own.then(|| own_files.lock().expect("the files"));
                    // The list is held only to write into it.
                    let told = wrong(&lab, lesson);
                    found.lock().expect("the list").extend(told);
                }
            });
        }
    });
    let found = found.into_inner().expect("the list");
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), all.len(), found.join("\n"));
}

#[test]
fn a_fix_by_hand_is_told_by_its_cause() {
    let lab = serve(&["--scenario", "web-healthy"]);
    let list = lab.home.run(&["lab", "list", "--json"]).exits(0).json();
    for one in list["scenarios"].as_array().expect("scenarios") {
        let (id, fix) = (one["id"].as_str().expect("an id"), one["fix"].as_str().expect("a fix"));
        if !matches!(fix, "ssm-shell" | "serial-console") {
            continue;
        }
        let cause = one["cause"].as_str().expect("a cause");
        let page = lab.home.run(&["explain", cause]).exits(0).stdout;
        assert!(page.contains(fix), "{id}: the page of {cause} does not name {fix}: {page}");
    }
}
