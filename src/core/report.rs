//! Reports: the contract's JSON, one screen of text, Markdown, and the ssh command to type.
//!
//! Pure: a report is made from facts and a diagnosis, so that a replay prints the same.

mod brief;
pub mod compare;
pub mod done;

pub use brief::brief;

use crate::core::catalogue::{self, Added, Catalogue};
use crate::core::cause::{Certainty, Finding};
use crate::core::check::{CheckResult, Hop, HopId, HopState, Verdict};
use crate::core::diagnosis::{Diagnosis, Door, Overall};
use crate::core::facts::Facts;
use crate::core::fixes;
use crate::core::plan::{GateState, Plan};
use crate::core::recognise::strip_controls;
use crate::core::redact::{collect, hide::Hide};
use crate::core::rules;
use crate::core::series;
use crate::core::text::{millis, pad, shell_quote};
use crate::core::told::told;
use crate::core::words::{lang, tr, tr_with};
use compare::Compared;
use done::Done;
use serde_json::{Value, json};
use std::borrow::Cow;
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
    /// What was changed for this target, oldest first.
    pub done: Vec<Done>,
    /// What changed since an earlier diagnosis.
    pub compared: Option<Compared>,
    /// Whether what tells who and where is replaced by placeholders.
    pub redacted: bool,
}

/// What a report shows, and how what it shows is written: as it is, or with placeholders.
struct Shown<'a> {
    facts: &'a Facts,
    diagnosis: Cow<'a, Diagnosis>,
    done: Cow<'a, [Done]>,
    compared: Option<Cow<'a, Compared>>,
    hide: Option<Hide>,
    words: &'static Catalogue,
}

impl<'a> Shown<'a> {
    fn new(facts: &'a Facts, diagnosis: &'a Diagnosis, run: &'a Run) -> Self {
        let compared = run.compared.as_ref();
        let Some(hide) = run.redacted.then(|| collect::of(facts)) else {
            return Self {
                facts,
                diagnosis: Cow::Borrowed(diagnosis),
                done: Cow::Borrowed(&run.done),
                compared: compared.map(Cow::Borrowed),
                hide: None,
                words: catalogue::get(),
            };
        };
        Self {
            facts,
            diagnosis: Cow::Owned(hidden(diagnosis, &hide)),
            done: Cow::Owned(run.done.iter().map(|d| d.clone().hidden(&hide)).collect()),
            compared: compared.map(|c| Cow::Owned(c.clone().hidden(&hide))),
            hide: Some(hide),
            // A team's words and links tell who it is.
            words: catalogue::embedded(lang()),
        }
    }

    fn title<'t>(&self, check: &'t str) -> &'t str
    where
        Self: 't,
    {
        self.words.checks.get(check).map_or(check, |w| w.title.as_str())
    }

    /// A text made of facts, as it may be shown.
    fn say(&self, text: String) -> String {
        match &self.hide {
            Some(hide) => hide.text(&text),
            None => text,
        }
    }

    fn json(&self, mut value: Value) -> Value {
        if let Some(hide) = &self.hide {
            hide.json(&mut value);
        }
        value
    }
}

/// The diagnosis with placeholders in everything that was seen; ids and verdicts stay.
fn hidden(diagnosis: &Diagnosis, hide: &Hide) -> Diagnosis {
    let mut out = diagnosis.clone();
    let evidence = |all: &mut Vec<crate::core::fact::Evidence>| {
        for one in all {
            one.text = hide.text(&one.text);
            one.source = hide.text(&one.source);
        }
    };
    for cause in &mut out.causes {
        let Finding { id: _, certainty: _, evidence: seen, would_prove } = cause;
        evidence(seen);
        *would_prove = would_prove.take().map(|p| hide.text(&p));
    }
    for check in &mut out.checks {
        let CheckResult { id: _, verdict: _, reason, evidence: seen } = check;
        evidence(seen);
        *reason = hide.text(reason);
    }
    for hop in &mut out.path {
        let Hop { hop: _, state: _, detail } = hop;
        *detail = hide.text(detail);
    }
    for door in &mut out.doors {
        // Named one by one, so that a field that is added later is not forgotten here.
        let Door { id: _, state: _, why, cost, command } = door;
        *why = hide.text(why);
        *cost = hide.text(cost);
        *command = command.take().map(|c| hide.text(&c));
    }
    without_team(&mut out);
    out
}

