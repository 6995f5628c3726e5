//! Reports: the contract's JSON, one screen of text, Markdown, and the ssh command to type.
//!
//! Pure: a report is made from facts and a diagnosis, so that a replay prints the same.

mod brief;

pub use brief::brief;

use crate::core::catalogue;
use crate::core::cause::{Certainty, Finding};
use crate::core::check::{HopState, Verdict};
use crate::core::diagnosis::{Diagnosis, Overall};
use crate::core::facts::Facts;
use crate::core::fixes;
use crate::core::plan::{GateState, Plan};
use crate::core::recognise::strip_controls;
use crate::core::rules;
use crate::core::text::{millis, pad, shell_quote};
use crate::core::told::told;
use crate::core::words::{tr, tr_with};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use unicode_width::UnicodeWidthStr;

/// What a report needs beside facts and diagnosis.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// AWS calls made.
    pub api_calls: u64,
    /// Milliseconds taken.
    pub millis: u64,
    /// Milliseconds by check id.
    pub check_millis: BTreeMap<String, u64>,
}

/// `diagnose --json`, schema 1.
pub fn json(facts: &Facts, diagnosis: &Diagnosis, run: &Run) -> Value {
    let instance = facts.instance();
    json!({
        "schema": 1,
        "tool": concat!("port22 ", env!("CARGO_PKG_VERSION")),
        "target": {
            "instance_id": instance.map(|i| &i.id),
            "name": match instance {
                Some(instance) => instance.name.as_ref(),
                None => Some(&facts.target.name),
            },
            "address": facts.wire.address.filter(|a| !a.is_unspecified()).or_else(|| facts.address()),
            "port": facts.port(),
            "user": rules::login_user(facts),
            "keys": facts.local.keys.iter().filter(|k| k.origin != "default" || rules::local::key_of(k).is_some()).map(|k| &k.path).collect::<Vec<_>>(),
            "source_ip": facts.source_ip(),
            "region": facts.aws.region,
            "account": facts.aws.caller.value().map(|c| &c.account),
        },
        "symptom": diagnosis.symptom.as_deref().unwrap_or("other"),
        "verdict": diagnosis.overall,
        "causes": diagnosis.causes.iter().map(cause_json).collect::<Vec<_>>(),
        "checks": diagnosis.checks.iter().map(|c| json!({
            "id": c.id, "verdict": c.verdict, "reason": c.reason, "evidence": c.evidence,
            "millis": run.check_millis.get(&c.id).copied().unwrap_or(0),
        })).collect::<Vec<_>>(),
        "path": diagnosis.path,
        "tree": diagnosis.tree.iter().map(|s| match s.verdict {
            Some(v) => format!("{}: {}", s.at, word(v)),
            None => s.at.clone(),
        }).collect::<Vec<_>>(),
        "doors": diagnosis.doors,
        "recommended_door": crate::core::diagnosis::recommended(&diagnosis.doors).map(|d| d.id.as_str()),
        "api_calls": run.api_calls,
        "millis": run.millis,
    })
}

fn cause_json(finding: &Finding) -> Value {
    let words = catalogue::get().causes.get(&finding.id);
    let fixes: Vec<Value> = words.map(|w| w.fixes.as_slice()).unwrap_or_default().iter().filter_map(|id| {
        let fix = catalogue::get().fixes.get(id)?;
        Some(json!({"id": id, "title": fix.title, "risk": fix.risk, "downtime": fix.downtime, "reversible": fix.reversible, "applicable": fixes::applicable(id)}))
    }).collect();
    let mut out = json!({
        "id": finding.id,
        "certainty": finding.certainty,
        "layer": words.map_or("other", |w| w.layer.as_str()),
        "title": words.map_or(finding.id.as_str(), |w| w.title.as_str()),
        "evidence": finding.evidence,
        "fixes": fixes,
    });
    if let Some(proof) = &finding.would_prove {
        out["would_prove"] = json!(proof);
    }
    out
}

/// `fix --dry-run --json`.
pub fn plan_json(plan: &Plan) -> Value {
    json!({
        "fix": plan.fix,
        "title": plan.title,
        "target": plan.target,
        "gates": plan.gates,
        "steps": plan.steps.iter().map(|s| json!({"text": s.text, "command": s.command, "undo": s.undo})).collect::<Vec<_>>(),
        "risk": plan.risk,
        "downtime": plan.downtime,
        "reversible": plan.reversible,
        "cost": plan.cost,
        "promises_login": plan.promises_login,
        "permissions": plan.permissions,
        "choices": plan.choices,
        "expires": plan.expires,
        "created": plan.created,
    })
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => tr("pass"),
        Verdict::Fail => tr("fail"),
        Verdict::CannotTell => tr("cannot tell"),
        Verdict::Skipped => tr("skipped"),
        Verdict::NotApplicable => tr("not applicable"),
    }
}

