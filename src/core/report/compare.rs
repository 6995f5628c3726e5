//! Before and after: what changed between two diagnoses of one target.
//!
//! The earlier one is a diagnosis, or a JSON report that was kept. Only ids and verdicts are compared, so that a
//! redacted report will do. Must not judge: that a cause is gone says that it is not found any more, by rules that ran.

use super::{check_title, hop_name};
use crate::core::catalogue;
use crate::core::diagnosis::Diagnosis;
use crate::core::facts::Facts;
use crate::core::redact::hide::Hide;
use crate::core::words::tr_with;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a diagnosis said, by ids alone: the side of a comparison that may come from a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Outline {
    /// Whom it was about.
    #[serde(default)]
    pub target: About,
    /// `healthy`, `cause_found` or `inconclusive`.
    pub verdict: String,
    /// Causes in order.
    pub causes: Vec<Cause>,
    /// Checks in order.
    pub checks: Vec<Answer>,
    /// Hops in order.
    #[serde(default)]
    pub path: Vec<Place>,
}

/// Whom a diagnosis was about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct About {
    /// Instance id; a placeholder in a redacted report.
    #[serde(default)]
    pub instance_id: Option<String>,
}

/// A cause by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Root-cause id.
    pub id: String,
    /// `proven`, `likely` or `possible`.
    pub certainty: String,
}

/// A check and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// Check id.
    pub id: String,
    /// Its verdict, as JSON has it.
    pub verdict: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// A hop and its state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Place {
    /// Hop id.
    pub hop: String,
    /// Its state.
    pub state: String,
    /// Why.
    #[serde(default)]
    pub detail: String,
}

fn id_of<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Outline {
    /// Of a diagnosis.
    pub fn of(facts: &Facts, diagnosis: &Diagnosis) -> Self {
        let cause = |c: &crate::core::cause::Finding| Cause { id: c.id.clone(), certainty: id_of(&c.certainty) };
        let answer = |c: &crate::core::check::CheckResult| Answer {
            id: c.id.clone(),
            verdict: id_of(&c.verdict),
            reason: c.reason.clone(),
        };
        let place = |h: &crate::core::check::Hop| Place {
            hop: id_of(&h.hop),
            state: id_of(&h.state),
            detail: h.detail.clone(),
        };
        Self {
            target: About { instance_id: facts.instance().map(|i| i.id.clone()) },
            verdict: id_of(&diagnosis.overall),
            causes: diagnosis.causes.iter().map(cause).collect(),
            checks: diagnosis.checks.iter().map(answer).collect(),
            path: diagnosis.path.iter().map(place).collect(),
        }
    }

    /// Of a report that `diagnose --json` printed. Fails with what is missing.
    pub fn of_report(report: Value) -> Result<Self, String> {
        match report.get("schema").and_then(Value::as_u64) {
            Some(1) => serde_json::from_value(report).map_err(|e| e.to_string()),
            Some(other) => Err(format!("its schema is {other}, and this version reads schema 1")),
            None => Err("it has no \"schema\" and is no JSON report".to_owned()),
        }
    }
}

/// What changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Verdict before.
    pub verdict_before: String,
    /// Verdict now.
    pub verdict_after: String,
    /// Causes that are not found any more.
    pub causes_gone: Vec<Cause>,
    /// Causes that were not found before.
    pub causes_new: Vec<Cause>,
    /// Causes found both times, with their certainty now.
    pub causes_left: Vec<Cause>,
    /// Checks whose answer changed.
    pub checks: Vec<Change>,
    /// Hops whose state changed.
    pub path: Vec<Change>,
    /// Whether the earlier diagnosis names another instance, so that the comparison tells little.
    pub other_target: bool,
}

/// A check or a hop whose answer changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Check id or hop id.
    pub id: String,
    /// Before; `None` when it was not asked.
    pub before: Option<String>,
    /// Now; `None` when it is not asked any more.
    pub after: Option<String>,
    /// Why it is so now.
    pub reason: String,
}

