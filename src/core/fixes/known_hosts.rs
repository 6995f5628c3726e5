//! `known-hosts-update`: the old host key goes, the new one comes, when it is known to be the instance's.

use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::own_files::{HostKeyPlaces, KnownHostsFile};
use crate::core::facts::wire::SshServer;
use crate::core::key::inspect;
use crate::core::plan::{Action, Choice, Choices, Consent, Edit, Gate, GateState, LocalAction, Plan, Risk, Step};
use crate::core::rules::host_key::{self, Standing};
use crate::core::text::{list, shell_quote};

/// Plans to take every own line for this host out of the user's known_hosts files and to add the key that the server
/// shows. Refuses while nothing proves that this key is the instance's, unless the user chose to trust it all the same:
/// then it asks for the instance id to be typed. Fails when no server answered or known_hosts could not be read.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let Some(SshServer::Ready { host_key, host_key_type, .. }) = facts.wire.ssh.value() else {
        return Err("no SSH server answered, so its host key is not known".to_owned());
    };
    let (standing, proof) =
        host_key::standing(facts).ok_or("known_hosts could not be read, so nothing can be compared")?;
    let places = places(facts)?;
    let name = places.names.first().ok_or("the name under which ssh looks the host up is not known")?;
    let subject = facts.instance().map_or_else(|| facts.target.name.clone(), |i| i.id.clone());
    let target = facts.instance().map_or_else(|| facts.target.name.clone(), Instance::label);
    let mut plan = Plan {
        verify: vec!["host-key".to_owned()],
        ..Plan::new("known-hosts-update", format!("trust the new host key of {name}"), subject.clone(), target)
    };
    if standing == Standing::Known {
        plan.title = format!("nothing to change: known_hosts has the host key of {name}");
        plan.gates.push(Gate::new("needed", GateState::Ok, format!("the host key {host_key} is in known_hosts")));
        return Ok(plan);
    }
    if let Standing::Special(at) = &standing {
        plan.gates.push(Gate::new("marked", GateState::Refuse, format!("{at}: that is not changed by a fix")));
        return Ok(plan);
    }
    trust(facts, choices, &mut plan, host_key, host_key_type, proof, &subject);
    let Some(shown) = &places.shown else {
        let why = format!("the host key could not be read again: {}", places.why);
        plan.gates.push(Gate::new("shown", GateState::Refuse, why));
        return Ok(plan);
    };
    if inspect(shown.as_bytes()).sha256.as_deref() != Some(host_key) {
        let why = "asked again, the server showed another host key: there may be several servers at this address";
        plan.gates.push(Gate::new("shown", GateState::Refuse, why));
        return Ok(plan);
    }
    edits(places, shown, &mut plan);
    if plan.refused().is_none() {
        let command = format!("ssh-keygen -F {}", shell_quote(name));
        plan.steps.push(Step::look("look at the entry, then run the failed checks again", command));
    }
    Ok(plan)
}

fn places(facts: &Facts) -> Result<&HostKeyPlaces, String> {
    facts.prepared.host_key.value().ok_or_else(|| match facts.prepared.host_key.why_not() {
        Some(why) => format!("known_hosts could not be read: {}", why.text()),
        None => "known_hosts was not read".to_owned(),
    })
}

/// Whether the key may be trusted: proven, or said by the user although it is not.
fn trust(
    facts: &Facts,
    choices: &Choices,
    plan: &mut Plan,
    host_key: &str,
    kind: &str,
    proof: Option<String>,
    subject: &str,
) {
    if let Some(proof) = proof {
        plan.gates.push(Gate::new("proof", GateState::Ok, format!("{kind} {host_key} is the instance's own: {proof}")));
        return;
    }
    let printed = host_key::printed(facts);
    let seen = if printed.is_empty() {
        "neither the console log nor a look inside tells the instance's host keys".to_owned()
    } else {
        format!("the console log prints {}, and not this key", list(&printed))
    };
    let choice = Choice::new(
        "unproven",
        "Nothing proves that this key is the instance's. Trust it all the same?",
        &[("refuse", "no"), ("trust", "yes: I know that this host has made new keys")],
        choices,
    );
    let trusted = choice.chosen == "trust";
    plan.choices.push(choice);
    plan.risk = Risk::High;
    if trusted {
        plan.consent = Consent::Type(subject.to_owned());
        plan.gates.push(Gate::new(
            "proof",
            GateState::Warn,
            format!("NOT proven: {seen}. Whoever answers at this address is trusted with {kind} {host_key}"),
        ));
    } else {
        plan.gates.push(Gate::new(
            "proof",
            GateState::Refuse,
            format!(
                "nothing proves that {kind} {host_key} is the instance's own: {seen}. Look inside (--inside, by Systems Manager), or choose unproven=trust (--choose) if you know it"
            ),
        ));
    }
}

