//! `port22 explain` and `port22 policy`: the catalogue on one page, offline.

use super::args::{ExplainArgs, PolicyArgs};
use super::output::{self, Exit};
use crate::core::boothook;
use crate::core::catalogue::{self, Added, Catalogue};
use crate::core::fixes;
use crate::core::probe::ProbeId;
use crate::core::words::{Lang, tr, tr_with};
use crate::engine::failure::Failure;
use crate::engine::terminal::Door;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub fn explain(args: &ExplainArgs) -> Result<Exit, Failure> {
    let words = catalogue::get();
    let Some(id) = &args.id else {
        output::print(&overview(words));
        return Ok(Exit::Ok);
    };
    // Some ids are both a check and a word: all meanings are shown.
    let pages: Vec<String> = [cause(words, id), check(words, id), fix(words, id), symptom(words, id), word(words, id)]
        .into_iter()
        .flatten()
        .collect();
    if pages.is_empty() {
        Err(Failure::usage(
            format!("explain '{id}'"),
            "there is no such cause, check, symptom, fix or word",
            "port22 explain lists them all",
        ))
    } else {
        output::print(&pages.join("\n\n"));
        Ok(Exit::Ok)
    }
}

fn overview(words: &Catalogue) -> String {
    let list = |title: &str, ids: Vec<&String>| {
        format!("{title}\n  {}", ids.iter().map(|i| i.as_str()).collect::<Vec<_>>().join(" "))
    };
    [
        list(tr("causes"), words.causes.keys().collect()),
        list(tr("checks"), words.checks.keys().collect()),
        list(tr("fixes"), words.fixes.keys().collect()),
        list(tr("symptoms"), words.symptoms.keys().collect()),
        list(tr("words"), words.glossary.keys().collect()),
    ]
    .join("\n")
}

fn cause(words: &Catalogue, id: &str) -> Option<String> {
    let cause = words.causes.get(id)?;
    let mut out = vec![
        tr_with(
            "{title} ({id}, a cause in layer {layer})",
            &[("title", &cause.title), ("id", &id), ("layer", &cause.layer)],
        ),
        String::new(),
        cause.explain.clone(),
        String::new(),
        tr_with("Proven by: {text}", &[("text", &cause.proven_by)]),
    ];
    for fix in &cause.fixes {
        let title = words.fixes.get(fix).map_or("", |f| f.title.as_str());
        let how = if fixes::applicable(fix) { "" } else { tr(" (by hand)") };
        out.push(tr_with("Fix: {id}{how}: {title}", &[("id", fix), ("how", &how), ("title", &title)]));
    }
    if !cause.by_hand.is_empty() {
        out.push(tr("By hand:").to_owned());
        out.extend(cause.by_hand.iter().map(|l| format!("  {l}")));
    }
    out.extend(cause.link.iter().map(|l| tr_with("Read: {link}", &[("link", l)])));
    out.extend(team_lines(&cause.added));
    Some(out.join("\n"))
}

/// What the team adds, one line each.
fn team_lines(added: &Added) -> Vec<String> {
    let steps = added.next.iter().map(|step| tr_with("Your team: {step}", &[("step", step)]));
    steps.chain(added.runbook.iter().map(|link| tr_with("Your team's runbook: {link}", &[("link", link)]))).collect()
}

fn check(words: &Catalogue, id: &str) -> Option<String> {
    let check = words.checks.get(id)?;
    let mut out = vec![
        tr_with("{title} ({id}, a check)", &[("title", &check.title), ("id", &id)]),
        String::new(),
        check.why.clone(),
    ];
    // A question of the team may leave these out.
    let said = |text: &str| !text.is_empty();
    if said(&check.rules_out) {
        out.push(tr_with("A pass rules out: {text}", &[("text", &check.rules_out)]));
    }
    if said(&check.by_hand) {
        out.push(tr_with("By hand: {text}", &[("text", &check.by_hand)]));
    }
    out.extend(check.console.iter().map(|text| tr_with("In the console: {text}", &[("text", text)])));
    out.extend(check.link.iter().map(|l| tr_with("Read: {link}", &[("link", l)])));
    out.extend(check.question.iter().map(|q| tr_with("Asked of you: {question}", &[("question", q)])));
    out.extend(team_lines(&check.added));
    Some(out.join("\n"))
}

fn fix(words: &Catalogue, id: &str) -> Option<String> {
    let fix = words.fixes.get(id)?;
    let applies = if fixes::applicable(id) { tr("port22 fix applies it") } else { tr("by hand in this version") };
    let more = fix.teaching.as_ref().map(|text| format!("\n{text}")).unwrap_or_default();
    // The one fix that brings a program of its own onto the instance shows it.
    let script = if id == "user-data-repair" { boothook::template().trim_end() } else { "" };
    let yes = |is: bool| if is { tr("yes") } else { tr("no") };
    let permissions = if fix.permissions.is_empty() { tr("none").to_owned() } else { fix.permissions.join(", ") };
    let mut lines = vec![
        tr_with("{title} ({id}, a fix; {applies})", &[("title", &fix.title), ("id", &id), ("applies", &applies)]),
        String::new(),
        fix.explain.clone(),
        tr_with(
            "Risk {risk}, downtime {downtime}, can be taken back: {reversible}",
            &[("risk", &tr(fix.risk.word())), ("downtime", &yes(fix.downtime)), ("reversible", &yes(fix.reversible))],
        ),
        tr_with("By hand: {text}", &[("text", &fix.by_hand)]),
        tr_with("Permissions: {actions}", &[("actions", &permissions)]),
    ];
    lines.extend(team_lines(&fix.added));
    Some(lines.join("\n") + &more + script)
}