/// Compares an earlier diagnosis with a later one.
pub fn compare(before: &Outline, after: &Outline) -> Compared {
    let missing = |these: &[Cause], in_those: &[Cause]| -> Vec<Cause> {
        these.iter().filter(|c| in_those.iter().all(|o| o.id != c.id)).cloned().collect()
    };
    let new = missing(&after.causes, &before.causes);
    let checks = |o: &Outline| -> Vec<(String, String, String)> {
        o.checks.iter().map(|c| (c.id.clone(), c.verdict.clone(), c.reason.clone())).collect()
    };
    let hops = |o: &Outline| -> Vec<(String, String, String)> {
        o.path.iter().map(|h| (h.hop.clone(), h.state.clone(), h.detail.clone())).collect()
    };
    // Ids of a redacted report are placeholders: nothing is said about them.
    let id = |o: &Outline| o.target.instance_id.clone().filter(|id| id.starts_with("i-") || id.starts_with("mi-"));
    Compared {
        verdict_before: before.verdict.clone(),
        verdict_after: after.verdict.clone(),
        causes_gone: missing(&before.causes, &after.causes),
        causes_left: after.causes.iter().filter(|c| !new.contains(c)).cloned().collect(),
        causes_new: new,
        checks: changes(&checks(before), &checks(after)),
        path: changes(&hops(before), &hops(after)),
        other_target: matches!((id(before), id(after)), (Some(a), Some(b)) if a != b),
    }
}

/// Id, answer, reason of each side.
fn changes(before: &[(String, String, String)], after: &[(String, String, String)]) -> Vec<Change> {
    let find = |all: &[(String, String, String)], id: &str| all.iter().find(|(i, ..)| i == id).cloned();
    let now = after.iter().filter_map(|(id, answer, reason)| {
        let was = find(before, id).map(|(_, answer, _)| answer);
        (was.as_ref() != Some(answer)).then(|| Change {
            id: id.clone(),
            before: was,
            after: Some(answer.clone()),
            reason: reason.clone(),
        })
    });
    let dropped = before.iter().filter(|(id, ..)| find(after, id).is_none()).map(|(id, answer, _)| Change {
        id: id.clone(),
        before: Some(answer.clone()),
        after: None,
        reason: String::new(),
    });
    now.chain(dropped).collect()
}

fn title(id: &str) -> &str {
    catalogue::get().causes.get(id).map_or(id, |w| w.title.as_str())
}

fn plain(answer: Option<&String>) -> String {
    answer.map_or_else(|| "-".to_owned(), |a| a.replace('_', " "))
}

impl Compared {
    /// Whether nothing changed at all.
    pub fn is_same(&self) -> bool {
        self.verdict_before == self.verdict_after
            && self.causes_gone.is_empty()
            && self.causes_new.is_empty()
            && self.checks.is_empty()
            && self.path.is_empty()
    }

    /// Without what tells who and where.
    #[must_use]
    pub fn hidden(mut self, hide: &Hide) -> Self {
        for change in self.checks.iter_mut().chain(&mut self.path) {
            change.reason = hide.text(&change.reason);
        }
        self
    }

    fn causes(&self) -> Vec<String> {
        let causes = |all: &[Cause]| all.iter().map(|c| format!("{} ({})", title(&c.id), c.id)).collect::<Vec<_>>();
        let mut out = Vec::new();
        out.extend(causes(&self.causes_gone).iter().map(|c| tr_with("Gone: {cause}", &[("cause", c)])));
        out.extend(causes(&self.causes_new).iter().map(|c| tr_with("New: {cause}", &[("cause", c)])));
        out.extend(causes(&self.causes_left).iter().map(|c| tr_with("Still there: {cause}", &[("cause", c)])));
        out
    }

    /// The same in few lines, for the end of a repair: the causes, and how many checks turned.
    pub fn brief(&self) -> Vec<String> {
        let turned = |to_pass: bool| {
            let passes = |answer: &Option<String>| answer.as_deref() == Some("pass");
            let fails = |answer: &Option<String>| answer.as_deref() == Some("fail");
            let turned = |c: &&Change| {
                if to_pass { fails(&c.before) && passes(&c.after) } else { !fails(&c.before) && fails(&c.after) }
            };
            self.checks.iter().filter(turned).count()
        };
        let mut out = self.causes();
        let (better, worse) = (turned(true), turned(false));
        if better > 0 {
            out.push(tr_with("Checks that failed and pass now: {count}", &[("count", &better)]));
        }
        if worse > 0 {
            out.push(tr_with("Checks that fail now and did not before: {count}", &[("count", &worse)]));
        }
        out
    }