/// Glyphs of a report.
#[derive(Debug, Clone, Copy)]
pub struct Glyphs {
    pass: &'static str,
    fail: &'static str,
    unknown: &'static str,
    none: &'static str,
    link: &'static str,
    cut: &'static str,
}

impl Glyphs {
    /// Unicode, or plain ASCII.
    pub fn new(ascii: bool) -> Self {
        if ascii {
            Self { pass: "+", fail: "x", unknown: "?", none: ".", link: "--", cut: "-x-" }
        } else {
            Self { pass: "✓", fail: "✗", unknown: "?", none: "·", link: "──", cut: "─✗─" }
        }
    }
}

/// The path as one line: `you ── internet ── igw …`.
pub fn path_line(diagnosis: &Diagnosis, glyphs: Glyphs) -> String {
    use crate::core::check::HopId;
    let mut out = String::new();
    for hop in &diagnosis.path {
        if !out.is_empty() {
            out.push_str(if hop.state == HopState::Blocked { glyphs.cut } else { glyphs.link });
        }
        out.push_str(match hop.hop {
            HopId::Client => tr("you"),
            HopId::Internet => tr("internet"),
            HopId::Igw => tr("igw"),
            HopId::Route => tr("route"),
            HopId::Nacl => tr("nacl"),
            HopId::SecurityGroup => tr("sg"),
            HopId::Eni => tr("eni"),
            HopId::Sshd => "sshd",
            HopId::Auth => tr("login"),
        });
        out.push(' ');
        out.push_str(match hop.state {
            HopState::Open => glyphs.pass,
            HopState::Blocked => glyphs.fail,
            HopState::Unknown => glyphs.unknown,
            HopState::NotReached => glyphs.none,
        });
    }
    out
}

fn certainty(c: Certainty) -> &'static str {
    match c {
        Certainty::Proven => tr("proven"),
        Certainty::Likely => tr("likely"),
        Certainty::Possible => tr("possible"),
    }
}

/// One screen of text: path, cause, evidence, what to do.
pub fn text(facts: &Facts, diagnosis: &Diagnosis, run: &Run, ascii: bool) -> String {
    let glyphs = Glyphs::new(ascii);
    let mut lines = vec![headline(facts, run), path_line(diagnosis, glyphs), String::new()];
    match diagnosis.overall {
        Overall::Healthy => {
            lines.push(tr("The login works:").to_owned());
            lines.push(format!("  {}", ssh_command(facts)));
        }
        Overall::Inconclusive => {
            lines.push(tr("No cause could be proven. What is missing:").to_owned());
            let open = diagnosis.checks.iter().filter(|c| c.verdict == Verdict::CannotTell).take(6);
            lines.extend(open.map(|c| format!("  {} {}: {}", glyphs.unknown, check_title(&c.id), told(&c.reason))));
            lines.push(String::new());
            push_causes(facts, diagnosis, &mut lines, tr("SEEN,"));
        }
        Overall::CauseFound => push_causes(facts, diagnosis, &mut lines, tr("CAUSE")),
    }
    let open = crate::core::diagnosis::recommended(&diagnosis.doors);
    if let Some(door) = open.filter(|_| diagnosis.overall != Overall::Healthy) {
        lines.push(tr_with(
            "Way in meanwhile: {door} ({why}; {cost})",
            &[("door", &door_name(&door.id)), ("why", &told(&door.why)), ("cost", &told(&door.cost))],
        ));
    }
    lines.join("\n")
}

fn door_name(id: &str) -> &str {
    match id {
        "ssh" => tr("direct SSH"),
        "ssm" => tr("Session Manager"),
        "eic" => tr("EC2 Instance Connect"),
        "eice" => tr("Instance Connect Endpoint"),
        "serial" => tr("serial console"),
        "user-data" => tr("user data"),
        "rescue" => tr("root volume on another instance"),
        other => other,
    }
}

fn headline(facts: &Facts, run: &Run) -> String {
    let label = facts.instance().map_or_else(|| facts.target.name.clone(), crate::core::facts::aws::Instance::label);
    let user = rules::login_user(facts).map(|u| format!("{u}@")).unwrap_or_default();
    let address = facts.address().map_or_else(|| tr("no address").to_owned(), |a| a.to_string());
    tr_with(
        "{label}  {user}{address} port {port}  {calls} AWS calls  {time}",
        &[
            ("label", &label),
            ("user", &user),
            ("address", &address),
            ("port", &facts.port()),
            ("calls", &run.api_calls),
            ("time", &millis(run.millis)),
        ],
    )
}

