//! Reports of a snapshot: joins what `core::report` needs.

use crate::core::diagnosis::Diagnosis;
use crate::core::facts::Facts;
use crate::core::report::compare::{Compared, Outline, compare};
use crate::core::report::done::{Done, DoneStep};
use crate::core::report::{self, Run};
use crate::core::rules;
use crate::engine::event::{ProbeState, Snapshot};
use crate::engine::journal::{Entry, EntryState};

/// Calls, times, and the slowest probe behind every check.
pub fn run_of(snapshot: &Snapshot) -> Run {
    let took = |probe| {
        snapshot.probes.iter().find(|(id, _)| *id == probe).map_or(0, |(_, state)| match state {
            ProbeState::Ended { millis, .. } => *millis,
            _ => 0,
        })
    };
    let check_millis = rules::CHECKS
        .iter()
        .map(|(id, probes)| ((*id).to_owned(), probes.iter().map(|p| took(*p)).max().unwrap_or(0)))
        .collect();
    Run { api_calls: snapshot.api_calls, millis: snapshot.millis, check_millis, ..Run::default() }
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// Markdown.
    #[default]
    Markdown,
    /// The contract's JSON.
    Json,
    /// One screen of text.
    Text,
}

/// A report in a form; of JSON the pretty print. `ascii` is for text alone.
pub fn write(form: Form, facts: &Facts, diagnosis: &Diagnosis, run: &Run, ascii: bool) -> String {
    match form {
        Form::Markdown => report::markdown(facts, diagnosis, run),
        Form::Json => format!("{:#}", report::json(facts, diagnosis, run)),
        Form::Text => report::text(facts, diagnosis, run, ascii),
    }
}

/// What the journal says was changed for the target of these facts, oldest first.
pub fn done_for(facts: &Facts, entries: &[Entry]) -> Vec<Done> {
    let instance = facts.instance().map(|i| i.id.as_str());
    let account = facts.aws.caller.value().map(|c| c.account.as_str());
    let of_target = |entry: &&Entry| {
        let plan = &entry.plan;
        // An id is an instance's only within its account; files of this machine belong to whoever the repair was for.
        let same_account = plan.account.as_deref().is_none_or(|a| account.is_none_or(|b| a == b));
        let named =
            plan.login.as_ref().is_some_and(|l| l.name == facts.target.name || Some(l.name.as_str()) == instance);
        same_account && (instance == Some(plan.subject.as_str()) || named)
    };
    entries.iter().filter(of_target).map(done).collect()
}

fn done(entry: &Entry) -> Done {
    let step = |text: &str, result: Option<&str>, undo: Option<String>| DoneStep {
        text: text.to_owned(),
        result: result.map(str::to_owned),
        undo,
    };
    let words = |at: usize| entry.plan.steps.get(at).map_or("", |s| s.text.as_str());
    let mut steps: Vec<DoneStep> =
        entry.in_force().into_iter().map(|(at, said, undo)| step(words(at), Some(said), undo)).collect();
    steps.extend(entry.unknown().map(|(_, text, undo)| step(text, None, undo)));
    let state = match entry.state {
        EntryState::Interrupted => "interrupted",
        EntryState::InForce => "in_force",
        EntryState::Failed => "failed",
        EntryState::Undone => "undone",
    };
    Done {
        entry: entry.id.clone(),
        at: entry.at,
        fix: entry.plan.fix.clone(),
        title: entry.plan.title.clone(),
        state: state.to_owned(),
        text: entry.text.clone(),
        steps,
        undo: entry.way_back(),
    }
}

/// What changed between two diagnoses.
pub fn compared(before: (&Facts, &Diagnosis), after: (&Facts, &Diagnosis)) -> Compared {
    compare(&Outline::of(before.0, before.1), &Outline::of(after.0, after.1))
}

/// What an earlier diagnosis said, read from a file: a JSON report, or the facts that `--record` keeps, judged anew.
/// Fails with what is wrong about it.
pub fn earlier(bytes: &[u8]) -> Result<Outline, String> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| format!("it is no JSON: {e}"))?;
    if value.get("schema").is_some() || value.get("verdict").is_some() {
        return Outline::of_report(value);
    }
    if value.get("target").is_none() {
        return Err("it is neither a record nor a JSON report".to_owned());
    }
    let facts: Facts = serde_json::from_value(value).map_err(|e| format!("it is no record: {e}"))?;
    let (facts, diagnosis) = crate::engine::diagnose::replay(facts);
    Ok(Outline::of(&facts, &diagnosis))
}