/// Takes the questions and ends of a team's trees out: they tell who it is.
fn without_team(diagnosis: &mut Diagnosis) {
    let words = catalogue::embedded(lang());
    let known_ends = || words.trees.iter().flat_map(|t| &t.nodes).flat_map(|n| [&n.pass, &n.fail, &n.unknown]);
    diagnosis.checks.retain(|c| words.checks.contains_key(&c.id));
    diagnosis.tree.retain(|s| s.verdict.is_none() || words.checks.contains_key(&s.at));
    for step in diagnosis.tree.iter_mut().filter(|s| s.at.starts_with("end:")) {
        if known_ends().all(|end| *end != step.at) {
            step.at = "end:…".to_owned();
        }
    }
    if diagnosis.symptom.as_ref().is_some_and(|s| !words.symptoms.contains_key(s)) {
        diagnosis.symptom = None;
    }
}

/// `diagnose --json`, schema 1.
pub fn json(facts: &Facts, diagnosis: &Diagnosis, run: &Run) -> Value {
    let instance = facts.instance();
    let shown = Shown::new(facts, diagnosis, run);
    let diagnosis = &*shown.diagnosis;
    let mut out = json!({
        "schema": 1,
        "tool": concat!("port22 ", env!("CARGO_PKG_VERSION")),
        "target": shown.json(json!({
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
        })),
        "symptom": diagnosis.symptom.as_deref().unwrap_or("other"),
        "verdict": diagnosis.overall,
        "causes": diagnosis.causes.iter().map(|c| cause_json(c, shown.words)).collect::<Vec<_>>(),
        "checks": diagnosis.checks.iter().map(|c| check_json(c, facts, run, shown.words)).collect::<Vec<_>>(),
        "path": diagnosis.path,
        "tree": diagnosis.tree.iter().map(|s| match s.verdict {
            Some(v) => format!("{}: {}", s.at, word(v)),
            None => s.at.clone(),
        }).collect::<Vec<_>>(),
        "doors": diagnosis.doors,
        "recommended_door": crate::core::diagnosis::recommended(&diagnosis.doors).map(|d| d.id.as_str()),
        "api_calls": run.api_calls,
        "millis": run.millis,
        "done": shown.done,
        "redacted": run.redacted,
    });
    if let Some(compared) = &shown.compared {
        out["compared"] = json!(compared);
    }
    out
}

fn check_json(check: &CheckResult, facts: &Facts, run: &Run, catalogue: &Catalogue) -> Value {
    let mut out = json!({
        "id": check.id, "verdict": check.verdict, "reason": check.reason, "evidence": check.evidence,
        "millis": run.check_millis.get(&check.id).copied().unwrap_or(0),
    });
    let series = series::of_check(&check.id, facts);
    if !series.is_empty() {
        out["series"] = series.iter().map(series::Series::json).collect();
    }
    added_json(out, catalogue.checks.get(&check.id).map(|w| &w.added))
}

/// An object with what the team adds to it, where it adds something.
fn added_json(mut object: Value, added: Option<&Added>) -> Value {
    if let Some(added) = added {
        if !added.next.is_empty() {
            object["next"] = json!(added.next);
        }
        if let Some(link) = &added.runbook {
            object["runbook"] = json!(link);
        }
    }
    object
}

