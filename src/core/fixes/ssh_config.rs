//! `ssh-config-entry`: a Host block with which `ssh NAME` logs in, in a file of port22's own that the user's includes.

use super::known_hosts::{backup_of, edit_step};
use crate::core::facts::Facts;
use crate::core::facts::aws::Instance;
use crate::core::facts::local::{KeyFileState, KeyProbe};
use crate::core::facts::own_files::ConfigFiles;
use crate::core::facts::wire::{Answer, SshServer, Tcp};
use crate::core::key::inspect;
use crate::core::plan::{Action, Choice, Choices, Edit, Gate, GateState, LocalAction, Plan, Step};
use crate::core::rules::host_key::{self, Standing};
use crate::core::rules::{self, launch_key, local};
use crate::core::target::TargetKind;
use crate::core::text::shell_quote;
use crate::core::vpc;

/// Why the included file must come first (ssh_config(5): "the first obtained value for each parameter is used").
const HEAD: &str = "# Hosts written by port22. First in the file, because ssh takes the first value that it finds.";

/// A setting of the block: its keyword, its value as ssh reads it, and whether `ssh -G` prints it so.
struct Setting {
    keyword: &'static str,
    value: String,
    shown: bool,
}

/// Plans to write (or to write anew) the block of this instance, to include it before everything else in the user's
/// configuration, and to ask `ssh -G` whether it counts. Fails when address or login user are not known.
pub fn plan(facts: &Facts, choices: &Choices) -> Result<Plan, String> {
    let files = facts.prepared.ssh_config.value().ok_or_else(|| match facts.prepared.ssh_config.why_not() {
        Some(why) => format!("the ssh configuration could not be read: {}", why.text()),
        None => "the ssh configuration was not read".to_owned(),
    })?;
    let names = names(facts)?;
    let subject = facts.instance().map_or_else(|| names[0].clone(), |i| i.id.clone());
    let target = facts.instance().map_or_else(|| facts.target.name.clone(), Instance::label);
    let mut plan = Plan {
        verify: vec!["ssh-config".to_owned()],
        ..Plan::new("ssh-config-entry", format!("let ssh {} log in", names[0]), subject.clone(), target)
    };
    if !files.writable {
        let why = format!("{} is not your own file: name one of yours with -F, or leave -F out", files.main);
        plan.gates.push(Gate::new("file", GateState::Refuse, why));
        return Ok(plan);
    }
    let mut settings = way(facts, choices, files, &mut plan)?;
    let user = user(facts).ok_or("the login user is not known: name it with -l USER")?;
    settings.push(Setting { keyword: "User", value: user, shown: true });
    settings.push(Setting { keyword: "Port", value: facts.port().to_string(), shown: true });
    settings.extend(identity(facts, files, &mut plan.gates)?);
    let alias = alias(facts, files, &mut plan);
    settings.extend(alias.into_iter().map(|value| Setting { keyword: "HostKeyAlias", value, shown: true }));
    settings.push(Setting { keyword: "ServerAliveInterval", value: "60".to_owned(), shown: true });
    if let Some(odd) = settings.iter().find(|s| s.value.contains(['"', '\n']) && s.keyword != "ProxyCommand") {
        return Err(format!("{} {} cannot be written into a configuration", odd.keyword, odd.value));
    }
    write(files, &subject, &names, &settings, &mut plan);
    let wants =
        settings.iter().filter(|s| s.shown).map(|s| (s.keyword.to_ascii_lowercase(), s.value.clone())).collect();
    let config = facts.target.config_file.as_ref().map(|_| files.main.clone());
    let option = config.as_ref().map(|f| format!(" -F {}", shell_quote(f))).unwrap_or_default();
    let nothing = plan.steps.is_empty();
    if nothing {
        plan.title = format!("nothing to change: the block of {} is as it should be", names[0]);
        plan.gates.push(Gate::new("needed", GateState::Ok, format!("{} has this very block", files.own)));
        return Ok(plan);
    }
    plan.steps.push(Step::deed(
        "ask ssh whether it would do so now",
        format!("ssh -G{option} {}", names[0]),
        None,
        Action::Local(LocalAction::ProveConfig { config_file: config, name: names[0].clone(), wants }),
    ));
    plan.steps.push(Step::look("run the failed checks again", format!("ssh{option} {}", names[0])));
    Ok(plan)
}