/// The answer in a few lines.
pub fn brief(snapshot: &Snapshot) -> Vec<String> {
    report::brief(&snapshot.facts, &snapshot.diagnosis)
}

/// The ssh command that logs in.
pub fn ssh_command(facts: &Facts) -> String {
    report::ssh_command(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fact::Fact;
    use crate::core::facts::aws::Instance;
    use crate::core::plan::{Outputs, Plan};
    use crate::engine::journal::DoneStep as JournalStep;

    fn facts(id: &str) -> Facts {
        let mut facts = Facts::default();
        facts.target.name = "web-1".to_owned();
        let instance = Instance { id: id.to_owned(), name: Some("web-1".to_owned()), ..Instance::default() };
        facts.aws.instance = Fact::known(instance, "DescribeInstances");
        facts
    }

    fn entry(id: &str, subject: &str, account: Option<&str>) -> Entry {
        let mut plan = Plan::new("sg-allow-my-ip", "Add a rule for 198.51.100.4 to web-sg", subject, "web-1");
        plan.account = account.map(str::to_owned);
        Entry {
            id: id.to_owned(),
            at: 1_795_000_000,
            plan,
            state: EntryState::InForce,
            done: vec![JournalStep { step: 0, text: "sgr-0123abcd".to_owned(), undo: None, changed: true }],
            open_step: None,
            outputs: Outputs::new(),
            text: "verified".to_owned(),
        }
    }

    #[test]
    fn the_steps_done_are_those_of_this_target_in_this_account() {
        let entries = [
            entry("j-1", "i-0a1b2c3d", Some("111122223333")),
            entry("j-2", "i-0ffffffff", None),
            entry("j-3", "i-0a1b2c3d", Some("999988887777")),
        ];
        let mut here = facts("i-0a1b2c3d");
        let caller = crate::core::facts::aws::Caller { account: "111122223333".to_owned(), ..Default::default() };
        here.aws.caller = Fact::known(caller, "GetCallerIdentity");
        let done = done_for(&here, &entries);
        assert_eq!(done.iter().map(|d| d.entry.as_str()).collect::<Vec<_>>(), ["j-1"]);
        assert_eq!(done[0].undo.as_deref(), Some("port22 undo j-1"));
        let diagnosis = crate::core::diagnosis::judge(&here);
        let run = Run { done, ..Run::default() };
        let markdown = write(Form::Markdown, &here, &diagnosis, &run, false);
        assert!(markdown.contains("## Steps done") && markdown.contains("undo: `port22 undo j-1`"), "{markdown}");
        let text = write(Form::Text, &here, &diagnosis, &run, true);
        assert!(text.contains("take it back: port22 undo j-1"), "{text}");
        let hidden = Run { redacted: true, ..run };
        for form in [Form::Markdown, Form::Text, Form::Json] {
            let said = write(form, &here, &diagnosis, &hidden, true);
            for secret in ["198.51.100.4", "sgr-0123abcd", "i-0a1b2c3d", "web-1", "111122223333"] {
                assert!(!said.contains(secret), "{secret} in {said}");
            }
            assert!(said.contains("j-1") && said.contains("sg-allow-my-ip") || form == Form::Text, "{said}");
        }
    }

    #[test]
    fn a_record_and_a_report_of_the_same_facts_compare_alike() {
        let facts = facts("i-0a1b2c3d");
        let diagnosis = crate::core::diagnosis::judge(&facts);
        let record = serde_json::to_vec(&facts).expect("facts");
        let redacted = Run { redacted: true, ..Run::default() };
        for run in [Run::default(), redacted] {
            let report = report::json(&facts, &diagnosis, &run).to_string();
            let now = Outline::of(&facts, &diagnosis);
            for file in [record.as_slice(), report.as_bytes()] {
                let compared = compare(&earlier(file).expect("an outline"), &now);
                assert!(compared.is_same() && !compared.other_target, "{compared:?}");
            }
        }
        assert!(earlier(b"{}").is_err());
        assert!(earlier(b"nothing").is_err());
    }
}