fn symptom(words: &Catalogue, id: &str) -> Option<String> {
    let symptom = words.symptoms.get(id)?;
    let tree = words.tree(Some(id)).filter(|_| symptom.kind == "ssh");
    let checks =
        tree.map(|t| t.nodes.iter().map(|n| n.check.clone()).collect::<Vec<_>>().join(" → ")).unwrap_or_default();
    let head = tr_with("{title} ({id}, a symptom)", &[("title", &symptom.title), ("id", &id)]);
    let order = match checks.as_str() {
        "" => String::new(),
        checks => format!("\n{}", tr_with("Checked in this order: {checks}", &[("checks", &checks)])),
    };
    Some(format!("{head}\n\n{}{order}", symptom.proves))
}

fn word(words: &Catalogue, id: &str) -> Option<String> {
    let id = id.to_ascii_lowercase();
    // By its id, its title, or its English title.
    let titled = |words: &Catalogue| {
        words.glossary.iter().find(|(_, w)| w.title.to_ascii_lowercase() == id).map(|(known, _)| known.clone())
    };
    let known = words.glossary.contains_key(&id).then(|| id.clone());
    let known = known.or_else(|| titled(words)).or_else(|| titled(catalogue::of(Lang::En)))?;
    let found = words.glossary.get(&known)?;
    Some(format!("{}\n\n{}", found.title, found.means))
}

/// Reads that belong to a probe besides the one that names it.
const MORE_READS: &[&str] = &[
    "ec2:DescribeRegions",
    "ec2:DescribeSecurityGroupRules",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListRolePolicies",
    "ssm:GetAutomationExecution",
];
/// The same for the look inside.
const MORE_INSIDE: &[&str] = &[
    "ec2-instance-connect:SendSSHPublicKey",
    "ssm:GetCommandInvocation",
    "ssm:ListCommandInvocations",
    "ssm:TerminateSession",
];

pub fn policy(args: &PolicyArgs) -> Result<Exit, Failure> {
    output::print_json(&document(args)?);
    Ok(Exit::Ok)
}

/// The policy of the checks, and of these fixes and doors.
fn document(args: &PolicyArgs) -> Result<Value, Failure> {
    let words = catalogue::get();
    let actions = |inside: bool, more: &[&str]| {
        let of_probes = ProbeId::ALL.iter().filter(|p| p.needs_consent() == inside).filter_map(|p| p.action());
        let mut all: Vec<String> = of_probes.chain(more.iter().copied()).map(str::to_owned).collect();
        all.sort();
        all.dedup();
        all
    };
    let reads = actions(false, MORE_READS);
    let inside = actions(true, MORE_INSIDE);
    // A command and a session are powers of root: whoever never looks inside leaves that statement out.
    let mut statements = vec![
        json!({"Sid": "Port22Checks", "Effect": "Allow", "Action": reads, "Resource": "*"}),
        json!({"Sid": "Port22LookInside", "Effect": "Allow", "Action": inside, "Resource": "*"}),
    ];
    let mut writes: Vec<String> = Vec::new();
    for id in &args.fix {
        let Some(fix) = words.fixes.get(id) else {
            return Err(Failure::usage(
                "print the policy",
                format!("there is no fix '{id}'"),
                format!("fixes: {}", words.fixes.keys().cloned().collect::<Vec<_>>().join(", ")),
            ));
        };
        writes.extend(fix.permissions.iter().cloned());
    }
    writes.sort();
    writes.dedup();
    if !writes.is_empty() {
        statements.push(json!({"Sid": "Port22Fixes", "Effect": "Allow", "Action": writes, "Resource": "*"}));
    }
    let doors: BTreeSet<&str> = args.door.iter().flat_map(|door| Door::from(*door).permissions()).copied().collect();
    if !doors.is_empty() {
        statements.push(json!({"Sid": "Port22Doors", "Effect": "Allow", "Action": doors, "Resource": "*"}));
    }
    Ok(json!({"Version": "2012-10-17", "Statement": statements}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::TerminalDoor;

    #[test]
    fn the_policy_of_a_door_is_a_statement_of_its_own() {
        let actions = |door: Vec<TerminalDoor>| {
            let policy = document(&PolicyArgs { fix: Vec::new(), door }).expect("a policy");
            let statements = policy["Statement"].as_array().expect("statements").clone();
            let of_doors = statements.into_iter().find(|one| one["Sid"] == "Port22Doors");
            of_doors.map(|one| one["Action"].to_string()).unwrap_or_default()
        };
        assert_eq!(actions(vec![]), "");
        assert_eq!(actions(vec![TerminalDoor::Ssh]), "");
        let pushed = r#"["ec2-instance-connect:OpenTunnel","ec2-instance-connect:SendSSHPublicKey"]"#;
        assert_eq!(actions(vec![TerminalDoor::Eice, TerminalDoor::Eic]), pushed);
        assert!(actions(vec![TerminalDoor::Ssm]).contains("ssmmessages:OpenDataChannel"));
        assert!(actions(vec![TerminalDoor::Serial]).contains("SendSerialConsoleSSHPublicKey"));
    }
}