/// Names that one can type after this: what was typed, the Name tag, the instance id.
fn names(facts: &Facts) -> Result<Vec<String>, String> {
    let plain = |text: &str| -> String {
        let text: String =
            text.chars().map(|c| if c.is_ascii_alphanumeric() || "._-:".contains(c) { c } else { '-' }).collect();
        text.trim_matches('-').to_owned()
    };
    let typed = plain(facts.target.name.trim_matches(['[', ']']));
    let instance = facts.instance();
    let tag = instance.and_then(|i| i.name.as_deref()).map(plain);
    let id = instance.map(|i| i.id.clone());
    // An address or an id is typed by few: the Name tag is the better first name.
    let words = matches!(facts.target.kind(), TargetKind::Name | TargetKind::Ec2Dns);
    let all = if words { vec![Some(typed), tag, id] } else { vec![tag, Some(typed), id] };
    let mut out: Vec<String> = Vec::new();
    for name in all.into_iter().flatten().filter(|n| !n.is_empty()) {
        if !out.contains(&name) {
            out.push(name);
        }
    }
    if out.is_empty() { Err("the target has no name that ssh could be given".to_owned()) } else { Ok(out) }
}

/// Whether the port answers from here.
fn is_open(facts: &Facts) -> bool {
    matches!(facts.wire.tcp.value(), Some(Tcp::Connected { .. }))
        && !matches!(facts.wire.ssh.value(), Some(SshServer::NotSsh { .. }))
}

/// Where ssh shall connect to, and by which door.
fn way(facts: &Facts, choices: &Choices, files: &ConfigFiles, plan: &mut Plan) -> Result<Vec<Setting>, String> {
    let managed = facts.agent_is_online() && facts.instance().is_some();
    let direct = ("direct", "the address, as now");
    let manager = ("ssm", "Session Manager, without an open port");
    let jumps = vpc::through_jump(facts);
    let options: &[(&str, &str)] = match (managed, is_open(facts) || jumps) {
        (true, true) => &[direct, manager],
        (true, false) => &[manager, direct],
        (false, _) => &[direct],
    };
    let choice = Choice::new("door", "Which way shall ssh take?", options, choices);
    let chosen = choice.chosen.clone();
    if options.len() > 1 {
        plan.choices.push(choice);
    }
    let set = |keyword, value: String, shown| Setting { keyword, value, shown };
    if let (true, Some(instance)) = (chosen == "ssm", facts.instance()) {
        let profile = files.profile.as_ref().map(|p| format!(" --profile {p}")).unwrap_or_default();
        let command = format!(
            "sh -c \"aws ssm start-session --target %h --document-name AWS-StartSSHSession --parameters portNumber=%p --region {}{profile}\"",
            instance.region
        );
        plan.gates.push(Gate::new("door", GateState::Ok, "the agent is online: ssh goes through Session Manager"));
        if !files.session_tools {
            let why = "the aws CLI and its Session Manager plugin are needed for that, and were not found in PATH";
            plan.gates.push(Gate::new("tools", GateState::Warn, why));
        }
        return Ok(vec![set("HostName", instance.id.clone(), true), set("ProxyCommand", command, false)]);
    }
    let address = address(facts).ok_or("the address is not known: pass --address IP")?;
    let mut out = vec![set("HostName", address, true)];
    if let Some(jump) = &facts.target.jump {
        out.push(set("ProxyJump", jump.clone(), false));
    } else if is_open(facts)
        && facts.local.config.value().is_some_and(|c| c.proxy_command.is_some() || c.proxy_jump.is_some())
    {
        plan.gates.push(Gate::new(
            "proxy",
            GateState::Warn,
            "your configuration has a proxy for this host, and the port answers without it: the block goes without",
        ));
        out.push(set("ProxyCommand", "none".to_owned(), false));
    }
    if !is_open(facts) && !jumps {
        let why = format!(
            "port {} does not answer from here yet: the block is right, and ssh waits for the way",
            facts.port()
        );
        plan.gates.push(Gate::new("door", GateState::Warn, why));
    }
    Ok(out)
}

/// The address to write: where the login was seen to go, unless the instance is known to have another.
fn address(facts: &Facts) -> Option<String> {
    let dialled = facts.wire.address.filter(|_| is_open(facts));
    let own = facts.instance().filter(|i| i.state == "running" || i.state == "pending");
    // Two machines: the one that answers at the old address is not the instance.
    let stranger = dialled.is_some_and(|a| {
        !a.is_loopback() && facts.target.address.is_none() && own.is_some_and(|i| !i.addresses().contains(&a))
    });
    let best = own.and_then(Instance::best_address);
    let through = (vpc::through_jump(facts) && !is_open(facts)).then(|| own.and_then(|i| i.private_ip)).flatten();
    let found = facts.target.address.or(through).or(dialled.filter(|_| !stranger)).or(best).or_else(|| facts.address());
    found.map(|a| a.to_string())
}

/// The user whom the server knows, else the one that the login or the image names.
fn user(facts: &Facts) -> Option<String> {
    let known = facts.wire.offers.iter().find(|o| matches!(o.answer, Answer::LoggedIn));
    let known = known.or_else(|| facts.wire.offers.iter().find(|o| o.answer.key_is_known()));
    known.map(|o| o.user.clone()).or_else(|| rules::suggested_user(facts)).or_else(|| rules::login_user(facts))
}