fn check_title(id: &str) -> &str {
    catalogue::get().checks.get(id).map_or(id, |w| w.title.as_str())
}

fn push_causes(facts: &Facts, diagnosis: &Diagnosis, lines: &mut Vec<String>, heading: &str) {
    let words = catalogue::get();
    for (nth, finding) in diagnosis.causes.iter().enumerate() {
        let cause = words.causes.get(&finding.id);
        let title = cause.map_or(finding.id.as_str(), |w| w.title.as_str());
        if nth > 0 {
            let then = if nth == 1 { tr("Then:").to_owned() } else { pad("", tr("Then:").width()) };
            lines.push(format!("{then} {} {title} ({})", certainty(finding.certainty), finding.id));
            continue;
        }
        lines.push(format!("{heading} {}: {title} ({})", certainty(finding.certainty), finding.id));
        lines.extend(finding.evidence.iter().take(4).map(|e| format!("  {}  [{}]", told(&e.text), told(&e.source))));
        if let Some(proof) = &finding.would_prove {
            lines.push(tr_with("  would prove it: {proof}", &[("proof", proof)]));
        }
        if let Some(user) = rules::suggested_user(facts).filter(|_| finding.id == "wrong-user-name") {
            lines.push(tr_with(
                "  log in as {user}:  {command}",
                &[("user", &user), ("command", &ssh_command_as(facts, Some(&user)))],
            ));
        }
        for id in cause.map(|w| w.fixes.as_slice()).unwrap_or_default() {
            let Some(fix) = words.fixes.get(id) else { continue };
            let how = if fixes::applicable(id) {
                format!("port22 fix {id} {}", target_words(facts))
            } else {
                tr_with("by hand: port22 explain {id}", &[("id", id)])
            };
            lines.push(tr_with(
                "  fix: {title} ({risk} risk)  {how}",
                &[("title", &fix.title), ("risk", &tr(fix.risk.word())), ("how", &how)],
            ));
        }
        if let Some(cause) = cause.filter(|c| !c.fixes.iter().any(|f| fixes::applicable(f))) {
            lines.extend(cause.by_hand.iter().take(3).map(|l| format!("    {}", fill(l, facts))));
        }
        lines.push(String::new());
    }
}

/// A Markdown report.
pub fn markdown(facts: &Facts, diagnosis: &Diagnosis, run: &Run) -> String {
    let mut out = format!(
        "# {}\n\n",
        tr_with(
            "SSH to {name}",
            &[(
                "name",
                &md(&facts
                    .instance()
                    .map_or_else(|| facts.target.name.clone(), crate::core::facts::aws::Instance::label))
            )]
        )
    );
    let head = strip_controls(&headline(facts, run)).replace(['`', '\n'], " ");
    out.push_str(&format!("```\n{head}\n{}\n```\n\n", path_line(diagnosis, Glyphs::new(false))));
    let words = catalogue::get();
    out.push_str(&match diagnosis.overall {
        Overall::Healthy => format!("**{}**\n", tr("The login works.")),
        Overall::CauseFound => format!("## {}\n\n", tr("Causes")),
        Overall::Inconclusive => format!("**{}**\n\n", tr("No cause could be proven.")),
    });
    for finding in &diagnosis.causes {
        let title = words.causes.get(&finding.id).map_or(finding.id.as_str(), |w| w.title.as_str());
        out.push_str(&format!("- **{title}** (`{}`, {})\n", finding.id, certainty(finding.certainty)));
        for evidence in &finding.evidence {
            out.push_str(&format!("  - {} ({})\n", md(&told(&evidence.text)), md(&told(&evidence.source))));
        }
        for fix in words.causes.get(&finding.id).map(|w| w.fixes.as_slice()).unwrap_or_default() {
            if let Some(w) = words.fixes.get(fix) {
                out.push_str(&format!("  - {} `{fix}`: {}\n", tr("fix"), w.title));
            }
        }
    }
    out.push_str(&format!("\n## {}\n\n{}\n|---|---|---|\n", tr("Checks"), tr("| check | answer | reason |")));
    for check in &diagnosis.checks {
        out.push_str(&format!(
            "| {} | {} | {} |\n",
            check_title(&check.id),
            word(check.verdict),
            md(&told(&check.reason))
        ));
    }
    out
}