fn cause_json(finding: &Finding, catalogue: &Catalogue) -> Value {
    let words = catalogue.causes.get(&finding.id);
    let fixes: Vec<Value> = words.map(|w| w.fixes.as_slice()).unwrap_or_default().iter().filter_map(|id| {
        let fix = catalogue.fixes.get(id)?;
        Some(added_json(json!({"id": id, "title": fix.title, "risk": fix.risk, "downtime": fix.downtime, "reversible": fix.reversible, "applicable": fixes::applicable(id)}), Some(&fix.added)))
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
    added_json(out, words.map(|w| &w.added))
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
    let mut out = String::new();
    for hop in &diagnosis.path {
        if !out.is_empty() {
            out.push_str(if hop.state == HopState::Blocked { glyphs.cut } else { glyphs.link });
        }
        out.push_str(hop_word(hop.hop));
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

/// A hop in the picture of the path.
fn hop_word(hop: HopId) -> &'static str {
    match hop {
        HopId::Client => tr("you"),
        HopId::Internet => tr("internet"),
        HopId::Igw => tr("igw"),
        HopId::Route => tr("route"),
        HopId::Nacl => tr("nacl"),
        HopId::SecurityGroup => tr("sg"),
        HopId::Eni => tr("eni"),
        HopId::Sshd => "sshd",
        HopId::Auth => tr("login"),
    }
}

/// The same for a hop id as JSON has it.
fn hop_name(id: &str) -> &str {
    match HopId::ALL.into_iter().find(|h| json!(h) == *id) {
        Some(hop) => hop_word(hop),
        None => id,
    }
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
    let shown = Shown::new(facts, diagnosis, run);
    let diagnosis = &*shown.diagnosis;
    let mut lines = vec![shown.say(headline(facts, run)), path_line(diagnosis, glyphs), String::new()];
    match diagnosis.overall {
        Overall::Healthy => {
            lines.push(tr("The login works:").to_owned());
            lines.push(format!("  {}", shown.say(ssh_command(facts))));
        }
        Overall::Inconclusive => {
            lines.push(tr("No cause could be proven. What is missing:").to_owned());
            let open = diagnosis.checks.iter().filter(|c| c.verdict == Verdict::CannotTell).take(6);
            lines.extend(open.map(|c| format!("  {} {}: {}", glyphs.unknown, shown.title(&c.id), told(&c.reason))));
            lines.push(String::new());
            push_causes(&shown, &mut lines, tr("SEEN,"), ascii);
        }
        Overall::CauseFound => push_causes(&shown, &mut lines, tr("CAUSE"), ascii),
    }
    let open = crate::core::diagnosis::recommended(&diagnosis.doors);
    if let Some(door) = open.filter(|_| diagnosis.overall != Overall::Healthy) {
        lines.push(tr_with(
            "Way in meanwhile: {door} ({why}; {cost})",
            &[("door", &door_name(&door.id)), ("why", &told(&door.why)), ("cost", &told(&door.cost))],
        ));
    }
    if let Some(compared) = &shown.compared {
        lines.push(String::new());
        lines.push(tr("Compared with the earlier diagnosis:").to_owned());
        lines.extend(compared.lines().iter().map(|l| format!("  {l}")));
    }
    done::push_text(&shown.done, &mut lines);
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

fn push_causes(shown: &Shown<'_>, lines: &mut Vec<String>, heading: &str, ascii: bool) {
    let (facts, diagnosis, words) = (shown.facts, &*shown.diagnosis, shown.words);
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
        lines.extend(series::of_cause(&finding.id, facts).iter().map(|s| format!("  {}", s.line(ascii))));
        if let Some(proof) = &finding.would_prove {
            lines.push(tr_with("  would prove it: {proof}", &[("proof", proof)]));
        }
        if let Some(user) = rules::suggested_user(facts).filter(|_| finding.id == "wrong-user-name") {
            lines.push(tr_with(
                "  log in as {user}:  {command}",
                &[("user", &shown.say(user.clone())), ("command", &shown.say(ssh_command_as(facts, Some(&user))))],
            ));
        }
        for id in cause.map(|w| w.fixes.as_slice()).unwrap_or_default() {
            let Some(fix) = words.fixes.get(id) else { continue };
            let how = if fixes::applicable(id) {
                format!("port22 fix {id} {}", shown.say(target_words(facts)))
            } else {
                tr_with("by hand: port22 explain {id}", &[("id", id)])
            };
            lines.push(tr_with(
                "  fix: {title} ({risk} risk)  {how}",
                &[("title", &fix.title), ("risk", &tr(fix.risk.word())), ("how", &how)],
            ));
            lines.extend(added_lines(&fix.added).into_iter().map(|l| format!("    {l}")));
        }
        if let Some(cause) = cause.filter(|c| !c.fixes.iter().any(|f| fixes::applicable(f))) {
            lines.extend(cause.by_hand.iter().take(3).map(|l| format!("    {}", shown.say(fill(l, facts)))));
        }
        let added = cause.map(|c| added_lines(&c.added)).unwrap_or_default();
        lines.extend(added.into_iter().map(|l| format!("  {l}")));
        lines.push(String::new());
    }
}

/// What the team adds, one line each.
fn added_lines(added: &Added) -> Vec<String> {
    let steps = added.next.iter().map(|step| tr_with("Your team: {step}", &[("step", step)]));
    steps.chain(added.runbook.iter().map(|link| tr_with("Your team's runbook: {link}", &[("link", link)]))).collect()
}

/// A Markdown report.
pub fn markdown(facts: &Facts, diagnosis: &Diagnosis, run: &Run) -> String {
    let shown = Shown::new(facts, diagnosis, run);
    let diagnosis = &*shown.diagnosis;
    let label = facts.instance().map_or_else(|| facts.target.name.clone(), crate::core::facts::aws::Instance::label);
    let mut out = format!("# {}\n\n", tr_with("SSH to {name}", &[("name", &md(&shown.say(label)))]));
    let head = strip_controls(&shown.say(headline(facts, run))).replace(['`', '\n'], " ");
    out.push_str(&format!("```\n{head}\n{}\n```\n\n", path_line(diagnosis, Glyphs::new(false))));
    let words = shown.words;
    out.push_str(&match diagnosis.overall {
        Overall::Healthy => format!("**{}**\n", tr("The login works.")),
        Overall::CauseFound => format!("## {}\n\n", tr("Causes")),
        Overall::Inconclusive => format!("**{}**\n\n", tr("No cause could be proven.")),
    });
    for finding in &diagnosis.causes {
        let title = words.causes.get(&finding.id).map_or(finding.id.as_str(), |w| w.title.as_str());
        out.push_str(&format!("- **{}** (`{}`, {})\n", md(title), finding.id, certainty(finding.certainty)));
        for evidence in &finding.evidence {
            out.push_str(&format!("  - {} ({})\n", md(&told(&evidence.text)), md(&told(&evidence.source))));
        }
        for fix in words.causes.get(&finding.id).map(|w| w.fixes.as_slice()).unwrap_or_default() {
            if let Some(w) = words.fixes.get(fix) {
                out.push_str(&format!("  - {} `{fix}`: {}\n", tr("fix"), md(&w.title)));
                added_lines(&w.added).iter().for_each(|l| out.push_str(&format!("    - {}\n", md_line(l))));
            }
        }
        let added = words.causes.get(&finding.id).map(|w| added_lines(&w.added)).unwrap_or_default();
        added.iter().for_each(|l| out.push_str(&format!("  - {}\n", md_line(l))));
    }
    out.push_str(&format!("\n## {}\n\n{}\n|---|---|---|\n", tr("Checks"), tr("| check | answer | reason |")));
    for check in &diagnosis.checks {
        out.push_str(&format!(
            "| {} | {} | {} |\n",
            md(shown.title(&check.id)),
            word(check.verdict),
            md(&told(&check.reason))
        ));
    }
    out.push_str(&format!("\n## {}\n\n", tr("The way of a packet")));
    for hop in &diagnosis.path {
        let state = match hop.state {
            HopState::Open => tr("open"),
            HopState::Blocked => tr("blocked"),
            HopState::Unknown => tr("unknown"),
            HopState::NotReached => tr("not reached"),
        };
        let mark = if hop.state == HopState::Blocked { "**" } else { "" };
        out.push_str(&format!("- {}: {mark}{state}{mark}: {}\n", hop_word(hop.hop), md(&told(&hop.detail))));
    }
    if let Some(compared) = &shown.compared {
        out.push_str(&format!("\n## {}\n\n", tr("Before and after")));
        for line in compared.lines() {
            out.push_str(&format!("- {}\n", md(&line)));
        }
    }
    done::push_markdown(&shown.done, &mut out);
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

/// A line of the team for Markdown; an address at its end stays one that can be clicked.
fn md_line(line: &str) -> String {
    match line.split_once("https://") {
        // Only what was checked to be an address stands behind it (see `core::team`), else no blank may follow.
        Some((before, link)) if !link.contains(char::is_whitespace) => format!("{}<https://{link}>", md(before)),
        _ => md(line),
    }
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