/// The edits of the files, as `ssh-keygen -R` does it, and the new line.
fn edits(places: &HostKeyPlaces, shown: &str, plan: &mut Plan) {
    let mut gate = |state, why: String| plan.gates.push(Gate::new("files", state, why));
    let kind = shown.split(' ').next().unwrap_or_default();
    let foreign = |f: &&KnownHostsFile| !f.own && f.lines.iter().any(|l| !l.marked && l.key.starts_with(kind));
    if let Some(file) = places.files.iter().find(foreign) {
        gate(
            GateState::Refuse,
            format!("{} has an old key and is not yours: an administrator must change it", file.path),
        );
        return;
    }
    let own: Vec<&KnownHostsFile> = places.files.iter().filter(|f| f.own).collect();
    for file in &own {
        if let Some(line) = file.lines.iter().find(|l| !l.marked && l.is_pattern() && l.key != shown) {
            let at = format!("{}:{} ({})", file.path, line.number, line.hosts);
            gate(GateState::Refuse, format!("{at} is for several hosts by a pattern: change that line by hand"));
            return;
        }
    }
    let goes = |f: &KnownHostsFile| -> Vec<usize> {
        f.lines.iter().filter(|l| !l.marked && l.key != shown).map(|l| l.number).collect()
    };
    let Some(home) = own.iter().find(|f| !goes(f).is_empty()).or(own.first()) else {
        gate(GateState::Refuse, "ssh is told to use no known_hosts file of yours".to_owned());
        return;
    };
    let name = places.names.first().map_or("", String::as_str);
    // Where the old line hid the name, the new one does: the same salt and hash stand for the same name.
    let hidden = home.lines.iter().find(|l| !l.marked && l.key != shown && l.hosts.starts_with("|1|"));
    let hosts = hidden.map_or_else(|| name.to_owned(), |l| l.hosts.clone());
    for file in &own {
        let drop = goes(file);
        let adds = file.path == home.path;
        if drop.is_empty() && !adds {
            continue;
        }
        let append: Vec<String> = if adds { vec![format!("{hosts} {shown}")] } else { Vec::new() };
        plan.steps.push(edit_step(file, name, drop, append));
    }
}

/// The step that edits one known_hosts file; also for the plan that adds an alias.
pub(super) fn edit_step(file: &KnownHostsFile, name: &str, drop: Vec<usize>, append: Vec<String>) -> Step {
    let path = shell_quote(&file.path);
    let numbers: Vec<String> = drop.iter().map(ToString::to_string).collect();
    let (mut text, mut commands) = (Vec::new(), Vec::new());
    if !drop.is_empty() {
        let lines = if drop.len() == 1 { "line" } else { "lines" };
        text.push(format!("take {lines} {} out of {}", list(&numbers), file.path));
        commands.push(format!("ssh-keygen -R {} -f {path}", shell_quote(name)));
    }
    for line in &append {
        text.push(if drop.is_empty() {
            format!("add the host key of {name} to {}", file.path)
        } else {
            "add the new key".to_owned()
        });
        commands.push(format!("echo {} >> {path}", shell_quote(line)));
    }
    let backup = backup_of(&file.path, file.sha256.as_deref());
    let undo = match &file.sha256 {
        Some(_) => format!("cp {} {path}", shell_quote(&backup)),
        None => format!("rm {path}"),
    };
    Step::deed(
        text.join(", "),
        commands.join(" && "),
        Some(undo),
        Action::Local(LocalAction::EditFile {
            path: file.path.clone(),
            before: file.sha256.clone(),
            edit: Edit::Lines { drop, append },
            backup,
            mode: 0o600,
        }),
    )
}

/// Where a copy of a file is kept: the name tells which content it is of, so that no copy overwrites another.
pub(super) fn backup_of(path: &str, sha256: Option<&str>) -> String {
    let digest = sha256.unwrap_or("new");
    format!("{path}.before-port22-{}", &digest[..digest.len().min(12)])
}