    /// The comparison in lines, without a heading: what is gone, what is new, what stays, which checks and hops changed.
    pub fn lines(&self) -> Vec<String> {
        let (before, after) = (plain(Some(&self.verdict_before)), plain(Some(&self.verdict_after)));
        let mut out = Vec::new();
        if self.other_target {
            out.push(crate::core::words::tr("The earlier diagnosis is of another instance.").to_owned());
        }
        if self.is_same() {
            out.push(tr_with("Nothing has changed: {verdict}.", &[("verdict", &after)]));
            return out;
        }
        out.push(tr_with("Verdict: {before} -> {after}", &[("before", &before), ("after", &after)]));
        out.extend(self.causes());
        for change in &self.checks {
            let (before, after) = (plain(change.before.as_ref()), plain(change.after.as_ref()));
            out.push(tr_with(
                "Check {check}: {before} -> {after}",
                &[("check", &check_title(&change.id)), ("before", &before), ("after", &after)],
            ));
        }
        for change in &self.path {
            let (before, after) = (plain(change.before.as_ref()), plain(change.after.as_ref()));
            out.push(tr_with(
                "Hop {hop}: {before} -> {after}",
                &[("hop", &hop_name(&change.id)), ("before", &before), ("after", &after)],
            ));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outline(verdict: &str, causes: &[&str], checks: &[(&str, &str)], hop: &str) -> Outline {
        let value = json!({
            "schema": 1, "verdict": verdict, "target": {"instance_id": "i-0a1b2c3d"},
            "causes": causes.iter().map(|id| json!({"id": id, "certainty": "proven", "layer": "vpc"})).collect::<Vec<_>>(),
            "checks": checks.iter().map(|(id, v)| json!({"id": id, "verdict": v, "reason": "r"})).collect::<Vec<_>>(),
            "path": [{"hop": "security_group", "state": hop, "detail": "sg-0f3a0f3a"}],
        });
        Outline::of_report(value).expect("a report")
    }

    #[test]
    fn what_is_gone_new_and_left_is_told_apart() {
        let before = outline(
            "cause_found",
            &["sg-no-rule", "key-mode"],
            &[("a", "fail"), ("b", "pass"), ("c", "pass")],
            "blocked",
        );
        let after = outline(
            "cause_found",
            &["key-mode", "wrong-user-name"],
            &[("a", "pass"), ("b", "pass"), ("d", "fail")],
            "open",
        );
        let compared = compare(&before, &after);
        let ids = |all: &[Cause]| all.iter().map(|c| c.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&compared.causes_gone), ["sg-no-rule"]);
        assert_eq!(ids(&compared.causes_new), ["wrong-user-name"]);
        assert_eq!(ids(&compared.causes_left), ["key-mode"]);
        let changed: Vec<_> =
            compared.checks.iter().map(|c| (c.id.as_str(), c.before.as_deref(), c.after.as_deref())).collect();
        assert_eq!(changed, [("a", Some("fail"), Some("pass")), ("d", None, Some("fail")), ("c", Some("pass"), None)]);
        assert_eq!(compared.path.len(), 1);
        let brief = compared.brief().join("\n");
        assert!(brief.contains("Checks that failed and pass now: 1"), "{brief}");
        assert!(brief.contains("Checks that fail now and did not before: 1"), "{brief}");
        let lines = compared.lines().join("\n");
        assert!(lines.contains("Hop sg: blocked -> open"), "{lines}");
        assert!(lines.contains("Verdict: cause found -> cause found"), "{lines}");
        assert!(!compared.other_target);
    }

    #[test]
    fn the_same_twice_changes_nothing() {
        let one = outline("healthy", &[], &[("a", "pass")], "open");
        let compared = compare(&one, &one);
        assert!(compared.is_same());
        assert_eq!(compared.lines(), ["Nothing has changed: healthy."]);
    }

    #[test]
    fn another_instance_is_said_and_a_placeholder_is_not() {
        let one = outline("healthy", &[], &[], "open");
        let about = |id: &str| Outline { target: About { instance_id: Some(id.to_owned()) }, ..one.clone() };
        assert!(compare(&about("i-0ffffffff"), &one).other_target);
        assert!(!compare(&about("INSTANCE-1"), &one).other_target);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        assert!(Outline::of_report(json!({"schema": 2})).unwrap_err().contains("schema is 2"));
        assert!(Outline::of_report(json!([])).is_err());
        assert!(Outline::of_report(json!({"schema": 1, "verdict": "healthy"})).unwrap_err().contains("causes"));
    }
}