/// The key file to log in with, in full.
fn identity(facts: &Facts, files: &ConfigFiles, gates: &mut Vec<Gate>) -> Result<Vec<Setting>, String> {
    let all = || facts.local.keys.iter().chain(&facts.local.other_keys);
    let taken = facts.wire.offers.iter().find(|o| o.answer.key_is_known());
    let read = |k: &&KeyProbe| matches!(k.file.value(), Some(KeyFileState::Read { .. }));
    // A file that ssh loads as it is comes before one that must be mended first.
    let best = |of: &dyn Fn(&KeyProbe) -> bool| {
        let fit = |k: &&KeyProbe| read(k) && of(k);
        all().filter(fit).find(|k| local::trouble(k).is_none()).or_else(|| all().find(fit))
    };
    // The server was asked about a public half: any file that has it will do.
    let is_taken = |k: &KeyProbe| {
        let print = local::key_of(k).and_then(|key| key.sha256.as_ref());
        taken.is_some_and(|o| o.key.as_ref() == Some(&k.path) || (print.is_some() && o.fingerprint.as_ref() == print))
    };
    let by_server = best(&is_taken);
    if taken.is_some_and(|o| o.key.is_some()) && by_server.is_none() {
        let why = "the key that the server takes comes from your agent: no file is named";
        gates.push(Gate::new("key", GateState::Ok, why));
        return Ok(Vec::new());
    }
    let named = |k: &KeyProbe| facts.local.keys.iter().any(|own| own.path == k.path);
    let found = by_server
        .or_else(|| best(&|k| launch_key::is_launch_key(facts, k) == Some(true)))
        .or_else(|| best(&|k| named(k) && k.origin != "default"))
        .or_else(|| best(&named));
    let Some(probe) = found else {
        gates.push(Gate::new(
            "key",
            GateState::Warn,
            "no key file is known: the block names none, and ssh offers what it has",
        ));
        return Ok(Vec::new());
    };
    if let Some((cause, text)) = local::trouble(probe) {
        gates.push(Gate::new("key", GateState::Warn, format!("{text} ({cause}): that must be mended too")));
    }
    let full = files.keys.iter().find(|(path, _)| *path == probe.path).map(|(_, full)| full.clone());
    let full = full.ok_or_else(|| format!("the full path of {} is not known", probe.path))?;
    Ok(vec![
        // A percent sign begins a token (ssh_config(5), TOKENS).
        Setting { keyword: "IdentityFile", shown: !full.contains('%'), value: full.replace('%', "%%") },
        Setting { keyword: "IdentitiesOnly", value: "yes".to_owned(), shown: true },
    ])
}

/// The instance id as the name of its host key, which then outlives every change of the address; with the step that
/// tells known_hosts so, where the key is known. Not while a changed key is not explained: under a new name ssh would
/// only ask where it refuses now.
fn alias(facts: &Facts, files: &ConfigFiles, plan: &mut Plan) -> Option<String> {
    let id = facts.instance()?.id.clone();
    let mut gate = |state, why: String| plan.gates.push(Gate::new("host-key", state, why));
    let Some((standing, proof)) = host_key::standing(facts) else { return Some(id) };
    let places = facts.prepared.host_key.value()?;
    let Some(SshServer::Ready { host_key, .. }) = facts.wire.ssh.value() else { return Some(id) };
    let lines = places.files.iter().flat_map(|f| &f.lines).filter(|l| !l.marked).map(|l| &l.key);
    let is_it = |key: &&String| inspect(key.as_bytes()).sha256.as_deref() == Some(host_key);
    match standing {
        Standing::Special(at) => {
            gate(GateState::Warn, format!("{at}: the host key keeps its name"));
            return None;
        }
        Standing::Changed if proof.is_none() => {
            let why = "the host key has changed and nothing proves the new one: ssh goes on refusing until known-hosts-update";
            gate(GateState::Warn, why.to_owned());
            return None;
        }
        Standing::New if proof.is_none() => {
            gate(GateState::Ok, format!("ssh will ask once whether to trust the host key {host_key}"));
            return Some(id);
        }
        _ => {}
    }
    let key = lines.chain(&places.shown).find(is_it)?;
    if files.alias_keys.contains(key) {
        return Some(id);
    }
    let kind = key.split(' ').next().unwrap_or_default();
    if files.alias_keys.iter().any(|known| known.starts_with(kind)) {
        gate(GateState::Warn, format!("known_hosts has another key for {id}: the host key keeps its name"));
        return None;
    }
    let home = places.files.iter().find(|f| f.own)?;
    plan.steps.push(edit_step(home, &id, Vec::new(), vec![format!("{id} {key}")]));
    gate(GateState::Ok, format!("the host key is known: known_hosts gets it under {id} too"));
    Some(id)
}