/// Puts what is known into a command of the catalogue, where capitals stand for it.
pub fn fill(line: &str, facts: &Facts) -> String {
    let instance = facts.instance();
    let group = instance.and_then(|i| i.groups.first()).map(|(id, _)| id.clone());
    let known: [(&str, Option<String>); 9] = [
        ("INSTANCE", instance.map(|i| i.id.clone())),
        ("ADDRESS", facts.address().map(|a| a.to_string())),
        ("MY_IP", facts.source_ip().map(|a| a.to_string())),
        ("KEY_FILE", facts.local.keys.first().map(|k| shell_quote(&k.path))),
        ("USER", rules::login_user(facts).map(|u| shell_quote(&u))),
        ("GROUP", group),
        ("VPC", instance.and_then(|i| i.vpc_id.clone())),
        ("SUBNET", instance.and_then(|i| i.subnet_id.clone())),
        ("AMI", instance.and_then(|i| i.image_id.clone())),
    ];
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let value = known.iter().find(|(name, _)| name == word).and_then(|(_, v)| v.as_deref());
        out.push_str(value.unwrap_or(word));
        word.clear();
    };
    for c in line.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    out
}

/// The target with its options, as typed, to repeat in a command.
pub fn target_words(facts: &Facts) -> String {
    let target = &facts.target;
    let mut words = vec![match &target.user {
        Some(user) => shell_quote(&format!("{user}@{}", target.name)),
        None => shell_quote(&target.name),
    }];
    words.extend(target.keys.iter().map(|k| format!("-i {}", shell_quote(k))));
    words.extend(target.port.map(|p| format!("-p {p}")));
    words.extend(target.config_file.iter().map(|f| format!("-F {}", shell_quote(f))));
    words.extend(target.source_ip.map(|ip| format!("--source-ip {ip}")));
    words.join(" ")
}

/// Text for Markdown: no markup of others, one line.
fn md(text: &str) -> String {
    let mut out = String::new();
    for c in strip_controls(text).chars() {
        match c {
            '\n' => out.push(' '),
            '\\' | '`' | '*' | '_' | '<' | '>' | '|' | '[' | ']' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

/// The ssh command that logs in, as far as the facts tell.
pub fn ssh_command(facts: &Facts) -> String {
    ssh_command_as(facts, None)
}

/// The same for another user.
pub fn ssh_command_as(facts: &Facts, user: Option<&str>) -> String {
    let mut words = vec!["ssh".to_owned()];
    if let Some(file) = &facts.target.config_file {
        words.extend(["-F".to_owned(), shell_quote(file)]);
    }
    for key in facts.local.keys.iter().filter(|k| k.origin == "-i") {
        words.extend(["-i".to_owned(), shell_quote(&key.path)]);
    }
    if facts.port() != crate::core::target::SSH_PORT {
        words.extend(["-p".to_owned(), facts.port().to_string()]);
    }
    let alias = facts.local.config.value().is_some_and(|c| c.matched);
    let host = if alias {
        facts.target.name.clone()
    } else {
        facts.address().map_or_else(|| facts.target.name.clone(), |a| a.to_string())
    };
    let user =
        user.map(str::to_owned).or_else(|| rules::login_user(facts)).map(|u| format!("{u}@")).unwrap_or_default();
    words.push(shell_quote(&format!("{user}{host}")));
    words.join(" ")
}

/// A plan as text.
pub fn plan_text(plan: &Plan, ascii: bool) -> String {
    let glyphs = Glyphs::new(ascii);
    let mut lines =
        vec![format!("{}: {}", plan.fix, plan.title), tr_with("target: {target}", &[("target", &plan.target)])];
    for (nth, step) in plan.steps.iter().enumerate() {
        lines.push(format!("{} {}", nth + 1, step.text));
        lines.push(format!("    {}", step.command));
        if let Some(undo) = &step.undo {
            lines.push(format!("    {}", tr_with("undo: {command}", &[("command", undo)])));
        }
    }
    for gate in &plan.gates {
        let glyph = match gate.state {
            GateState::Ok => glyphs.pass,
            GateState::Warn => "!",
            GateState::Refuse => glyphs.fail,
        };
        lines.push(format!("{glyph} {}", gate.why));
    }
    if !plan.cost.is_empty() {
        lines.push(tr_with("cost: {cost}", &[("cost", &plan.cost)]));
    }
    for choice in &plan.choices {
        lines.push(tr_with("choice {id}: {text}", &[("id", &choice.id), ("text", &choice.text)]));
        for (id, text) in &choice.options {
            let mark = if *id == choice.chosen { "*" } else { " " };
            lines.push(format!("  {mark} --choose {}={id}: {text}", choice.id));
        }
    }
    lines.join("\n")
}