/// The steps that write port22's own file and include it.
fn write(files: &ConfigFiles, subject: &str, names: &[String], settings: &[Setting], plan: &mut Plan) {
    let mut block = format!("Host {}\n", names.join(" "));
    for s in settings {
        let quoted = s.value.contains([' ', '#']) && s.keyword != "ProxyCommand";
        let value = if quoted { format!("\"{}\"", s.value) } else { s.value.clone() };
        block.push_str(&format!("    {} {value}\n", s.keyword));
    }
    let before = files.own_text.as_deref().unwrap_or_default();
    let text = put_block(before, subject, names, &block);
    let (own, main) = (shell_quote(&files.own), shell_quote(&files.main));
    if text != before {
        let backup = backup_of(&files.own, files.own_sha256.as_deref());
        let undo =
            if files.own_text.is_some() { format!("cp {} {own}", shell_quote(&backup)) } else { format!("rm {own}") };
        plan.steps.push(Step::deed(
            format!("write the block of {} into {}", names[0], files.own),
            format!("cat >> {own} <<'END'\n{block}END"),
            Some(undo),
            Action::Local(LocalAction::EditFile {
                path: files.own.clone(),
                before: files.own_sha256.clone(),
                edit: Edit::Write { text },
                backup,
                mode: 0o600,
            }),
        ));
    }
    if !files.included {
        let include = if files.own.contains(' ') { format!("\"{}\"", files.own) } else { files.own.clone() };
        let backup = backup_of(&files.main, files.main_sha256.as_deref());
        let undo = match &files.main_sha256 {
            Some(_) => format!("cp {} {main}", shell_quote(&backup)),
            None => format!("rm {main}"),
        };
        plan.steps.push(Step::deed(
            format!("include it before everything else in {}", files.main),
            format!("sed -i '1i Include {include}' {main}"),
            Some(undo),
            Action::Local(LocalAction::EditFile {
                path: files.main.clone(),
                before: files.main_sha256.clone(),
                edit: Edit::Prepend { text: format!("{HEAD}\nInclude {include}\n\n") },
                backup,
                mode: 0o600,
            }),
        ));
    }
}

/// The text with the block of a subject put in, or in the place of its former one. Names that the block has are taken
/// from the other blocks of the file: the first of two would win.
fn put_block(text: &str, subject: &str, names: &[String], block: &str) -> String {
    let (begin, end) = (format!("# port22 begin {subject}"), format!("# port22 end {subject}"));
    let whole = format!("{begin}\n{block}{end}\n");
    let (mut out, mut inside, mut placed) = (String::new(), false, false);
    for line in text.lines() {
        if line.trim() == begin {
            (inside, placed) = (true, true);
            out.push_str(&whole);
        } else if inside {
            inside = line.trim() != end;
        } else if let Some(listed) = line.strip_prefix("Host ") {
            let left: Vec<&str> = listed.split_whitespace().filter(|n| !names.iter().any(|m| m == n)).collect();
            // A block without names would be no block: it is kept, for nothing that is typed.
            let left = if left.is_empty() { "port22-former".to_owned() } else { left.join(" ") };
            out.push_str(&format!("Host {left}\n"));
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    if !placed {
        if !out.is_empty() && !out.ends_with("\n\n") {
            out.push('\n');
        }
        out.push_str(&whole);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn a_block_is_put_in_and_replaced_and_its_names_are_its_own() {
        let one = put_block("", "i-1", &names(&["web", "i-1"]), "Host web i-1\n    User a\n");
        assert_eq!(one, "# port22 begin i-1\nHost web i-1\n    User a\n# port22 end i-1\n");
        let two = put_block(&one, "i-2", &names(&["db"]), "Host db\n    User b\n");
        assert_eq!(two, format!("{one}\n# port22 begin i-2\nHost db\n    User b\n# port22 end i-2\n"));
        let new = put_block(&two, "i-1", &names(&["web", "i-1"]), "Host web i-1\n    User c\n");
        assert_eq!(new, two.replace("User a", "User c"));
        assert_eq!(put_block(&new, "i-1", &names(&["web", "i-1"]), "Host web i-1\n    User c\n"), new, "twice is once");
        // The instance was replaced by another one with the same name.
        let moved = put_block(&one, "i-3", &names(&["web", "i-3"]), "Host web i-3\n    User a\n");
        assert!(moved.starts_with("# port22 begin i-1\nHost i-1\n"), "{moved}");
        assert!(moved.ends_with("Host web i-3\n    User a\n# port22 end i-3\n"), "{moved}");
    }
}
